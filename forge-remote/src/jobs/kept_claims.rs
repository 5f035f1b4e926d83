//! The claims of a verified call, as they are kept in a sealed envelope.

use std::time::SystemTime;

use forge_remote_fit::__private::stored_claims;
use serde::{Deserialize, Serialize};

use crate::fit::{Claims, EndpointTarget, TokenRejection, Verifier};

/// Verified claims without their token. They are written only into sealed envelopes, and come back only
/// through the verifier.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeptClaims {
    claims: String,
    verified_at: SystemTime,
}

impl From<&Claims> for KeptClaims {
    fn from(claims: &Claims) -> Self {
        let (payload, verified_at) = stored_claims::parts(claims);
        Self {
            claims: payload.to_owned(),
            verified_at,
        }
    }
}

impl KeptClaims {
    /// Returns the claims, if the app would accept them still. Without a `target`, they may be of a call
    /// of any endpoint.
    pub(super) fn restore(
        &self,
        verifier: &Verifier,
        target: Option<&EndpointTarget>,
    ) -> Result<Claims, TokenRejection> {
        stored_claims::restore(verifier, self.claims.clone(), self.verified_at, target)
    }
}
