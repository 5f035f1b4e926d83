//! The OAuth tokens of a call as arguments.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;

use super::invocation::{Verified, unverified};
use super::state::AppState;
use crate::credentials::{SYSTEM_HEADER, SystemToken, USER_HEADER, UserToken, one_token};
use crate::fit::Provenance;
use crate::log::{self, Permit};
use crate::response;
use crate::token::Tokens;

const SYSTEM_HINT: &str = "the manifest's endpoint must enable `auth.appSystemToken`, and `permissions.scopes` needs a \
     scope besides `read:app-system-token` and `read:app-user-token`; `manifest --write` adds \
     both; then deploy the app and upgrade the installation";

const USER_HINT: &str = "the manifest's endpoint must enable `auth.appUserToken`, `permissions.scopes` needs a scope \
     for user data, and a user must be in session: calls by `requestRemote`, anonymous visitors \
     and the platform itself have no user token; take `Option<UserToken>` to handle such calls";

/// Returns the one token in a header; a 400 response if the header does not hold exactly one.
fn read<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Response> {
    match one_token(headers, name) {
        Some(text) => Ok(text),
        None => {
            if let Some(Permit { suppressed }) = log::permit("malformed_token_header") {
                tracing::warn!(
                    header = name.as_str(),
                    suppressed,
                    "the header does not hold exactly one token"
                );
            }
            Err(response::json_error(
                StatusCode::BAD_REQUEST,
                "bad_request",
                &format!("`{name}` must hold exactly one token"),
            ))
        }
    }
}

fn missing(parts: &Parts, name: &HeaderName, hint: &'static str) -> Response {
    let endpoint = parts
        .extensions
        .get::<Verified>()
        .map(|verified| verified.endpoint());
    tracing::error!(
        endpoint,
        header = name.as_str(),
        hint,
        "Forge sent no token"
    );
    response::internal_error()
}

/// Returns the system token for a handler of this call: the kept one, if anybody may have written the
/// call's own header; otherwise the header's.
async fn system_token(parts: &Parts, state: &AppState) -> Result<Option<SystemToken>, Response> {
    let (call, text) = read_verified(parts, &SYSTEM_HEADER)?;
    let sent = text.map(|text| SystemToken::new(text, call.owner()));
    let Some(tokens) = state.get::<Tokens>() else {
        return Ok(sent);
    };
    if call.provenance() == Provenance::Platform {
        return Ok(sent);
    }
    Ok(tokens.of_platform(call.claims()).await.or(sent))
}

/// Returns the user token in the call's header.
async fn user_token(parts: &Parts, _: &AppState) -> Result<Option<UserToken>, Response> {
    let (call, text) = read_verified(parts, &USER_HEADER)?;
    Ok(text.map(|text| UserToken::new(text, call.owner())))
}

/// Reads a header of a verified request.
fn read_verified<'a>(
    parts: &'a Parts,
    name: &HeaderName,
) -> Result<(&'a Verified, Option<&'a str>), Response> {
    let call = parts.extensions.get::<Verified>().ok_or_else(unverified)?;
    Ok((call, read(&parts.headers, name)?))
}

macro_rules! extractor {
    ($token:ident, $find:ident, $header:ident, $hint:ident) => {
        impl FromRequestParts<AppState> for $token {
            type Rejection = Response;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &AppState,
            ) -> Result<Self, Response> {
                let token = $find(parts, state).await?;
                token.ok_or_else(|| missing(parts, &$header, $hint))
            }
        }

        impl OptionalFromRequestParts<AppState> for $token {
            type Rejection = Response;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &AppState,
            ) -> Result<Option<Self>, Response> {
                $find(parts, state).await
            }
        }
    };
}

extractor!(SystemToken, system_token, SYSTEM_HEADER, SYSTEM_HINT);
extractor!(UserToken, user_token, USER_HEADER, USER_HINT);
