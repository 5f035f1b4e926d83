//! An agent's answers as a stream of server-sent events.

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

/// What an agent answers to a call that [wants a stream](AgentRequest::wants_stream): one update after
/// the other, each as soon as it is there (server-sent events).
///
/// The first is a task or a message. After a message, an error, or a task's last state
/// (`TASK_STATE_COMPLETED`, `TASK_STATE_FAILED`, `TASK_STATE_CANCELED`, `TASK_STATE_REJECTED`) the
/// stream ends by itself, as Atlassian demands. Jira waits 15 minutes for the end, and comes back
/// with `SubscribeToTask` when the connection breaks: so the work belongs into a task of its own,
/// and the stream only tells of it.
///
/// ```
/// use forge_remote::kinds::{AgentResponse, AgentRequest, AgentError, AgentReply, AgentStream, AgentUpdate};
/// use forge_remote::prelude::*;
/// use serde_json::json;
///
/// /// Sorts what comes in.
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
/// While nothing is said, a comment every 15 seconds keeps the connection. A stream counts as a
/// call under way when the server stops: it has
/// [`App::shutdown_grace`](crate::App::shutdown_grace) to end.
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
    /// The updates of this stream, which is dropped when Jira hangs up.
    pub fn new(
        call: &AgentRequest,
        updates: impl Stream<Item = AgentUpdate> + Send + 'static,
    ) -> Self {
        Self {
            id: call.id.clone(),
            updates: updates.boxed(),
        }
    }

    /// Updates that are sent from elsewhere: it ends when the last sender is dropped.
    pub fn channel(call: &AgentRequest) -> (AgentStreamSender, Self) {
        let (sender, mut receiver) = mpsc::channel(QUEUED);
        let updates = stream::poll_fn(move |context| receiver.poll_recv(context));
        (AgentStreamSender(sender), Self::new(call, updates))
    }

    pub(super) fn only(id: Json, update: AgentUpdate) -> Self {
        let updates = stream::iter([update]).boxed();
        Self { id, updates }
    }
}

/// So many updates wait for a slow connection before their sender does.
const QUEUED: usize = 16;

/// Where the updates of an [`AgentStream`] are sent.
#[derive(Clone, Debug)]
pub struct AgentStreamSender(mpsc::Sender<AgentUpdate>);

impl AgentStreamSender {
    /// Sends one; waits while 16 are under way.
    pub async fn send(&self, update: AgentUpdate) -> Result<(), StreamClosed> {
        self.0.send(update).await.map_err(|_| StreamClosed)
    }
}

/// Nobody hears the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stream has ended, or Jira has hung up: keep the task's state, it asks again with `SubscribeToTask`"
)]
pub struct StreamClosed;

/// One answer of a stream; the names are Agent2Agent's, version 1.0.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AgentUpdate {
    /// A `Task`: `id`, `contextId`, `status`.
    Task(Json),
    /// A `TaskStatusUpdateEvent`: `taskId`, `contextId`, `status`, and a `message`.
    StatusUpdate(Json),
    /// A `TaskArtifactUpdateEvent`: a piece of what the agent makes.
    ArtifactUpdate(Json),
    /// A `Message`, where there is no task: `role`, `parts`.
    Message(Json),
    /// A whole `result`, for what else the protocol has: version 0.3 has no names around.
    Other(Json),
    /// Why there is nothing more.
    Error(AgentError),
}

/// In either version's spelling.
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
    /// Whether nothing can follow.
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
            begun: false,
            span: Span::current(),
        };
        let mut response = Sse::new(events)
            .keep_alive(KeepAlive::default())
            .into_response();
        // Or a proxy in front collects them.
        let unbuffered = HeaderName::from_static("x-accel-buffering");
        response
            .headers_mut()
            .insert(unbuffered, HeaderValue::from_static("no"));
        response
    }
}

/// The events on the wire.
struct Events {
    id: Json,
    /// Until the last.
    updates: Option<BoxStream<'static, AgentUpdate>>,
    begun: bool,
    /// The invocation's, for what the agent logs meanwhile.
    span: Span,
}

impl Events {
    /// The next update; a stream that panics or never says anything ends with an error.
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
            if self.begun {
                return None;
            }
            tracing::error!("the agent's stream ended without an update");
            Some(AgentUpdate::Error(AgentError::INTERNAL_ERROR))
        });
        if let Some(update) = &update {
            let first = matches!(
                update,
                AgentUpdate::StatusUpdate(_) | AgentUpdate::ArtifactUpdate(_)
            );
            if !self.begun && first {
                tracing::error!("the agent's stream begins with neither a task nor a message");
            }
            if update.is_last() {
                self.updates = None;
            }
        }
        self.begun = true;
        Poll::Ready(update)
    }
}

impl Stream for Events {
    type Item = Result<Event, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let update = ready!(self.poll_update(context));
        let answer = update.map(|update| in_stream(self.id.clone(), update));
        // On one line each: every reader understands that.
        Poll::Ready(answer.map(|answer| Event::default().json_data(answer)))
    }
}

/// One response of a stream.
fn in_stream(id: Json, update: AgentUpdate) -> AgentResponse {
    let outcome = match update.into_result() {
        Ok(result) => Outcome::Result(result),
        Err(error) => Outcome::Error(error),
    };
    AgentResponse::of(id, true, outcome)
}
