//! `bitbucket:dynamicPipelinesProvider`: changes a pipeline before it runs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Rest, item, set};
use crate::registry::{Handler, Kind, Module, Owned, Simulation};

/// The options of `#[dynamic_pipelines_provider]`. `description` is the doc comment's first
/// paragraph unless written. Bitbucket may ask again.
///
/// ```
/// use forge_remote::kinds::{PipelinesAnswer, PipelinesCall};
/// use forge_remote::prelude::*;
///
/// /// Leaves every pipeline as it is.
/// #[dynamic_pipelines_provider(name = "Nothing")]
/// async fn nothing(Event(call): Event<PipelinesCall>) -> Result<Json<PipelinesAnswer>> {
///     Ok(Json(PipelinesAnswer::of(call.pipelines_configuration)))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/bitbucket-dynamic-pipelines-provider/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicPipelinesProvider {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// An icon.
    pub icon: Option<&'static str>,
}

impl Kind for DynamicPipelinesProvider {
    fn name(&self) -> &'static str {
        "bitbucket:dynamicPipelinesProvider"
    }

    fn module_suffix(&self) -> Option<&'static str> {
        Some("pipelines")
    }

    fn modules(&self, handler: &Handler) -> Vec<Module> {
        let mut item = item(handler);
        item.insert("name".into(), self.name.into());
        item.insert("description".into(), self.description.into());
        set(&mut item, "icon", self.icon);
        vec![Module {
            module_type: "bitbucket:dynamicPipelinesProvider",
            item,
            owned: Owned::Named(&["key", "endpoint", "function", "name", "description"]),
        }]
    }

    fn simulation(&self) -> Simulation {
        Simulation::of_platform(serde_json::json!({
            "workspace": "{00000000-0000-4000-a000-000000000006}",
            "repository": "{00000000-0000-4000-a000-000000000004}",
            "creator": "{00000000-0000-4000-a000-000000000008}",
            "trigger": "definitions",
            "target": { "type": "pipeline_commit_target", "commit": { "hash": "e34a" } },
            "pipelines_configuration": {
                "pipelines": { "default": [{ "step": { "name": "Test", "script": ["true"] } }] },
            },
        }))
    }
}

/// A pipeline that is prepared; the names are Bitbucket's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PipelinesCall {
    /// The workspace's UUID, in braces.
    pub workspace: Option<String>,
    /// The repository's.
    pub repository: Option<String>,
    /// The creator's.
    pub creator: Option<String>,
    /// `definitions`, `push`, `manual`, `schedule`, `parent_step`.
    pub trigger: Option<String>,
    /// What it runs on: `type`, `commit`, `ref_name`, …
    #[serde(deserialize_with = "super::or_default")]
    pub target: Rest,
    /// The configuration, as `bitbucket-pipelines.yml` has it.
    pub pipelines_configuration: Value,
    /// Everything else: `variables`, `build_number`, …
    #[serde(flatten)]
    pub rest: Rest,
}

/// What is run instead.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PipelinesAnswer {
    /// This configuration.
    Configuration {
        /// As `bitbucket-pipelines.yml` has it.
        pipelines_configuration: Value,
    },
    /// Nothing: it failed.
    Error {
        /// `key` and `message`.
        error: Value,
    },
}

impl PipelinesAnswer {
    /// This configuration.
    pub fn of(pipelines_configuration: Value) -> Self {
        Self::Configuration {
            pipelines_configuration,
        }
    }

    /// Nothing, and why.
    pub fn error(key: &str, message: &str) -> Self {
        Self::Error {
            error: serde_json::json!({ "key": key, "message": message }),
        }
    }
}
