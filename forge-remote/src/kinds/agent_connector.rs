//! `rovo:agentConnector`: a remote agent, spoken to by Agent2Agent over JSON-RPC 2.0.

use std::time::Duration;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, Mistake, kinds, lists};
use serde_yaml::{Mapping, Value};

use super::items::{nested, set, texts, wrong};
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[agent_connector]`. `description` is the doc comment's first paragraph unless
/// written. `pushNotifications` and `extensions` of the protocol are hand-written in the same item
/// of the manifest, and stay.
///
/// ```
/// use forge_remote::kinds::{AgentResponse, AgentRequest, AgentError};
/// use forge_remote::prelude::*;
///
/// /// Sorts what comes in.
/// #[agent_connector(name = "Triage", products = ["jira"])]
/// async fn triage(call: AgentRequest) -> AgentResponse {
///     match call.method() {
///         "message/send" => AgentResponse::result(&call, serde_json::json!({
///             "id": "task-1", "contextId": "context-1", "status": { "state": "TASK_STATE_WORKING" },
///         })),
///         "tasks/get" => AgentResponse::error(&call, AgentError::TASK_NOT_FOUND),
///         "tasks/cancel" => AgentResponse::error(&call, AgentError::TASK_NOT_CANCELABLE),
///         _ => AgentResponse::error(&call, AgentError::METHOD_NOT_FOUND),
///     }
/// }
/// ```
///
/// Jira waits 55 seconds for an answer, and asks for the task's state again and again
/// (`tasks/get`) until it has come to an end.
///
/// # Streaming
///
/// With `streaming` Jira sends `SendStreamingMessage` in place of `SendMessage`, and so does `dev`:
/// the answer is a stream ([`AgentStream`](super::AgentStream)), which may last 15 minutes.
/// `SubscribeToTask` takes it up again after the connection broke. A single
/// [`AgentResponse::result`](super::AgentResponse::result) for one of the two is answered 500, with the
/// reason in the log.
///
/// # An early-access feature
///
/// It is for development environments yet, not for staging and production, and of the `products`
/// Atlassian takes `jira` alone, though its schema has `confluence` too.
///
/// # Tokens
///
/// `auth` asks for tokens at the endpoint, as everywhere else. The guide to remote agents has them
/// in the remote's `auth` instead, which otherwise is for calls by functions. If none arrives at an
/// agent that asks for one, write the guide's lines into the remote's item in the manifest: they
/// stay.
///
/// ```yaml
/// remotes:
///   - key: backend
///     auth:
///       appUserToken:
///         enabled: true
/// ```
///
/// Sources: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/rovo-agent-connector/>,
/// <https://developer.atlassian.com/platform/forge/remote-agents-in-jira/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentConnector {
    /// Its name.
    pub name: &'static str,
    /// Where it is spoken to: `jira`; `confluence`, which Atlassian doesn't offer yet.
    pub products: &'static [&'static str],
    /// What it does.
    pub description: &'static str,
    /// An icon.
    pub icon: Option<&'static str>,
    /// Three at most, of 85 characters at most.
    pub conversation_starters: &'static [&'static str],
    /// The protocol's version: `1.0` unless it is written.
    pub version: Option<&'static str>,
    /// Whether answers to messages are streamed: then all of them are.
    pub streaming: bool,
}

/// What else the protocol's part of the schema has (`pushNotifications`, `extensions`) is
/// hand-written, and stays.
const OWNED: OwnedProperties = OwnedProperties::Parts(&[
    ("key", OwnedProperties::All),
    ("name", OwnedProperties::All),
    ("description", OwnedProperties::All),
    ("icon", OwnedProperties::All),
    ("productContexts", OwnedProperties::All),
    ("conversationStarters", OwnedProperties::All),
    (
        "protocols",
        OwnedProperties::Parts(&[(
            "agent2Agent",
            OwnedProperties::Parts(&[
                ("version", OwnedProperties::All),
                ("jsonRpcTransport", OwnedProperties::All),
            ]),
        )]),
    ),
]);

impl Kind for AgentConnector {
    fn spec(&self) -> &'static KindSpec {
        &kinds::AGENT_CONNECTOR
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

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = Mapping::new();
        item.insert("key".into(), names.key.as_str().into());
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
        transport.insert("endpoint".into(), names.endpoint.as_str().into());
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
            module_type: self.spec().module_type,
            item,
            owned: OWNED,
        }]
    }

    fn validate(&self) -> Vec<Mistake> {
        let starters = self.conversation_starters;
        wrong(&[("conversation_starters", &lists::STARTERS, starters)])
    }

    fn documented_timeout(&self) -> Option<Duration> {
        Some(self.simulation().timeout)
    }

    fn simulation(&self) -> SampleCall {
        // The pages' examples have the spelling with a slash, but for streams.
        let method = match (self.streaming, self.version) {
            (false, _) => "message/send",
            (true, Some("0.3")) => "message/stream",
            (true, _) => "SendStreamingMessage",
        };
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": "local-call", "method": method,
            "params": { "message": {
                "role": "ROLE_USER", "messageId": "local-message",
                "parts": [{ "text": "A user has assigned you to a work item." }],
            } },
        });
        SampleCall {
            timeout: Duration::from_secs(if self.streaming { 900 } else { 55 }),
            ..SampleCall::of_platform(body)
        }
    }
}
