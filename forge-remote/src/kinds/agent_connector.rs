//! `rovo:agentConnector`: a remote agent, spoken to by Agent2Agent over JSON-RPC 2.0.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_yaml::{Mapping, Value};

use super::{Rest, checks, nested, set, texts, wrong};
use crate::fit::Caller;
use crate::registry::{Handler, Kind, Module, Owned, Simulation};

/// The options of `#[agent_connector]`. `description` is the doc comment's first paragraph unless
/// written. An early-access feature: not for staging and production yet. `pushNotifications` and
/// `extensions` of the protocol are hand-written in the same item of the manifest, and stay.
///
/// ```
/// use forge_remote::kinds::{AgentAnswer, AgentCall, AgentError};
/// use forge_remote::prelude::*;
///
/// /// Sorts what comes in.
/// #[agent_connector(name = "Triage", products = ["jira"])]
/// async fn triage(Json(call): Json<AgentCall>) -> AgentAnswer {
///     match call.method() {
///         "message/send" => AgentAnswer::result(&call, serde_json::json!({
///             "id": "task-1", "contextId": "context-1", "status": { "state": "TASK_STATE_WORKING" },
///         })),
///         _ => AgentAnswer::error(&call, AgentError::UNSUPPORTED),
///     }
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/rovo-agent-connector/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentConnector {
    /// Its name.
    pub name: &'static str,
    /// Where it is spoken to: `jira`, `confluence`.
    pub products: &'static [&'static str],
    /// What it does.
    pub description: &'static str,
    /// An icon.
    pub icon: Option<&'static str>,
    /// Three at most, of 85 characters at most.
    pub conversation_starters: &'static [&'static str],
    /// The protocol's version: `1.0` unless it is written.
    pub version: Option<&'static str>,
    /// Whether answers can be streamed.
    pub streaming: bool,
}

/// What else the protocol's part of the schema has (`pushNotifications`, `extensions`) is
/// hand-written, and stays.
const OWNED: Owned = Owned::Parts(&[
    ("key", Owned::All),
    ("name", Owned::All),
    ("description", Owned::All),
    ("icon", Owned::All),
    ("productContexts", Owned::All),
    ("conversationStarters", Owned::All),
    (
        "protocols",
        Owned::Parts(&[(
            "agent2Agent",
            Owned::Parts(&[("version", Owned::All), ("jsonRpcTransport", Owned::All)]),
        )]),
    ),
]);

impl Kind for AgentConnector {
    fn name(&self) -> &'static str {
        "rovo:agentConnector"
    }

    fn caller(&self) -> Caller {
        Caller::PlatformForUser
    }

    fn module_suffix(&self) -> Option<&'static str> {
        Some("agent")
    }

    fn scopes(&self) -> &'static [&'static [&'static str]] {
        match (
            self.products.contains(&"jira"),
            self.products.contains(&"confluence"),
        ) {
            (true, true) => &[&["read:confluence-content.all", "read:jira-work"]],
            (true, false) => &[&["read:jira-work"]],
            (false, true) => &[&["read:confluence-content.all"]],
            (false, false) => &[],
        }
    }

    fn modules(&self, handler: &Handler) -> Vec<Module> {
        let mut item = Mapping::new();
        item.insert("key".into(), handler.key().into());
        item.insert("name".into(), self.name.into());
        item.insert("description".into(), self.description.into());
        set(&mut item, "icon", self.icon);
        item.insert("productContexts".into(), texts(self.products));
        if !self.conversation_starters.is_empty() {
            item.insert(
                "conversationStarters".into(),
                texts(self.conversation_starters),
            );
        }
        let mut transport = Mapping::new();
        transport.insert("endpoint".into(), handler.endpoint().into());
        if self.streaming {
            transport.insert("streaming".into(), true.into());
        }
        let mut agent = Mapping::new();
        agent.insert("version".into(), self.version.unwrap_or("1.0").into());
        agent.insert("jsonRpcTransport".into(), Value::Mapping(transport));
        item.insert(
            "protocols".into(),
            nested("agent2Agent", Value::Mapping(agent)),
        );
        vec![Module {
            module_type: "rovo:agentConnector",
            item,
            owned: OWNED,
        }]
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        let starters = self.conversation_starters;
        wrong(&[("conversation_starters", &checks::STARTERS, starters)])
    }

    fn simulation(&self) -> Simulation {
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": "local-call", "method": "message/send",
            "params": { "message": {
                "role": "ROLE_USER", "messageId": "local-message",
                "parts": [{ "text": "A user has assigned you to a work item." }],
            } },
        });
        Simulation {
            timeout: Duration::from_secs(55),
            ..Simulation::of_platform(body)
        }
    }
}

/// A JSON-RPC request.
#[derive(Clone, Debug, Deserialize)]
pub struct AgentCall {
    /// Which it is; the answer has the same.
    #[serde(default)]
    pub id: Json,
    /// The method as it was sent; see [`AgentCall::method`].
    #[serde(rename = "method")]
    pub raw_method: String,
    /// What for.
    #[serde(default, deserialize_with = "super::or_default")]
    pub params: Rest,
}

impl AgentCall {
    /// The method, in the spelling with a slash: Atlassian's pages use both that and the one of
    /// their headings (`SendMessage`).
    pub fn method(&self) -> &str {
        match self.raw_method.as_str() {
            "SendMessage" => "message/send",
            "SendStreamingMessage" => "message/stream",
            "GetTask" => "tasks/get",
            "CancelTask" => "tasks/cancel",
            "SubscribeToTask" => "tasks/resubscribe",
            other => other,
        }
    }

    /// The task that is meant: `params.taskId` or `params.id`, as both are seen.
    pub fn task_id(&self) -> Option<&str> {
        let id = self.params.get("taskId").or_else(|| self.params.get("id"));
        id?.as_str()
    }

    /// The text of the message's parts.
    pub fn text(&self) -> String {
        let parts = self
            .params
            .get("message")
            .and_then(|message| message.get("parts"));
        let parts = parts.and_then(Json::as_array).into_iter().flatten();
        let texts: Vec<&str> = parts
            .filter_map(|part| part.get("text")?.as_str())
            .collect();
        texts.join("\n")
    }
}

/// A JSON-RPC answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentAnswer {
    jsonrpc: &'static str,
    id: Json,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Json),
    Error(AgentError),
}

/// A JSON-RPC error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AgentError {
    /// Its code.
    pub code: i32,
    /// Its message.
    pub message: &'static str,
}

impl AgentError {
    /// There is no such task.
    pub const TASK_NOT_FOUND: Self = Self {
        code: -32001,
        message: "Task not found",
    };
    /// The task can't be cancelled.
    pub const TASK_NOT_CANCELABLE: Self = Self {
        code: -32002,
        message: "Task cannot be canceled",
    };
    /// The method isn't offered.
    pub const UNSUPPORTED: Self = Self {
        code: -32004,
        message: "This operation is not supported",
    };
}

impl AgentAnswer {
    /// What came of it: a task, for most methods.
    pub fn result(call: &AgentCall, result: Json) -> Self {
        Self::new(call, Outcome::Result(result))
    }

    /// Why nothing did.
    pub fn error(call: &AgentCall, error: AgentError) -> Self {
        Self::new(call, Outcome::Error(error))
    }

    fn new(call: &AgentCall, outcome: Outcome) -> Self {
        Self {
            jsonrpc: "2.0",
            id: call.id.clone(),
            outcome,
        }
    }
}

impl IntoResponse for AgentAnswer {
    fn into_response(self) -> Response {
        crate::Json(self).into_response()
    }
}
