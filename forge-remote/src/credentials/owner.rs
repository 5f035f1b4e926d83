//! The owners of tokens.

use std::sync::Arc;

use crate::fit::{Claims, InstallationContext, Provenance, cloud_ids};

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

/// The installation and the account for which an app restored a token from its own database.
pub(crate) struct RestoredFor {
    pub(crate) installation_id: String,
    pub(crate) app_id: Option<String>,
    pub(crate) environment_id: Option<String>,
    pub(crate) api_base_url: Option<String>,
    pub(crate) contexts: Vec<InstallationContext>,
    pub(crate) isolated_cloud_label: Option<String>,
    /// Whether the app supplied the URLs.
    pub(crate) is_supplied: bool,
    /// The account of a user's token.
    pub(crate) account_id: Option<String>,
}

/// The installation and the account to which an unproven token is said to belong.
#[derive(Clone)]
pub(crate) enum Unproven {
    /// The token came with this call, and perhaps not from the platform.
    Call(VerifiedCall),
    /// The app restored it.
    Restored(Arc<RestoredFor>),
}

impl Unproven {
    pub(crate) fn installation_id(&self) -> &str {
        match self {
            Self::Call(call) => call.claims().installation_id(),
            Self::Restored(token) => &token.installation_id,
        }
    }

    pub(crate) fn app_id(&self) -> Option<&str> {
        match self {
            Self::Call(call) => Some(call.claims().app_id()),
            Self::Restored(token) => token.app_id.as_deref(),
        }
    }

    pub(crate) fn environment_id(&self) -> Option<&str> {
        match self {
            Self::Call(call) => call.claims().environment_id(),
            Self::Restored(token) => token.environment_id.as_deref(),
        }
    }

    /// Returns the account of a user's token.
    pub(crate) fn account_id(&self) -> Option<&str> {
        match self {
            Self::Call(call) => call.claims().principal(),
            Self::Restored(token) => token.account_id.as_deref(),
        }
    }

    /// Returns the origin of the token: a restored one may have been stored from a page's call.
    pub(crate) fn provenance(&self) -> Provenance {
        match self {
            Self::Call(call) => call.provenance(),
            Self::Restored(_) => Provenance::Page,
        }
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
    /// The app's own database.
    Restored(Arc<RestoredFor>),
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

    /// Returns the owner of a token that the app restored.
    pub(crate) fn of_restored(token: RestoredFor) -> Self {
        Self {
            context: None,
            source: Source::Restored(Arc::new(token)),
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
            Source::Restored(token) => &token.installation_id,
            Source::Kept {
                installation_id, ..
            } => installation_id,
        }
    }

    /// Returns the token's claim to belong to this owner, if the token may come from a caller other than the platform.
    pub(crate) fn unproven(&self) -> Option<Unproven> {
        match &self.source {
            // A token is proven before it is exchanged.
            _ if self.context.is_some() => None,
            Source::Call(call) if call.provenance() != Provenance::Platform => {
                Some(Unproven::Call(call.clone()))
            }
            Source::Restored(token) => Some(Unproven::Restored(Arc::clone(token))),
            Source::Call(_) | Source::Kept { .. } => None,
        }
    }

    /// Returns the ids of the installation's sites; empty if Forge sends no id.
    pub(crate) fn cloud_ids(&self) -> Vec<String> {
        match &self.source {
            Source::Call(call) => call.claims().cloud_ids(),
            Source::Restored(token) => cloud_ids(&token.contexts, token.api_base_url.as_deref()),
            Source::Kept { cloud_ids, .. } => cloud_ids.clone(),
        }
    }
}
