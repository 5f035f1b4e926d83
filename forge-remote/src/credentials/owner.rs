//! Whose a token is.

use std::sync::Arc;

use crate::fit::{Claims, Provenance};
use crate::opaque::Opaque;

/// A verified call, as far as its OAuth tokens need it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedCall(Opaque<(Claims, Provenance)>);

impl VerifiedCall {
    pub(crate) fn new(claims: Claims, provenance: Provenance) -> Self {
        Self(Opaque::new((claims, provenance)))
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.0.0
    }

    /// Where the headers come from, and with them the tokens beside the FIT.
    pub(crate) fn provenance(&self) -> Provenance {
        self.0.1
    }
}

/// The installation and site that a token belongs to. The token is used for no other.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) installation_id: Arc<str>,
    /// What an impersonated user's was exchanged for: `ari:cloud:jira::site/<cloudId>`.
    pub(crate) context: Option<Arc<str>>,
    source: Source,
}

/// The way a token reached this process.
#[derive(Clone)]
enum Source {
    /// In a header of this call.
    Call(VerifiedCall),
    /// From the app's own store.
    Kept { cloud_ids: Vec<String> },
}

impl Owner {
    /// The owner of the tokens that a call brings.
    pub(crate) fn of_call(call: VerifiedCall) -> Self {
        Self {
            installation_id: call.claims().installation_id().into(),
            context: None,
            source: Source::Call(call),
        }
    }

    /// The owner of a token from the app's own store. `cloud_ids` are the sites of its installation.
    pub(crate) fn of_kept(installation_id: &str, cloud_ids: Vec<String>) -> Self {
        Self {
            installation_id: installation_id.into(),
            context: None,
            source: Source::Kept { cloud_ids },
        }
    }

    /// The owner of a user's token that Atlassian gave in exchange for this one's.
    pub(crate) fn exchanged_for(&self, context: &str) -> Self {
        Self {
            context: Some(context.into()),
            ..self.clone()
        }
    }

    /// The call that brought the token, where somebody other than the platform may have chosen it.
    pub(crate) fn unproven(&self) -> Option<&VerifiedCall> {
        match &self.source {
            // What was exchanged was proven before.
            _ if self.context.is_some() => None,
            Source::Call(call) if call.provenance() != Provenance::Platform => Some(call),
            Source::Call(_) | Source::Kept { .. } => None,
        }
    }

    /// The ids of the sites that the installation is on; empty where Forge names none.
    pub(crate) fn cloud_ids(&self) -> Vec<String> {
        match &self.source {
            Source::Call(call) => call.claims().cloud_ids(),
            Source::Kept { cloud_ids } => cloud_ids.clone(),
        }
    }
}
