//! What a running job knows of its installation and its sender.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::invocation::{Invocation, Verified};
use super::rejection::{ArgsRejection, StateRejection};
use crate::client::{AtlassianClient, SealedTenant};
use crate::fit::{Claims, InstallationContext};
use crate::token::Installation;

/// The installation of a job, as it is stored: a job may have been sent without a call.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobTenant {
    pub(crate) installation_id: String,
    pub(crate) app_id: String,
    environment_id: Option<String>,
    api_base_url: Option<String>,
    /// The JSON of the products.
    contexts: Option<String>,
    isolated_cloud_label: Option<String>,
}

macro_rules! tenant_of {
    ($type:ty) => {
        impl From<&$type> for JobTenant {
            fn from(tenant: &$type) -> Self {
                let own = |text: Option<&str>| text.map(str::to_owned);
                Self {
                    installation_id: tenant.installation_id().to_owned(),
                    app_id: tenant.app_id().to_owned(),
                    environment_id: own(tenant.environment_id()),
                    api_base_url: own(tenant.api_base_url()),
                    contexts: own(tenant.installation_contexts_json()),
                    isolated_cloud_label: own(tenant.isolated_cloud_label()),
                }
            }
        }
    };
}

tenant_of!(Claims);
tenant_of!(Installation);

/// The running job, as an argument of a [`job`](macro@crate::job): the installation that it works for,
/// and the call that sent it.
///
/// A job that a [background task](crate::App::background) sent has no call, so a job takes this in place of
/// [`Invocation`]. Calls to Atlassian take it as their tenant:
///
/// ```
/// use forge_remote::jobs::{Args, JobCall};
/// use forge_remote::{path, prelude::*};
///
/// #[job]
/// async fn reindex(Args(project): Args<String>, call: JobCall, token: SystemToken) -> Result<()> {
///     let jira = call.atlassian().jira(&call).as_app(&token);
///     jira.get(path!("/rest/api/3/project/{}", project)).send().await?;
///     if let Some(user) = call.invocation().and_then(|sender| sender.principal()) {
///         println!("for {user}");
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct JobCall(Arc<Inner>);

struct Inner {
    tenant: JobTenant,
    atlassian: AtlassianClient,
    sender: Option<Invocation>,
}

impl JobCall {
    pub(crate) fn new(
        tenant: JobTenant,
        atlassian: AtlassianClient,
        sender: Option<Verified>,
    ) -> Self {
        Self(Arc::new(Inner {
            tenant,
            atlassian,
            sender: sender.map(Invocation::from),
        }))
    }

    pub(crate) fn tenant(&self) -> &JobTenant {
        &self.0.tenant
    }

    /// Returns the installation's ARI: the tenant.
    pub fn installation_id(&self) -> &str {
        &self.0.tenant.installation_id
    }

    /// Returns the app's ARI.
    pub fn app_id(&self) -> &str {
        &self.0.tenant.app_id
    }

    /// Returns the call whose handler sent the job; `None` for a job that a background task sent. Its
    /// claims were verified when the call arrived.
    pub fn invocation(&self) -> Option<&Invocation> {
        self.0.sender.as_ref()
    }

    /// Returns the client of Atlassian's APIs.
    pub fn atlassian(&self) -> &AtlassianClient {
        &self.0.atlassian
    }
}

/// Writes the type's name only: the fields are customers' data.
impl fmt::Debug for JobCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobCall").finish_non_exhaustive()
    }
}

impl SealedTenant for JobCall {
    fn installation_id(&self) -> &str {
        self.installation_id()
    }

    fn api_base_url(&self) -> Option<&str> {
        self.0.tenant.api_base_url.as_deref()
    }

    fn contexts(&self) -> Vec<InstallationContext> {
        let json = self.0.tenant.contexts.as_deref();
        json.map(InstallationContext::read_all).unwrap_or_default()
    }

    fn isolated_cloud_label(&self) -> Option<&str> {
        self.0.tenant.isolated_cloud_label.as_deref()
    }

    fn app_id(&self) -> Option<&str> {
        Some(self.app_id())
    }

    fn environment_id(&self) -> Option<&str> {
        self.0.tenant.environment_id.as_deref()
    }

    fn trace(&self) -> [Option<&str>; 2] {
        let sender = self.invocation();
        [
            sender.and_then(Invocation::trace_id),
            sender.and_then(Invocation::span_id),
        ]
    }
}

impl<S: Sync> FromRequestParts<S> for JobCall {
    type Rejection = StateRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StateRejection> {
        // The compiler checks a handler's own arguments.
        let fix = "take it as an argument of a `#[job]`";
        let call = parts.extensions.get::<Self>().cloned();
        call.ok_or(StateRejection::new("JobCall", fix))
    }
}

/// The arguments of a running job, as JSON.
#[derive(Clone)]
pub(crate) struct StoredArgs(pub(crate) Bytes);

/// The arguments of a [`job`](macro@crate::job), which are its first argument: any type that implements
/// `Serialize` and `Deserialize`.
///
/// They are stored as JSON, encrypted. A job may run in a later version of the app: give new fields a
/// `#[serde(default)]`. Send ids rather than contents, which may have changed when the job runs.
///
/// ```
/// use forge_remote::jobs::Args;
/// use forge_remote::prelude::*;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Reindex { project: String, #[serde(default)] full: bool }
///
/// #[job(retries = 3)]
/// async fn reindex(Args(work): Args<Reindex>) -> Result<()> {
///     println!("{}, {}", work.project, work.full);
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Args<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Args<T> {
    type Rejection = ArgsRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ArgsRejection> {
        let stored = parts.extensions.get::<StoredArgs>();
        let stored = stored.ok_or(ArgsRejection::Missing)?;
        let read = serde_json::from_slice(&stored.0);
        read.map(Self).map_err(|error| ArgsRejection::Mismatch {
            type_name: std::any::type_name::<T>(),
            column: error.column(),
        })
    }
}
