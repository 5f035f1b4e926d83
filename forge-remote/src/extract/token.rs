//! The OAuth tokens that come beside a FIT.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{AppState, Verified};
use crate::fit::Provenance;
use crate::log::{self, Permit};
use crate::response;
use crate::token::{Installation, Tokens};

pub(crate) const SYSTEM_HEADER: HeaderName = HeaderName::from_static("x-forge-oauth-system");
pub(crate) const USER_HEADER: HeaderName = HeaderName::from_static("x-forge-oauth-user");

/// An OAuth token is about 2 KB; more than this is none, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A secret string and whose it is: no `Debug`, no `Display`, wiped when dropped.
#[derive(Clone)]
struct Secret {
    text: Zeroizing<String>,
    owner: Option<Owner>,
}

/// Whose a token is. It is used for nobody else.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) installation_id: Arc<str>,
    /// What an impersonated user's was exchanged for: `ari:cloud:jira::site/<cloudId>`.
    pub(crate) context: Option<Arc<str>>,
    source: Source,
}

/// How a token came here.
#[derive(Clone)]
enum Source {
    /// In a header of this call.
    Call(Verified),
    /// From the app's own store.
    Kept(Installation),
    /// From the local platform.
    Local,
}

impl Owner {
    /// The owner of the tokens that a call brings.
    pub(crate) fn of_call(call: &Verified) -> Self {
        Self {
            installation_id: call.claims().installation_id().into(),
            context: None,
            source: Source::Call(call.clone()),
        }
    }

    /// The owner of a token that the local platform made.
    pub(crate) fn of_local(installation_id: &str) -> Self {
        Self {
            installation_id: installation_id.into(),
            context: None,
            source: Source::Local,
        }
    }

    /// The owner of a user's token that Atlassian gave in exchange for this one's.
    pub(crate) fn exchanged_for(&self, context: &str) -> Self {
        Self {
            context: Some(context.into()),
            ..self.clone()
        }
    }

    /// The call that brought the token, where somebody other than the platform may have chosen it.
    pub(crate) fn unproven(&self) -> Option<&Verified> {
        match &self.source {
            // What was exchanged was proven before.
            _ if self.context.is_some() => None,
            Source::Call(call) if call.provenance() != Provenance::Platform => Some(call),
            Source::Call(_) | Source::Kept(_) | Source::Local => None,
        }
    }

    /// The ids of the sites that the installation is on; empty where Forge names none.
    pub(crate) fn sites(&self) -> Vec<String> {
        match &self.source {
            Source::Call(call) => call.claims().cloud_ids(),
            Source::Kept(installation) => installation.cloud_ids(),
            Source::Local => Vec::new(),
        }
    }
}

impl Secret {
    fn new(text: &str, owner: Option<Owner>) -> Self {
        Self {
            text: Zeroizing::new(text.to_owned()),
            owner,
        }
    }

    fn expires_at(&self) -> Option<SystemTime> {
        ends_at(&self.text)
    }

    fn authorization(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", self.text.as_str()));
        // Taken from a header, so it fits into one.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

/// When a token ends, as far as it can be read.
pub(crate) fn ends_at(token: &str) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Expiry {
        exp: u64,
    }
    let payload = token.split('.').nth(1)?;
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let expiry: Expiry = serde_json::from_slice(&json).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expiry.exp))
}

/// The one token in a header: `Some(None)` when it isn't there, `None` when it can't be one.
fn one_token<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Some(None);
    };
    let text = value.to_str().ok().filter(|text| {
        !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && !text.contains([' ', '\t', ','])
    })?;
    values.next().is_none().then_some(Some(text))
}

/// The one token in a header; an answer when it can't be one.
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

/// The system token that a request brings, when it brings exactly one; `None` too when its bytes
/// are `known`, which is mostly so and saves looking at them one by one.
pub(crate) fn new_system_token(
    headers: &HeaderMap,
    known: impl FnOnce(&[u8]) -> bool,
) -> Option<&str> {
    let token = headers.get(SYSTEM_HEADER)?;
    if known(token.as_bytes()) {
        return None;
    }
    one_token(headers, &SYSTEM_HEADER)?
}

impl SystemToken {
    /// One that was kept for this installation.
    pub(crate) fn kept(token: &str, installation: Installation) -> Self {
        let owner = Owner {
            installation_id: installation.installation_id().into(),
            context: None,
            source: Source::Kept(installation),
        };
        Self(Secret::new(token, Some(owner)))
    }

    /// One that the local platform made for this installation.
    pub(crate) fn local(token: &str, installation_id: &str) -> Self {
        Self(Secret::new(token, Some(Owner::of_local(installation_id))))
    }

    /// The token for a handler of this call. The one that is kept for the installation, where the
    /// call's own header may be anybody's; otherwise the header's.
    async fn for_call(parts: &Parts, state: &AppState) -> Result<Option<Self>, Response> {
        let brought = read_verified(parts, &SYSTEM_HEADER)?.map(Self);
        let call = parts.extensions.get::<Verified>();
        let call = call.filter(|call| call.provenance() != Provenance::Platform);
        let (Some(call), Some(tokens)) = (call, state.get::<Tokens>()) else {
            return Ok(brought);
        };
        Ok(tokens.of_platform(call.claims()).await.or(brought))
    }
}

impl UserToken {
    /// One that was exchanged for the app's.
    pub(crate) fn obtained(token: &str, owner: impl Into<Option<Owner>>) -> Self {
        Self(Secret::new(token, owner.into()))
    }

    /// The token for a handler of this call: the header's.
    async fn for_call(parts: &Parts, _: &AppState) -> Result<Option<Self>, Response> {
        Ok(read_verified(parts, &USER_HEADER)?.map(Self))
    }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $header:expr, $hint:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        #[allow(missing_debug_implementations, reason = "a secret must not be printable")]
        pub struct $name(Secret);

        impl $name {
            /// The token itself. Never log it, never send it anywhere but to Atlassian's APIs.
            pub fn expose_secret(&self) -> &str {
                &self.0.text
            }

            /// Where the token's header comes from: [`Provenance::Platform`] for a kept token, and for
            /// one that Atlassian gave in exchange.
            pub fn provenance(&self) -> Provenance {
                let call = self.0.owner.as_ref().and_then(Owner::unproven);
                call.map_or(Provenance::Platform, Verified::provenance)
            }

            pub(crate) fn owner(&self) -> Option<&Owner> {
                self.0.owner.as_ref()
            }

            /// When it ends, as far as the token can be read: a hint, for Atlassian calls these
            /// tokens opaque. `None` when it isn't a JWT with an `exp`; count on 2 hours then.
            pub fn expires_at(&self) -> Option<SystemTime> {
                self.0.expires_at()
            }

            /// `Bearer …`, for the `Authorization` header of a call to Atlassian; marked sensitive.
            pub fn authorization(&self) -> HeaderValue {
                self.0.authorization()
            }
        }

        impl FromRequestParts<AppState> for $name {
            type Rejection = Response;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &AppState,
            ) -> Result<Self, Response> {
                match Self::for_call(parts, state).await? {
                    Some(token) => Ok(token),
                    None => Err(missing(parts, &$header, $hint)),
                }
            }
        }

        impl OptionalFromRequestParts<AppState> for $name {
            type Rejection = Response;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &AppState,
            ) -> Result<Option<Self>, Response> {
                Self::for_call(parts, state).await
            }
        }
    };
}

/// Tokens are taken from verified requests only.
fn read_verified(parts: &Parts, name: &HeaderName) -> Result<Option<Secret>, Response> {
    let Some(verified) = parts.extensions.get::<Verified>() else {
        return Err(super::invocation::unverified());
    };
    let text = read(&parts.headers, name)?;
    Ok(text.map(|text| Secret::new(text, Some(verified.owner()))))
}

token! {
    /// The app's system token (`x-forge-oauth-system`): calls Atlassian's APIs as the app.
    ///
    /// A handler that takes it says `auth = system`. Forge sends it with at least 2 and at most
    /// 4 hours of life; it may be kept until it ends. Take `Option<SystemToken>` where it may be
    /// missing.
    /// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
    ///
    /// # On a page's call
    ///
    /// OAuth headers are not signed. A page's user can call the handler with the token of another
    /// app, and of another site ([`Provenance`](crate::fit::Provenance)). So where the app keeps
    /// tokens ([`App::tokens`](crate::App::tokens)), a page's call gets the kept token, whatever its
    /// header holds. Without a kept one, the header's token works for Jira, Confluence and Bitbucket,
    /// whose URLs name the site. Forge storage, GraphQL and Forge's own APIs know the tenant by the
    /// token alone: they are called once Atlassian's installation-details API has accepted the token
    /// for this app and installation, which is asked once per token; otherwise the call fails with
    /// [`ClientError::UnprovenToken`](crate::client::ClientError::UnprovenToken). The same holds for web
    /// triggers and agents. What [`expose_secret`](Self::expose_secret) returns has not been proven.
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>
    ///
    /// It can't be printed:
    ///
    /// ```compile_fail
    /// fn log(token: forge_remote::SystemToken) {
    ///     println!("{token:?}");
    /// }
    /// ```
    SystemToken,
    SYSTEM_HEADER,
    "the manifest's endpoint must enable `auth.appSystemToken`, and `permissions.scopes` needs a \
     scope besides `read:app-system-token` and `read:app-user-token`; both are written by \
     `manifest --write`, then deploy and let the installation be upgraded"
}

token! {
    /// The acting user's token (`x-forge-oauth-user`): calls Atlassian's APIs as that user.
    ///
    /// A handler that takes it says `auth = user`. It lives 4 hours at most, perhaps much less.
    /// Take `Option<UserToken>` where nobody may be logged in.
    /// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
    ///
    /// On a page's call the header may hold another account's token, of another app. Jira, Confluence
    /// and Bitbucket refuse it where that app is not installed. GraphQL is called only once Atlassian
    /// has said that the token's account is the call's [`principal`](crate::fit::Claims::principal):
    /// the installation's Jira (`read:jira-user`), its Confluence (`read:confluence-user`) or GraphQL
    /// itself (`read:me`) is asked, once per token. Otherwise the call fails with
    /// [`ClientError::UnprovenToken`](crate::client::ClientError::UnprovenToken).
    UserToken,
    USER_HEADER,
    "the manifest's endpoint must enable `auth.appUserToken`, `permissions.scopes` needs a scope \
     for user data, and a user must be in session: calls by `requestRemote`, anonymous visitors \
     and the platform itself bring none; take `Option<UserToken>` to go on without"
}
