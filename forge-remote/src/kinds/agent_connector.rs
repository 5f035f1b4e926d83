//! `rovo:agentConnector`: a remote agent that is called with Agent2Agent over JSON-RPC 2.0.

use std::time::Duration;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, Mistake, kinds, lists};
use serde_yaml::{Mapping, Value};

use super::items::{list_mistakes, nested, set, set_description, texts};
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[agent_connector]`.
///
/// `description` defaults to the doc comment's first paragraph. `pushNotifications` and `extensions`
/// of the protocol are hand-written in the same item of the manifest, and are preserved.
///
/// ```
/// use forge_remote::kinds::{AgentResponse, AgentRequest, AgentError};
/// use forge_remote::prelude::*;
///
/// /// Triages incoming work items.
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
/// Jira waits 55 seconds for a response, and polls the task's state (`tasks/get`) until the task ends.
///
/// # Streaming
///
/// With `streaming`, Jira sends `SendStreamingMessage` instead of `SendMessage`, and so does `dev`.
/// The response is a stream ([`AgentStream`](super::AgentStream)), which may last 15 minutes. If the
/// connection breaks, Jira resumes it with `SubscribeToTask`. A single
/// [`AgentResponse::result`](super::AgentResponse::result) for one of these two methods becomes a 500,
/// and the reason is logged.
///
/// # Versions
///
/// The module is generally available since 2026-09-28, with version 1.0 of the protocol only. Before
/// that, agents of version 0.3 were accepted in development environments.
///
/// # Tokens
///
/// `auth` requests tokens at the endpoint, as for other kinds. The guide to remote agents requests
/// them in the remote's `auth` instead, which otherwise applies to calls by functions. If an agent's
/// requested token does not arrive, add the guide's lines to the remote's item in the manifest.
/// `manifest --write` preserves them.
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
    /// The agent's name.
    pub name: &'static str,
    /// The products that offer the agent: `jira`, or `confluence`, which Atlassian does not support yet.
    pub products: &'static [&'static str],
    /// The agent's description; empty for none.
    pub description: &'static str,
    /// The agent's icon.
    pub icon: Option<&'static str>,
    /// Suggested first messages: at most three, of at most 85 characters each.
    pub conversation_starters: &'static [&'static str],
    /// The protocol's version (default: `1.0`).
    pub version: Option<&'static str>,
    /// Whether all responses to messages are streams.
    pub streaming: bool,
}

impl AgentConnector {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        name: "",
        products: &[],
        description: "",
        icon: None,
        conversation_starters: &[],
        version: None,
        streaming: false,
    };
}

/// The owned properties. The protocol's `pushNotifications` and `extensions` are hand-written.
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
        set_description(&mut item, self.description);
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
        list_mistakes(&[("conversation_starters", &lists::STARTERS, starters)])
    }

    fn documented_timeout(&self) -> Option<Duration> {
        Some(self.sample_call().timeout)
    }

    fn sample_call(&self) -> SampleCall {
        // Atlassian's examples use the spelling with a slash, except for streams.
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
            ..SampleCall::from_platform(body)
        }
    }
}

#[cfg(test)]
#[cfg(feature = "cli")]
mod tests {
    use forge_remote_schema::{Place, written_places};

    use super::*;

    fn is_owned(place: Place) -> bool {
        let mut names = place.iter();
        let inside = |owned: OwnedProperties, name: &&str| {
            let is_owned = owned.has(name);
            is_owned.then(|| owned.inside(name))
        };
        names.try_fold(OWNED, inside).is_some()
    }

    #[test]
    fn the_owned_properties_are_those_of_the_table() {
        let kind = &kinds::AGENT_CONNECTOR;
        let options = written_places(kind).filter(|(_, option)| option.is_some());
        let options = options.map(|(place, _)| place);
        for place in options.chain(kind.endpoint_places.iter().copied()) {
            assert!(is_owned(place), "{place:?}");
        }
        for place in kind.preserved_places {
            assert!(!is_owned(place), "{place:?}");
        }
    }
}
