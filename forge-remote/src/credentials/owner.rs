//! The owners of tokens.

use std::sync::Arc;

use crate::fit::{Claims, Provenance};

/// The parts of a verified call that its OAuth tokens need. Clones share the claims.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedCall {
    claims: Claims,
    provenance: Provenance,
}

impl VerifiedCall {
    pub(crate) fn new(claims: Claims, provenance: Provenance) -> Self {
        Self { claims, provenance }
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the origin of the headers, and so of the OAuth tokens.
    pub(crate) fn provenance(&self) -> Provenance {
        self.provenance
    }
}

/// The installation and site that a token belongs to. The token is used for no other.
#[derive(Clone)]
pub(crate) struct Owner {
    /// The site that an impersonated user's token was exchanged for: `ari:cloud:jira::site/<cloudId>`.
    pub(crate) context: Option<Arc<str>>,
    source: Source,
}

/// The way a token reached this process.
#[derive(Clone)]
enum Source {
    /// A header of this call.
    Call(VerifiedCall),
    /// The app's token store.
    Kept {
        installation_id: Arc<str>,
        cloud_ids: Vec<String>,
    },
}

impl Owner {
    /// Returns the owner of a call's tokens.
    pub(crate) fn of_call(call: VerifiedCall) -> Self {
        Self {
            context: None,
            source: Source::Call(call),
        }
    }

    /// Returns the owner of a token from the app's own store. `cloud_ids` are the sites of its
    /// installation.
    pub(crate) fn of_kept(installation_id: &str, cloud_ids: Vec<String>) -> Self {
        Self {
            context: None,
            source: Source::Kept {
                installation_id: installation_id.into(),
                cloud_ids,
            },
        }
    }

    /// Returns the owner of a user's token that Atlassian issued in exchange for this owner's token.
    pub(crate) fn exchanged_for(&self, context: &str) -> Self {
        Self {
            context: Some(context.into()),
            ..self.clone()
        }
    }

    pub(crate) fn installation_id(&self) -> &str {
        match &self.source {
            Source::Call(call) => call.claims().installation_id(),
            Source::Kept {
                installation_id, ..
            } => installation_id,
        }
    }

    /// Returns the call with the token, if the token may come from a caller other than the platform.
    pub(crate) fn unproven(&self) -> Option<&VerifiedCall> {
        match &self.source {
            // A token is proven before it is exchanged.
            _ if self.context.is_some() => None,
            Source::Call(call) if call.provenance() != Provenance::Platform => Some(call),
            Source::Call(_) | Source::Kept { .. } => None,
        }
    }

    /// Returns the ids of the installation's sites; empty if Forge sends no id.
    pub(crate) fn cloud_ids(&self) -> Vec<String> {
        match &self.source {
            Source::Call(call) => call.claims().cloud_ids(),
            Source::Kept { cloud_ids, .. } => cloud_ids.clone(),
        }
    }
}
