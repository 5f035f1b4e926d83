//! One call's way: attempt after attempt, redirects, what comes back.

use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use bytes::{Bytes, BytesMut};
use reqwest::Url;
use reqwest::header::LOCATION;

use super::atlassian::Settings;
use super::error::ClientError;
use super::error::status;
use super::error::{RateLimit, StatusError};
use super::request::Request;
use super::response::{Response, TOO_LARGE};
use super::{hosts, retry};

/// How much of a failure's body is kept, in bytes: it holds a message or two.
const ERROR_BODY: usize = 64 * 1024;
/// An attachment's address is one redirect away; a host of its own may add one.
const REDIRECTS: usize = 3;

/// An attempt that came to nothing.
struct Failed {
    error: ClientError,
    /// The server may do better next time.
    is_transient: bool,
    /// The server never heard of it.
    is_unsent: bool,
    retry_after: Option<Duration>,
}

impl Failed {
    fn for_good(error: ClientError) -> Self {
        Self {
            error,
            is_transient: false,
            is_unsent: false,
            retry_after: None,
        }
    }

    fn for_now(error: ClientError) -> Self {
        Self {
            is_transient: true,
            ..Self::for_good(error)
        }
    }
}

impl Request {
    /// Attempt after attempt, as far as the call may be repeated. The body is read, unless there is
    /// a limit for reading it later.
    pub(super) async fn perform(
        mut self,
        limit: Option<u64>,
    ) -> Result<(Response, reqwest::Response), ClientError> {
        let settings = self.client.settings();
        let url = self.ready(&settings)?;
        self.client.prove().await?;
        let manner = self.client.manner();
        let retries = self.retries.unwrap_or(manner.retries);
        let started = settings.clock.elapsed();
        // Who calls after the time is over works for nobody who waits.
        let deadline = manner.deadline.filter(|deadline| *deadline > started);
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.client.renew().await?;
            let failed = match self.attempt(&settings, &url, attempt, limit).await {
                Err(failed) if failed.is_unsent || (self.may_repeat && failed.is_transient) => {
                    failed
                }
                Err(failed) => return Err(failed.error),
                Ok(answer) => return Ok(answer),
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
            tracing::debug!(%call, attempt, wait_ms, status = failed.error.status().map(|s| s.as_u16()), "a call will be made again");
            settings.clock.sleep(wait).await;
        }
    }

    async fn attempt(
        &self,
        settings: &Settings,
        url: &Url,
        attempts: u32,
        limit: Option<u64>,
    ) -> Result<(Response, reqwest::Response), Failed> {
        let mut request = reqwest::Request::new(self.method.clone(), url.clone());
        *request.headers_mut() = self.client.headers(&self.headers);
        *request.body_mut() = self.body.as_ref().map(super::form::Body::to_http);
        let patience = self.patience();
        let mut answer = self.exchange(request, patience, limit, attempts).await?;
        let mut here = url.clone();
        let mut redirects = 0;
        while self.goes_on(&answer) && redirects < REDIRECTS {
            redirects += 1;
            let from = self.response(&mut answer, attempts);
            here =
                next_hop(&here, &from).map_err(|reason| Failed::for_good(from.unusable(reason)))?;
            let request = self.without_token(&here);
            answer = self.exchange(request, patience, limit, attempts).await?;
        }

        let mut response = self.response(&mut answer, attempts);
        let is_asked_for = response.status == StatusCode::NOT_MODIFIED && self.is_conditional();
        if !response.status.is_success() && !is_asked_for {
            // The status counts, whether its body came or not.
            let read = within(limit.and(Some(patience)), read(&mut answer, ERROR_BODY)).await;
            let body = read.map_or_else(Bytes::new, |(body, _)| body);
            let retry_after = retry::retry_after(&response.headers, settings.clock.now());
            let is_transient = retry::is_transient(response.status);
            let error = self.refused(response, body, retry_after, redirects > 0);
            return Err(Failed {
                is_transient,
                retry_after,
                ..Failed::for_good(ClientError::Status(Box::new(error)))
            });
        }
        if let Some(limit) = limit {
            if answer.content_length().is_some_and(|length| length > limit) {
                return Err(Failed::for_good(response.unusable(TOO_LARGE)));
            }
            return Ok((response, answer));
        }
        let (body, unread) = read(&mut answer, self.client.manner().response_limit).await;
        match unread {
            None => response.body = body,
            Some(Unread::TooLarge) => {
                let reason =
                    "it is too large: see `AtlassianClient::response_limit`, or `download`";
                return Err(Failed::for_good(response.unusable(reason)));
            }
            Some(Unread::Broken(error)) => {
                let error = response.unusable_for("it broke off", Some(error));
                return Err(Failed::for_now(error));
            }
        }
        Ok((response, answer))
    }

    /// One request and the beginning of its answer.
    async fn exchange(
        &self,
        mut request: reqwest::Request,
        patience: Duration,
        limit: Option<u64>,
        attempts: u32,
    ) -> Result<reqwest::Response, Failed> {
        let failed = |reason, source: Option<crate::BoxError>| {
            Failed::for_now(ClientError::NoAnswer {
                call: self.name(),
                reason,
                attempts,
                source,
            })
        };
        let no_answer = |reason, source: Option<reqwest::Error>| {
            failed(reason, source.map(|error| error.without_url().into()))
        };
        let http = self.client.http(request.url()).map_err(|error| Failed {
            is_unsent: true,
            ..failed("there is no HTTP client", Some(error.into()))
        })?;
        if limit.is_none() {
            // The whole answer's; a body that is taken piece by piece has a time for each.
            *request.timeout_mut() = Some(patience);
        }
        let sent = within(limit.and(Some(patience)), http.execute(request)).await;
        let Some(sent) = sent else {
            return Err(no_answer("no answer in time", None));
        };
        sent.map_err(|error| {
            let is_unsent = error.is_connect();
            let reason = if error.is_timeout() {
                "no answer in time"
            } else if is_unsent {
                "the host can't be reached"
            } else {
                "the connection broke off"
            };
            Failed {
                is_unsent,
                ..no_answer(reason, Some(error))
            }
        })
    }

    /// Whether the answer is a redirect to follow.
    fn goes_on(&self, answer: &reqwest::Response) -> bool {
        let redirects = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        self.follows && reads && redirects && answer.headers().contains_key(LOCATION)
    }

    /// The same for another host: of what the call says, only what kind of answer it wants.
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

    /// The answer but for its body.
    fn response(&self, answer: &mut reqwest::Response, attempts: u32) -> Response {
        let headers = std::mem::take(answer.headers_mut());
        Response {
            call: self.name(),
            status: answer.status(),
            headers: status::without(headers, self.client.secret()),
            body: Bytes::new(),
            client: self.client.clone(),
            attempts,
        }
    }

    fn refused(
        &self,
        response: Response,
        body: Bytes,
        retry_after: Option<Duration>,
        elsewhere: bool,
    ) -> StatusError {
        // Elsewhere the token wasn't sent.
        if response.status == StatusCode::UNAUTHORIZED && !elsewhere {
            self.client.token_was_refused();
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
            token_ended: crate::credentials::expires_at(secret)
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
            elsewhere,
        }
    }
}

/// Where a redirect leads: by https to a host with a name, or from loopback to loopback.
fn next_hop(here: &Url, from: &Response) -> Result<Url, String> {
    let location = from
        .headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| here.join(location).ok());
    let Some(next) = next else {
        return Err("it redirects to what is no URL".to_owned());
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
            "it redirects to {origin}, which is no host on the web by https"
        ));
    }
    Ok(next)
}

/// The future's outcome; `None` when it takes longer.
async fn within<T>(time: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match time {
        Some(time) => tokio::time::timeout(time, future).await.ok(),
        None => Some(future.await),
    }
}

enum Unread {
    TooLarge,
    Broken(reqwest::Error),
}

/// The body, up to a limit, and why there is no more of it.
async fn read(answer: &mut reqwest::Response, limit: usize) -> (Bytes, Option<Unread>) {
    let mut body = BytesMut::new();
    loop {
        let chunk = match answer.chunk().await {
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
