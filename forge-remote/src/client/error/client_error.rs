//! The error type of outgoing calls.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;

use super::graphql::{self, GraphQlError};
use super::operation::Operation;
use super::status::StatusError;
use super::text::{trace, tries};
use crate::client::api::Api;
use crate::token::TokenError;

/// The error of a call to an Atlassian API.
///
/// Its message names the API, the method, the path with `{}` for variable segments, Atlassian's own
/// messages, its trace id, and the fix. It contains no token, query or body. Some of Atlassian's
/// messages quote the request (a field's value, JQL): if that must not be logged, use
/// [`status`](Self::status), [`StatusError::code`] and [`trace_id`](Self::trace_id) instead.
///
/// Returned from a handler, it becomes a 500 response, and Forge retries an event.
///
/// ```
/// use forge_remote::client::ClientError;
/// use forge_remote::prelude::*;
/// # use forge_remote::path;
/// # #[derive(serde::Deserialize)] struct Issue;
///
/// async fn find(call: &Invocation, token: &SystemToken, key: &str) -> Result<Option<Issue>> {
///     let jira = call.jira().as_app(token);
///     match jira.get(path!("/rest/api/3/issue/{}", key)).fetch().await {
///         Err(error) if error.is_not_found() => Ok(None),
///         other => Ok(Some(other?)),
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The installation does not have this product.
    #[error(
        "{api}: the installation does not have this product, or Forge sent no base URL for it (it has: \
         {present}): install the app in the product"
    )]
    NotInstalled {
        /// The requested API.
        api: Api,
        /// The products of the installation.
        present: String,
    },

    /// The installation is in an isolated cloud whose URLs are not configured. Nothing was sent.
    #[error(
        "{api}: the installation is in the isolated cloud `{label}`, and {problem}: configure its URLs \
         with `App::isolated_cloud`, or with `AtlassianClient::isolated_cloud` in a program without an app"
    )]
    IsolatedCloud {
        /// The requested API.
        api: Api,
        /// The cloud's label.
        label: String,
        /// The missing configuration.
        problem: &'static str,
    },

    /// The token is not valid for the called installation or product. Nothing was sent.
    #[error("{api}: nothing was sent, because {reason}")]
    WrongToken {
        /// The requested API.
        api: Api,
        /// The reason.
        reason: &'static str,
    },

    /// The token is not proven to belong to this installation or, for a user's token, to the call's user,
    /// and the API identifies the installation or the user by the token alone.
    ///
    /// The token came with the call of a page, a web trigger or an agent. Nothing was sent with it. See
    /// [`SystemToken`](crate::SystemToken#on-a-pages-call).
    #[error(
        "{api}: nothing was sent, because the token is not proven to belong to this call's installation or user (its \
         header may be forged): {reason}. {fix}"
    )]
    UnprovenToken {
        /// The requested API.
        api: Api,
        /// The reason why it is not proven.
        reason: &'static str,
        /// The fix.
        fix: &'static str,
        /// The error of the verification request, if it failed.
        #[source]
        source: Option<Arc<ClientError>>,
    },

    /// The request's host must not receive tokens. Nothing was sent.
    #[error(
        "{call}: the token must not be sent to {origin}: {reason}. Configure Atlassian's staging or an \
         isolated cloud with `App::staging_cloud` or `App::isolated_cloud`"
    )]
    HostRejected {
        /// The call.
        call: Operation,
        /// The URL's scheme, host and port.
        origin: String,
        /// The reason.
        reason: &'static str,
    },

    /// The request is not valid. Nothing was sent.
    #[error("{call}: {reason}")]
    Invalid {
        /// The call.
        call: Operation,
        /// The problem.
        reason: String,
    },

    /// There was no response.
    #[error("{call}: {reason}{}", tries(*attempts))]
    NoResponse {
        /// The call.
        call: Operation,
        /// The reason.
        reason: &'static str,
        /// Number of attempts.
        attempts: u32,
        /// The cause, without the URL.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },

    /// The response has an error status.
    #[error(transparent)]
    Status(Box<StatusError>),

    /// The response's status is a success, but the response cannot be used.
    ///
    /// The body is too large, was truncated, or is a page of a listing without a cursor. Atlassian
    /// may have performed the operation.
    #[error("{call}: the response ({status}) cannot be used: {reason}{}{}", trace(trace_id.as_deref()), tries(*attempts))]
    Unusable {
        /// The call.
        call: Operation,
        /// The response's status.
        status: StatusCode,
        /// Atlassian's trace id.
        trace_id: Option<String>,
        /// The reason.
        reason: String,
        /// Number of attempts.
        attempts: u32,
        /// The cause, if there is one, without the URL.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },

    /// The response's body cannot be deserialized.
    #[error("{call}: the response ({status}) cannot be read as {wanted}: {reason}{}", trace(trace_id.as_deref()))]
    Unreadable {
        /// The call.
        call: Operation,
        /// The response's status.
        status: StatusCode,
        /// The requested type.
        wanted: &'static str,
        /// Atlassian's trace id.
        trace_id: Option<String>,
        /// The problem and its position.
        reason: String,
    },

    /// The GraphQL response contains errors.
    #[error("{call}: {}{}", graphql::describe(errors), trace(trace_id.as_deref()))]
    GraphQl {
        /// The call.
        call: Operation,
        /// The errors.
        errors: Vec<GraphQlError>,
        /// Atlassian's trace id.
        trace_id: Option<String>,
    },

    /// The installation's admin has not granted a scope that the call needs, and that the handler
    /// declares. Nothing was sent.
    ///
    /// Only an app with [`App::app_managed_permissions`](crate::App::app_managed_permissions) checks it.
    #[error(
        "{call}: nothing was sent, because the installation's admin has not granted the scope `{scope}` of the \
         handler `{handler}` yet: skip the call until the admin approves the new scopes; check with \
         `call.permissions(&token).has_scope(\"{scope}\")`"
    )]
    ScopeNotGranted {
        /// The call.
        call: Operation,
        /// The handler's function.
        handler: &'static str,
        /// The scope.
        scope: &'static str,
    },

    /// The installation's permissions cannot be fetched, or could not be a moment ago. Callers that
    /// waited for the same request share the error.
    #[error("the installation's permissions cannot be fetched: {0}")]
    Permissions(#[source] Arc<ClientError>),

    /// There is no token to act as the app. Nothing was sent.
    #[error("no token to act as the app: {0}")]
    Token(#[source] TokenError),

    /// The exchange for a user's token failed. Callers that waited for the same exchange share the error.
    #[error("no token to act as the user: {0}")]
    Impersonation(#[source] Arc<ClientError>),
}

impl ClientError {
    /// Returns the response's status, if there was a response.
    ///
    /// A GraphQL response has status 200: this returns the status of its errors instead.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(error) => Some(error.status),
            Self::Unreadable { status, .. } | Self::Unusable { status, .. } => Some(*status),
            Self::GraphQl { errors, .. } => {
                graphql::status(errors).and_then(|code| StatusCode::from_u16(code).ok())
            }
            Self::Impersonation(error)
            | Self::Permissions(error)
            | Self::UnprovenToken {
                source: Some(error),
                ..
            } => error.status(),
            _ => None,
        }
    }

    /// Returns whether the response was a 404.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Returns the error response.
    pub fn status_error(&self) -> Option<&StatusError> {
        match self {
            Self::Status(error) => Some(error),
            Self::Impersonation(error)
            | Self::Permissions(error)
            | Self::UnprovenToken {
                source: Some(error),
                ..
            } => error.status_error(),
            _ => None,
        }
    }

    /// Returns Atlassian's trace id, for requests to their support.
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Status(error) => error.trace_id(),
            Self::Unreadable { trace_id, .. }
            | Self::Unusable { trace_id, .. }
            | Self::GraphQl { trace_id, .. } => trace_id.as_deref(),
            Self::Impersonation(error)
            | Self::Permissions(error)
            | Self::UnprovenToken {
                source: Some(error),
                ..
            } => error.trace_id(),
            _ => None,
        }
    }

    /// Returns the wait that Atlassian demands (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.status_error()?.retry_after()
    }
}
