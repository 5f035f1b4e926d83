//! `bitbucket:mergeCheck`: checks of pull requests before a merge.

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;

use super::items::{item, module, set_description, texts};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[merge_check]`.
///
/// `description` defaults to the doc comment's first paragraph. Forge treats an error as a failed check.
///
/// ```
/// use forge_remote::kinds::{MergeCheckRequest, MergeCheckResponse};
/// use forge_remote::prelude::*;
///
/// /// Pull requests with an odd number wait.
/// #[merge_check(name = "Even only", triggers = ["on-merge"])]
/// async fn require_even_id(Event(call): Event<MergeCheckRequest>) -> Result<Json<MergeCheckResponse>> {
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
    /// The check's name.
    pub name: &'static str,
    /// The triggers of the check: `on-merge`, `on-code-pushed`, `on-reviewer-status-changed`.
    pub triggers: &'static [&'static str],
    /// The check's description; empty for none.
    pub description: &'static str,
}

impl Kind for MergeCheck {
    fn spec(&self) -> &'static KindSpec {
        &kinds::MERGE_CHECK
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        item.insert("name".into(), self.name.into());
        set_description(&mut item, self.description);
        item.insert("triggers".into(), texts(self.triggers));
        module(self.spec(), item)
    }

    fn sample_call(&self) -> SampleCall {
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
        SampleCall::from_platform(body)
    }
}

/// The payload of a merge check.
///
/// A field with a value of an undocumented shape counts as missing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MergeCheckRequest {
    /// The workspace.
    pub workspace: UuidRef,
    /// The repository.
    pub repository: UuidRef,
    /// The pull request.
    pub pullrequest: PullRequest,
    /// The trigger of the check. One of Atlassian's examples has a wrong trigger, so
    /// recognise a merge by `merge_properties`.
    pub trigger: MergeTrigger,
    /// The properties of the merge; set only for `on-merge`.
    pub merge_properties: Option<MergeProperties>,
    /// All other members.
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
    /// Returns the pull request's number.
    pub fn pull_request_id(&self) -> Option<u64> {
        self.pullrequest.id
    }
}

/// A reference to a Bitbucket object by its UUID.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UuidRef {
    /// The UUID, in braces.
    pub uuid: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(UuidRef { uuid: "uuid" });

/// A pull request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PullRequest {
    /// The pull request's number in the repository.
    pub id: Option<u64>,
    /// All other members.
    pub rest: Rest,
}

payload!(PullRequest { id: "id" });

/// The trigger of a merge check.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MergeTrigger {
    /// The type: `on-merge`, `on-code-pushed` or `on-reviewer-status-changed`.
    pub trigger_type: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(MergeTrigger {
    trigger_type: "type",
});

/// The properties of a merge.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MergeProperties {
    /// The commit message, truncated to 1,000 characters.
    pub commit_message: Option<String>,
    /// Whether the commit message is truncated.
    pub commit_message_truncated: bool,
    /// The merge strategy: `merge_commit`, `squash`, …
    pub merge_strategy: Option<String>,
    /// Whether the source branch is closed.
    pub close_source_branch: bool,
    /// All other members.
    pub rest: Rest,
}

payload!(MergeProperties {
    commit_message: "commitMessage",
    commit_message_truncated: "commitMessageTruncated",
    merge_strategy: "mergeStrategy",
    close_source_branch: "closeSourceBranch",
});

/// The result of a merge check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergeCheckResponse {
    /// Whether the check passed.
    pub success: bool,
    /// The reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl MergeCheckResponse {
    /// Creates a passed check.
    pub fn pass() -> Self {
        Self {
            success: true,
            message: None,
        }
    }

    /// Creates a failed check with a reason.
    pub fn fail(message: impl Into<String>) -> Self {
        Self {
            success: false,
            message: Some(message.into()),
        }
    }
}
