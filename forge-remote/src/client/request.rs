//! One call: what is sent, and what comes back.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::{Bytes, BytesMut};
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::atlassian::Settings;
use super::error::{self, CallName, ClientError, RateLimit, StatusError};
use super::pages::Pages;
use super::{Client, Path, hosts, retry};

/// A call to one of Atlassian's APIs, before it is sent.
///
/// ```
/// use forge_remote::client::Client;
/// use forge_remote::{Result, path};
/// use serde_json::json;
///
/// async fn comment(jira: &Client, key: &str, text: &str) -> Result<()> {
///     jira.post(path!("/rest/api/2/issue/{}/comment", key))
///         .query("expand", "renderedBody")
///         .json(&json!({ "body": text }))
///         .send()
///         .await?;
///     Ok(())
/// }
/// ```
#[must_use = "a call does nothing until it is sent"]
pub struct Request {
    client: Client,
    method: Method,
    path: Path,
    query: Vec<(String, String)>,
    /// In place of base URL and path: a further page, whose address the API gave.
    url: Option<Url>,
    headers: HeaderMap,
    body: Option<Bytes>,
    may_repeat: bool,
    timeout: Option<Duration>,
    problem: Option<String>,
    /// What the body says goes into no message.
    secret: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.name())
    }
}

/// A call under way. Boxed, so that the compiler need not look into it, anew for every handler that
/// makes one, to see that it can be sent between threads.
pub type Sending<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send + 'a>>;

/// The largest body of a failure that is read, in bytes: it holds a message or two.
const ERROR_BODY: usize = 64 * 1024;

/// Headers that are the client's.
const OURS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::HOST,
    header::COOKIE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

impl Request {
    pub(super) fn new(client: Client, method: Method, path: Path) -> Self {
        let may_repeat = matches!(
            method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        );
        Self {
            problem: path.problem().map(str::to_owned),
            client,
            method,
            path,
            query: Vec::new(),
            url: None,
            headers: HeaderMap::new(),
            body: None,
            may_repeat,
            timeout: None,
            secret: false,
        }
    }

    /// Adds to the query; both parts are encoded.
    pub fn query(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Sends this as JSON.
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(body) {
            Ok(json) => self.bytes("application/json", json),
            Err(error) => {
                self.problem = Some(format!("the body can't be written as JSON: {error}"));
                self
            }
        }
    }

    /// Sends these bytes.
    pub fn bytes(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut this = self.header(header::CONTENT_TYPE.as_str(), content_type);
        this.body = Some(body.into());
        this
    }

    /// Sets a header. `Authorization` and those of the connection are the client's own.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), _) if OURS.contains(&name) => {
                self.problem = Some(format!("the header `{name}` is set by the client itself"));
            }
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            (Ok(name), Err(_)) => {
                self.problem = Some(format!("the header `{name}` can't have this value"));
            }
            (Err(_), _) => self.problem = Some("a header can't have this name".to_owned()),
        }
        self
    }

    /// How long one attempt may take, where it differs from [`Atlassian::timeout`](super::Atlassian::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Says that doing it twice does no harm, so that a `POST` or `PATCH` is made again like other
    /// calls: see [`Retries`](super::Retries).
    pub fn idempotent(mut self) -> Self {
        self.may_repeat = true;
        self
    }

    pub(super) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Sends it; anything but 2xx is an error. The body has been read when this returns.
    pub fn send(self) -> Sending<'static, Response> {
        Box::pin(self.perform_and_tell())
    }

    /// One line of the log for each call, its attempts together.
    async fn perform_and_tell(self) -> Result<Response, ClientError> {
        let (call, clock) = (self.name(), Arc::clone(&self.client.settings().clock));
        let started = clock.elapsed();
        let result = self.perform().await;
        let status = match &result {
            Ok(response) => Some(response.status()),
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

    /// Sends it and reads the answer's JSON.
    pub fn fetch<'a, T: DeserializeOwned + 'a>(self) -> Sending<'a, T> {
        Box::pin(async move { self.send().await?.json() })
    }

    /// The items of every page, one after the other, each page fetched when it is needed. See
    /// [`Pages`] for the styles it knows.
    pub fn pages<T: DeserializeOwned>(self) -> Pages<T> {
        Pages::new(self, None)
    }

    /// As [`pages`](Self::pages), where the items are in a member of this name: `worklogs`.
    pub fn pages_of<T: DeserializeOwned>(self, items: &'static str) -> Pages<T> {
        Pages::new(self, Some(items))
    }

    pub(super) fn name(&self) -> CallName {
        CallName {
            api: self.client.api(),
            method: self.method.clone(),
            path: self.path.template().to_owned(),
        }
    }

    pub(super) fn invalid(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Invalid {
            call: self.name(),
            reason: reason.into(),
        }
    }

    /// The same call with this in its query, in place of what had the name.
    pub(super) fn with_query(&self, pairs: Vec<(String, String)>) -> Self {
        let mut query = self.query.clone();
        query.retain(|(name, _)| pairs.iter().all(|(other, _)| other != name));
        query.extend(pairs);
        Self {
            query,
            ..self.copy()
        }
    }

    /// The same call from this place on: in its body where it has one, as a search by `POST` does,
    /// else in its query. `None` when it asked for that already.
    pub(super) fn continued(&self, name: &str, place: &Value) -> Option<Self> {
        let body = self.body.as_deref().map(serde_json::from_slice::<Value>);
        if let Some(Ok(Value::Object(mut body))) = body {
            if body.insert(name.to_owned(), place.clone()).as_ref() == Some(place) {
                return None;
            }
            return Some(Self {
                body: Some(Value::Object(body).to_string().into()),
                ..self.copy()
            });
        }
        let text = place
            .as_str()
            .map_or_else(|| place.to_string(), str::to_owned);
        if self.query_value(name) == Some(&*text) {
            return None;
        }
        Some(self.with_query(vec![(name.to_owned(), text)]))
    }

    /// The same call with this address, which the API gave; it is checked before it is used.
    pub(super) fn at(&self, url: Url) -> Self {
        Self {
            url: Some(url),
            ..self.copy()
        }
    }

    pub(super) fn copy(&self) -> Self {
        Self {
            client: self.client.clone(),
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            may_repeat: self.may_repeat,
            timeout: self.timeout,
            problem: self.problem.clone(),
            secret: self.secret,
        }
    }

    pub(super) fn query_value(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().rfind(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Where it goes, and the path that all of the installation's are below.
    pub(super) fn address(&self) -> Result<(Url, String), ClientError> {
        let url = self.url(&self.client.settings())?;
        let base = Url::parse(self.client.base_url()?);
        let base = base.map_err(|_| self.invalid("the API's base URL can't be read"))?;
        Ok((url, format!("{}/", base.path().trim_end_matches('/'))))
    }

    /// Where it goes, checked: a token may go there.
    fn url(&self, settings: &Settings) -> Result<Url, ClientError> {
        let refused = |refused: hosts::Refused| ClientError::HostRefused {
            call: self.name(),
            origin: refused.origin,
            reason: refused.reason,
        };
        if let Some(url) = &self.url {
            return settings.hosts.check(url.as_str()).map_err(refused);
        }
        let base = self.client.base_url()?;
        let mut url = settings.hosts.check(base).map_err(refused)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(self.invalid("the API's base URL has a query"));
        }
        let path = format!("{}{}", url.path().trim_end_matches('/'), self.path.as_str());
        url.set_path(&path);
        // A URL's parser has its own ideas of dots: what it made must be what was meant.
        if url.path() != path {
            return Err(self.invalid("the path would lead elsewhere"));
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }

    /// Attempt after attempt, as far as the call may be repeated.
    async fn perform(self) -> Result<Response, ClientError> {
        if let Some(problem) = &self.problem {
            return Err(self.invalid(problem.clone()));
        }
        let settings = self.client.settings();
        let url = self.url(&settings)?;
        let started = settings.clock.elapsed();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (outcome, retry_after) = self.attempt(&settings, url.clone(), attempt).await;
            let failed = match outcome {
                Err(failed) if self.may_repeat && failed.may_pass => failed,
                other => return other.map_err(|failed| failed.error),
            };
            let spent = settings.clock.elapsed().saturating_sub(started);
            let Some(wait) = self
                .client
                .manner()
                .retries
                .wait(attempt, spent, retry_after)
            else {
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
        url: Url,
        attempts: u32,
    ) -> (Result<Response, Failed>, Option<Duration>) {
        let no_answer = |reason, source: Option<reqwest::Error>, may_pass| Failed {
            error: ClientError::NoAnswer {
                call: self.name(),
                reason,
                attempts,
                source: source.map(|error| error.without_url().into()),
            },
            may_pass,
        };
        let manner = self.client.manner();
        let timeout = self.timeout.unwrap_or(manner.timeout);
        let http = match self.client.http(&url) {
            Ok(http) => http,
            Err(reason) => {
                let error = self.invalid(format!("no HTTP client: {reason}"));
                return (Err(Failed::for_good(error)), None);
            }
        };
        let mut request = reqwest::Request::new(self.method.clone(), url);
        *request.timeout_mut() = Some(timeout);
        *request.headers_mut() = self.client.headers(&self.headers);
        *request.body_mut() = self.body.clone().map(reqwest::Body::from);
        let mut answer = match http.execute(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let reason = if error.is_timeout() {
                    "no answer in time"
                } else if error.is_connect() {
                    "the host can't be reached"
                } else {
                    "the connection broke off"
                };
                return (Err(no_answer(reason, Some(error), true)), None);
            }
        };
        let status = answer.status();
        let headers = std::mem::take(answer.headers_mut());
        let headers = error::without(headers, self.client.secret());
        let limit = if status.is_success() {
            manner.response_limit
        } else {
            manner.response_limit.min(ERROR_BODY)
        };
        let body = read(&mut answer, limit).await;
        let retry_after = retry::retry_after(&headers, settings.clock.now());
        if !status.is_success() {
            // The status counts, whether its body came or not.
            let body = body.unwrap_or_default();
            let error = self.refused(status, &headers, &body, retry_after, attempts);
            let failed = Failed {
                error: ClientError::Status(Box::new(error)),
                may_pass: retry::is_transient(status),
            };
            return (Err(failed), retry_after);
        }
        let body = match body {
            Ok(body) => body,
            Err(Unread::TooLarge) => {
                return (
                    Err(no_answer(
                        "the answer is too large: see `Atlassian::response_limit`",
                        None,
                        false,
                    )),
                    None,
                );
            }
            Err(Unread::Broken(error)) => {
                return (
                    Err(no_answer("the answer broke off", Some(error), true)),
                    None,
                );
            }
        };
        let response = Response {
            call: self.name(),
            status,
            headers,
            body,
            client: self.client.clone(),
        };
        (Ok(response), None)
    }

    fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        retry_after: Option<Duration>,
        attempts: u32,
    ) -> StatusError {
        if status == StatusCode::UNAUTHORIZED {
            self.client.token_was_refused();
        }
        let (code, messages) = error::messages(body, self.client.secret());
        let location = headers.get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        StatusError {
            call: self.name(),
            status,
            code,
            messages: if self.secret { Vec::new() } else { messages },
            trace_id: error::trace_id(headers),
            limit: (status == StatusCode::TOO_MANY_REQUESTS).then(|| RateLimit::of(headers)),
            retry_after,
            attempts,
            as_user: self.client.is_user(),
            token_ended: crate::extract::ends_at(self.client.secret())
                .is_some_and(|ends| ends <= self.client.settings().clock.now()),
            location: location
                .filter(|_| status.is_redirection())
                .map(str::to_owned),
        }
    }
}

/// An attempt that came to nothing.
struct Failed {
    error: ClientError,
    may_pass: bool,
}

impl Failed {
    fn for_good(error: ClientError) -> Self {
        Self {
            error,
            may_pass: false,
        }
    }
}

enum Unread {
    TooLarge,
    Broken(reqwest::Error),
}

async fn read(answer: &mut reqwest::Response, limit: usize) -> Result<Bytes, Unread> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(Unread::Broken)? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// An answer: 2xx, its body read.
pub struct Response {
    call: CallName,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    client: Client,
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

    /// Atlassian's trace id.
    pub fn trace_id(&self) -> Option<String> {
        error::trace_id(&self.headers)
    }

    /// The body, read as JSON. No body at all (204) counts as `null`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        let body: &[u8] = if self.body.is_empty() {
            b"null"
        } else {
            &self.body
        };
        serde_json::from_slice(body)
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

    pub(super) fn call(&self) -> &CallName {
        &self.call
    }

    /// The token it was asked with.
    pub(super) fn secret(&self) -> &str {
        self.client.secret()
    }
}
