//! The RSA key with which the platforms of a process sign.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use forge_remote_attacks::rsa::RsaKey;

/// The error of a platform that cannot be set up.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no RSA key could be generated: check the system's random source")]
pub struct PlatformError;

static KEY: Mutex<Option<Arc<RsaKey>>> = Mutex::new(None);

/// Sets the key of this process, instead of a new one.
#[cfg(feature = "_published_key")]
pub(crate) fn sign_with(key: Arc<RsaKey>) {
    *KEY.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
}

/// Returns the key of this process. It is generated with the first platform, because that takes as long as
/// a hundred calls; each platform publishes it under its own id.
pub(super) fn signing_key() -> Result<Arc<RsaKey>, PlatformError> {
    let mut known = KEY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = &*known {
        return Ok(Arc::clone(key));
    }
    let key = Arc::new(generate().ok_or(PlatformError)?);
    *known = Some(Arc::clone(&key));
    Ok(key)
}

fn generate() -> Option<RsaKey> {
    let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    RsaKey::from_pkcs8(pkcs8.as_ref())
}
