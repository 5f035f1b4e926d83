//! The responses of an agent's handler.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::agent_bodies::{AgentRequest, AgentResponse, Outcome};
use super::agent_stream::{AgentStream, AgentUpdate};
use crate::extract::rejection::BodyRejection;
use crate::extract::{Json, whole_body};
use crate::log::{self, Foreign, Permit};
use crate::response;

/// Why [`AgentRequest`] rejected a body.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentRejection {
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] BodyRejection),
    /// The body is not a JSON-RPC request: the response is a JSON-RPC error, with status 200.
    #[error("the body is not a JSON-RPC request")]
    NotJsonRpc(AgentResponse),
}

impl AgentRejection {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body(rejection) => rejection.status(),
            Self::NotJsonRpc(_) => StatusCode::OK,
        }
    }

    /// Returns the message in the response's body.
    pub fn body_text(&self) -> String {
        match self {
            Self::Body(rejection) => rejection.body_text(),
            Self::NotJsonRpc(response) => match &response.outcome {
                Outcome::Error(error) => error.message.to_string(),
                Outcome::Result(_) => String::new(),
            },
        }
    }
}

impl IntoResponse for AgentRejection {
    fn into_response(self) -> Response {
        let response = match self {
            Self::Body(rejection) => return rejection.into_response(),
            Self::NotJsonRpc(response) => response,
        };
        if let Outcome::Error(error) = &response.outcome
            && let Some(Permit { suppressed }) = log::permit("not_json_rpc")
        {
            tracing::warn!(
                code = error.code,
                suppressed,
                "the body is not a JSON-RPC request: {}",
                Foreign(&error.message)
            );
        }
        response.into_response()
    }
}

impl<S: Send + Sync> FromRequest<S> for AgentRequest {
    type Rejection = AgentRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, AgentRejection> {
        let body = whole_body(request, state).await?;
        Self::read(&body).map_err(AgentRejection::NotJsonRpc)
    }
}

impl IntoResponse for AgentResponse {
    fn into_response(self) -> Response {
        match self.outcome {
            Outcome::Error(error) if self.streamed => {
                AgentStream::only(self.id, AgentUpdate::Error(error)).into_response()
            }
            Outcome::Result(_) if self.streamed => {
                tracing::error!(
                    "the agent returned a single response, but the call requires a stream: return an `AgentStream`, or remove `streaming`"
                );
                response::internal_error()
            }
            _ => Json(self).into_response(),
        }
    }
}

/// An [`AgentResponse`] or an [`AgentStream`], for agents that return both.
#[derive(Debug)]
pub enum AgentReply {
    /// A single response.
    Response(AgentResponse),
    /// A stream of updates.
    Stream(AgentStream),
}

impl From<AgentResponse> for AgentReply {
    fn from(response: AgentResponse) -> Self {
        Self::Response(response)
    }
}

impl From<AgentStream> for AgentReply {
    fn from(stream: AgentStream) -> Self {
        Self::Stream(stream)
    }
}

impl IntoResponse for AgentReply {
    fn into_response(self) -> Response {
        match self {
            Self::Response(response) => response.into_response(),
            Self::Stream(stream) => stream.into_response(),
        }
    }
}
