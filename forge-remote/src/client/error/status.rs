//! Error responses, and the messages in them.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::operation::Operation;
use super::text::{plain, trace, tries};
use crate::client::scope_hints as scopes;
use crate::json::repair;

/// Upper bound on the messages kept of a response.
const MAX_MESSAGES: usize = 5;

/// A response with an error status.
///
/// Its `Display` output is safe to log. For details, use [`headers`](Self::headers),
/// [`body`](Self::body) and [`json`](Self::json):
///
/// ```
/// use forge_remote::client::ClientError;
/// #[derive(serde::Deserialize)]
/// struct Rejection { errors: std::collections::BTreeMap<String, String> }
///
/// fn wrong_fields(error: &ClientError) -> Vec<String> {
///     let rejection = error.status_error().and_then(|response| response.json::<Rejection>());
///     rejection.map_or_else(Vec::new, |rejection| rejection.errors.into_keys().collect())
/// }
/// ```
pub struct StatusError {
    pub(in crate::client) call: Operation,
    pub(in crate::client) status: StatusCode,
    pub(in crate::client) code: Option<String>,
    pub(in crate::client) messages: Vec<String>,
    pub(in crate::client) trace_id: Option<String>,
    pub(in crate::client) limit: Option<RateLimit>,
    pub(in crate::client) retry_after: Option<Duration>,
    pub(in crate::client) attempts: u32,
    pub(in crate::client) as_user: bool,
    /// Whether the token had expired when the call was made.
    pub(in crate::client) token_expired: bool,
    pub(in crate::client) location: Option<String>,
    pub(in crate::client) headers: HeaderMap,
    pub(in crate::client) body: Bytes,
    /// Whether the response is from a redirect target.
    pub(in crate::client) is_redirected: bool,
}

impl std::error::Error for StatusError {}

impl StatusError {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers, without any that echoes the token.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the first 64 KiB of the body, without the token if the body echoes it.
    ///
    /// It may contain user data, so no message contains it. It is empty for calls of
    /// [`Secrets`](crate::client::Secrets).
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Parses the body as JSON; `None` if it does not fit the type.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&repair(&self.body)).ok()
    }

    /// Returns Atlassian's own error code (`KEY_TOO_LONG`), if the response has one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns Atlassian's messages: at most five, shortened.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// Returns Atlassian's trace id.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// Returns the rate limit that was hit, for a 429.
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.limit.as_ref()
    }

    /// Returns the wait that Atlassian demands (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the scope that the call usually needs, for a 401 and a 403.
    pub fn likely_scope(&self) -> Option<&'static str> {
        let rejected = matches!(self.status.as_u16(), 401 | 403) && !self.is_redirected;
        let Operation { api, method, path } = &self.call;
        rejected
            .then(|| scopes::likely(*api, method, path))
            .flatten()
    }

    /// Returns the `Location` of a 3xx.
    ///
    /// Redirects are not followed, because the target would receive the token. See
    /// [`Request::follow_without_token`](crate::client::Request::follow_without_token).
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }
}

/// Same as `Display`: headers and body have methods.
impl fmt::Debug for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, status, .. } = self;
        write!(f, "{call}: response {status}")?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if !self.messages.is_empty() {
            write!(f, ": {}", self.messages.join("; "))?;
        }
        f.write_str(&trace(self.trace_id()))?;
        if let Some(limit) = &self.limit {
            write!(f, "; limit: {limit}")?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, "; retry in {} s", wait.as_secs())?;
        }
        f.write_str(&tries(self.attempts))?;
        match self.status.as_u16() {
            _ if self.is_redirected => f.write_str(
                ". The response is from the URL that the API redirected to, which is valid for a \
                 short time: call the API again",
            ),
            401 if self.token_expired => f.write_str(
                ". The token had expired: get one from `Tokens` just before each use; `Tokens` never \
                 returns a token that is about to expire",
            ),
            401 | 403 => {
                match self.likely_scope() {
                    Some(scope) => write!(f, ". The token probably lacks the scope `{scope}`")?,
                    None => f.write_str(". The token probably lacks a scope")?,
                }
                f.write_str(
                    ": list it in the handler's `scopes = […]` or in `App::scopes` (for impersonated users, in \
                     `App::impersonation_scopes`), run `manifest --write`, deploy, and \
                     have the installation upgraded; ",
                )?;
                f.write_str(if self.as_user {
                    "or the user may not do this"
                } else {
                    "or the app may not do this there, or was installed only minutes ago"
                })
            }
            304 => f.write_str(". The request had no `If-None-Match` header"),
            300..=399 if self.location.is_some() => f.write_str(
                ". Redirects are not followed, because the target would receive the token: see \
                 `Request::follow_without_token`",
            ),
            _ => Ok(()),
        }
    }
}

/// The rate limit that was hit, as far as the response names it.
///
/// Source: <https://developer.atlassian.com/cloud/jira/platform/rate-limiting/>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// The limit's name: `jira-burst-based`, `jira-quota-tenant-based`, `jira-per-issue-on-write`, …
    pub reason: Option<String>,
    /// Number of calls allowed in the window.
    pub limit: Option<u64>,
    /// Number of calls left in the window.
    pub remaining: Option<u64>,
    /// The time at which the limit resets, as Atlassian writes it (ISO 8601).
    pub reset: Option<String>,
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_deref().unwrap_or("not named"))?;
        match (self.remaining, self.limit) {
            (Some(remaining), Some(limit)) => write!(f, ", {remaining} of {limit} left")?,
            (None, Some(limit)) => write!(f, ", {limit} in all")?,
            _ => {}
        }
        match &self.reset {
            Some(reset) => write!(f, ", resets at {reset}"),
            None => Ok(()),
        }
    }
}

impl RateLimit {
    pub(in crate::client) fn of(headers: &HeaderMap) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| short(headers, name));
        let number = |name: &str| short(headers, name)?.parse().ok();
        Self {
            reason: first(&[
                "ratelimit-reason",
                "x-ratelimit-reason",
                "x-beta-ratelimit-reason",
                "forge-proxy-error",
            ]),
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: first(&["x-ratelimit-reset", "x-beta-ratelimit-reset"]),
        }
    }
}

/// Returns the trace id of a response.
pub(in crate::client) fn trace_id(headers: &HeaderMap) -> Option<String> {
    const NAMES: [&str; 5] = [
        "atl-traceid",
        "x-trace-id",
        "x-b3-traceid",
        "atl-request-id",
        "x-request-id",
    ];
    NAMES.iter().find_map(|name| short(headers, name))
}

/// Removes the headers that echo the token.
pub(in crate::client) fn without(headers: HeaderMap, secret: &str) -> HeaderMap {
    let echoes = |value: &HeaderValue| find(value.as_bytes(), secret.as_bytes()).is_some();
    if !headers.values().any(echoes) {
        return headers;
    }
    let kept = headers.iter().filter(|(_, value)| !echoes(value));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Removes the token from a body that echoes it.
pub(in crate::client) fn body_without(body: Bytes, secret: &str) -> Bytes {
    let secret = secret.as_bytes();
    let mut kept = Vec::new();
    let mut rest = &body[..];
    while let Some(at) = find(rest, secret) {
        kept.extend_from_slice(&rest[..at]);
        kept.extend_from_slice(b"***");
        rest = &rest[at + secret.len()..];
    }
    if rest.len() == body.len() {
        return body;
    }
    kept.extend_from_slice(rest);
    kept.into()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    text.windows(part.len()).position(|window| window == part)
}

/// Returns a short header of plain characters, which is safe to log.
fn short(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+".contains(&byte);
    ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// Returns the code and the messages in a response's body, in any of the products' shapes. `secret`
/// is removed if the server echoes it.
pub(in crate::client) fn messages(body: &[u8], secret: &str) -> (Option<String>, Vec<String>) {
    let Ok(body) = serde_json::from_slice::<Value>(&repair(body)) else {
        // A proxy's HTML adds nothing to the status.
        return (None, Vec::new());
    };
    let mut found = Vec::new();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // Jira
    let list = body.get("errorMessages").and_then(Value::as_array);
    found.extend(list.into_iter().flatten().filter_map(text));
    match body.get("errors") {
        Some(Value::Object(fields)) => {
            let named =
                |(name, value): (&String, &Value)| Some(format!("{name}: {}", text(value)?));
            found.extend(fields.iter().filter_map(named));
        }
        // Confluence v2, GraphQL
        Some(Value::Array(errors)) => {
            for error in errors {
                let parts = ["title", "message", "detail"];
                let parts = parts.iter().filter_map(|name| text(error.get(*name)?));
                found.push(parts.collect::<Vec<_>>().join(": "));
            }
        }
        _ => {}
    }
    // Confluence v1, storage, the gateway; Bitbucket
    for at in [
        "/message",
        "/errorMessage",
        "/error/message",
        "/error/detail",
        "/error_description",
    ] {
        found.extend(body.pointer(at).and_then(text));
    }
    let messages = found
        .iter()
        .filter(|message| !message.is_empty())
        .take(MAX_MESSAGES)
        .map(|message| plain(message, secret))
        .collect();
    // Confluence v2 has one code per error.
    let codes = ["/code", "/errors/0/code"].into_iter();
    let mut codes = codes.filter_map(|at| body.pointer(at)?.as_str());
    let is_code = |code: &&str| {
        code.len() <= 64
            && code
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    (codes.find(is_code).map(str::to_owned), messages)
}
