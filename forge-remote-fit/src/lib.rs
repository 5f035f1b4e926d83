#![doc = include_str!("crate.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod app_id;
mod base64url;
mod claims;
mod clock;
mod clock_health;
mod cloud;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod future;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
#[allow(
    missing_docs,
    clippy::expect_used,
    reason = "for the fuzz targets alone"
)]
pub mod fuzzing;
mod headers;
#[cfg(feature = "http")]
mod http_client;
#[cfg(feature = "http")]
mod http_source;
mod json;
mod jwk;
mod jws;
mod key_policy;
mod keys;
#[cfg(feature = "tower")]
mod layer;
mod log_limit;
mod policy;
mod provenance;
mod rejection;
mod replay;
mod response;
mod source;
mod unknown_keys;
mod verified_time;
mod verifier;

pub use app_id::{AppId, InvalidAppId};
pub use claims::{Claims, InstallationContext, License};
pub use clock::{Clock, SystemClock};
pub use error::{KeysUnavailable, MAX_TOKEN_BYTES, TokenRejection, VerifyError};
#[cfg(feature = "axum")]
pub use extract::MissingFitLayer;
#[doc(inline)]
pub use forge_remote_schema::AllowedCaller;
pub use future::BoxFuture;
#[cfg(feature = "http")]
pub use http_source::{HttpKeySource, InvalidKeyUrl};
pub use key_policy::JwksPolicy;
pub use keys::{Jwks, JwksStats};
#[cfg(feature = "tower")]
pub use layer::{FitLayer, FitService};
pub use policy::{
    AllowedModuleKey, EndpointBinding, EndpointTarget, Environment, VerificationPolicy,
};
pub use provenance::Provenance;
pub use source::{FetchError, JwksDocument, KeySource, PRODUCTION_KEYS, STAGING_KEYS};
pub use verifier::{KeyRing, Verifier};

// The README's code is compiled as well.
#[cfg(all(doctest, feature = "axum", feature = "http"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Items for forge-remote. Not part of the public API: they may change in any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::clock_health::ClockHealth;
    pub use crate::cloud::{Cloud, cloud_id_of, cloud_ids};
    pub use crate::error::{KEYS_UNAVAILABLE_CODES, REJECTION_CODES, causes, chain, with_causes};
    pub use crate::verifier::named_key;

    /// The keys of a document.
    #[derive(Debug)]
    pub struct ExaminedKeys {
        /// The number of keys that can verify a FIT.
        pub usable: usize,
        /// The number of keys that cannot.
        pub unusable: usize,
        /// The number of all entries.
        pub entries: usize,
        /// The reasons why these cannot, in one line; empty if all can.
        pub problems: String,
    }

    /// Returns which keys of a document can verify a FIT; `None` if it is not a key set.
    pub fn examined_keys(document: &[u8]) -> Option<ExaminedKeys> {
        let examined = crate::jwk::examined(document)?;
        Some(ExaminedKeys {
            usable: examined.usable,
            unusable: examined.unusable(),
            entries: examined.entries,
            problems: examined.problems(),
        })
    }

    /// Adds a verified call to its request, for the extractors of the feature `axum`.
    #[cfg(feature = "axum")]
    pub use crate::extract::extend;

    /// Adds nothing: there are no extractors without the feature `axum`.
    #[cfg(not(feature = "axum"))]
    pub fn extend(_: &mut http::Extensions, _: &crate::Claims, _: crate::Provenance) {}

    /// Verified claims on their way through a job engine, which seals them under the app's own keys.
    pub mod stored_claims {
        use std::time::SystemTime;

        use crate::{Claims, EndpointTarget, TokenRejection, Verifier};

        /// Returns the claims to store: the payload's JSON, and the time as of which it was
        /// verified.
        pub fn parts(claims: &Claims) -> (&str, SystemTime) {
            (claims.payload(), claims.verified_at())
        }

        /// Restores claims that the app itself has stored and authenticated. Everything except the
        /// signature is checked. Without a `target`, any endpoint of the app is accepted.
        ///
        /// # Errors
        ///
        /// The claims are of another app, of an environment that is not accepted (any more), or don't
        /// belong to this endpoint.
        pub fn restore(
            verifier: &Verifier,
            payload: String,
            verified_at: SystemTime,
            target: Option<&EndpointTarget>,
        ) -> Result<Claims, TokenRejection> {
            verifier.restore(payload, verified_at, target)
        }
    }

    /// The headers of a call that carry tokens.
    pub mod headers {
        pub use crate::headers::{SYSTEM_HEADER, USER_HEADER, hide_secrets};
    }

    /// HTTP clients that can be built again.
    #[cfg(feature = "http")]
    pub mod http_client {
        pub use crate::http_client::{ClientBuildError, LazyClient, Network, is_loopback};
    }

    /// JSON as the platform really sends it.
    pub mod json {
        pub use crate::__payload as payload;
        pub use crate::json::{Lenient, Members, repair, repair_bytes, repair_str};
    }

    /// JSON error responses.
    pub mod response {
        pub use crate::response::{
            ErrorCode, INTERNAL_ERROR, internal_error, json_error, unavailable,
        };
    }

    /// Limits on how often one thing is logged.
    pub mod log_limit {
        pub use crate::log_limit::{LogLimit, LogLimits, Permit, permit};
    }
}
