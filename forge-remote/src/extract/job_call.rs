//! The installation and the sender of a running job.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::invocation::{Invocation, Verified};
use super::rejection::{ArgsRejection, StateRejection};
use crate::client::{AtlassianClient, CalledInstallation};
use crate::fit::{Claims, InstallationContext};
use crate::token::Installation;

/// The installation of a job, as it is stored: a job may have been sent without a call.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobInstallation {
    pub(crate) installation_id: String,
    pub(crate) app_id: String,
    environment_id: Option<String>,
    api_base_url: Option<String>,
    /// The JSON of the products.
    contexts: Option<String>,
    isolated_cloud_label: Option<String>,
}

macro_rules! job_installation {
    ($type:ty) => {
        impl From<&$type> for JobInstallation {
            fn from(installation: &$type) -> Self {
                let own = |text: Option<&str>| text.map(str::to_owned);
                Self {
                    installation_id: installation.installation_id().to_owned(),
                    app_id: installation.app_id().to_owned(),
                    environment_id: own(installation.environment_id()),
                    api_base_url: own(installation.api_base_url()),
                    contexts: own(installation.installation_contexts_json()),
                    isolated_cloud_label: own(installation.isolated_cloud_label()),
                }
            }
        }
    };
}

job_installation!(Claims);
job_installation!(Installation);

/// The running job, as an argument of a [`job`](macro@crate::job): the installation that it works for,
/// and the call that sent it.
///
/// A job that a [background task](crate::App::background) sent has no call, so a job takes this instead of
/// [`Invocation`]. Calls to Atlassian take it as their installation:
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
pub struct JobCall(Arc<JobFacts>);

struct JobFacts {
    installation: JobInstallation,
    atlassian: AtlassianClient,
    sender: Option<Invocation>,
}

impl JobCall {
    pub(crate) fn new(
        installation: JobInstallation,
        atlassian: AtlassianClient,
        sender: Option<Verified>,
    ) -> Self {
        Self(Arc::new(JobFacts {
            installation,
            atlassian,
            sender: sender.map(Invocation::from),
        }))
    }

    pub(crate) fn installation(&self) -> &JobInstallation {
        &self.0.installation
    }

    /// Returns the installation's ARI: the key of its data.
    pub fn installation_id(&self) -> &str {
        &self.0.installation.installation_id
    }

    /// Returns the app's ARI.
    pub fn app_id(&self) -> &str {
        &self.0.installation.app_id
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

/// Writes the type's name only: the fields are user data.
impl fmt::Debug for JobCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobCall").finish_non_exhaustive()
    }
}

impl CalledInstallation for JobCall {
    fn installation_id(&self) -> &str {
        self.installation_id()
    }

    fn api_base_url(&self) -> Option<&str> {
        self.0.installation.api_base_url.as_deref()
    }

    fn contexts(&self) -> Vec<InstallationContext> {
        let json = self.0.installation.contexts.as_deref();
        json.map(InstallationContext::read_all).unwrap_or_default()
    }

    fn isolated_cloud_label(&self) -> Option<&str> {
        self.0.installation.isolated_cloud_label.as_deref()
    }

    fn app_id(&self) -> Option<&str> {
        Some(self.app_id())
    }

    fn environment_id(&self) -> Option<&str> {
        self.0.installation.environment_id.as_deref()
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

/// The arguments of a [`job`](macro@crate::job), as the job function's first parameter. `T` is any type
/// that implements `Serialize` and `Deserialize`.
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
