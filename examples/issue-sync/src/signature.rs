//! Whether the other tracker sent a webhook: anybody can call a web trigger's URL.

use std::sync::Arc;

use aws_lc_rs::hmac;

/// Names the secret that both sides know, of 32 characters or more: `openssl rand -hex 32`.
pub const SECRET_VARIABLE: &str = "TRACKER_SECRET";

/// What a sender writes `sha256=` and the body's HMAC into, in hex.
pub const SIGNATURE_HEADER: &str = "X-Tracker-Signature";

/// The secret, if there is one. Without it nobody is believed.
#[derive(Clone, Debug, Default)]
pub struct Secret(Option<Arc<hmac::Key>>);

/// The secret could be guessed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{SECRET_VARIABLE} has fewer than 32 characters: make one with `openssl rand -hex 32`")]
pub struct Guessable;

impl Secret {
    /// That of the environment.
    pub fn from_env() -> Result<Self, Guessable> {
        match std::env::var(SECRET_VARIABLE) {
            Ok(secret) if !secret.is_empty() => Self::new(&secret),
            _ => {
                eprintln!("{SECRET_VARIABLE} is not set: every webhook is refused");
                Ok(Self::default())
            }
        }
    }

    /// This one.
    pub fn new(secret: &str) -> Result<Self, Guessable> {
        if secret.len() < 32 {
            return Err(Guessable);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Ok(Self(Some(Arc::new(key))))
    }

    /// Whether a body was signed with it. The comparison takes as long for a signature that is
    /// almost right as for any other.
    pub(crate) fn signed(&self, signature: Option<&str>, body: &[u8]) -> bool {
        let signature = signature
            .and_then(|text| text.strip_prefix("sha256="))
            .and_then(bytes);
        match (&self.0, signature) {
            (Some(key), Some(signature)) => hmac::verify(key, body, &signature).is_ok(),
            _ => false,
        }
    }
}

/// Hex.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    hex.as_bytes().chunks(2).map(pair).collect()
}
