//! The response to a FIT that is not accepted, and its line in the log.

use http::{HeaderValue, Response, StatusCode, header};

use super::error::{TokenRejection, VerifyError};
use super::log_limit::{LogLimits, Permit};
use super::response::{json_error, unavailable};

impl VerifyError {
    /// Returns the status of the response: 401, 403 for a page that the handler does not accept, or 503
    /// where no key could be looked up.
    ///
    /// Forge reserves 401 for an invalid FIT.
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/>
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Rejected(rejection) if rejection.is_forbidden() => StatusCode::FORBIDDEN,
            Self::Rejected(_) => StatusCode::UNAUTHORIZED,
            Self::KeysUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns a short, stable name for metrics and searches. For the log only: the response names no
    /// reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.code(),
            Self::KeysUnavailable(error) => error.code(),
        }
    }

    /// Returns the response for the caller: JSON, with `WWW-Authenticate` (401) or `Retry-After` (503).
    ///
    /// It does not reveal the reason, except whether an `Authorization` header arrived, which shows a
    /// proxy that removes it.
    ///
    /// ```
    /// use forge_remote_fit::{TokenRejection, VerifyError};
    ///
    /// let response = VerifyError::from(TokenRejection::Expired).to_response::<String>();
    /// assert_eq!(response.status(), 401);
    /// assert!(!response.body().contains("expired"));
    /// assert!(response.body().contains("invalid_token"));
    ///
    /// let response = VerifyError::from(TokenRejection::MissingHeader).to_response::<String>();
    /// assert_eq!(response.status(), 401);
    /// assert!(response.body().contains("missing_token"));
    /// ```
    pub fn to_response<B: From<String>>(&self) -> Response<B> {
        let status = self.status();
        match self {
            Self::Rejected(rejection) if rejection.is_forbidden() => json_error(
                status,
                rejection.code(),
                "this page may not call the handler",
            ),
            Self::Rejected(rejection) => {
                let (code, message) = match rejection {
                    TokenRejection::MissingHeader => {
                        ("missing_token", "the request has no `Authorization` header")
                    }
                    _ => ("invalid_token", "the Forge Invocation Token is not valid"),
                };
                let mut response = json_error(status, code, message);
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                response
            }
            Self::KeysUnavailable(_) => unavailable(
                "keys_unavailable",
                "the remote cannot verify tokens at the moment; try again",
            ),
        }
    }

    /// Logs the reason, as often as `limits` permit: callers can cause any number of these lines.
    #[doc(hidden)]
    pub fn log(&self, limits: &LogLimits) {
        self.log_with(limits, || None);
    }

    /// Logs the reason like [`log`](Self::log), with an optional hint at the cause. `hint` is called
    /// only if the line is logged.
    #[doc(hidden)]
    pub fn log_with(&self, limits: &LogLimits, hint: impl FnOnce() -> Option<String>) {
        let code = self.code();
        let Some(Permit { suppressed }) = limits.permit(code) else {
            return;
        };
        match self {
            Self::Rejected(rejection) if rejection.is_forbidden() => tracing::warn!(
                code,
                suppressed,
                "rejected: a page that is not in the handler's `pages`, or a function's call for a user, which `#[function_call]` accepts"
            ),
            Self::Rejected(rejection) => tracing::warn!(
                code,
                reason = %rejection,
                hint = hint(),
                suppressed,
                "rejected: no valid Forge Invocation Token"
            ),
            Self::KeysUnavailable(error) => {
                tracing::error!(
                    code,
                    %error,
                    hint = hint(),
                    suppressed,
                    "rejected: the FIT cannot be verified without keys"
                );
            }
        }
    }
}
