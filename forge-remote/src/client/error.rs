//! What can go wrong with a call, and what to do about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;

use super::{Api, GraphQlError, graphql, scopes};

/// Messages of an answer that are kept, and how long each may be.
const MESSAGES: usize = 5;
const MESSAGE_CHARS: usize = 300;

/// Why a call failed.
///
/// Its text names the API, the method and the path with `{}` for what varies, Atlassian's own
/// messages, its trace id, and what to do; no token, no query, no body. As a handler's error it
/// answers 500, and Forge tries an event again.
///
/// ```
/// use forge_remote::client::ClientError;
/// use forge_remote::prelude::*;
/// # use forge_remote::path;
/// # #[derive(serde::Deserialize)] struct Issue;
///
/// async fn find(call: &Invocation, token: &SystemToken, key: &str) -> Result<Option<Issue>> {
///     let jira = call.jira().as_app(token);
///     match jira.get(path!("/rest/api/3/issue/{}", key)).fetch().await {
///         Err(error) if error.is_not_found() => Ok(None),
///         other => Ok(Some(other?)),
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The installation has no such product.
    #[error(
        "{api}: the installation has no such product, or Forge gave no base URL for it (it has: \
         {present}); is the app installed there?"
    )]
    NotInstalled {
        /// The API that was wanted.
        api: Api,
        /// The products there are.
        present: String,
    },

    /// The installation is in an isolated cloud whose addresses the app doesn't have. Nothing was
    /// sent.
    #[error(
        "{api}: the installation is in the isolated cloud `{label}`, and {problem}: give its addresses \
         to `App::isolated_cloud`, or to `Atlassian::isolated_cloud` in a program without an app"
    )]
    IsolatedCloud {
        /// The API that was wanted.
        api: Api,
        /// The cloud's label.
        label: String,
        /// What the app doesn't have.
        problem: &'static str,
    },

    /// The token isn't for the place that would be called. Nothing was sent.
    #[error("{api}: nothing was sent, for {reason}")]
    WrongToken {
        /// The API that was wanted.
        api: Api,
        /// Why not.
        reason: &'static str,
    },

    /// The token would have gone to a host that isn't Atlassian's. Nothing was sent.
    #[error(
        "{call}: refused to send the token to {origin}: {reason}. Staging and isolated clouds are \
         allowed by `Atlassian::allow_host`"
    )]
    HostRefused {
        /// The call.
        call: CallName,
        /// Scheme, host and port.
        origin: String,
        /// Why not.
        reason: &'static str,
    },

    /// The call can't be made as it was described. Nothing was sent.
    #[error("{call}: {reason}")]
    Invalid {
        /// The call.
        call: CallName,
        /// What is wrong with it.
        reason: String,
    },

    /// No answer came.
    #[error("{call}: {reason}{}", tries(*attempts))]
    NoAnswer {
        /// The call.
        call: CallName,
        /// What happened.
        reason: &'static str,
        /// How often it was tried.
        attempts: u32,
        /// The cause, without the URL.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },

    /// The answer is not a success.
    #[error(transparent)]
    Status(Box<StatusError>),

    /// The answer's body doesn't fit.
    #[error("{call}: the answer ({status}) does not fit {wanted}: {reason}{}", trace(trace_id.as_deref()))]
    Unreadable {
        /// The call.
        call: CallName,
        /// The answer's status.
        status: StatusCode,
        /// The type that was wanted.
        wanted: &'static str,
        /// Atlassian's trace id.
        trace_id: Option<String>,
        /// Where it doesn't fit.
        reason: String,
    },

    /// A GraphQL answer with errors in it.
    #[error("{call}: {}{}", graphql::told(errors), trace(trace_id.as_deref()))]
    GraphQl {
        /// The call.
        call: CallName,
        /// The errors.
        errors: Vec<GraphQlError>,
        /// Atlassian's trace id.
        trace_id: Option<String>,
    },

    /// The user's token could not be had, for this caller and those who waited with it.
    #[error("no token to act as the user: {0}")]
    Impersonation(#[source] Arc<ClientError>),
}

impl ClientError {
    /// The answer's status, where one came. In GraphQL's, which is 200, the errors' own counts.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(error) => Some(error.status),
            Self::Unreadable { status, .. } => Some(*status),
            Self::GraphQl { errors, .. } => {
                graphql::status(errors).and_then(|code| StatusCode::from_u16(code).ok())
            }
            Self::Impersonation(error) => error.status(),
            _ => None,
        }
    }

    /// Whether the answer was 404.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// The answer, where it is not a success.
    pub fn answer(&self) -> Option<&StatusError> {
        match self {
            Self::Status(error) => Some(error),
            Self::Impersonation(error) => error.answer(),
            _ => None,
        }
    }

    /// Atlassian's trace id: quote it to their support.
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Status(error) => error.trace_id(),
            Self::Unreadable { trace_id, .. } | Self::GraphQl { trace_id, .. } => {
                trace_id.as_deref()
            }
            Self::Impersonation(error) => error.trace_id(),
            _ => None,
        }
    }

    /// How long Atlassian asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.answer()?.retry_after()
    }
}

/// An answer that is not a success.
pub struct StatusError {
    pub(super) call: CallName,
    pub(super) status: StatusCode,
    pub(super) code: Option<String>,
    pub(super) messages: Vec<String>,
    pub(super) trace_id: Option<String>,
    pub(super) limit: Option<RateLimit>,
    pub(super) retry_after: Option<Duration>,
    pub(super) attempts: u32,
    pub(super) as_user: bool,
    /// The token had ended when the call was made.
    pub(super) token_ended: bool,
    pub(super) location: Option<String>,
}

impl std::error::Error for StatusError {}

impl StatusError {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
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
        let refused = matches!(self.status.as_u16(), 401 | 403);
        let CallName { api, method, path } = &self.call;
        refused
            .then(|| scopes::likely(*api, method, path))
            .flatten()
    }

    /// Where the answer points, for 3xx: redirects aren't followed, the token would go along.
    /// Fetch it without one (an attachment's address is signed by itself).
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
                     aren't in session in `App::impersonation`), run `manifest --write`, deploy, and \
                     have the installation upgraded; ",
                )?;
                f.write_str(if self.as_user {
                    "or the user may not do this"
                } else {
                    "or the app may not do this there, or was installed minutes ago"
                })
            }
            300..=399 => f.write_str(". Redirects aren't followed: the token would go along"),
            _ => Ok(()),
        }
    }
}

/// A call as messages name it: no host, and `{}` for what varies in the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallName {
    pub(super) api: Api,
    pub(super) method: Method,
    pub(super) path: String,
}

impl CallName {
    /// The API.
    pub fn api(&self) -> Api {
        self.api
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path, with `{}` for what varies.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.api, self.method, self.path)
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
    pub(super) fn of(headers: &HeaderMap) -> Self {
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
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
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
pub(super) fn without(headers: HeaderMap, secret: &str) -> HeaderMap {
    let echoes = |value: &HeaderValue| {
        let (value, secret) = (value.as_bytes(), secret.as_bytes());
        !secret.is_empty() && value.windows(secret.len()).any(|part| part == secret)
    };
    if !headers.values().any(echoes) {
        return headers;
    }
    let kept = headers.iter().filter(|(_, value)| !echoes(value));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A header of a few plain characters: it goes into logs.
fn short(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+".contains(&byte);
    ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// The code and the messages in an answer's body, in any of the products' shapes. `secret` is
/// taken out, should a server echo it.
pub(super) fn messages(body: &[u8], secret: &str) -> (Option<String>, Vec<String>) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
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
    let code = body.get("code").and_then(Value::as_str);
    let is_code = |code: &&str| {
        code.len() <= 64
            && code
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    (code.filter(is_code).map(str::to_owned), messages)
}

/// A message that can stand in a log: bounded, one line, without the token.
pub(super) fn plain(message: &str, secret: &str) -> String {
    let hidden;
    let message = if !secret.is_empty() && message.contains(secret) {
        hidden = message.replace(secret, "***");
        &hidden
    } else {
        message
    };
    let mut text: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_CHARS)
        .collect();
    if text.len() < message.len() && message.chars().nth(MESSAGE_CHARS).is_some() {
        text.push('…');
    }
    text
}

fn trace(trace_id: Option<&str>) -> String {
    trace_id.map_or_else(String::new, |id| format!(" (trace {id})"))
}

fn tries(attempts: u32) -> String {
    if attempts > 1 {
        format!(" after {attempts} attempts")
    } else {
        String::new()
    }
}
