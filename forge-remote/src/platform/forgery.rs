//! Calls that Forge would not make, to see that the app rejects them.

use axum::http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::fit::Fit;

/// What is wrong with a call's Forge Invocation Token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Forgery {
    /// It expired an hour ago.
    Expired,
    /// It is another app's.
    OtherApp,
    /// The key set has no key with its id.
    UnknownKey,
    /// Its key id is the platform's, and its signature is another key's.
    OtherSigner,
    /// It is missing.
    NoToken,
    /// There are two.
    TwoTokens,
}

/// An app that nobody registered.
const OTHER_APP: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-a000-0000000000ff";
const HOUR: u64 = 3600;

impl Forgery {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::OtherApp => "other_app",
            Self::UnknownKey => "unknown_key",
            Self::OtherSigner => "other_signer",
            Self::NoToken => "no_token",
            Self::TwoTokens => "two_tokens",
        }
    }

    /// Changes the token before it is signed.
    pub(super) fn claims(self, fit: Fit) -> Fit {
        match self {
            Self::Expired => {
                let claim = |name: &str| fit.claims()[name].as_u64().unwrap_or_default();
                let [issued, expires] =
                    [claim("iat"), claim("exp")].map(|at| at.saturating_sub(HOUR));
                fit.set("/iat", issued.into())
                    .set("/nbf", issued.into())
                    .set("/exp", expires.into())
            }
            Self::OtherApp => fit
                .set("/aud", OTHER_APP.into())
                .set("/app/id", OTHER_APP.into()),
            Self::UnknownKey => fit.key_id("forge/invocation-token/unknown"),
            Self::OtherSigner => fit.signed_by_another(),
            Self::NoToken | Self::TwoTokens => fit,
        }
    }

    /// Changes the headers of the signed request.
    pub(super) fn headers(self, headers: &mut HeaderMap<HeaderValue>) {
        match self {
            Self::NoToken => {
                headers.remove(header::AUTHORIZATION);
            }
            Self::TwoTokens => {
                if let Some(token) = headers.get(header::AUTHORIZATION).cloned() {
                    headers.append(header::AUTHORIZATION, token);
                }
            }
            _ => {}
        }
    }
}
