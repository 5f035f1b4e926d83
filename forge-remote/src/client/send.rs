//! Sending a request: attempts, redirects and the response.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode, header};
use bytes::{Bytes, BytesMut};
use reqwest::Url;
use reqwest::header::LOCATION;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::atlassian::ClientSettings;
use super::error::ClientError;
use super::error::status;
use super::error::{RateLimit, StatusError};
use super::request::Request;
use super::response::{Download, Response, TOO_LARGE};
use super::{hosts, retry, span};
use crate::telemetry::record::{self, Stopwatch};
use crate::telemetry::span::record_result;

/// Upper bound on the kept part of an error response's body, in bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// Upper bound on redirects: an attachment needs one, and its host may add one.
const MAX_REDIRECTS: usize = 3;

/// The name and reason of an attempt without a response in time.
const TIMEOUT: (&str, &str) = ("timeout", "no response in time");

/// A failed attempt.
struct FailedAttempt {
    error: ClientError,
    /// Whether another attempt may succeed.
    is_transient: bool,
    /// Whether the server cannot have received the request.
    is_unsent: bool,
    retry_after: Option<Duration>,
    /// Its name in spans and metrics, if it has no status.
    kind: &'static str,
}

impl FailedAttempt {
    fn permanent(error: ClientError) -> Self {
        Self {
            error,
            is_transient: false,
            is_unsent: false,
            retry_after: None,
            kind: "unusable_response",
        }
    }

    fn transient(error: ClientError) -> Self {
        Self {
            is_transient: true,
            ..Self::permanent(error)
        }
    }
}

/// Returns the data of an attempt for spans and metrics: its status, and the type of its failure.
fn outcome<T>(
    attempt: &Result<(Response, T), FailedAttempt>,
) -> (Option<StatusCode>, Option<Cow<'static, str>>) {
    match attempt {
        Ok((response, _)) => (Some(response.status), None),
        Err(failed) => {
            let status = failed.error.status();
            let rejected = status.filter(|one| one.is_client_error() || one.is_server_error());
            let kind = rejected.map(|status| Cow::Owned(status.as_str().to_owned()));
            (status, Some(kind.unwrap_or(failed.kind.into())))
        }
    }
}

/// A boxed future of a request in progress.
///
/// Boxing spares the compiler from proving `Send` for every handler that makes a call.
pub type RequestFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send + 'a>>;

/// A request that verifies a token or fetches the granted scopes is sent in the same way: its own token
/// needs no proof, and its API no scope.
impl Request {
    /// Sends the request and reads the whole response.
    ///
    /// Any status other than 2xx is an error. A 304 is an error unless the request has
    /// `If-None-Match` or `If-Modified-Since`.
    pub fn send(self) -> RequestFuture<'static, Response> {
        Box::pin(async move { Ok(self.perform_logged(None).await?.0) })
    }

    /// Performs the call and logs one line for all of its attempts.
    async fn perform_logged(
        self,
        limit: Option<u64>,
    ) -> Result<(Response, reqwest::Response), ClientError> {
        let (call, clock) = (self.name(), Arc::clone(&self.client.settings().clock));
        let started = clock.elapsed();
        let result = self.perform(limit).await;
        let status = match &result {
            Ok((response, _)) => Some(response.status()),
            Err(error) => error.status(),
        };
        tracing::debug!(
            api = %call.api,
            method = %call.method,
            path = call.path,
            status = status.map(|status| status.as_u16()),
            elapsed = ?clock.elapsed().saturating_sub(started),
            "called Atlassian"
        );
        result
    }

    /// Sends the request and returns a body to read chunk by chunk, up to `limit` bytes in all.
    ///
    /// The timeout applies to the response's head and then to each chunk. A download slower than
    /// 16 KiB a second fails ([`Download::chunk`]).
    pub fn download(mut self, limit: u64) -> RequestFuture<'static, Download> {
        if !self.headers.contains_key(header::ACCEPT) {
            let any = HeaderValue::from_static("*/*");
            self.headers.insert(header::ACCEPT, any);
        }
        Box::pin(async move {
            let timeout = self.attempt_timeout();
            let (response, rest) = self.perform_logged(Some(limit)).await?;
            Ok(Download {
                response,
                rest,
                left: limit,
                timeout,
                budget: timeout * 2,
            })
        })
    }

    /// Sends the request and parses the response's JSON.
    pub fn fetch<'a, T: DeserializeOwned + 'a>(self) -> RequestFuture<'a, T> {
        Box::pin(async move { self.send().await?.json() })
    }

    /// Sends the request, with retries if it may be repeated. The body is read unless `limit` leaves it
    /// to a download.
    async fn perform(
        mut self,
        limit: Option<u64>,
    ) -> Result<(Response, reqwest::Response), ClientError> {
        let settings = self.client.settings();
        let url = self.ready(&settings)?;
        self.client.prove().await?;
        self.check_scopes().await?;
        let options = self.client.options();
        let retries = self.retries.unwrap_or(options.retries);
        let started = settings.clock.elapsed();
        // After the deadline nobody waits for the call any more, so it no longer applies.
        let deadline = options.deadline.filter(|deadline| *deadline > started);
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.client.renew().await?;
            let failed = match self.recorded_attempt(&settings, &url, attempt, limit).await {
                Err(failed) if failed.is_unsent || (self.may_repeat && failed.is_transient) => {
                    failed
                }
                Err(failed) => return Err(failed.error),
                Ok(response) => return Ok(response),
            };
            let now = settings.clock.elapsed();
            let spent = now.saturating_sub(started);
            let wait = retries.wait(attempt, spent, failed.retry_after);
            let in_time =
                |wait: &Duration| deadline.is_none_or(|end| now.saturating_add(*wait) < end);
            let Some(wait) = wait.filter(in_time) else {
                return Err(failed.error);
            };
            let (call, wait_ms) = (self.name(), wait.as_millis());
            tracing::debug!(%call, attempt, wait_ms, status = failed.error.status().map(|s| s.as_u16()), "a call is retried");
            settings.clock.sleep(wait).await;
        }
    }

    /// Makes an attempt and records it.
    async fn recorded_attempt(
        &self,
        settings: &ClientSettings,
        url: &Url,
        attempts: u32,
        limit: Option<u64>,
    ) -> Result<(Response, reqwest::Response), FailedAttempt> {
        let span = span::of_attempt(&self.name(), &self.method, url, attempts);
        let took = Stopwatch::start();
        let attempt = self.attempt(settings, url, attempts, limit);
        let attempt = attempt.instrument(span.clone()).await;
        let (status, error) = outcome(&attempt);
        record_result(&span, status, error.as_deref());
        let product = self.client.api().label();
        record::client_request(product, &self.method, status, error, took);
        attempt
    }

    async fn attempt(
        &self,
        settings: &ClientSettings,
        url: &Url,
        attempts: u32,
        limit: Option<u64>,
    ) -> Result<(Response, reqwest::Response), FailedAttempt> {
        let mut request = reqwest::Request::new(self.method.clone(), url.clone());
        *request.headers_mut() = self.client.headers(&self.headers);
        *request.body_mut() = self.body.as_ref().map(super::form::Body::to_http);
        let timeout = self.attempt_timeout();
        let mut raw = self.exchange(request, timeout, limit, attempts).await?;
        let mut here = url.clone();
        let mut redirects = 0;
        while self.follows_redirect(&raw) && redirects < MAX_REDIRECTS {
            redirects += 1;
            let from = self.response(&mut raw, attempts);
            here = next_hop(&here, &from)
                .map_err(|reason| FailedAttempt::permanent(from.unusable(reason)))?;
            let request = self.without_token(&here);
            raw = self.exchange(request, timeout, limit, attempts).await?;
        }

        let mut response = self.response(&mut raw, attempts);
        let is_expected = response.status == StatusCode::NOT_MODIFIED && self.is_conditional();
        if !response.status.is_success() && !is_expected {
            // The error is reported even if its body cannot be read.
            let read = within(limit.and(Some(timeout)), read(&mut raw, MAX_ERROR_BODY)).await;
            let body = read.map_or_else(Bytes::new, |(body, _)| body);
            let retry_after = retry::retry_after(&response.headers, settings.clock.now());
            let is_transient = retry::is_transient(response.status);
            let error = self.rejected(response, body, retry_after, redirects > 0);
            return Err(FailedAttempt {
                is_transient,
                retry_after,
                ..FailedAttempt::permanent(ClientError::Status(Box::new(error)))
            });
        }
        if let Some(limit) = limit {
            if raw.content_length().is_some_and(|length| length > limit) {
                return Err(FailedAttempt::permanent(response.unusable(TOO_LARGE)));
            }
            return Ok((response, raw));
        }
        let (body, unread) = read(&mut raw, self.client.options().response_limit).await;
        match unread {
            None => response.body = body,
            Some(Unread::TooLarge) => {
                let reason = "the body is too large: raise `AtlassianClient::response_limit`, or use \
                              `Request::download`";
                return Err(FailedAttempt::permanent(response.unusable(reason)));
            }
            Some(Unread::Broken(error)) => {
                let error = response.unusable_for("the connection broke off", Some(error));
                return Err(FailedAttempt::transient(error));
            }
        }
        Ok((response, raw))
    }

    /// Sends one request and returns the head of its response.
    async fn exchange(
        &self,
        mut request: reqwest::Request,
        timeout: Duration,
        limit: Option<u64>,
        attempts: u32,
    ) -> Result<reqwest::Response, FailedAttempt> {
        let failed = |kind, reason, source: Option<crate::BoxError>| FailedAttempt {
            kind,
            ..FailedAttempt::transient(ClientError::NoResponse {
                call: self.name(),
                reason,
                attempts,
                source,
            })
        };
        let no_response = |kind, reason, source: Option<reqwest::Error>| {
            failed(kind, reason, source.map(|error| error.without_url().into()))
        };
        let http = self
            .client
            .http(request.url())
            .map_err(|error| FailedAttempt {
                is_unsent: true,
                ..failed(
                    "no_client",
                    "the HTTP client cannot be built",
                    Some(error.into()),
                )
            })?;
        if limit.is_none() {
            // The timeout of the whole response; a download has one for each chunk.
            *request.timeout_mut() = Some(timeout);
        }
        let sent = within(limit.and(Some(timeout)), http.execute(request)).await;
        let Some(sent) = sent else {
            return Err(no_response(TIMEOUT.0, TIMEOUT.1, None));
        };
        sent.map_err(|error| {
            let is_unsent = error.is_connect();
            let (kind, reason) = if error.is_timeout() {
                TIMEOUT
            } else if is_unsent {
                ("unreachable", "the host cannot be reached")
            } else {
                ("disconnected", "the connection broke off")
            };
            FailedAttempt {
                is_unsent,
                ..no_response(kind, reason, Some(error))
            }
        })
    }

    /// Returns whether the response is a redirect to follow.
    fn follows_redirect(&self, raw: &reqwest::Response) -> bool {
        let redirects = matches!(raw.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        self.follows && reads && redirects && raw.headers().contains_key(LOCATION)
    }

    /// Builds the request for a redirect target: only `Accept` and `Range` are copied, never the token.
    fn without_token(&self, url: &Url) -> reqwest::Request {
        let mut request = reqwest::Request::new(self.method.clone(), url.clone());
        for name in [header::ACCEPT, header::RANGE] {
            if let Some(value) = self.headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request
    }

    fn is_conditional(&self) -> bool {
        let conditions = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
        conditions
            .iter()
            .any(|name| self.headers.contains_key(name))
    }

    /// Builds a response without its body.
    fn response(&self, raw: &mut reqwest::Response, attempts: u32) -> Response {
        let headers = std::mem::take(raw.headers_mut());
        Response {
            call: self.name(),
            status: raw.status(),
            headers: status::without(headers, self.client.secret()),
            body: Bytes::new(),
            client: self.client.clone(),
            attempts,
        }
    }

    fn rejected(
        &self,
        response: Response,
        body: Bytes,
        retry_after: Option<Duration>,
        is_redirected: bool,
    ) -> StatusError {
        // A redirect target never received the token.
        if response.status == StatusCode::UNAUTHORIZED && !is_redirected {
            self.client.token_was_rejected();
        }
        let secret = self.client.secret();
        let (code, messages) = status::messages(&body, secret);
        let Response {
            call,
            status,
            headers,
            attempts,
            ..
        } = response;
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        StatusError {
            call,
            status,
            code,
            messages: if self.secret { Vec::new() } else { messages },
            trace_id: status::trace_id(&headers),
            limit: (status == StatusCode::TOO_MANY_REQUESTS).then(|| RateLimit::of(&headers)),
            retry_after,
            attempts,
            as_user: self.client.is_user(),
            token_expired: crate::credentials::expires_at(secret)
                .is_some_and(|ends| ends <= self.client.settings().clock.now()),
            location: location
                .filter(|_| status.is_redirection())
                .map(str::to_owned),
            headers,
            body: if self.secret {
                Bytes::new()
            } else {
                status::body_without(body, secret)
            },
            is_redirected,
        }
    }
}

/// Returns a redirect's target: a host name over https, or loopback if redirected from loopback.
fn next_hop(here: &Url, from: &Response) -> Result<Url, String> {
    let location = from
        .headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| here.join(location).ok());
    let Some(next) = next else {
        return Err("it redirects to an invalid URL".to_owned());
    };
    let is_local = hosts::is_plain_loopback(here);
    let has_name = next.domain().is_some() && !crate::http_client::is_loopback(&next);
    let is_fit = if is_local {
        hosts::is_plain_loopback(&next)
    } else {
        next.scheme() == "https" && has_name
    };
    if !is_fit || !next.username().is_empty() || next.password().is_some() {
        let origin = hosts::origin(&next);
        return Err(format!(
            "it redirects to {origin}, which is not a public host name over https"
        ));
    }
    Ok(next)
}

/// Awaits a future; `None` after the timeout.
async fn within<T>(time: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match time {
        Some(time) => tokio::time::timeout(time, future).await.ok(),
        None => Some(future.await),
    }
}

/// Why the rest of a body was not read.
enum Unread {
    TooLarge,
    Broken(reqwest::Error),
}

/// Reads the body up to a limit, and returns why the rest was not read.
async fn read(raw: &mut reqwest::Response, limit: usize) -> (Bytes, Option<Unread>) {
    let mut body = BytesMut::new();
    loop {
        let chunk = match raw.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return (body.freeze(), None),
            Err(error) => return (body.freeze(), Some(Unread::Broken(error))),
        };
        let left = limit - body.len();
        if chunk.len() > left {
            body.extend_from_slice(&chunk[..left]);
            return (body.freeze(), Some(Unread::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
}
