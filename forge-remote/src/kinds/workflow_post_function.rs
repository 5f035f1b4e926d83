//! `jira:workflowPostFunction`: a call after a workflow transition.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};

use super::items::{item, module, texts};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[workflow_post_function]`.
///
/// `description` defaults to the doc comment's first paragraph. The configuration pages (`view`, `edit`,
/// `create`, `resolver`) are hand-written in the same item of the manifest, and are preserved. An `i18n`
/// object instead of the name or the description is preserved too.
///
/// The required scopes are added automatically, as for events: either Jira's current scopes or its
/// granular ones. If the manifest has one of these sets, nothing is added.
///
/// The call is delivered like an event: with a timeout of 5 seconds and up to four retries.
/// `transition.executionId` is the same in all of them.
///
/// ```
/// use forge_remote::kinds::PostFunctionRequest;
/// use forge_remote::prelude::*;
///
/// /// Notifies the team of the transition.
/// #[workflow_post_function(name = "Notify the team")]
/// async fn notify(retry: RetryContext, Event(done): Event<PostFunctionRequest>) -> Result<()> {
///     println!("{:?} {:?} {:?}", done.issue.get("key"), done.execution_id(), retry.count);
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/jira/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkflowPostFunction {
    /// The name in the workflow editor.
    pub name: &'static str,
    /// The post function's description.
    pub description: &'static str,
    /// The project types: `company-managed` (the default), `team-managed`.
    pub project_types: &'static [&'static str],
}

impl WorkflowPostFunction {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        name: "",
        description: "",
        project_types: &[],
    };
}

impl Kind for WorkflowPostFunction {
    fn spec(&self) -> &'static KindSpec {
        &kinds::WORKFLOW_POST_FUNCTION
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        item.insert("name".into(), self.name.into());
        item.insert("description".into(), self.description.into());
        if !self.project_types.is_empty() {
            item.insert("projectTypes".into(), texts(self.project_types));
        }
        module(self.spec(), item)
    }

    fn sample_call(&self) -> SampleCall {
        SampleCall::from_platform(serde_json::json!({
            "issue": { "id": "10000", "key": "DEV-1" },
            "transition": {
                "id": "11", "executionId": "local-execution", "from": { "id": "1" }, "to": { "id": "3" },
            },
            "workflow": { "id": "local", "name": "Local" },
            "atlassianId": "557058:local",
            "configuration": {},
            "postFunction": { "id": "local" },
        }))
    }
}

/// The payload of a post function: a completed transition.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PostFunctionRequest {
    /// The work item: `id` and `key`, at least.
    pub issue: Rest,
    /// The transition: `id`, `executionId`, `from`, `to`.
    pub transition: Rest,
    /// The workflow: `id` and `name`.
    pub workflow: Rest,
    /// The account id of the user who made the transition.
    pub atlassian_id: Option<String>,
    /// The changes, with the id for Jira's `changelog/list`.
    pub changelog: Option<IdRef>,
    /// The comment written with the transition.
    pub comment: Option<IdRef>,
    /// The configuration that the configuration page stored.
    pub configuration: Option<serde_json::Value>,
    /// The post function in the workflow.
    pub post_function: Option<IdRef>,
    /// All other members.
    pub rest: Rest,
}

payload!(PostFunctionRequest {
    issue: "issue",
    transition: "transition",
    workflow: "workflow",
    atlassian_id: "atlassianId",
    changelog: "changelog",
    comment: "comment",
    configuration: "configuration",
    post_function: "postFunction",
});

/// A reference to a Jira object by its id.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct IdRef {
    /// The id, as text even if it was sent as a number.
    pub id: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(IdRef { id: "id" });

impl PostFunctionRequest {
    /// Returns the transition's execution id.
    ///
    /// It is the same in every retry and for every post function of the transition.
    pub fn execution_id(&self) -> Option<&str> {
        self.transition.get("executionId")?.as_str()
    }
}
