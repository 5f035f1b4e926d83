//! The signature of the other tracker's webhooks: anyone can call a web trigger's URL.

use std::sync::Arc;

use aws_lc_rs::hmac;

/// The environment variable with the shared secret of at least 32 characters: `openssl rand -hex 32`.
pub const SECRET_VARIABLE: &str = "TRACKER_SECRET";

/// The header with the signature: `sha256=` and the body's HMAC in hex.
pub const SIGNATURE_HEADER: &str = "X-Tracker-Signature";

/// The shared secret, if one is set. Without it, every webhook is rejected.
#[derive(Clone, Debug, Default)]
pub struct Secret(Option<Arc<hmac::Key>>);

/// The error of a secret that could be guessed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{SECRET_VARIABLE} has fewer than 32 characters: generate one with `openssl rand -hex 32`")]
pub struct WeakSecret;

impl Secret {
    /// Reads the secret from the environment.
    pub fn from_env() -> Result<Self, WeakSecret> {
        match std::env::var(SECRET_VARIABLE) {
            Ok(secret) if !secret.is_empty() => Self::new(&secret),
            _ => {
                eprintln!("{SECRET_VARIABLE} is not set: every webhook is rejected");
                Ok(Self::default())
            }
        }
    }

    /// Creates a secret of at least 32 characters.
    pub fn new(secret: &str) -> Result<Self, WeakSecret> {
        if secret.len() < 32 {
            return Err(WeakSecret);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Ok(Self(Some(Arc::new(key))))
    }

    /// Returns whether a body was signed with the secret. The comparison takes constant time.
    pub(crate) fn verify(&self, signature: Option<&str>, body: &[u8]) -> bool {
        let signature = signature
            .and_then(|text| text.strip_prefix("sha256="))
            .and_then(decode_hex);
        match (&self.0, signature) {
            (Some(key), Some(signature)) => hmac::verify(key, body, &signature).is_ok(),
            _ => false,
        }
    }
}

/// Decodes a text of hexadecimal digits.
fn decode_hex(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    hex.as_bytes().chunks(2).map(pair).collect()
}
