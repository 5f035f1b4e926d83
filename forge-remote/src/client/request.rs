//! The builder of one call to an Atlassian API.

use std::fmt::{self, Display};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use bytes::Bytes;
use reqwest::Url;
use serde::Serialize;
use serde_json::Value;

use super::atlassian::ClientSettings;
use super::error::{ClientError, Operation};
use super::form::{Body, Form};
use super::hosts;
use super::path::Path;
use super::product_client::ProductClient;
pub(super) use super::response::Response;
use super::retry::RetryPolicy;

/// A request to one of Atlassian's APIs that has not been sent yet.
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
    /// A URL from an API response, without its query; replaces base URL and path.
    url: Option<Url>,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
    pub(super) may_repeat: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Option<RetryPolicy>,
    /// Whether redirects are followed, without the token.
    pub(super) follows: bool,
    problem: Option<Problem>,
    /// Whether the response body is kept out of error messages.
    pub(super) secret: bool,
}

/// Why a request cannot be sent.
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

/// Headers that only the client or the connection sets.
const RESERVED_HEADERS: [HeaderName; 12] = [
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

    /// Marks the request as invalid. The first problem is reported.
    pub(super) fn with_problem(mut self, problem: impl Into<String>) -> Self {
        let problem = Problem::Invalid(problem.into());
        self.problem = self.problem.or(Some(problem));
        self
    }

    /// Adds a query parameter. Name and value are encoded.
    pub fn query(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Adds every field of a struct to the query.
    ///
    /// A `None` is left out, and a list adds one parameter for each item.
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
    pub fn query_params(mut self, params: &(impl Serialize + ?Sized)) -> Self {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        let Ok(Value::Object(params)) = serde_json::to_value(params) else {
            return self.with_problem("query parameters must be a struct or a map");
        };
        for (name, value) in params {
            let values = match value {
                Value::Null => continue,
                Value::Array(values) => values,
                value => vec![value],
            };
            for value in values {
                let Some(value) = text(value) else {
                    return self.with_problem(format!(
                        "the query parameter `{name}` is not a string, number or boolean"
                    ));
                };
                self.query.push((name.clone(), value));
            }
        }
        self
    }

    /// Sets a JSON body.
    pub fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(body) {
            Ok(json) => self.bytes("application/json", json),
            Err(error) => {
                self.with_problem(format!("the body cannot be serialized as JSON: {error}"))
            }
        }
    }

    /// Sets a body of raw bytes.
    pub fn bytes(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut this = self.header(header::CONTENT_TYPE.as_str(), content_type);
        this.body = Some(Body::Whole(body.into()));
        this
    }

    /// Sets a multipart body, which may contain files. See [`Form`].
    ///
    /// Also sets `X-Atlassian-Token: no-check`, which Jira and Confluence require for forms.
    pub fn multipart(self, form: Form) -> Self {
        match form.encode() {
            Ok((content_type, body)) => {
                let mut this = self
                    .header(header::CONTENT_TYPE.as_str(), &content_type)
                    .header("x-atlassian-token", "no-check");
                this.body = Some(body);
                this
            }
            Err(problem) => self.with_problem(problem),
        }
    }

    /// Sets a header and replaces its previous values.
    ///
    /// `Authorization` and the connection's headers cannot be set: the client sets them.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with_header(name, value, |headers, name, value| {
            headers.insert(name, value);
        })
    }

    /// Adds a header and keeps its previous values.
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
            (Ok(name), _) if RESERVED_HEADERS.contains(&name) => self.with_problem(format!(
                "the header `{name}` is set by the client and cannot be changed"
            )),
            (Ok(name), Ok(value)) => {
                set(&mut self.headers, name, value);
                self
            }
            (Ok(name), Err(_)) => {
                self.with_problem(format!("the value of the header `{name}` is not valid"))
            }
            (Err(_), _) => self.with_problem("a header name is not valid"),
        }
    }

    /// Sets the timeout of one attempt, instead of [`AtlassianClient::timeout`](super::AtlassianClient::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the retry policy, instead of [`AtlassianClient::retries`](super::AtlassianClient::retries).
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Follows redirects **without the token**, as attachment downloads need.
    ///
    /// For attachments the API redirects to a signed URL that is valid for a short time.
    ///
    /// Applies to `GET` and `HEAD`, for up to three redirects. The target must be a host name over
    /// https (in tests, loopback may redirect to loopback). Of the request's headers only `Accept` and
    /// `Range` are sent there.
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

    /// Marks the request as safe to repeat, so that a `POST` or `PATCH` is retried like other methods.
    ///
    /// See [`RetryPolicy`](super::RetryPolicy).
    pub fn idempotent(mut self) -> Self {
        self.may_repeat = true;
        self
    }

    pub(super) fn secret(mut self) -> Self {
        self.secret = true;
        self
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

    /// Returns a copy with these query parameters; they replace parameters of the same name.
    pub(super) fn with_query(&self, pairs: &[(String, String)]) -> Self {
        let mut query = self.query.clone();
        query.retain(|(name, _)| pairs.iter().all(|(other, _)| other != name));
        query.extend_from_slice(pairs);
        Self {
            query,
            ..self.copy()
        }
    }

    /// Returns a copy that starts at this cursor: in the body if there is one, as for a search by
    /// `POST`, else in the query.
    pub(super) fn continued(&self, name: &str, cursor: &Value) -> Self {
        if let Some(mut body) = self.json_body() {
            body.insert(name.to_owned(), cursor.clone());
            let body = Value::Object(body).to_string();
            return Self {
                body: Some(Body::Whole(body.into())),
                ..self.copy()
            };
        }
        let text = cursor
            .as_str()
            .map_or_else(|| cursor.to_string(), str::to_owned);
        self.with_query(&[(name.to_owned(), text)])
    }

    /// Returns the body if it is a JSON object.
    pub(super) fn json_body(&self) -> Option<serde_json::Map<String, Value>> {
        match &self.body {
            Some(Body::Whole(body)) => serde_json::from_slice(body).ok(),
            _ => None,
        }
    }

    /// Returns whether URL, query and JSON body are the same.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let sorted = |request: &Self| {
            let mut query = request.query.clone();
            query.sort();
            query
        };
        self.url == other.url
            && sorted(self) == sorted(other)
            && self.json_body() == other.json_body()
    }

    /// Returns a copy with a URL from an API response. It must have the same host and be below the
    /// installation's base URL; a relative one is resolved against the request's URL.
    pub(super) fn at(&self, address: &str) -> Result<Self, ClientError> {
        let (here, base) = self.address()?;
        let url = self.below(here.join(address).ok(), &here, &base)?;
        Ok(self.copy().at_url(url))
    }

    /// Like [`at`](Self::at), but resolves relative URLs against the base URL.
    pub(super) fn link(mut self, address: &str) -> Self {
        let found = self.address().and_then(|(here, base)| {
            let url = if address.starts_with('/') && !address.starts_with("//") {
                // Below the base URL, like every path.
                here.join(&format!("{}{address}", base.trim_end_matches('/')))
            } else {
                Url::parse(address)
            };
            self.below(url.ok(), &here, &base)
        });
        match found {
            Ok(url) => self.at_url(url),
            Err(ClientError::HostRejected { origin, reason, .. }) => {
                self.problem = Some(Problem::Host(origin, reason));
                self
            }
            Err(error) => self.with_problem(match error {
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
        let url = url.ok_or_else(|| self.invalid("the link is not a valid URL"))?;
        if hosts::origin(&url) != hosts::origin(here) {
            return Err(ClientError::HostRejected {
                call: self.name(),
                origin: hosts::origin(&url),
                reason: "the link's host is not the host of the installation's base URL",
            });
        }
        if !url.path().starts_with(base) {
            return Err(self.invalid("the link is not below the installation's base URL"));
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

    /// Returns the request's URL, and the base path that all of the installation's URLs are below.
    pub(super) fn address(&self) -> Result<(Url, String), ClientError> {
        let url = self.url(&self.client.settings())?;
        let base = Url::parse(self.client.base()?);
        let base = base.map_err(|_| self.invalid("the API's base URL is not a valid URL"))?;
        Ok((url, format!("{}/", base.path().trim_end_matches('/'))))
    }

    /// Returns the request's URL after checking that a token may be sent to it.
    fn url(&self, settings: &ClientSettings) -> Result<Url, ClientError> {
        let rejected = |rejected: hosts::Rejected| ClientError::HostRejected {
            call: self.name(),
            origin: rejected.origin,
            reason: rejected.reason,
        };
        if let Some(url) = &self.url {
            let url = settings.hosts.check(url.as_str()).map_err(rejected)?;
            return Ok(self.queried(url));
        }
        let base = self.client.base()?;
        let mut url = settings.hosts.check(base).map_err(rejected)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(self.invalid("the API's base URL has a query or a fragment"));
        }
        let path = format!("{}{}", url.path().trim_end_matches('/'), self.path.as_str());
        url.set_path(&path);
        // URL parsers normalize dot segments: the result must be the intended path.
        if url.path() != path {
            return Err(self.invalid("the path has dot segments and would lead to another path"));
        }
        Ok(self.queried(url))
    }

    fn queried(&self, mut url: Url) -> Url {
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// Returns the request's URL, or the problem that was found while building it.
    pub(super) fn ready(&self, settings: &ClientSettings) -> Result<Url, ClientError> {
        match &self.problem {
            None => self.url(settings),
            Some(Problem::Invalid(reason)) => Err(self.invalid(reason.clone())),
            Some(Problem::Host(origin, reason)) => Err(ClientError::HostRejected {
                call: self.name(),
                origin: origin.clone(),
                reason,
            }),
        }
    }

    /// Returns the timeout of one attempt.
    pub(super) fn attempt_timeout(&self) -> Duration {
        self.timeout.unwrap_or(self.client.options().timeout)
    }
}
