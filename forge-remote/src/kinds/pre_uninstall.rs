//! `preUninstall`: Forge calls before the app is removed, and waits.

use std::time::Duration;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};

use super::items::item;
use super::rest::Rest;
use crate::json::payload;
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// `#[pre_uninstall]`: the last call of an installation. A function has 55 seconds for it, and
/// its answer makes no difference to the removal; for a remote no page says either.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[pre_uninstall(auth = system)]
/// async fn farewell(call: Invocation, token: Option<SystemToken>) -> Result<()> {
///     println!("{} goes; a token came: {}", call.installation_id(), token.is_some());
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/pre-uninstall-trigger/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreUninstall;

impl Kind for PreUninstall {
    fn spec(&self) -> &'static KindSpec {
        &kinds::PRE_UNINSTALL
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        vec![Module {
            module_type: self.spec().module_type,
            item: item(names),
            owned: OwnedProperties::All,
        }]
    }

    fn documented_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(55))
    }

    fn simulation(&self) -> SampleCall {
        let body = serde_json::json!({ "context": { "cloudId": "local", "moduleKey": "local" } });
        SampleCall {
            timeout: Duration::from_secs(55),
            ..SampleCall::of_platform(body)
        }
    }
}

/// What comes with it. Known of functions only, so nothing at all is taken too: take the
/// installation from the [`Invocation`](crate::Invocation).
#[derive(Clone, Debug, Default)]
pub struct UninstallEvent {
    /// `cloudId` and `moduleKey`, as far as is known.
    pub context: Option<serde_json::Value>,
    /// Everything else, without the `contextToken` that functions get.
    pub rest: Rest,
}

payload!(UninstallEvent { context: "context" });
