//! An agent's responses as a stream of server-sent events.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tracing::Span;

use super::agent_bodies::{AgentError, AgentRequest, AgentResponse, Outcome};

/// A response for a call that [requires a stream](AgentRequest::wants_stream): a stream of updates.
///
/// Each update is sent at once, as a server-sent event. The first one is a task or a message. After
/// a message, an error, or a task's final state (`TASK_STATE_COMPLETED`, `TASK_STATE_FAILED`,
/// `TASK_STATE_CANCELED`, `TASK_STATE_REJECTED`) the stream ends automatically, as Atlassian requires.
/// Jira waits 15 minutes for the end, and reconnects with `SubscribeToTask` when the connection
/// breaks. So run the work in a separate task, and use the stream only to report on it.
///
/// ```
/// use forge_remote::kinds::{AgentResponse, AgentRequest, AgentError, AgentReply, AgentStream, AgentUpdate};
/// use forge_remote::prelude::*;
/// use serde_json::json;
///
/// /// Triages incoming work items.
/// #[agent_connector(name = "Triage", products = ["jira"], streaming)]
/// async fn triage(invocation: Invocation, call: AgentRequest) -> AgentReply {
///     match call.method() {
///         "message/stream" => {
///             let (updates, stream) = AgentStream::channel(&call);
///             invocation.spawn(async move {
///                 let ids = json!({ "taskId": "task-1", "contextId": "context-1" });
///                 let working = json!({ "state": "TASK_STATE_WORKING" });
///                 let task = json!({ "id": ids["taskId"], "contextId": ids["contextId"], "status": working });
///                 let _ = updates.send(AgentUpdate::Task(task)).await;
///                 // … the work …
///                 let mut done = ids;
///                 done["status"] = json!({ "state": "TASK_STATE_COMPLETED" });
///                 done["message"] = json!({ "role": "ROLE_AGENT", "parts": [{ "text": "Sorted." }] });
///                 let _ = updates.send(AgentUpdate::StatusUpdate(done)).await;
///                 Ok(())
///             });
///             stream.into()
///         }
///         "tasks/get" | "tasks/resubscribe" => AgentResponse::error(&call, AgentError::TASK_NOT_FOUND).into(),
///         "tasks/cancel" => AgentResponse::error(&call, AgentError::TASK_NOT_CANCELABLE).into(),
///         _ => AgentResponse::error(&call, AgentError::METHOD_NOT_FOUND).into(),
///     }
/// }
/// ```
///
/// While there are no updates, a comment every 15 seconds keeps the connection open. On shutdown, a
/// stream counts as a call in progress: it has [`App::shutdown_grace`](crate::App::shutdown_grace)
/// to end.
///
/// Source: <https://developer.atlassian.com/platform/forge/remote-agents-in-jira/#streaming-optional>
pub struct AgentStream {
    id: Json,
    updates: BoxStream<'static, AgentUpdate>,
}

impl fmt::Debug for AgentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl AgentStream {
    /// Creates a response from a stream of updates, which is dropped when Jira closes the connection.
    pub fn new(
        call: &AgentRequest,
        updates: impl Stream<Item = AgentUpdate> + Send + 'static,
    ) -> Self {
        Self {
            id: call.id.clone(),
            updates: updates.boxed(),
        }
    }

    /// Creates a response with a sender for its updates. The response ends when the last sender is dropped.
    pub fn channel(call: &AgentRequest) -> (AgentStreamSender, Self) {
        let (sender, mut receiver) = mpsc::channel(MAX_QUEUED);
        let updates = stream::poll_fn(move |context| receiver.poll_recv(context));
        (AgentStreamSender(sender), Self::new(call, updates))
    }

    pub(super) fn only(id: Json, update: AgentUpdate) -> Self {
        let updates = stream::iter([update]).boxed();
        Self { id, updates }
    }
}

/// Upper bound on the updates queued for a slow connection.
const MAX_QUEUED: usize = 16;

/// The sender of an [`AgentStream`]'s updates.
#[derive(Clone, Debug)]
pub struct AgentStreamSender(mpsc::Sender<AgentUpdate>);

impl AgentStreamSender {
    /// Sends an update. Waits while 16 updates are queued.
    pub async fn send(&self, update: AgentUpdate) -> Result<(), StreamClosed> {
        self.0.send(update).await.map_err(|_| StreamClosed)
    }
}

/// The error of an update sent after the stream was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stream has ended or Jira has closed the connection: store the task's state, Jira requests it with \
     `SubscribeToTask`"
)]
pub struct StreamClosed;

/// An update of a stream, with the names of Agent2Agent 1.0.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AgentUpdate {
    /// A `Task`: `id`, `contextId`, `status`.
    Task(Json),
    /// A `TaskStatusUpdateEvent`: `taskId`, `contextId`, `status`, and a `message`.
    StatusUpdate(Json),
    /// A `TaskArtifactUpdateEvent`: a part of the agent's output.
    ArtifactUpdate(Json),
    /// A `Message`, if there is no task: `role`, `parts`.
    Message(Json),
    /// A complete `result`, for other parts of the protocol, and for version 0.3, which does not wrap results in a
    /// name.
    Other(Json),
    /// An error, which ends the stream.
    Error(AgentError),
}

/// Final task states, in the spelling of both versions.
const LAST_STATES: [&str; 8] = [
    "TASK_STATE_COMPLETED",
    "TASK_STATE_FAILED",
    "TASK_STATE_CANCELED",
    "TASK_STATE_REJECTED",
    "completed",
    "failed",
    "canceled",
    "rejected",
];

impl AgentUpdate {
    /// Returns whether the stream ends after this update.
    fn is_last(&self) -> bool {
        match self {
            Self::Message(_) | Self::Error(_) => true,
            Self::Task(one) | Self::StatusUpdate(one) | Self::Other(one) => {
                let state = one.pointer("/status/state").and_then(Json::as_str);
                state.is_some_and(|state| LAST_STATES.contains(&state))
            }
            Self::ArtifactUpdate(_) => false,
        }
    }

    pub(super) fn into_result(self) -> Result<Json, AgentError> {
        let named = |name: &str, value: Json| {
            Json::Object([(name.to_owned(), value)].into_iter().collect())
        };
        Ok(match self {
            Self::Task(task) => named("task", task),
            Self::StatusUpdate(update) => named("statusUpdate", update),
            Self::ArtifactUpdate(update) => named("artifactUpdate", update),
            Self::Message(message) => named("message", message),
            Self::Other(result) => result,
            Self::Error(error) => return Err(error),
        })
    }
}

impl IntoResponse for AgentStream {
    fn into_response(self) -> Response {
        let events = Events {
            id: self.id,
            updates: Some(self.updates),
            has_started: false,
            span: Span::current(),
        };
        let mut response = Sse::new(events)
            .keep_alive(KeepAlive::default())
            .into_response();
        // Otherwise a proxy may buffer the events.
        let unbuffered = HeaderName::from_static("x-accel-buffering");
        response
            .headers_mut()
            .insert(unbuffered, HeaderValue::from_static("no"));
        response
    }
}

/// A stream of server-sent events.
struct Events {
    id: Json,
    /// `None` after the last update.
    updates: Option<BoxStream<'static, AgentUpdate>>,
    has_started: bool,
    /// The invocation's span, for the agent's logs.
    span: Span,
}

impl Events {
    /// Returns the next update. A stream that panics or has no updates ends with an error.
    fn poll_update(&mut self, context: &mut Context<'_>) -> Poll<Option<AgentUpdate>> {
        let _entered = self.span.enter();
        let Some(updates) = &mut self.updates else {
            return Poll::Ready(None);
        };
        let polled =
            std::panic::catch_unwind(AssertUnwindSafe(|| updates.poll_next_unpin(context)));
        let update = match polled {
            Ok(polled) => ready!(polled),
            Err(_) => {
                tracing::error!("the agent's stream panicked");
                Some(AgentUpdate::Error(AgentError::INTERNAL_ERROR))
            }
        };
        let update = update.or_else(|| {
            self.updates = None;
            if self.has_started {
                return None;
            }
            tracing::error!("the agent's stream ended without an update");
            Some(AgentUpdate::Error(AgentError::INTERNAL_ERROR))
        });
        if let Some(update) = &update {
            let is_invalid_first = matches!(
                update,
                AgentUpdate::StatusUpdate(_) | AgentUpdate::ArtifactUpdate(_)
            );
            if !self.has_started && is_invalid_first {
                tracing::error!("the agent's stream starts with neither a task nor a message");
            }
            if update.is_last() {
                self.updates = None;
            }
        }
        self.has_started = true;
        Poll::Ready(update)
    }
}

impl Stream for Events {
    type Item = Result<Event, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let update = ready!(self.poll_update(context));
        let response = update.map(|update| stream_response(self.id.clone(), update));
        // One line per event, which every parser supports.
        Poll::Ready(response.map(|response| Event::default().json_data(response)))
    }
}

/// Builds one response of a stream.
fn stream_response(id: Json, update: AgentUpdate) -> AgentResponse {
    let outcome = match update.into_result() {
        Ok(result) => Outcome::Result(result),
        Err(error) => Outcome::Error(error),
    };
    AgentResponse::of(id, true, outcome)
}
