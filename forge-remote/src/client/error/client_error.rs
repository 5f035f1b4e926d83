//! What can go wrong with a call, and what to do about it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;

use super::graphql::{self, GraphQlError};
use super::operation::Operation;
use super::status::StatusError;
use super::text::{trace, tries};
use crate::client::api::Api;
use crate::token::TokenError;

/// Why a call failed.
///
/// Its text names the API, the method and the path with `{}` for what varies, Atlassian's own
/// messages, its trace id, and what to do; no token, no query, no body. Atlassian's messages are a
/// few lines in its own words, and some quote what was sent (a field's value, a JQL): what must not
/// be in a log at all is told by [`status`](Self::status), [`StatusError::code`] and
/// [`trace_id`](Self::trace_id) instead.
///
/// As a handler's error it answers 500, and Forge tries an event again.
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
    /// The installation has no such product.
    #[error(
        "{api}: the installation has no such product, or Forge gave no base URL for it (it has: \
         {present}); is the app installed there?"
    )]
    NotInstalled {
        /// The API that was wanted.
        api: Api,
        /// The products there are.
        present: String,
    },

    /// The installation is in an isolated cloud whose addresses the app doesn't have. Nothing was
    /// sent.
    #[error(
        "{api}: the installation is in the isolated cloud `{label}`, and {problem}: give its addresses \
         to `App::isolated_cloud`, or to `AtlassianClient::isolated_cloud` in a program without an app"
    )]
    IsolatedCloud {
        /// The API that was wanted.
        api: Api,
        /// The cloud's label.
        label: String,
        /// What the app doesn't have.
        problem: &'static str,
    },

    /// The token isn't for the place that would be called. Nothing was sent.
    #[error("{api}: nothing was sent, for {reason}")]
    WrongToken {
        /// The API that was wanted.
        api: Api,
        /// Why not.
        reason: &'static str,
    },

    /// The token came with a page's call, a web trigger's or an agent's, and is not proven to be this
    /// installation's, where the token alone names the tenant. Nothing was sent there. See
    /// [`SystemToken`](crate::SystemToken#on-a-pages-call).
    #[error(
        "{api}: nothing was sent, for the token came in a header that anybody may have written and is \
         not proven to be this installation's: {reason}. {fix}"
    )]
    UnprovenToken {
        /// The API that was wanted.
        api: Api,
        /// Why it is not proven.
        reason: &'static str,
        /// What to do.
        fix: &'static str,
        /// Why Atlassian could not be asked, where it could not.
        #[source]
        source: Option<Arc<ClientError>>,
    },

    /// The token would have gone to a host that isn't Atlassian's. Nothing was sent.
    #[error(
        "{call}: refused to send the token to {origin}: {reason}. Configure Atlassian's staging or an \
         isolated cloud with `App::staging_cloud` or `App::isolated_cloud`"
    )]
    HostRefused {
        /// The call.
        call: Operation,
        /// Scheme, host and port.
        origin: String,
        /// Why not.
        reason: &'static str,
    },

    /// The call can't be made as it was described. Nothing was sent.
    #[error("{call}: {reason}")]
    Invalid {
        /// The call.
        call: Operation,
        /// What is wrong with it.
        reason: String,
    },

    /// No answer came.
    #[error("{call}: {reason}{}", tries(*attempts))]
    NoAnswer {
        /// The call.
        call: Operation,
        /// What happened.
        reason: &'static str,
        /// How often it was tried.
        attempts: u32,
        /// The cause, without the URL.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },

    /// The answer is not a success.
    #[error(transparent)]
    Status(Box<StatusError>),

    /// An answer came that is a success by its status and can't be used as a whole: too large,
    /// broken off, or a page that doesn't say how to go on. What was asked for may have been done.
    #[error("{call}: the answer ({status}) can't be used: {reason}{}{}", trace(trace_id.as_deref()), tries(*attempts))]
    Unusable {
        /// The call.
        call: Operation,
        /// The answer's status.
        status: StatusCode,
        /// Atlassian's trace id.
        trace_id: Option<String>,
        /// Why not.
        reason: String,
        /// How often it was tried.
        attempts: u32,
        /// The cause, where there is one, without the URL.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },

    /// The answer's body doesn't fit.
    #[error("{call}: the answer ({status}) does not fit {wanted}: {reason}{}", trace(trace_id.as_deref()))]
    Unreadable {
        /// The call.
        call: Operation,
        /// The answer's status.
        status: StatusCode,
        /// The type that was wanted.
        wanted: &'static str,
        /// Atlassian's trace id.
        trace_id: Option<String>,
        /// Where it doesn't fit.
        reason: String,
    },

    /// A GraphQL answer with errors in it.
    #[error("{call}: {}{}", graphql::told(errors), trace(trace_id.as_deref()))]
    GraphQl {
        /// The call.
        call: Operation,
        /// The errors.
        errors: Vec<GraphQlError>,
        /// Atlassian's trace id.
        trace_id: Option<String>,
    },

    /// The app's token could not be had. Nothing was sent.
    #[error("no token to act as the app: {0}")]
    Token(#[source] TokenError),

    /// The user's token could not be had, for this caller and those who waited with it.
    #[error("no token to act as the user: {0}")]
    Impersonation(#[source] Arc<ClientError>),
}

impl ClientError {
    /// The answer's status, where one came. In GraphQL's, which is 200, the errors' own counts.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(error) => Some(error.status),
            Self::Unreadable { status, .. } | Self::Unusable { status, .. } => Some(*status),
            Self::GraphQl { errors, .. } => {
                graphql::status(errors).and_then(|code| StatusCode::from_u16(code).ok())
            }
            Self::Impersonation(error)
            | Self::UnprovenToken {
                source: Some(error),
                ..
            } => error.status(),
            _ => None,
        }
    }

    /// Whether the answer was 404.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// The answer, where it is not a success.
    pub fn answer(&self) -> Option<&StatusError> {
        match self {
            Self::Status(error) => Some(error),
            Self::Impersonation(error)
            | Self::UnprovenToken {
                source: Some(error),
                ..
            } => error.answer(),
            _ => None,
        }
    }

    /// Atlassian's trace id: quote it to their support.
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Status(error) => error.trace_id(),
            Self::Unreadable { trace_id, .. }
            | Self::Unusable { trace_id, .. }
            | Self::GraphQl { trace_id, .. } => trace_id.as_deref(),
            Self::Impersonation(error)
            | Self::UnprovenToken {
                source: Some(error),
                ..
            } => error.trace_id(),
            _ => None,
        }
    }

    /// How long Atlassian asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.answer()?.retry_after()
    }
}
