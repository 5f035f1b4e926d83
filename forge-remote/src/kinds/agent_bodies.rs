//! The bodies of Agent2Agent over JSON-RPC 2.0.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::rest::Rest;
use crate::json::{Lenient, payload, repair};

/// A JSON-RPC request, and an extractor for a handler's last argument.
///
/// An invalid request gets a JSON-RPC error (`-32700`, `-32600`, `-32602`) with status 200, like every
/// JSON-RPC error: Atlassian documents no other status, and Forge treats any status other than 2xx as a
/// failed call. `Json<AgentRequest>` accepts any JSON (`raw_method` may be empty), and rejects other
/// bodies with 400.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AgentRequest {
    /// The request's id, which the response repeats.
    pub id: Json,
    /// The method as it was sent; see [`AgentRequest::method`].
    pub raw_method: String,
    /// The parameters.
    pub params: Rest,
    /// All other members: `jsonrpc`, …
    pub rest: Rest,
}

payload!(AgentRequest {
    id: "id",
    raw_method: "method",
    params: "params",
});

impl AgentRequest {
    /// Returns the method in the spelling with a slash, such as `message/send`.
    ///
    /// Atlassian's documentation uses both this spelling and the one of its headings
    /// (`SendMessage`).
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

    /// Returns whether the response must be a stream: for `message/stream` and `tasks/resubscribe`.
    pub fn wants_stream(&self) -> bool {
        matches!(self.method(), "message/stream" | "tasks/resubscribe")
    }

    /// Returns the task's id, from `params.taskId` or `params.id`, which are both in use, or from
    /// `params.name`, which is `tasks/ID` in drafts of Agent2Agent 1.0.
    pub fn task_id(&self) -> Option<&str> {
        let text = |name: &str| self.params.get(name)?.as_str();
        let id = text("taskId").or_else(|| text("id"));
        id.or_else(|| text("name")?.strip_prefix("tasks/"))
    }

    /// Returns the text of the message's parts.
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

    /// Parses a request, or returns the error response.
    pub(super) fn read(body: &[u8]) -> Result<Self, AgentResponse> {
        let reject = |id, error| AgentResponse::of(id, false, Outcome::Error(error));
        let Ok(body) = serde_json::from_slice::<Json>(&repair(body)) else {
            return Err(reject(Json::Null, AgentError::PARSE_ERROR));
        };
        let id = body
            .get("id")
            .filter(|id| id.is_string() || id.is_number())
            .cloned();
        let id = id.unwrap_or_default();
        if body.get("method").and_then(Json::as_str).is_none() {
            return Err(reject(id, AgentError::INVALID_REQUEST));
        }
        match body.get("params") {
            None | Some(Json::Null | Json::Object(_)) => {}
            Some(_) => return Err(reject(id, AgentError::INVALID_PARAMS)),
        }
        <Self as Lenient>::read(body).map_err(|_| reject(id, AgentError::INVALID_REQUEST))
    }
}

/// A JSON-RPC response.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentResponse {
    jsonrpc: &'static str,
    pub(super) id: Json,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    /// Whether the call requires a stream.
    #[serde(skip)]
    pub(super) streamed: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Result(Json),
    Error(AgentError),
}

impl AgentResponse {
    /// Creates a response with a result: a task, for most methods.
    ///
    /// For a call that [requires a stream](AgentRequest::wants_stream), use
    /// [`AgentStream`](super::AgentStream).
    pub fn result(call: &AgentRequest, result: Json) -> Self {
        Self::new(call, Outcome::Result(result))
    }

    /// Creates a response with an error. If the call requires a stream, it is a stream of this error.
    pub fn error(call: &AgentRequest, error: AgentError) -> Self {
        Self::new(call, Outcome::Error(error))
    }

    fn new(call: &AgentRequest, outcome: Outcome) -> Self {
        Self::of(call.id.clone(), call.wants_stream(), outcome)
    }

    pub(super) fn of(id: Json, streamed: bool, outcome: Outcome) -> Self {
        Self {
            jsonrpc: "2.0",
            id,
            outcome,
            streamed,
        }
    }
}

/// A JSON-RPC error.
///
/// The `data` of Agent2Agent's errors contains a `google.rpc.ErrorInfo`, as version 1.0 requires.
///
/// ```
/// use forge_remote::kinds::AgentError;
///
/// let error = AgentError::TASK_NOT_FOUND.metadata("taskId", "task-123");
/// assert_eq!(serde_json::to_value(&error).unwrap()["data"][0]["reason"], "TASK_NOT_FOUND");
/// let own = AgentError::new(-32050, "The model is asleep").detail(serde_json::json!({ "until": "noon" }));
/// assert_eq!(own.message, "The model is asleep");
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/remote-agents-in-jira/#error-codes>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentError {
    /// The code. Codes from -32099 to -32000 are for applications; Agent2Agent uses some of them.
    pub code: i32,
    /// The message.
    pub message: Cow<'static, str>,
    /// Agent2Agent's name of the error.
    reason: Option<&'static str>,
    metadata: BTreeMap<String, String>,
    details: Vec<Json>,
}

impl AgentError {
    /// The task does not exist: for `tasks/get`.
    pub const TASK_NOT_FOUND: Self = Self::known(-32001, "Task not found", Some("TASK_NOT_FOUND"));
    /// The task cannot be cancelled: for `tasks/cancel`.
    pub const TASK_NOT_CANCELABLE: Self = Self::known(
        -32002,
        "Task cannot be canceled",
        Some("TASK_NOT_CANCELABLE"),
    );
    /// The agent does not cancel tasks: for `tasks/cancel`. Jira supports this error for no other
    /// method. For an unknown method use [`METHOD_NOT_FOUND`](Self::METHOD_NOT_FOUND).
    pub const UNSUPPORTED: Self = Self::known(
        -32004,
        "This operation is not supported",
        Some("UNSUPPORTED_OPERATION"),
    );
    /// The body isn't JSON.
    pub const PARSE_ERROR: Self = Self::known(-32700, "Parse error", None);
    /// The body isn't a JSON-RPC request.
    pub const INVALID_REQUEST: Self = Self::known(-32600, "Invalid Request", None);
    /// The method does not exist.
    pub const METHOD_NOT_FOUND: Self = Self::known(-32601, "Method not found", None);
    /// The `params` are not valid for the method.
    pub const INVALID_PARAMS: Self = Self::known(-32602, "Invalid params", None);
    /// The agent failed.
    pub const INTERNAL_ERROR: Self = Self::known(-32603, "Internal error", None);

    const fn known(code: i32, message: &'static str, reason: Option<&'static str>) -> Self {
        Self {
            code,
            message: Cow::Borrowed(message),
            reason,
            metadata: BTreeMap::new(),
            details: Vec::new(),
        }
    }

    /// Creates an error with your own code.
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            ..Self::known(code, "", None)
        }
    }

    /// Sets the message.
    #[must_use]
    pub fn message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// Adds metadata to the `ErrorInfo` of an Agent2Agent error.
    ///
    /// It has no effect on errors of JSON-RPC and your own errors: use [`detail`](Self::detail).
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Appends a value to the list in `data`.
    #[must_use]
    pub fn detail(mut self, detail: Json) -> Self {
        self.details.push(detail);
        self
    }

    fn data(&self) -> Vec<Json> {
        let info = self.reason.map(|reason| {
            serde_json::json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason,
                "domain": "a2a-protocol.org",
                "metadata": self.metadata,
            })
        });
        info.into_iter()
            .chain(self.details.iter().cloned())
            .collect()
    }
}

impl Serialize for AgentError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("message", &self.message)?;
        let data = self.data();
        if !data.is_empty() {
            map.serialize_entry("data", &data)?;
        }
        map.end()
    }
}
