//! Responses, read as a whole or chunk by chunk.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::error::status;
use super::error::{ClientError, Operation};
use super::product_client::ProductClient;
use crate::json::repair;

/// A successful response with its body: 2xx, or 304 for a conditional request (`If-None-Match`).
pub struct Response {
    pub(super) call: Operation,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) client: ProductClient,
    pub(super) attempts: u32,
}

/// Omits the body, which is user data.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Response({}: {}, {} bytes)",
            self.call,
            self.status,
            self.body.len()
        )
    }
}

impl Response {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body as UTF-8 text.
    pub fn text(&self) -> Result<&str, ClientError> {
        std::str::from_utf8(&self.body).map_err(|_| self.unusable("the body is not valid UTF-8"))
    }

    /// Returns Atlassian's trace id.
    pub fn trace_id(&self) -> Option<String> {
        status::trace_id(&self.headers)
    }

    /// Parses the body as JSON.
    ///
    /// An empty body (204, 304) is parsed as `null`. An unpaired surrogate, from text that was cut
    /// inside an emoji, becomes U+FFFD.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        let body: &[u8] = if self.body.is_empty() {
            b"null"
        } else {
            &self.body
        };
        serde_json::from_slice(&repair(body))
            .map_err(|error| self.unreadable(std::any::type_name::<T>(), &error))
    }

    pub(super) fn unreadable(
        &self,
        wanted: &'static str,
        error: &serde_json::Error,
    ) -> ClientError {
        // serde's message quotes the input, which is user data, except where it names a missing field
        // or the expected type.
        let text = error.to_string();
        // From the end: a text of the input may have these words too.
        let text = text
            .rsplit_once(" at line")
            .map_or(&*text, |(text, _)| text);
        let invalid = text.strip_prefix("invalid type: ");
        let expected = invalid.and_then(|rest| rest.rsplit_once(", expected "));
        let problem = if text.starts_with("missing field") {
            text.to_owned()
        } else if let Some((_, expected)) = expected {
            format!("a value of a type other than {expected}")
        } else if error.is_data() {
            "a value of another type".to_owned()
        } else {
            "invalid JSON".to_owned()
        };
        let (line, column) = (error.line(), error.column());
        let reason = format!("{problem} at line {line} column {column}");
        ClientError::Unreadable {
            call: self.call.clone(),
            status: self.status,
            wanted,
            trace_id: self.trace_id(),
            reason,
        }
    }

    /// Builds the error of a response that arrived but cannot be used.
    pub(super) fn unusable(&self, reason: impl Into<String>) -> ClientError {
        self.unusable_for(reason, None)
    }

    pub(super) fn unusable_for(
        &self,
        reason: impl Into<String>,
        source: Option<reqwest::Error>,
    ) -> ClientError {
        ClientError::Unusable {
            call: self.call.clone(),
            status: self.status,
            trace_id: self.trace_id(),
            reason: reason.into(),
            attempts: self.attempts,
            source: source.map(|error| error.without_url().into()),
        }
    }

    pub(super) fn call(&self) -> &Operation {
        &self.call
    }

    /// Returns the token the request was sent with.
    pub(super) fn secret(&self) -> &str {
        self.client.secret()
    }
}

/// A response whose body is read chunk by chunk: [`Request::download`](super::Request::download).
pub struct Download {
    pub(super) response: Response,
    pub(super) rest: reqwest::Response,
    /// Number of bytes still allowed.
    pub(super) left: u64,
    /// Timeout of the next chunk.
    pub(super) timeout: Duration,
    /// Remaining total time to wait for chunks.
    pub(super) budget: Duration,
}

/// Lower bound on a download's average throughput, in bytes a second. (100 MiB may take 1 hour
/// 47 minutes.)
const MIN_THROUGHPUT: f64 = 16.0 * 1024.0;

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Download({}: {})", self.response.call, self.status())
    }
}

impl Download {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.response.status
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.response.headers
    }

    /// Returns the `Content-Length`.
    pub fn length(&self) -> Option<u64> {
        let length = self.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?;
        length.parse().ok()
    }

    /// Returns the next chunk; `None` after the last.
    ///
    /// # Errors
    ///
    /// - The body is larger than the limit.
    /// - The connection breaks off.
    /// - No chunk arrives within the call's timeout.
    /// - The download is too slow: the total wait for chunks may be twice the call's timeout, plus one
    ///   second for every 16 KiB received. The caller's time between two chunks does not count.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let wait = self.timeout.min(self.budget);
        let started = Instant::now();
        let Ok(chunk) = tokio::time::timeout(wait, self.rest.chunk()).await else {
            let reason = if wait < self.timeout {
                "the download is too slow: less than 16 KiB a second"
            } else {
                "the next chunk did not arrive in time"
            };
            return Err(self.response.unusable(reason));
        };
        self.budget = self.budget.saturating_sub(started.elapsed());
        let Some(chunk) = chunk.map_err(|error| {
            let reason = "the connection broke off";
            self.response.unusable_for(reason, Some(error))
        })?
        else {
            return Ok(None);
        };
        self.budget += Duration::from_secs_f64(chunk.len() as f64 / MIN_THROUGHPUT);
        let left = self.left.checked_sub(chunk.len() as u64);
        self.left = left.unwrap_or(0);
        match left {
            Some(_) => Ok(Some(chunk)),
            None => Err(self.response.unusable(TOO_LARGE)),
        }
    }
}

pub(super) const TOO_LARGE: &str = "the body is larger than the download's limit";
