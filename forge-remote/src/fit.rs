//! Verification of Forge Invocation Tokens (FIT).
//!
//! This is the crate [`forge-remote-fit`](https://docs.rs/forge-remote-fit), which is usable alone.

#[doc(inline)]
pub use forge_remote_fit::{
    AllowedCaller, AllowedModuleKey, AppId, BoxFuture, Claims, Clock, EndpointBinding,
    EndpointTarget, Environment, FetchError, HttpKeySource, InstallationContext, InvalidAppId,
    InvalidKeyUrl, Jwks, JwksDocument, JwksPolicy, JwksStats, KeyRing, KeySource, KeysUnavailable,
    License, MAX_TOKEN_BYTES, PRODUCTION_KEYS, Provenance, STAGING_KEYS, SystemClock,
    TokenRejection, VerificationPolicy, Verifier, VerifyError,
};

pub(crate) use forge_remote_fit::__private::{ClockHealth, Cloud, cloud_id_of, cloud_ids};
#[cfg(feature = "cli")]
pub(crate) use forge_remote_fit::__private::{
    ExaminedKeys, KEYS_UNAVAILABLE_CODES, REJECTION_CODES, examined_keys,
};
