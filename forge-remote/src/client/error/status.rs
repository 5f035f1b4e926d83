//! An answer that is not a success, and what it says.

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

/// Messages of an answer that are kept.
const MESSAGES: usize = 5;

/// An answer that is not a success.
///
/// Its text has what belongs into a log. What the program needs beyond it is in
/// [`headers`](Self::headers), [`body`](Self::body) and [`json`](Self::json):
///
/// ```
/// use forge_remote::client::ClientError;
/// #[derive(serde::Deserialize)]
/// struct Refused { errors: std::collections::BTreeMap<String, String> }
///
/// fn wrong_fields(error: &ClientError) -> Vec<String> {
///     let refused = error.answer().and_then(|answer| answer.json::<Refused>());
///     refused.map_or_else(Vec::new, |refused| refused.errors.into_keys().collect())
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
    /// The token had ended when the call was made.
    pub(in crate::client) token_ended: bool,
    pub(in crate::client) location: Option<String>,
    pub(in crate::client) headers: HeaderMap,
    pub(in crate::client) body: Bytes,
    /// The answer of an address that the API redirected to.
    pub(in crate::client) elsewhere: bool,
}

impl std::error::Error for StatusError {}

impl StatusError {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers, without any that echoes the token.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body's first 64 KiB, a token that it echoes taken out. It may hold customers' data, so
    /// it is in no message. Empty for calls of [`Secrets`](crate::client::Secrets).
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body, where it is JSON of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&repair(&self.body)).ok()
    }

    /// Atlassian's own code for what went wrong (`KEY_TOO_LONG`), where it gives one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Atlassian's messages: a few, cut short.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// Atlassian's trace id.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// The limit that was hit, after 429.
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.limit.as_ref()
    }

    /// How long Atlassian asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The scope that the call usually needs, after 401 and 403.
    pub fn likely_scope(&self) -> Option<&'static str> {
        let refused = matches!(self.status.as_u16(), 401 | 403) && !self.elsewhere;
        let Operation { api, method, path } = &self.call;
        refused
            .then(|| scopes::likely(*api, method, path))
            .flatten()
    }

    /// Where the answer points, for 3xx: redirects aren't followed, the token would go along. See
    /// [`Request::follow_without_token`](crate::client::Request::follow_without_token).
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }
}

/// As its text: the rest is there by name.
impl fmt::Debug for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, status, .. } = self;
        write!(f, "{call}: answered {status}")?;
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
            write!(f, "; try again in {} s", wait.as_secs())?;
        }
        f.write_str(&tries(self.attempts))?;
        match self.status.as_u16() {
            _ if self.elsewhere => f.write_str(
                ". So answered the address that the API redirected to, which is good for a short \
                 time: ask the API again",
            ),
            401 if self.token_ended => f.write_str(
                ". The token had run out: take one from `Tokens` just before it is used, which hands \
                 out none that is about to end",
            ),
            401 | 403 => {
                match self.likely_scope() {
                    Some(scope) => write!(f, ". The token probably lacks the scope `{scope}`")?,
                    None => f.write_str(". The token probably lacks a scope")?,
                }
                f.write_str(
                    ": list it in the handler's `scopes = […]` or in `App::scopes` (for users who \
                     aren't in session in `App::impersonation_scopes`), run `manifest --write`, deploy, and \
                     have the installation upgraded; ",
                )?;
                f.write_str(if self.as_user {
                    "or the user may not do this"
                } else {
                    "or the app may not do this there, or was installed minutes ago"
                })
            }
            304 => f.write_str(". It has not changed, and the call had no `If-None-Match`"),
            300..=399 if self.location.is_some() => f.write_str(
                ". Redirects aren't followed, the token would go along: see \
                 `Request::follow_without_token`",
            ),
            _ => Ok(()),
        }
    }
}

/// Which limit was hit, as far as Atlassian says.
///
/// Source: <https://developer.atlassian.com/cloud/jira/platform/rate-limiting/>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// `jira-burst-based`, `jira-quota-tenant-based`, `jira-per-issue-on-write`, …
    pub reason: Option<String>,
    /// How many calls are allowed in the window.
    pub limit: Option<u64>,
    /// How many of them are left.
    pub remaining: Option<u64>,
    /// When it starts anew, as Atlassian writes it (ISO 8601).
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
            Some(reset) => write!(f, ", starts anew at {reset}"),
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

/// The trace id that Atlassian gave its answer.
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

/// The headers without those that echo the token.
pub(in crate::client) fn without(headers: HeaderMap, secret: &str) -> HeaderMap {
    let echoes = |value: &HeaderValue| find(value.as_bytes(), secret.as_bytes()).is_some();
    if !headers.values().any(echoes) {
        return headers;
    }
    let kept = headers.iter().filter(|(_, value)| !echoes(value));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The body without the token, should it echo it.
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

/// A header of a few plain characters: it goes into logs.
fn short(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+".contains(&byte);
    ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// The code and the messages in an answer's body, in any of the products' shapes. `secret` is
/// taken out, should a server echo it.
pub(in crate::client) fn messages(body: &[u8], secret: &str) -> (Option<String>, Vec<String>) {
    let Ok(body) = serde_json::from_slice::<Value>(&repair(body)) else {
        // HTML of a proxy says nothing that the status doesn't.
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
        .take(MESSAGES)
        .map(|message| plain(message, secret))
        .collect();
    // Confluence v2 has a code for each of its errors.
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
