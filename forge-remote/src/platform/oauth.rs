//! The local platform's OAuth tokens: JWTs signed with its key, which only its APIs accept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Platform, random_hex};
use crate::credentials::{Owner, SystemToken, UserToken};

/// The owner of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OAuth {
    pub(crate) kind: Kind,
    /// The installation's ARI.
    pub(crate) installation: String,
    pub(crate) account_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    System,
    User,
}

#[derive(Deserialize)]
struct Payload {
    exp: u64,
    #[serde(rename = "forge-remote")]
    oauth: OAuth,
}

impl Platform {
    /// Returns an OAuth system token of the default installation: a JWT that expires in 4 hours. Only
    /// the local platform's APIs accept it.
    pub fn oauth_token(&self) -> String {
        self.token(&OAuth {
            kind: Kind::System,
            installation: self.installation_ari(),
            account_id: None,
        })
    }

    /// Returns an [`oauth_token`](Self::oauth_token) as handlers take it, to test a function that calls
    /// Atlassian as the app.
    pub fn system_token(&self) -> SystemToken {
        SystemToken::new(
            &self.oauth_token(),
            Owner::of_kept(&self.installation_ari(), Vec::new()),
        )
    }

    /// Returns a user token as handlers take it, to test a function that calls Atlassian as this
    /// account.
    pub fn user_token(&self, account_id: &str) -> UserToken {
        let token = self.token(&OAuth {
            kind: Kind::User,
            installation: self.installation_ari(),
            account_id: Some(account_id.to_owned()),
        });
        UserToken::new(&token, Owner::of_kept(&self.installation_ari(), Vec::new()))
    }

    pub(crate) fn token(&self, oauth: &OAuth) -> String {
        let now = self.now();
        self.sign(&json!({
            "aud": self.0.cloud_id,
            "iss": "https://forge-remote.invalid/local-platform",
            "iat": now,
            "exp": now + 4 * 3600,
            "jti": random_hex(16),
            "forge-remote": oauth,
        }))
    }

    /// Returns the owner of a token of this platform that has not expired.
    pub(crate) fn read_token(&self, token: &str) -> Option<OAuth> {
        let (text, _) = token.rsplit_once('.')?;
        let (header, payload) = text.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let payload: Payload = serde_json::from_slice(&payload).ok()?;
        // Platforms of one process have the same key, under different ids. PKCS #1 v1.5 signatures are
        // deterministic, so signing again verifies one.
        let own = header == self.header() && self.sign_text(text.to_owned()) == token;
        (own && payload.exp > self.now()).then_some(payload.oauth)
    }
}
