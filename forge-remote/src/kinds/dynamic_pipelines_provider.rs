//! `bitbucket:dynamicPipelinesProvider`: changes to a pipeline before it runs.

use std::fmt;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;
use serde_json::Value;

use super::PullRequest;
use super::items::{item, module, set, set_description};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[dynamic_pipelines_provider]`.
///
/// `description` defaults to the doc comment's first paragraph. Bitbucket may repeat a call.
///
/// ```
/// use forge_remote::kinds::{PipelinesResponse, PipelinesRequest};
/// use forge_remote::prelude::*;
///
/// /// Leaves every pipeline as it is.
/// #[dynamic_pipelines_provider(name = "Nothing")]
/// async fn unchanged_pipeline(Event(call): Event<PipelinesRequest>) -> Result<Json<PipelinesResponse>> {
///     Ok(Json(PipelinesResponse::new(call.pipelines_configuration)))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/bitbucket-dynamic-pipelines-provider/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicPipelinesProvider {
    /// The provider's name.
    pub name: &'static str,
    /// The provider's description; empty for none.
    pub description: &'static str,
    /// The provider's icon.
    pub icon: Option<&'static str>,
}

impl DynamicPipelinesProvider {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        name: "",
        description: "",
        icon: None,
    };
}

impl Kind for DynamicPipelinesProvider {
    fn spec(&self) -> &'static KindSpec {
        &kinds::DYNAMIC_PIPELINES_PROVIDER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        item.insert("name".into(), self.name.into());
        set_description(&mut item, self.description);
        set(&mut item, "icon", self.icon);
        module(self.spec(), item)
    }

    fn sample_call(&self) -> SampleCall {
        SampleCall::from_platform(serde_json::json!({
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

/// The payload of a dynamic pipelines provider: a pipeline in preparation.
///
/// With the trigger `definitions`, Bitbucket requests the list of pipelines. The fields' names are Bitbucket's. A field
/// with a value of an undocumented shape counts as missing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PipelinesRequest {
    /// The workspace's UUID, in braces.
    pub workspace: Option<String>,
    /// The repository's UUID, in braces.
    pub repository: Option<String>,
    /// The creator's UUID, in braces.
    pub creator: Option<String>,
    /// The trigger: `definitions`, `push`, `manual`, `schedule` or `parent_step`.
    pub trigger: Option<String>,
    /// The step that started the pipeline, for `parent_step`.
    pub trigger_context: Option<TriggerContext>,
    /// The pipeline's UUID, in braces; not for `definitions`.
    pub pipeline: Option<String>,
    /// The pipeline's number, for `manual` and `schedule`.
    pub build_number: Option<u64>,
    /// The pipeline's time of creation, in ISO 8601.
    pub created_on: Option<String>,
    /// The pipeline's variables.
    pub variables: Vec<PipelineVariable>,
    /// Whether there are more variables than were sent.
    pub variables_truncated: bool,
    /// The target that the pipeline runs on.
    pub target: PipelineTarget,
    /// The configuration, in the format of `bitbucket-pipelines.yml`.
    pub pipelines_configuration: Value,
    /// All other members.
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

/// The step that started a pipeline: UUIDs, in braces.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TriggerContext {
    /// The UUID of the step's pipeline.
    pub parent_pipeline_uuid: Option<String>,
    /// The UUID of the pipeline's run.
    pub parent_pipeline_run_uuid: Option<String>,
    /// The UUID of the step.
    pub parent_step_uuid: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(TriggerContext {
    parent_pipeline_uuid: "parent_pipeline_uuid",
    parent_pipeline_run_uuid: "parent_pipeline_run_uuid",
    parent_step_uuid: "parent_step_uuid",
});

/// A variable of a pipeline. Its value may be a secret, so `Debug` omits it.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct PipelineVariable {
    /// The variable's name.
    pub key: Option<String>,
    /// The variable's value.
    pub value: Option<String>,
    /// The variable's scope: `PIPELINE`, `REPOSITORY`, `WORKSPACE`, `STEP`, `DEPLOYMENT`.
    pub scope: Option<String>,
    /// All other members.
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

/// The target that a pipeline runs on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PipelineTarget {
    /// The type: `pipeline_commit_target`, `pipeline_ref_target` or `pipeline_pullrequest_target`.
    pub target_type: Option<String>,
    /// The commit.
    pub commit: Option<Commit>,
    /// The type of a ref: `branch` or `tag`.
    pub ref_type: Option<String>,
    /// The name of a ref's branch or tag.
    pub ref_name: Option<String>,
    /// The source branch of a pull request.
    pub source: Option<String>,
    /// The destination branch of a pull request.
    pub destination: Option<String>,
    /// The newest commit of the destination branch.
    pub destination_commit: Option<Commit>,
    /// The pull request.
    pub pullrequest: Option<PullRequest>,
    /// The selector of the configuration's matching pipeline: `type`, `pattern`, `imported_from`.
    pub selector: Option<Rest>,
    /// All other members.
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
#[non_exhaustive]
pub struct Commit {
    /// The commit's SHA-1.
    pub hash: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(Commit { hash: "hash" });

/// The response of a dynamic pipelines provider.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PipelinesResponse {
    /// The configuration to run.
    Configuration {
        /// The configuration, in the format of `bitbucket-pipelines.yml`.
        pipelines_configuration: Value,
    },
    /// An error: nothing is run.
    Error {
        /// The error's `key` and `message`.
        error: Value,
    },
}

impl PipelinesResponse {
    /// Creates a response with a configuration.
    ///
    /// `null`, which a call without a configuration has, becomes an empty configuration.
    pub fn new(pipelines_configuration: Value) -> Self {
        let pipelines_configuration = match pipelines_configuration {
            Value::Null => Value::Object(Rest::new()),
            configuration => configuration,
        };
        Self::Configuration {
            pipelines_configuration,
        }
    }

    /// Creates an error response.
    pub fn error(key: &str, message: &str) -> Self {
        Self::Error {
            error: serde_json::json!({ "key": key, "message": message }),
        }
    }
}
