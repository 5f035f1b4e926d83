//! The OAuth tokens of a call as arguments.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::invocation::{CalledByFormerPath, Verified};
use super::rejection::{InvocationRejection, OauthTokenRejection};
use super::state::AppState;
use crate::credentials::{SYSTEM_HEADER, SystemToken, USER_HEADER, UserToken, one_token};
use crate::fit::Provenance;
use crate::token::Tokens;

/// Returns the one token in a header.
fn read<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, OauthTokenRejection> {
    one_token(headers, name).ok_or_else(|| OauthTokenRejection::Malformed {
        header: name.clone(),
    })
}

/// Marks the stored call of a durable handler, with the token that is kept when it runs: the call's own
/// is not stored.
#[derive(Clone)]
pub(crate) struct StoredCall(pub(crate) Option<SystemToken>);

/// Returns the system token for a handler of this call: the kept one, if the call was stored or anyone may have written
/// the call's own header; otherwise the header's.
async fn system_token(
    parts: &Parts,
    state: &AppState,
) -> Result<Option<SystemToken>, OauthTokenRejection> {
    if let Some(StoredCall(token)) = parts.extensions.get() {
        return Ok(token.clone());
    }
    let (call, text) = read_verified(parts, &SYSTEM_HEADER)?;
    let sent = text.map(|text| SystemToken::new(text, call.owner()));
    match store(call, state) {
        Some(tokens) => Ok(tokens.of_platform(call.claims()).await.or(sent)),
        None => Ok(sent),
    }
}

/// Returns the store whose token a handler of this call gets instead of the header's.
fn store(call: &Verified, state: &AppState) -> Option<Tokens> {
    let is_proven = call.provenance() == Provenance::Platform;
    (!is_proven).then(|| state.get())?
}

/// Returns whether the system token of a request has to be waited for.
pub(crate) fn is_in_store(parts: &Parts, state: &AppState) -> bool {
    let call = parts.extensions.get::<Verified>();
    call.is_some_and(|call| store(call, state).is_some())
}

/// Returns the header's token.
async fn user_token(parts: &Parts, _: &AppState) -> Result<Option<UserToken>, OauthTokenRejection> {
    let (call, text) = read_verified(parts, &USER_HEADER)?;
    Ok(text.map(|text| UserToken::new(text, call.owner())))
}

/// Reads a header of a verified request.
fn read_verified<'a>(
    parts: &'a Parts,
    name: &HeaderName,
) -> Result<(&'a Verified, Option<&'a str>), OauthTokenRejection> {
    let call = parts
        .extensions
        .get::<Verified>()
        .ok_or(InvocationRejection)?;
    Ok((call, read(&parts.headers, name)?))
}

macro_rules! extractor {
    ($token:ident, $find:ident, $header:ident, $fix:ident, $function_fix:ident) => {
        impl FromRequestParts<AppState> for $token {
            type Rejection = OauthTokenRejection;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &AppState,
            ) -> Result<Self, OauthTokenRejection> {
                let token = $find(parts, state).await?;
                let extensions = &parts.extensions;
                let call = extensions.get::<Verified>();
                let fix = match extensions.get::<CalledByFormerPath>() {
                    _ if call.is_some_and(Verified::is_for_functions) => {
                        OauthTokenRejection::$function_fix
                    }
                    Some(CalledByFormerPath) => OauthTokenRejection::FORMER_FIX,
                    None => OauthTokenRejection::$fix,
                };
                let header = $header;
                token.ok_or(OauthTokenRejection::Missing { header, fix })
            }
        }

        impl OptionalFromRequestParts<AppState> for $token {
            type Rejection = OauthTokenRejection;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &AppState,
            ) -> Result<Option<Self>, OauthTokenRejection> {
                $find(parts, state).await
            }
        }
    };
}

extractor!(
    SystemToken,
    system_token,
    SYSTEM_HEADER,
    SYSTEM_FIX,
    FUNCTION_SYSTEM_FIX
);
extractor!(
    UserToken,
    user_token,
    USER_HEADER,
    USER_FIX,
    FUNCTION_USER_FIX
);
