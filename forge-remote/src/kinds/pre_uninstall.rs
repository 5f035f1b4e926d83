//! `preUninstall`: a call before the app is uninstalled. Forge waits for the response.

use std::time::Duration;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};

use super::items::{item, module};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Module, SampleCall};

/// The kind of `#[pre_uninstall]`: the announcement that an installation ends.
///
/// For functions, Atlassian documents a timeout of 55 seconds, and that the response does not
/// affect the removal. For remotes neither is documented. Calls of the installation can follow: it
/// stays inactive for 60 days after the uninstallation, see [removals](crate::token#removals). So do not delete its data
/// here, but in [`Tokens::on_removed`](crate::Tokens::on_removed):
///
/// ```
/// use forge_remote::prelude::*;
///
/// /// [`App::keep_tokens_fresh`] has a handler that does this.
/// #[pre_uninstall]
/// async fn end_installation(call: Invocation, tokens: Tokens) -> Result<()> {
///     Ok(tokens.remove(call.installation_id()).await?)
/// }
/// ```
///
/// An app without a token store notes the time, and deletes the data 60 days later, unless the installation has called
/// since.
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/pre-uninstall-trigger/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreUninstall;

impl Kind for PreUninstall {
    fn spec(&self) -> &'static KindSpec {
        &kinds::PRE_UNINSTALL
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        module(self.spec(), item(names))
    }

    fn documented_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(55))
    }

    fn sample_call(&self) -> SampleCall {
        let body = serde_json::json!({ "context": { "cloudId": SampleCall::CLOUD, "moduleKey": "local" } });
        SampleCall {
            timeout: Duration::from_secs(55),
            ..SampleCall::from_platform(body)
        }
    }
}

/// The payload of a `preUninstall` call.
///
/// It is documented only for functions, so an empty body is accepted too. Take the installation from
/// the [`Invocation`](crate::Invocation).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UninstallEvent {
    /// The context: `cloudId` and `moduleKey`, as far as is known.
    pub context: Option<serde_json::Value>,
    /// All other members, without the `contextToken` that functions get.
    pub rest: Rest,
}

payload!(UninstallEvent { context: "context" });
