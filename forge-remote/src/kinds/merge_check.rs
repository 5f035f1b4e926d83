//! `bitbucket:mergeCheck`: whether a pull request may be merged.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;

use super::items::{item, texts};
use super::rest::Rest;
use crate::json::payload;
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[merge_check]`. `description` is the doc comment's first paragraph unless
/// written. Forge takes an error for a failed check.
///
/// ```
/// use forge_remote::kinds::{MergeCheckRequest, MergeCheckResponse};
/// use forge_remote::prelude::*;
///
/// /// Pull requests with an odd number wait.
/// #[merge_check(name = "Even only", triggers = ["on-merge"])]
/// async fn even(Event(call): Event<MergeCheckRequest>) -> Result<Json<MergeCheckResponse>> {
///     Ok(Json(match call.pull_request_id() {
///         Some(id) if id % 2 == 0 => MergeCheckResponse::pass(),
///         _ => MergeCheckResponse::fail("odd"),
///     }))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/bitbucket-merge-check/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeCheck {
    /// Its name.
    pub name: &'static str,
    /// When it is asked: `on-merge`, `on-code-pushed`, `on-reviewer-status-changed`.
    pub triggers: &'static [&'static str],
    /// What it checks.
    pub description: &'static str,
}

impl Kind for MergeCheck {
    fn spec(&self) -> &'static KindSpec {
        &kinds::MERGE_CHECK
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        item.insert("name".into(), self.name.into());
        item.insert("description".into(), self.description.into());
        item.insert("triggers".into(), texts(self.triggers));
        vec![Module {
            module_type: self.spec().module_type,
            item,
            owned: OwnedProperties::Named(&[
                "key",
                "endpoint",
                "function",
                "name",
                "description",
                "triggers",
            ]),
        }]
    }

    fn simulation(&self) -> SampleCall {
        let trigger = self.triggers.first().copied().unwrap_or("on-merge");
        let mut body = serde_json::json!({
            "workspace": { "uuid": "{00000000-0000-4000-a000-000000000006}" },
            "repository": { "uuid": "{00000000-0000-4000-a000-000000000004}" },
            "pullrequest": { "id": 1 },
            "trigger": { "type": trigger },
        });
        if trigger == "on-merge" {
            body["mergeProperties"] = serde_json::json!({
                "commitMessage": "Merge", "commitMessageTruncated": false,
                "mergeStrategy": "merge_commit", "closeSourceBranch": true,
            });
        }
        SampleCall::of_platform(body)
    }
}

/// What is to be merged. A field whose value isn't of the documented shape is as if it were left
/// out.
#[derive(Clone, Debug, Default)]
pub struct MergeCheckRequest {
    /// The workspace.
    pub workspace: UuidRef,
    /// The repository.
    pub repository: UuidRef,
    /// The pull request.
    pub pullrequest: PullRequest,
    /// When it is asked; an example of Atlassian's names the wrong one, so see whether there are
    /// `merge_properties`.
    pub trigger: MergeTrigger,
    /// At a merge only.
    pub merge_properties: Option<MergeProperties>,
    /// Everything else.
    pub rest: Rest,
}

payload!(MergeCheckRequest {
    workspace: "workspace",
    repository: "repository",
    pullrequest: "pullrequest",
    trigger: "trigger",
    merge_properties: "mergeProperties",
});

impl MergeCheckRequest {
    /// The pull request's number.
    pub fn pull_request_id(&self) -> Option<u64> {
        self.pullrequest.id
    }
}

/// Something of Bitbucket's that has a UUID.
#[derive(Clone, Debug, Default)]
pub struct UuidRef {
    /// The UUID, in braces.
    pub uuid: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

payload!(UuidRef { uuid: "uuid" });

/// A pull request.
#[derive(Clone, Debug, Default)]
pub struct PullRequest {
    /// Its number in the repository.
    pub id: Option<u64>,
    /// Everything else.
    pub rest: Rest,
}

payload!(PullRequest { id: "id" });

/// When a merge check is asked.
#[derive(Clone, Debug, Default)]
pub struct MergeTrigger {
    /// `on-merge`, `on-code-pushed`, `on-reviewer-status-changed`.
    pub trigger_type: Option<String>,
    /// Everything else.
    pub rest: Rest,
}

payload!(MergeTrigger {
    trigger_type: "type",
});

/// How it is to be merged.
#[derive(Clone, Debug, Default)]
pub struct MergeProperties {
    /// The commit's message, cut after 1,000 characters.
    pub commit_message: Option<String>,
    /// Whether it is cut.
    pub commit_message_truncated: bool,
    /// `merge_commit`, `squash`, …
    pub merge_strategy: Option<String>,
    /// Whether the branch goes.
    pub close_source_branch: bool,
    /// Everything else.
    pub rest: Rest,
}

payload!(MergeProperties {
    commit_message: "commitMessage",
    commit_message_truncated: "commitMessageTruncated",
    merge_strategy: "mergeStrategy",
    close_source_branch: "closeSourceBranch",
});

/// Whether it may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergeCheckResponse {
    /// Whether it may.
    pub success: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl MergeCheckResponse {
    /// It may.
    pub fn pass() -> Self {
        Self {
            success: true,
            message: None,
        }
    }

    /// It may not, and why.
    pub fn fail(message: impl Into<String>) -> Self {
        Self {
            success: false,
            message: Some(message.into()),
        }
    }
}
