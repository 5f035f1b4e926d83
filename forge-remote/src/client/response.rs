//! Answers: read as a whole, or piece by piece.

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

/// An answer: 2xx, its body read; or 304, to a call that asked for it (`If-None-Match`).
pub struct Response {
    pub(super) call: Operation,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) client: ProductClient,
    pub(super) attempts: u32,
}

/// Without its body, which is customers' data.
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
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body, read as UTF-8.
    pub fn text(&self) -> Result<&str, ClientError> {
        std::str::from_utf8(&self.body).map_err(|_| self.unusable("it is no text in UTF-8"))
    }

    /// Atlassian's trace id.
    pub fn trace_id(&self) -> Option<String> {
        status::trace_id(&self.headers)
    }

    /// The body, read as JSON. No body at all (204, 304) counts as `null`. Half a surrogate pair, of
    /// text that was cut inside an emoji, is read as U+FFFD.
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
        // Its text quotes what it read, which is customers' data; only what names a field of the
        // type's own doesn't.
        let text = error.to_string();
        let what = if text.starts_with("missing field") {
            text.split(" at line").next().unwrap_or_default()
        } else if error.is_data() {
            "a value of another type"
        } else {
            "it is not JSON"
        };
        let reason = format!("{what} at line {} column {}", error.line(), error.column());
        ClientError::Unreadable {
            call: self.call.clone(),
            status: self.status,
            wanted,
            trace_id: self.trace_id(),
            reason,
        }
    }

    /// It came, and is of no use.
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

    /// The token it was asked with.
    pub(super) fn secret(&self) -> &str {
        self.client.secret()
    }
}

/// An answer whose body is read piece by piece: [`Request::download`](super::Request::download).
pub struct Download {
    pub(super) response: Response,
    pub(super) rest: reqwest::Response,
    /// How many bytes may come yet.
    pub(super) left: u64,
    /// How long the next piece may take.
    pub(super) patience: Duration,
    /// How long the pieces may be waited for in all.
    pub(super) budget: Duration,
}

/// A download that is slower than this on average ends with an error, in bytes a second. (100 MiB
/// may take 1 hour 47 minutes.)
const MIN_THROUGHPUT: f64 = 16.0 * 1024.0;

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Download({}: {})", self.response.call, self.status())
    }
}

impl Download {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.response.headers
    }

    /// How many bytes are announced.
    pub fn length(&self) -> Option<u64> {
        let length = self.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?;
        length.parse().ok()
    }

    /// Returns the next piece; `None` after the last.
    ///
    /// # Errors
    ///
    /// When more comes than was allowed, when the connection breaks off, when nothing comes within
    /// the call's timeout, and when the download makes too little progress: the pieces may be
    /// waited for as long as twice the call's timeout and another second for every 16 KiB that came. What
    /// the caller does between two pieces does not count.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let wait = self.patience.min(self.budget);
        let started = Instant::now();
        let Ok(chunk) = tokio::time::timeout(wait, self.rest.chunk()).await else {
            let reason = if wait < self.patience {
                "it makes too little progress: less than 16 KiB a second"
            } else {
                "its next piece did not come in time"
            };
            return Err(self.response.unusable(reason));
        };
        self.budget = self.budget.saturating_sub(started.elapsed());
        let Some(chunk) = chunk.map_err(|error| {
            let reason = "it broke off";
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

pub(super) const TOO_LARGE: &str = "it is larger than the call allows";
