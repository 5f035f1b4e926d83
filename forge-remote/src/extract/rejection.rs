//! The rejections of the extractors: one type for each, as in [`axum::extract::rejection`].
//!
//! A handler that takes an argument lets the framework send the rejection as the response. One that
//! takes a `Result` decides itself:
//!
//! ```
//! use forge_remote::prelude::*;
//! use forge_remote::rejection::{JsonRejection, OauthTokenRejection};
//!
//! #[derive(serde::Deserialize)]
//! struct Note { text: String }
//!
//! #[endpoint(auth = user)]
//! async fn add(
//!     token: Result<UserToken, OauthTokenRejection>,
//!     note: Result<Json<Note>, JsonRejection>,
//! ) -> Result<StatusCode> {
//!     let Ok(Json(note)) = note else {
//!         return Err(Error::http(StatusCode::UNPROCESSABLE_ENTITY, "a note has a text"));
//!     };
//!     let _ = (token, note.text);
//!     Ok(StatusCode::CREATED)
//! }
//! ```
//!
//! Each has `status()` and `body_text()`, and becomes a JSON response, since a page's `invokeRemote`
//! [accepts nothing else](crate::kinds::Endpoint#the-response) from a failing call. A rejection is logged when it becomes a response, at most ten times a minute
//! for each kind of rejection.

use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::log::{self, Permit};
use crate::response::{self, INTERNAL_ERROR};

/// Why a request's body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyRejection {
    /// 413: the body is over the handler's `body_limit`, or over
    /// [`App::body_limit`](crate::App::body_limit).
    #[error("the body is too large")]
    TooLarge,
    /// 400 or 500: the connection ended early, or the body took longer than
    /// [`App::body_timeout`](crate::App::body_timeout).
    #[error("the body could not be read completely")]
    Incomplete(StatusCode),
}

impl BodyRejection {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete(status) => *status,
        }
    }

    /// Returns the message in the response's body.
    pub fn body_text(&self) -> String {
        self.to_string()
    }
}

/// Why [`Json`](crate::Json) or [`Event`](crate::Event) rejected a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonRejection {
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] BodyRejection),
    /// 415: a page's request has another content type.
    #[error("the body must be JSON: send `Content-Type: application/json`")]
    ContentType,
    /// 400: the body is empty.
    #[error("the body is empty, but JSON is expected")]
    Empty,
    /// 400: the body is not JSON.
    #[error("the body is not JSON, at line {line} column {column}")]
    Syntax {
        /// The line of the fault, from 1.
        line: usize,
        /// The column of the fault, from 1.
        column: usize,
    },
    /// 422: the JSON does not have the expected shape. The text may quote the body.
    #[error("the JSON body does not have the expected shape: {0}")]
    Data(String),
}

impl JsonRejection {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body(rejection) => rejection.status(),
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Empty | Self::Syntax { .. } => StatusCode::BAD_REQUEST,
            Self::Data(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// Returns the message in the response's body.
    pub fn body_text(&self) -> String {
        self.to_string()
    }
}

/// Why [`SystemToken`](crate::SystemToken) or [`UserToken`](crate::UserToken) rejected a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OauthTokenRejection {
    /// 500: Forge sent no token.
    #[error("Forge sent no `{header}`: {fix}")]
    Missing {
        /// The header's name.
        header: HeaderName,
        /// The fix, in the manifest or the handler.
        fix: &'static str,
    },
    /// 400: the header does not hold exactly one token.
    #[error("`{header}` must hold exactly one token")]
    Malformed {
        /// The header's name.
        header: HeaderName,
    },
    /// 500: the request was not verified.
    #[error(transparent)]
    Unverified(#[from] InvocationRejection),
}

impl OauthTokenRejection {
    pub(super) const SYSTEM_FIX: &'static str = "the manifest's endpoint must enable `auth.appSystemToken`, and `permissions.scopes` needs a \
     scope besides `read:app-system-token` and `read:app-user-token`; `manifest --write` adds \
     both; then deploy the app and upgrade the installation. A page's `requestRemote` brings no token: \
     use `invokeRemote`. A function's call brings the tokens of `remotes[].auth`: serve it with `#[function_call]`, at another path";

    pub(super) const USER_FIX: &'static str = "the manifest's endpoint must enable `auth.appUserToken`, `permissions.scopes` needs a scope \
     for user data, and a user must be in session: calls by `requestRemote` (use `invokeRemote`), anonymous visitors \
     and the platform itself have no user token; take `Option<UserToken>` to handle such calls. A function's call brings \
     the tokens of `remotes[].auth`: serve it with `#[function_call]`, at another path";

    pub(super) const FUNCTION_SYSTEM_FIX: &'static str = "the manifest's remote must enable `auth.appSystemToken` (`remotes[].auth`, not \
     an endpoint's), and `permissions.scopes` needs a scope besides `read:app-system-token` and `read:app-user-token`; \
     `manifest --write` adds both; then deploy the app and upgrade the installation: a new token needs its admin's consent";

    pub(super) const FUNCTION_USER_FIX: &'static str = "the manifest's remote must enable `auth.appUserToken` (`remotes[].auth`, not an \
     endpoint's), `permissions.scopes` needs a scope for user data, and a user must be in session: functions of \
     triggers, schedules and queues have none; take `Option<UserToken>` to handle such calls";

    pub(super) const FORMER_FIX: &'static str = "an older major version of the app called its own path (`also_at`), and that version's \
     endpoint does not request the token, which no new manifest changes: take an `Option` of the token until no \
     installation is on that version";

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::Missing { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unverified(rejection) => rejection.status(),
        }
    }

    /// Returns the message in the response's body.
    pub fn body_text(&self) -> String {
        match self {
            Self::Malformed { .. } => self.to_string(),
            Self::Missing { .. } => INTERNAL_ERROR.to_owned(),
            Self::Unverified(rejection) => rejection.body_text(),
        }
    }
}

/// The rejection of [`Invocation`](crate::Invocation) on a route that is not a handler's, where
/// nothing is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`Invocation` or a Forge token was taken on a route that forge-remote did not mount, so nothing is \
     verified there: annotate the handler with `#[endpoint]`"
)]
#[non_exhaustive]
pub struct InvocationRejection;

impl InvocationRejection {
    /// Returns the status of the response: 500.
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// Returns the message in the response's body.
    pub fn body_text(&self) -> String {
        INTERNAL_ERROR.to_owned()
    }
}

/// The rejection of [`State`](crate::State) and similar extractors: the app does not have the
/// value.
///
/// Arguments of handlers are checked at launch, so this occurs only if one extractor calls another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the app has no `{missing}`: {fix}")]
#[non_exhaustive]
pub struct StateRejection {
    missing: &'static str,
    fix: &'static str,
}

impl StateRejection {
    pub(crate) const fn new(missing: &'static str, fix: &'static str) -> Self {
        Self { missing, fix }
    }

    /// Returns the status of the response: 500.
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// Returns the message in the response's body.
    pub fn body_text(&self) -> String {
        INTERNAL_ERROR.to_owned()
    }
}

/// Why [`Args`](crate::jobs::Args) rejected the stored arguments of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsRejection {
    /// The handler is not a [`job`](macro@crate::job).
    #[error("`Args` was taken outside of a job: take it as the first argument of a `#[job]`")]
    Missing,
    /// Another version of the app stored them, with another type.
    #[error(
        "the stored arguments of the job are not of the type `{type_name}`, at column {column} of their JSON: \
         another version of the app sent the job: add `#[serde(default)]` to new fields, and `#[serde(alias = \
         \"…\")]` to renamed ones"
    )]
    Mismatch {
        /// The type.
        type_name: &'static str,
        /// The column of the fault, from 1.
        column: usize,
    },
}

impl ArgsRejection {
    /// Returns the status of the response: 500.
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// Returns the message in the response's body.
    pub fn body_text(&self) -> String {
        INTERNAL_ERROR.to_owned()
    }
}

/// Responds as with an error of the handler, so that the job's report contains it.
impl IntoResponse for ArgsRejection {
    fn into_response(self) -> Response {
        crate::error::Error::new(self).into_response()
    }
}

impl OauthTokenRejection {
    /// Returns the code by which log lines are limited.
    fn log_code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing_token",
            Self::Malformed { .. } => "malformed_token_header",
            Self::Unverified(_) => "unverified_route",
        }
    }
}

macro_rules! into_response {
    ($($rejection:ty: $code:expr, $message:literal;)*) => {$(
        impl IntoResponse for $rejection {
            fn into_response(self) -> Response {
                let status = self.status();
                let code: fn(&Self) -> &'static str = $code;
                if let Some(Permit { suppressed }) = log::permit(code(&self)) {
                    if status.is_server_error() {
                        tracing::error!(reason = %self, suppressed, $message);
                    } else {
                        // Without the reason, which may quote the caller.
                        tracing::warn!(status = status.as_u16(), suppressed, $message);
                    }
                }
                if status == StatusCode::INTERNAL_SERVER_ERROR {
                    return response::internal_error();
                }
                response::json_error(status, response::code_of(status), &self.body_text())
            }
        }
    )*};
}

into_response! {
    BodyRejection: |_| "body_rejected", "the body was rejected; for 413, raise `body_limit` in the handler's attribute, or `App::body_limit`";
    JsonRejection: |_| "body_rejected", "the body was rejected; for 413, raise `body_limit` in the handler's attribute, or `App::body_limit`";
    OauthTokenRejection: Self::log_code, "the call has no valid OAuth token";
    InvocationRejection: |_| "unverified_route", "the call was not verified";
    StateRejection: |_| "missing_state", "the app lacks a value that an extractor needs";
}
