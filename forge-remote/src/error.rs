//! A handler's error: what goes into the log, and the little that goes out.

use std::error::Error as StdError;
use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::log::Foreign;
use crate::response;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// `Result` with the framework's [`Error`], which every other error turns into by `?`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A handler's error, in the manner of `anyhow`: `?` takes any error, the caller sees `500` and
/// nothing else, the log gets the whole chain with the Forge trace id.
///
/// Forge sends an event again after any answer but 2xx (up to four times, a minute apart), and
/// shows a page's caller a failed call. So return an error when another try may succeed. For an
/// event that never can (unreadable, unknown to you), log it and return `Ok`.
///
/// A status and a message of your own, for calls from pages:
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
/// assert_eq!(find("two").unwrap_err().status_code(), StatusCode::NOT_FOUND);
/// ```
pub struct Error {
    status: StatusCode,
    /// What the caller may know.
    public: Option<String>,
    source: Option<BoxError>,
}

impl Error {
    /// An error that answers 500 and reveals nothing.
    pub fn new(error: impl Into<BoxError>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self {
            status,
            public: None,
            source: Some(error.into()),
        }
    }

    /// An error with a status and a message that the caller gets to see.
    ///
    /// Forge reserves 401 for an invalid FIT (a page's call then fails with "Remote could not
    /// verify the Forge Invocation Token"), so 401 becomes 403 here. What isn't an error status
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
        }
    }

    /// An error that another try can't mend: an event that is unreadable, or about something that
    /// is gone. It is logged as an error and answered 204, so that Forge doesn't send it again.
    ///
    /// For what Forge sends again only: events, queues, post functions. Elsewhere it is a success
    /// without an answer, which is hardly what an error should be:
    ///
    /// - a hook of `data_residency`: yes, go on (answer a `ResidencyFailure`);
    /// - a page's call: the page sees 204 and no reason (answer [`Error::http`]);
    /// - a merge check, an action, a JQL function, a pipeline, a provider, a static macro, an agent,
    ///   a web trigger: an answer that Forge can't read, of which it makes what it likes. Their own
    ///   types have a way to say no (`MergeCheckResponse::fail`, `JqlFunctionResponse::error`, …);
    /// - a schedule: no repetition, if Forge makes any. Its pages disagree: one gives events and
    ///   scheduled triggers at a remote 4 retries, another says of functions that a failed run isn't
    ///   repeated before the next is due. So a schedule's handler does no harm when it runs twice;
    /// - `pre_uninstall`: as [`Error::new`], but for the status: Forge reads no answer.
    ///
    /// Sources for schedules: <https://developer.atlassian.com/platform/forge/remote/essentials/>,
    /// <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// #[trigger(events = ["avi:jira:updated:issue"])]
    /// async fn follow(Event(event): Event) -> Result<()> {
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
        }
    }

    /// What caused it, for the log.
    #[must_use]
    pub fn with_source(mut self, cause: impl Into<BoxError>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// The status it answers with.
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

/// As `main` prints it: the error, then what caused it, line by line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let mut cause = match (&self.public, &self.source) {
            (Some(_), Some(source)) => Some(source.as_ref() as &dyn StdError),
            (None, Some(source)) => source.source(),
            _ => None,
        };
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
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
                "the handler gave up: Forge is told not to try again"
            );
        } else {
            tracing::info!(status, %error, "the handler refused the call");
        }
        match &self.public {
            None if self.status.is_success() => self.status.into_response(),
            Some(message) => {
                response::json_error(self.status, response::code_of(self.status), message)
            }
            None => response::internal_error(),
        }
    }
}

/// The causes of an error, as `: this: that`.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
