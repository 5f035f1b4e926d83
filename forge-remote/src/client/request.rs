//! One call: what is sent.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use bytes::Bytes;
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::atlassian::Settings;
use super::error::{ClientError, Operation};
use super::form::{Body, Form};
use super::hosts;
use super::path::Path;
use super::product_client::ProductClient;
use super::response::Download;
pub(super) use super::response::Response;
use super::retry::RetryPolicy;

/// A call to one of Atlassian's APIs, before it is sent.
///
/// ```
/// use forge_remote::client::ProductClient;
/// use forge_remote::{Result, path};
/// use serde_json::json;
///
/// async fn comment(jira: &ProductClient, key: &str, text: &str) -> Result<()> {
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
    pub(super) client: ProductClient,
    pub(super) method: Method,
    pub(super) path: Path,
    query: Vec<(String, String)>,
    /// In place of base URL and path: an address that the API gave, without its query.
    url: Option<Url>,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
    pub(super) may_repeat: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Option<RetryPolicy>,
    /// A redirect is followed, without the token.
    pub(super) follows: bool,
    problem: Option<Problem>,
    /// What the answer's body says goes into no message.
    pub(super) secret: bool,
}

/// Why it can't be sent.
#[derive(Clone)]
enum Problem {
    Invalid(String),
    Host(String, &'static str),
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.name())
    }
}

/// A call under way. Boxed, so that the compiler need not look into it, anew for every handler that
/// makes one, to see that it can be sent between threads.
pub type RequestFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send + 'a>>;

/// Headers that are the client's, and the connection's.
const OURS: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::HOST,
    header::COOKIE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

impl Request {
    pub(super) fn new(client: ProductClient, method: Method, path: Path) -> Self {
        let may_repeat = matches!(
            method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        );
        Self {
            problem: path
                .problem()
                .map(|problem| Problem::Invalid(problem.to_owned())),
            client,
            method,
            path,
            query: Vec::new(),
            url: None,
            headers: HeaderMap::new(),
            body: None,
            may_repeat,
            timeout: None,
            retries: None,
            follows: false,
            secret: false,
        }
    }

    /// Where something is wrong already, the first counts.
    pub(super) fn wrong(mut self, problem: impl Into<String>) -> Self {
        let problem = Problem::Invalid(problem.into());
        self.problem = self.problem.or(Some(problem));
        self
    }

    /// Adds to the query; both parts are encoded.
    pub fn query(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Adds every member of a struct to the query: its name, and its value as text. A `None` is left
    /// out, and a list is given as often as it has items.
    ///
    /// ```
    /// use forge_remote::client::{ProductClient, Request};
    ///
    /// #[derive(serde::Serialize)]
    /// #[serde(rename_all = "camelCase")]
    /// struct Wanted<'a> { space_id: &'a [u64], limit: u32, title: Option<&'a str> }
    ///
    /// fn pages(confluence: &ProductClient) -> Request {
    ///     let wanted = Wanted { space_id: &[1, 2], limit: 50, title: None };
    ///     confluence.get("/wiki/api/v2/pages").query_params(&wanted) // ?limit=50&spaceId=1&spaceId=2
    /// }
    /// ```
    pub fn query_params(mut self, members: &(impl Serialize + ?Sized)) -> Self {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        let Ok(Value::Object(members)) = serde_json::to_value(members) else {
            return self.wrong("only a struct or a map can be a query");
        };
        for (name, value) in members {
            let values = match value {
                Value::Null => continue,
                Value::Array(values) => values,
                value => vec![value],
            };
            for value in values {
                let Some(value) = text(value) else {
                    return self.wrong(format!("`{name}` of the query is no text, number or flag"));
                };
                self.query.push((name.clone(), value));
            }
        }
        self
    }

    /// Sends this as JSON.
    pub fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(body) {
            Ok(json) => self.bytes("application/json", json),
            Err(error) => self.wrong(format!("the body can't be written as JSON: {error}")),
        }
    }

    /// Sends these bytes.
    pub fn bytes(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut this = self.header(header::CONTENT_TYPE.as_str(), content_type);
        this.body = Some(Body::Whole(body.into()));
        this
    }

    /// Sends a form with files, and `X-AtlassianClient-Token: no-check`, without which Jira and Confluence
    /// refuse one. See [`Form`].
    pub fn multipart(self, form: Form) -> Self {
        match form.encode() {
            Ok((content_type, body)) => {
                let mut this = self
                    .header(header::CONTENT_TYPE.as_str(), &content_type)
                    .header("x-atlassian-token", "no-check");
                this.body = Some(body);
                this
            }
            Err(problem) => self.wrong(problem),
        }
    }

    /// Sets a header, in place of what it was. `Authorization` and those of the connection are the
    /// client's own.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with_header(name, value, |headers, name, value| {
            headers.insert(name, value);
        })
    }

    /// Adds a header that may be there already.
    pub fn append_header(self, name: &str, value: &str) -> Self {
        self.with_header(name, value, |headers, name, value| {
            headers.append(name, value);
        })
    }

    fn with_header(
        mut self,
        name: &str,
        value: &str,
        set: fn(&mut HeaderMap, HeaderName, HeaderValue),
    ) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), _) if OURS.contains(&name) => {
                self.wrong(format!("the header `{name}` is set by the client itself"))
            }
            (Ok(name), Ok(value)) => {
                set(&mut self.headers, name, value);
                self
            }
            (Ok(name), Err(_)) => self.wrong(format!("the header `{name}` can't have this value")),
            (Err(_), _) => self.wrong("a header can't have this name"),
        }
    }

    /// How long one attempt may take, where it differs from [`AtlassianClient::timeout`](super::AtlassianClient::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// When it is made again, where that differs from [`AtlassianClient::retries`](super::AtlassianClient::retries).
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Follows a redirect, **without the token**: how attachments are downloaded, which the API
    /// answers with an address that is signed by itself and good for a short time.
    ///
    /// For `GET` and `HEAD`, up to three redirects. They must lead to a host's name, by https (from
    /// loopback to loopback, in tests). None of the call's headers go there but `Accept` and
    /// `Range`.
    ///
    /// ```no_run
    /// use forge_remote::client::ProductClient;
    /// use forge_remote::{Result, path};
    /// # async fn write(piece: &[u8]) -> Result<()> { Ok(()) }
    ///
    /// async fn save(jira: &ProductClient, attachment: &str) -> Result<()> {
    ///     let content = jira.get(path!("/rest/api/3/attachment/content/{}", attachment));
    ///     let mut file = content.follow_without_token().download(100 << 20).await?;
    ///     while let Some(piece) = file.chunk().await? {
    ///         write(&piece).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn follow_without_token(mut self) -> Self {
        self.follows = true;
        self
    }

    /// Says that doing it twice does no harm, so that a `POST` or `PATCH` is made again like other
    /// calls: see [`RetryPolicy`](super::RetryPolicy).
    pub fn idempotent(mut self) -> Self {
        self.may_repeat = true;
        self
    }

    pub(super) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Sends it; anything but 2xx is an error, and so is a 304 that the call didn't ask for by
    /// `If-None-Match` or `If-Modified-Since`. The body has been read when this returns.
    pub fn send(self) -> RequestFuture<'static, Response> {
        Box::pin(async move { Ok(self.perform_and_tell(None).await?.0) })
    }

    /// One line of the log for each call, its attempts together.
    async fn perform_and_tell(
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

    /// Sends it and leaves the body to be read piece by piece, up to `limit` bytes in all. The
    /// call's timeout is that of the response's beginning, and then of each piece; a download slower
    /// than 16 KiB a second ends with an error ([`Download::chunk`]).
    pub fn download(mut self, limit: u64) -> RequestFuture<'static, Download> {
        if !self.headers.contains_key(header::ACCEPT) {
            let any = HeaderValue::from_static("*/*");
            self.headers.insert(header::ACCEPT, any);
        }
        Box::pin(async move {
            let patience = self.patience();
            let (response, rest) = self.perform_and_tell(Some(limit)).await?;
            Ok(Download {
                response,
                rest,
                left: limit,
                patience,
                budget: patience * 2,
            })
        })
    }

    /// Sends it and reads the answer's JSON.
    pub fn fetch<'a, T: DeserializeOwned + 'a>(self) -> RequestFuture<'a, T> {
        Box::pin(async move { self.send().await?.json() })
    }

    pub(super) fn name(&self) -> Operation {
        Operation {
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
    pub(super) fn with_query(&self, pairs: &[(String, String)]) -> Self {
        let mut query = self.query.clone();
        query.retain(|(name, _)| pairs.iter().all(|(other, _)| other != name));
        query.extend_from_slice(pairs);
        Self {
            query,
            ..self.copy()
        }
    }

    /// The same call from this place on: in its body where it has one, as a search by `POST` does,
    /// else in its query.
    pub(super) fn continued(&self, name: &str, place: &Value) -> Self {
        if let Some(mut body) = self.json_body() {
            body.insert(name.to_owned(), place.clone());
            let body = Value::Object(body).to_string();
            return Self {
                body: Some(Body::Whole(body.into())),
                ..self.copy()
            };
        }
        let text = place
            .as_str()
            .map_or_else(|| place.to_string(), str::to_owned);
        self.with_query(&[(name.to_owned(), text)])
    }

    /// Its JSON, where that has members.
    pub(super) fn json_body(&self) -> Option<serde_json::Map<String, Value>> {
        match &self.body {
            Some(Body::Whole(body)) => serde_json::from_slice(body).ok(),
            _ => None,
        }
    }

    /// Whether it asks for the same thing.
    pub(super) fn asks_as(&self, other: &Self) -> bool {
        let sorted = |request: &Self| {
            let mut query = request.query.clone();
            query.sort();
            query
        };
        self.url == other.url
            && sorted(self) == sorted(other)
            && self.json_body() == other.json_body()
    }

    /// The same call with an address that the API gave: of its own host, below the installation's
    /// base URL. A relative one is taken from here.
    pub(super) fn at(&self, address: &str) -> Result<Self, ClientError> {
        let (here, base) = self.address()?;
        let url = self.below(here.join(address).ok(), &here, &base)?;
        Ok(self.copy().at_url(url))
    }

    /// As [`at`](Self::at), from the base URL on.
    pub(super) fn link(mut self, address: &str) -> Self {
        let found = self.address().and_then(|(here, base)| {
            let url = if address.starts_with('/') && !address.starts_with("//") {
                // Below the base, as every path.
                here.join(&format!("{}{address}", base.trim_end_matches('/')))
            } else {
                Url::parse(address)
            };
            self.below(url.ok(), &here, &base)
        });
        match found {
            Ok(url) => self.at_url(url),
            Err(ClientError::HostRefused { origin, reason, .. }) => {
                self.problem = Some(Problem::Host(origin, reason));
                self
            }
            Err(error) => self.wrong(match error {
                ClientError::Invalid { reason, .. } => reason,
                other => other.to_string(),
            }),
        }
    }

    fn at_url(mut self, mut url: Url) -> Self {
        self.query = url.query_pairs().into_owned().collect();
        url.set_query(None);
        url.set_fragment(None);
        self.url = Some(url);
        self
    }

    fn below(&self, url: Option<Url>, here: &Url, base: &str) -> Result<Url, ClientError> {
        let url = url.ok_or_else(|| self.invalid("the API's address is no URL"))?;
        if hosts::origin(&url) != hosts::origin(here) {
            return Err(ClientError::HostRefused {
                call: self.name(),
                origin: hosts::origin(&url),
                reason: "the API's address is on another host than the installation's",
            });
        }
        if !url.path().starts_with(base) {
            return Err(self.invalid("the API's address is outside of the installation"));
        }
        Ok(url)
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
            retries: self.retries,
            follows: self.follows,
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
        let base = Url::parse(self.client.base()?);
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
            let url = settings.hosts.check(url.as_str()).map_err(refused)?;
            return Ok(self.queried(url));
        }
        let base = self.client.base()?;
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
        Ok(self.queried(url))
    }

    fn queried(&self, mut url: Url) -> Url {
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// Where it goes, when nothing is wrong with it.
    pub(super) fn ready(&self, settings: &Settings) -> Result<Url, ClientError> {
        match &self.problem {
            None => self.url(settings),
            Some(Problem::Invalid(reason)) => Err(self.invalid(reason.clone())),
            Some(Problem::Host(origin, reason)) => Err(ClientError::HostRefused {
                call: self.name(),
                origin: origin.clone(),
                reason,
            }),
        }
    }

    /// How long an attempt may take.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.unwrap_or(self.client.manner().timeout)
    }
}
