//! The Forge Invocation Token (FIT): how it is read, verified and bound to an endpoint.
//!
//! This room knows tokens, keys and time; it never knows handlers or HTTP routes.

mod app_id;
mod claims;
mod clock;
mod clock_health;
mod cloud;
mod future;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod json;
mod jwk;
mod jws;
mod keys;
mod policy;
mod provenance;
mod refusal;
mod replay;
mod source;
mod unknown_keys;
mod verified_time;
mod verifier;

pub use app_id::{AppId, InvalidAppId};
pub use claims::{Claims, InstallationContext, License};
pub use clock::{Clock, SystemClock};
pub(crate) use clock_health::ClockHealth;
pub(crate) use cloud::{Cloud, cloud_id_of, cloud_ids};
pub use future::BoxFuture;
pub use keys::{Jwks, JwksPolicy, KeysUnavailable};
pub use policy::{
    AllowedCaller, AllowedModuleKey, EndpointBinding, EndpointTarget, Environment,
    VerificationPolicy,
};
pub use provenance::Provenance;
pub use refusal::{TokenRejection, VerifyError};
pub use source::{
    FetchError, HttpKeySource, InvalidKeyUrl, JwksDocument, KeySource, PRODUCTION_KEYS,
    STAGING_KEYS,
};
pub use verifier::{KeyRing, MAX_TOKEN_BYTES, Verifier};
