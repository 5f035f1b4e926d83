//! The tokens as values that can be sent to Atlassian but not printed.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::owner::{Owner, Unproven};
use crate::fit::Provenance;

/// A secret string and its owner: no `Debug`, no `Display`, wiped when dropped.
#[derive(Clone)]
struct Secret {
    text: Zeroizing<Box<str>>,
    owner: Option<Owner>,
}

impl Secret {
    fn new(text: &str, owner: Option<Owner>) -> Self {
        Self {
            text: Zeroizing::new(text.into()),
            owner,
        }
    }

    fn expires_at(&self) -> Option<SystemTime> {
        expires_at(&self.text)
    }

    fn authorization(&self) -> HeaderValue {
        // The header's own text: a copy would have to be wiped.
        let text = Bytes::from(["Bearer ", &self.text].concat());
        // It was read from a header, so it is a valid header value.
        let value = HeaderValue::from_maybe_shared(text);
        let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

/// Returns a token's expiry, if it is a JWT with an `exp`.
pub(crate) fn expires_at(token: &str) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Expiry {
        exp: u64,
    }
    let expiry: Expiry = payload(token)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expiry.exp))
}

/// Returns when a token was issued, if it is a JWT with an `iat`.
#[cfg(feature = "cli")]
pub(crate) fn issued_at(token: &str) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Issue {
        iat: u64,
    }
    let issue: Issue = payload(token)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(issue.iat))
}

/// Reads the claims of a token that is a JWT.
fn payload<T: serde::de::DeserializeOwned>(token: &str) -> Option<T> {
    let payload = token.split('.').nth(1)?;
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    serde_json::from_slice(&json).ok()
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        #[allow(missing_debug_implementations, reason = "a secret must not be printable")]
        pub struct $name(Secret);

        impl $name {
            /// Creates a token that was read or obtained for this owner.
            pub(crate) fn new(token: &str, owner: impl Into<Option<Owner>>) -> Self {
                Self(Secret::new(token, owner.into()))
            }

            /// Returns the token as text. Never log it, and send it to Atlassian's APIs only.
            pub fn expose_secret(&self) -> &str {
                &self.0.text
            }

            /// Returns the origin of the token's header: [`Provenance::Platform`] for a stored token, and
            /// for one that Atlassian issued in exchange; [`Provenance::Page`] for one that was [restored](Self::restore).
            pub fn provenance(&self) -> Provenance {
                let unproven = self.0.owner.as_ref().and_then(Owner::unproven);
                unproven.map_or(Provenance::Platform, |token| Unproven::provenance(&token))
            }

            pub(crate) fn owner(&self) -> Option<&Owner> {
                self.0.owner.as_ref()
            }

            /// Returns the token's expiry, as a hint: Atlassian documents these tokens as opaque. `None`
            /// when it isn't a JWT with an `exp`; assume 2 hours then.
            pub fn expires_at(&self) -> Option<SystemTime> {
                self.0.expires_at()
            }

            /// Returns `Bearer …`, for the `Authorization` header of a call to Atlassian; marked
            /// sensitive.
            pub fn authorization(&self) -> HeaderValue {
                self.0.authorization()
            }
        }
    };
}

token! {
    /// The app's system token (`x-forge-oauth-system`), for calls to Atlassian's APIs as the app.
    ///
    /// A handler that takes it needs `auth = system`. When Forge sends it, it is valid for 2 to 4
    /// more hours. It may be stored until it expires. Take `Option<SystemToken>` where it may be
    /// missing.
    /// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
    ///
    /// # On a page's call
    ///
    /// OAuth headers are not signed. A page's user can send a token of another app or another site
    /// ([`Provenance`](crate::fit::Provenance)). So where the app keeps tokens
    /// ([`App::token_store`](crate::App::token_store)), a page's call gets the stored token instead of its
    /// header's, if there is one and [`Tokens::accept_from_pages`](crate::Tokens::accept_from_pages) and
    /// [`Tokens::accept_from_functions`](crate::Tokens::accept_from_functions) are off.
    /// Otherwise the header's token works for Jira and Confluence, whose URLs name the site. Bitbucket,
    /// Compass, Forge storage, GraphQL and Forge's own APIs identify the installation only by the system
    /// token: they are called once Atlassian's installation-details API has accepted the token for this app
    /// and installation, which is checked once per token. Otherwise the call fails with
    /// [`ClientError::UnprovenToken`](crate::client::ClientError::UnprovenToken). The same applies to web
    /// triggers and agents. [`expose_secret`](Self::expose_secret) returns the token without this check.
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>
    ///
    /// It cannot be printed:
    ///
    /// ```compile_fail
    /// fn log(token: forge_remote::SystemToken) {
    ///     println!("{token:?}");
    /// }
    /// ```
    SystemToken
}

token! {
    /// The acting user's token (`x-forge-oauth-user`), for calls to Atlassian's APIs as that user.
    ///
    /// A handler that takes it needs `auth = user`. It is valid for at most 4 hours. Take
    /// `Option<UserToken>` if the visitor may be anonymous.
    /// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
    ///
    /// It may be used after its call until it expires, for example when another service calls back. Then it is a secret
    /// of the app: encrypt it where it is stored, and [`restore`](Self::restore) it. For work without a user in session,
    /// see [`ProductApi::impersonate`](crate::client::ProductApi::impersonate).
    ///
    /// On a page's call the header may hold another account's token, of another app. Jira, Confluence
    /// and Bitbucket reject it where that app is not installed. Compass, GraphQL and Forge's own APIs are called only
    /// once Atlassian has confirmed that the token's account is the call's
    /// [`principal`](crate::fit::Claims::principal), with one request per token to the installation's Jira
    /// (`read:jira-user`), its Confluence (`read:confluence-user`) or GraphQL itself (`read:me`). Otherwise
    /// the call fails with [`ClientError::UnprovenToken`](crate::client::ClientError::UnprovenToken).
    UserToken
}
