//! Calls that Forge would not make, to see that the app rejects them: some of the table of
//! `forge-remote-attacks`, signed with the local platform's key.

use axum::http::{HeaderMap, HeaderValue, header};
use forge_remote_attacks::{Keys, Scene, class};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Platform;

/// The fault of a call's FIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Forgery {
    /// The FIT expired an hour ago.
    Expired,
    /// The FIT belongs to another app.
    OtherApp,
    /// The key set has no key with its id.
    UnknownKey,
    /// Its key id is the platform's, and its signature is another key's.
    OtherSigner,
    /// The FIT is missing.
    NoToken,
    /// There are two.
    TwoTokens,
}

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

    /// Returns the class and the name of its case.
    fn case(self) -> (&'static str, &'static str) {
        match self {
            Self::Expired => ("expiry", "an hour ago"),
            Self::OtherApp => ("other_app", "as it is"),
            Self::UnknownKey => ("unpublished_key", "the first key under an unknown kid"),
            Self::OtherSigner => ("unpublished_key", "under the first kid"),
            Self::NoToken => ("no_token", "no header"),
            Self::TwoTokens => ("several_tokens", "two headers, the same token"),
        }
    }

    /// Replaces the FIT of a request, whose claims are these.
    pub(super) fn forge(
        self,
        platform: &Platform,
        claims: &Value,
        headers: &mut HeaderMap<HeaderValue>,
    ) {
        let (class_id, name) = self.case();
        let scene = platform.scene(claims);
        let case = class(class_id).and_then(|class| class.case(&scene, name));
        headers.remove(header::AUTHORIZATION);
        let Some(case) = case else { return };
        for value in case.request.authorization() {
            if let Ok(mut value) = HeaderValue::from_bytes(value) {
                value.set_sensitive(true);
                headers.append(header::AUTHORIZATION, value);
            }
        }
    }
}

impl Platform {
    /// Returns the scene of attacks on a handler, for which a valid FIT has these claims.
    pub(super) fn scene(&self, claims: &Value) -> Scene {
        let keys = Keys::of((*self.0.key).clone());
        Scene::new(keys, self.0.clock.now())
            .with_claims(claims.clone(), claims.clone())
            .with_key_ids(&self.0.kid, "forge/invocation-token/second")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_forgery_is_a_case_of_the_table() {
        let scene = Scene::new(Keys::generated(), std::time::SystemTime::now());
        for forgery in [
            Forgery::Expired,
            Forgery::OtherApp,
            Forgery::UnknownKey,
            Forgery::OtherSigner,
            Forgery::NoToken,
            Forgery::TwoTokens,
        ] {
            let (id, name) = forgery.case();
            let case = class(id).and_then(|class| class.case(&scene, name));
            assert!(case.is_some(), "{forgery:?}");
        }
    }
}
