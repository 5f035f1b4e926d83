//! `jira:workflowPostFunction`: Jira calls after a transition.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};

use super::items::{item, texts};
use super::rest::Rest;
use crate::json::payload;
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[workflow_post_function]`. `description` is the doc comment's first paragraph
/// unless written. The pages that configure it (`view`, `edit`, `create`, `resolver`) are
/// hand-written in the same item of the manifest, and stay. So does an `i18n` object in place of the
/// name or the description.
///
/// Jira's current scopes or its granular ones follow by themselves, as with events: those that the
/// manifest has are enough.
///
/// Delivered as an event: 5 seconds, up to four repetitions. `transition.executionId` is the same
/// in all of them.
///
/// ```
/// use forge_remote::kinds::PostFunctionRequest;
/// use forge_remote::prelude::*;
///
/// /// Tells the team of the transition.
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
    /// Its name in the workflow's editor.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// `company-managed` (the default), `team-managed`.
    pub project_types: &'static [&'static str],
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
        vec![Module {
            module_type: self.spec().module_type,
            item,
            owned: OwnedProperties::Named(&[
                "key",
                "endpoint",
                "function",
                "name",
                "description",
                "projectTypes",
            ]),
        }]
    }

    fn simulation(&self) -> SampleCall {
        SampleCall::of_platform(serde_json::json!({
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

/// A transition that has been made.
#[derive(Clone, Debug, Default)]
pub struct PostFunctionRequest {
    /// `id` and `key`, at least.
    pub issue: Rest,
    /// `id`, `executionId`, `from`, `to`.
    pub transition: Rest,
    /// `id` and `name`.
    pub workflow: Rest,
    /// Who made it.
    pub atlassian_id: Option<String>,
    /// What it changed, by the id that Jira's `changelog/list` takes.
    pub changelog: Option<IdRef>,
    /// The comment that was written with it.
    pub comment: Option<IdRef>,
    /// What the configuration page stored.
    pub configuration: Option<serde_json::Value>,
    /// This post function in the workflow.
    pub post_function: Option<IdRef>,
    /// Everything else.
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

/// Something of Jira's that has an id.
#[derive(Clone, Debug, Default)]
pub struct IdRef {
    /// The id; as text, also where a number was sent.
    pub id: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

payload!(IdRef { id: "id" });

impl PostFunctionRequest {
    /// The transition's own id: the same in every repetition, and for every post function of it.
    pub fn execution_id(&self) -> Option<&str> {
        self.transition.get("executionId")?.as_str()
    }
}
