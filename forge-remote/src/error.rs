//! A handler's error. Its causes are logged; the caller gets a status and, optionally, a message.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use forge_remote_fit::__private::causes;
pub(crate) use forge_remote_fit::__private::chain;

use crate::log::Foreign;
use crate::response;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// A `Result` with the framework's [`Error`], to which `?` converts every other error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A handler's error, as in `anyhow`: `?` converts any error.
///
/// The caller sees `500` and nothing else; the whole chain is logged with the Forge trace id.
///
/// Forge retries an event after any response but 2xx (up to four times, a minute apart), and a
/// page's call fails. So return an error when a retry may succeed, and [`Error::permanent`] if an
/// event can never succeed (unreadable, or unknown to the app).
///
/// For calls from pages, an error can have its own status and message:
///
/// ```
/// use forge_remote::{Error, Result};
/// use forge_remote::http::StatusCode;
///
/// fn find(name: &str) -> Result<u32> {
///     let known: std::collections::BTreeMap<&str, u32> = [("one", 1)].into();
///     known.get(name).copied().ok_or_else(|| Error::http(StatusCode::NOT_FOUND, "no such thing"))
/// }
///
/// assert_eq!(find("two").unwrap_err().status(), StatusCode::NOT_FOUND);
/// ```
pub struct Error {
    status: StatusCode,
    /// The message for the caller.
    public: Option<String>,
    source: Option<BoxError>,
    /// When a durable handler runs again.
    retry_after: Option<Duration>,
}

/// A handler's error, as an extension of its response: it decides the outcome of a durable call.
#[derive(Clone)]
pub(crate) struct HandlerFailure {
    pub(crate) error: Arc<Error>,
}

impl HandlerFailure {
    /// Returns whether a retry cannot succeed.
    pub(crate) fn is_permanent(&self) -> bool {
        self.error.status.is_success()
    }

    /// Returns the pause that the handler chose.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.error.retry_after
    }

    /// Returns the first cause of this type.
    pub(crate) fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        let source = self.error.source.as_deref();
        let mut cause = source.map(|source| source as &(dyn StdError + 'static));
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl Error {
    /// Creates an error whose response is 500 and reveals nothing.
    pub fn new(error: impl Into<BoxError>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self {
            status,
            public: None,
            source: Some(error.into()),
            retry_after: None,
        }
    }

    /// Creates an error after which a [durable](crate::jobs) handler is retried after this pause, instead of
    /// its `backoff`. The attempt counts. For other handlers it is [`Error::new`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote::prelude::*;
    ///
    /// #[trigger(events = ["avi:jira:created:issue"], durable)]
    /// async fn copy(Event(_created): Event) -> Result<()> {
    ///     Err(Error::retry_after(Duration::from_secs(3600), "the archive is closed until the full hour"))
    /// }
    /// ```
    pub fn retry_after(pause: Duration, error: impl Into<BoxError>) -> Self {
        Self {
            retry_after: Some(pause),
            ..Self::new(error)
        }
    }

    /// Creates an error with a status and a message that the caller sees.
    ///
    /// Forge reserves 401 for an invalid FIT (a page's call then fails with "Remote could not
    /// verify the Forge Invocation Token"), so 401 becomes 403 here. A status that isn't an error
    /// becomes 500.
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/>
    pub fn http(status: StatusCode, message: impl Into<String>) -> Self {
        let status = match status {
            StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
            status if status.is_client_error() || status.is_server_error() => status,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            public: Some(message.into()),
            source: None,
            retry_after: None,
        }
    }

    /// Creates an error that a retry cannot fix: an event that is unreadable, or about something that
    /// is gone. It is logged as an error, and the response is 204, so that Forge doesn't retry.
    ///
    /// The stored call of a [durable](crate::jobs) handler is then dead, with the error as its reason.
    ///
    /// Use it only for calls that Forge retries: events, queues, post functions. For other calls 204
    /// is a success with an empty body:
    ///
    /// - a hook of `data_residency`: the move continues (return a `ResidencyFailure` instead);
    /// - a page's call: the page sees 204 and no reason (return [`Error::http`] instead);
    /// - a merge check, an action, a JQL function, a pipeline, a provider, a static macro, an agent,
    ///   a web trigger: Forge cannot read the response, and its reaction is undocumented. Their own
    ///   types express a failure (`MergeCheckResponse::fail`, `JqlFunctionResponse::error`, …);
    /// - a schedule: Forge does not retry it, if it retries schedules at all: one page of
    ///   Atlassian's documentation lists 4 retries for scheduled triggers of a remote, another says
    ///   that a function's failed run is not retried. So write a schedule's handler to be
    ///   idempotent;
    /// - `pre_uninstall`: the same as [`Error::new`] except for the status, because Forge ignores
    ///   the response.
    ///
    /// Sources for schedules: <https://developer.atlassian.com/platform/forge/remote/essentials/>,
    /// <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// #[trigger(events = ["avi:jira:updated:issue"])]
    /// async fn update_copy(Event(event): Event) -> Result<()> {
    ///     if event.get("issue").is_none() {
    ///         return Err(Error::permanent("an update without an issue"));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            public: None,
            source: Some(error.into()),
            retry_after: None,
        }
    }

    /// Sets the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, cause: impl Into<BoxError>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Returns the response's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl<E: Into<BoxError>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.public, &self.source) {
            (Some(public), _) => f.write_str(public),
            (None, Some(source)) => source.fmt(f),
            (None, None) => f.write_str("unknown error"),
        }
    }
}

/// Writes the error and its causes, line by line, as `main` prints them.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let Some(source) = &self.source else {
            return Ok(());
        };
        let hidden = self.public.as_ref().map(|_| source.to_string());
        for cause in hidden.into_iter().chain(causes(&**source)) {
            write!(f, "\n  caused by: {cause}")?;
        }
        Ok(())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let causes = self
            .source
            .as_deref()
            .map(|source| format!("{source}{}", chain(source)));
        let (status, error) = (self.status.as_u16(), causes.or_else(|| self.public.clone()));
        let error = error.unwrap_or_default();
        // A handler's error may quote the caller.
        let error = Foreign(&error);
        if self.status.is_server_error() {
            tracing::error!(status, %error, "the handler failed");
        } else if self.status.is_success() {
            tracing::error!(
                status,
                %error,
                "the handler failed permanently: Forge does not retry the call"
            );
        } else {
            tracing::info!(status, %error, "the handler rejected the call");
        }
        let mut response = match &self.public {
            None if self.status.is_success() => self.status.into_response(),
            Some(message) => {
                response::json_error(self.status, response::code_of(self.status), message)
            }
            None => response::internal_error(),
        };
        let error = Arc::new(self);
        response.extensions_mut().insert(HandlerFailure { error });
        response
    }
}
