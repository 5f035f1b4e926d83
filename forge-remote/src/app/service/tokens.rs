//! The intake of the system tokens of calls.

use axum::http::HeaderMap;

use super::context::ServiceContext;
use crate::credentials::{Owner, SystemToken, VerifiedCall};
use crate::token::Tokens;

/// Keeps the system token of a verified call: at once if Forge wrote its header, and after the response if a function of
/// the app may have written it and Atlassian confirms that the token is the installation's.
pub(super) fn take(
    tokens: &Tokens,
    call: &VerifiedCall,
    headers: &HeaderMap,
    context: &ServiceContext,
) {
    let Some(text) = tokens.observe(call.claims(), headers, call.provenance()) else {
        return;
    };
    let (tokens, call) = (tokens.clone(), call.clone());
    let atlassian = context.atlassian.clone();
    context.work.spawn_logged(async move {
        let token = SystemToken::new(&text, Owner::of_call(call.clone()));
        match atlassian.prove(&call, &token).await {
            Ok(()) => tokens.keep(call.claims(), text, call.provenance()),
            Err(error) => tracing::warn!(
                %error,
                installation = call.claims().installation_id(),
                "the system token of a function's call is not kept, because it is not proven to be the installation's"
            ),
        }
        true
    });
}
