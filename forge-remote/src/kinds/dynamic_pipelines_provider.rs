//! `bitbucket:dynamicPipelinesProvider`: changes a pipeline before it runs.

use std::fmt;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;
use serde_json::Value;

use super::PullRequest;
use super::items::{item, set};
use super::rest::Rest;
use crate::json::payload;
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[dynamic_pipelines_provider]`. `description` is the doc comment's first
/// paragraph unless written. Bitbucket may ask again.
///
/// ```
/// use forge_remote::kinds::{PipelinesResponse, PipelinesRequest};
/// use forge_remote::prelude::*;
///
/// /// Leaves every pipeline as it is.
/// #[dynamic_pipelines_provider(name = "Nothing")]
/// async fn nothing(Event(call): Event<PipelinesRequest>) -> Result<Json<PipelinesResponse>> {
///     Ok(Json(PipelinesResponse::of(call.pipelines_configuration)))
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
    fn spec(&self) -> &'static KindSpec {
        &kinds::DYNAMIC_PIPELINES_PROVIDER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        item.insert("name".into(), self.name.into());
        item.insert("description".into(), self.description.into());
        set(&mut item, "icon", self.icon);
        vec![Module {
            module_type: self.spec().module_type,
            item,
            owned: OwnedProperties::Named(&["key", "endpoint", "function", "name", "description"]),
        }]
    }

    fn simulation(&self) -> SampleCall {
        SampleCall::of_platform(serde_json::json!({
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

/// A pipeline that is prepared, or, for the trigger `definitions`, the question which ones there
/// are; the names are Bitbucket's. A field whose value isn't of the documented shape is as if it
/// were left out.
#[derive(Clone, Debug, Default)]
pub struct PipelinesRequest {
    /// The workspace's UUID, in braces.
    pub workspace: Option<String>,
    /// The repository's.
    pub repository: Option<String>,
    /// The creator's.
    pub creator: Option<String>,
    /// `definitions`, `push`, `manual`, `schedule`, `parent_step`.
    pub trigger: Option<String>,
    /// Which step began it, for `parent_step`.
    pub trigger_context: Option<TriggerContext>,
    /// The pipeline's UUID, in braces; not for `definitions`.
    pub pipeline: Option<String>,
    /// The pipeline's number; for `manual` and `schedule`.
    pub build_number: Option<u64>,
    /// When the pipeline was made, in ISO 8601.
    pub created_on: Option<String>,
    /// Its variables.
    pub variables: Vec<PipelineVariable>,
    /// Whether there are more variables than were sent.
    pub variables_truncated: bool,
    /// What it runs on.
    pub target: PipelineTarget,
    /// The configuration, as `bitbucket-pipelines.yml` has it.
    pub pipelines_configuration: Value,
    /// Everything else.
    pub rest: Rest,
}

payload!(PipelinesRequest {
    workspace: "workspace",
    repository: "repository",
    creator: "creator",
    trigger: "trigger",
    trigger_context: "trigger_context",
    pipeline: "pipeline",
    build_number: "build_number",
    created_on: "created_on",
    variables: "variables",
    variables_truncated: "variables_truncated",
    target: "target",
    pipelines_configuration: "pipelines_configuration",
});

/// Which step began a pipeline: UUIDs, in braces.
#[derive(Clone, Debug, Default)]
pub struct TriggerContext {
    /// The step's pipeline.
    pub parent_pipeline_uuid: Option<String>,
    /// The run of it.
    pub parent_pipeline_run_uuid: Option<String>,
    /// The step.
    pub parent_step_uuid: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

payload!(TriggerContext {
    parent_pipeline_uuid: "parent_pipeline_uuid",
    parent_pipeline_run_uuid: "parent_pipeline_run_uuid",
    parent_step_uuid: "parent_step_uuid",
});

/// A variable of a pipeline. Its value may be a secret, so `Debug` leaves it out.
#[derive(Clone, Default)]
pub struct PipelineVariable {
    /// Its name.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// Where it is set: `PIPELINE`, `REPOSITORY`, `WORKSPACE`, `STEP`, `DEPLOYMENT`.
    pub scope: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

payload!(PipelineVariable {
    key: "key",
    value: "value",
    scope: "scope",
});

impl fmt::Debug for PipelineVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineVariable")
            .field("key", &self.key)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// What a pipeline runs on.
#[derive(Clone, Debug, Default)]
pub struct PipelineTarget {
    /// `pipeline_commit_target`, `pipeline_ref_target`, `pipeline_pullrequest_target`.
    pub target_type: Option<String>,
    /// The commit.
    pub commit: Option<Commit>,
    /// `branch` or `tag`, of a ref.
    pub ref_type: Option<String>,
    /// The branch's or the tag's name, of a ref.
    pub ref_name: Option<String>,
    /// The branch that a pull request comes from.
    pub source: Option<String>,
    /// The branch that it goes to.
    pub destination: Option<String>,
    /// That branch's newest commit.
    pub destination_commit: Option<Commit>,
    /// The pull request.
    pub pullrequest: Option<PullRequest>,
    /// Which of the configuration's pipelines fits: `type`, `pattern`, `imported_from`.
    pub selector: Option<Rest>,
    /// Everything else.
    pub rest: Rest,
}

payload!(PipelineTarget {
    target_type: "type",
    commit: "commit",
    ref_type: "ref_type",
    ref_name: "ref_name",
    source: "source",
    destination: "destination",
    destination_commit: "destination_commit",
    pullrequest: "pullrequest",
    selector: "selector",
});

/// A commit.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Its SHA-1.
    pub hash: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

payload!(Commit { hash: "hash" });

/// What is run instead.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PipelinesResponse {
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

impl PipelinesResponse {
    /// This configuration; an empty one for `null`, which is what a call without one has.
    pub fn of(pipelines_configuration: Value) -> Self {
        let pipelines_configuration = match pipelines_configuration {
            Value::Null => Value::Object(Rest::new()),
            configuration => configuration,
        };
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
