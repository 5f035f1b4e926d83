//! `webtrigger`: a URL of the app's that anybody can call.

use std::collections::BTreeMap;
use std::str::Utf8Error;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};

use super::{checks, item, nested, set, wrong};
use crate::Json;
use crate::extract::Below;
use crate::registry::{Handler, Kind, Module, Owned, Reach, Simulation};

/// The options of `#[web_trigger]`.
///
/// Who called the URL is for you to find out: the FIT says only that Forge passed it on. `hmac`
/// asks Forge to demand a shared secret's HMAC; the schema has it, no page documents it.
///
/// Nor is a [`SystemToken`](crate::SystemToken) that such a call brings proven to be Forge's: where
/// Forge passes the caller's headers on, the caller may have written it, and the app would work with
/// a token of the caller's choice, on the caller's own site perhaps. So it is never
/// [kept](crate::token); take the kept one instead, `tokens.system(call.installation_id())`.
///
/// Whether a remote gets the request itself or Forge's description of it isn't documented:
/// [`WebRequest`] takes both. A request itself has the caller's method, and the rest of the
/// caller's path behind the trigger's own: so every method is answered, on `path` and on everything
/// below it, and no other handler can be there. Without `outputs` the answer is a [`WebResponse`]; with them, the
/// [`StaticOutput`] of one of their keys.
///
/// ```
/// use forge_remote::kinds::{StaticOutput, WebRequest};
/// use forge_remote::prelude::*;
///
/// #[web_trigger(outputs = ["accepted=202", "wrong=400 text/plain What?"])]
/// async fn hook(request: WebRequest) -> Result<Json<StaticOutput>> {
///     let key = if request.body.is_empty() { "wrong" } else { "accepted" };
///     Ok(Json(StaticOutput::new(key)))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/runtime-reference/web-trigger/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebTrigger {
    /// The answers of a static web trigger: `KEY=STATUS`, with a content type and a body if there
    /// is one. Empty for a dynamic one.
    pub outputs: &'static [&'static str],
    /// Whether Forge demands an HMAC by a shared secret (`request.authentication`).
    pub hmac: bool,
    /// The form of the URL: `v1` or `v2`.
    pub url_format: Option<&'static str>,
}

impl Kind for WebTrigger {
    fn name(&self) -> &'static str {
        "webtrigger"
    }

    /// The request itself, where Forge passes it on, has whatever its caller wrote.
    fn passes_headers_on(&self) -> bool {
        true
    }

    fn module_suffix(&self) -> Option<&'static str> {
        Some("webtrigger")
    }

    fn reach(&self) -> Reach {
        Reach::Below
    }

    fn modules(&self, handler: &Handler) -> Vec<Module> {
        let mut item = item(handler);
        if self.hmac {
            item.insert(
                "request".into(),
                nested("authentication", "hmacSharedSecret".into()),
            );
        }
        let mut response = Mapping::new();
        let kind = if self.outputs.is_empty() {
            "dynamic"
        } else {
            "static"
        };
        response.insert("type".into(), kind.into());
        if !self.outputs.is_empty() {
            let outputs = self.outputs.iter().map(|text| Value::Mapping(output(text)));
            response.insert("outputs".into(), Value::Sequence(outputs.collect()));
        }
        item.insert("response".into(), Value::Mapping(response));
        set(&mut item, "urlFormat", self.url_format);
        vec![Module {
            module_type: "webtrigger",
            item,
            // A hand-written demand for an HMAC stays.
            owned: Owned::Named(&["key", "endpoint", "function", "response", "urlFormat"]),
        }]
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        wrong(&[("outputs", &checks::OUTPUTS, self.outputs)])
    }

    fn simulation(&self) -> Simulation {
        let body = serde_json::json!({
            "method": "POST", "headers": { "Content-Type": ["application/json"] }, "body": "{}",
            "path": "/x1/local", "userPath": "", "queryParameters": {},
        });
        Simulation {
            timeout: Duration::from_secs(55),
            ..Simulation::of_platform(body)
        }
    }
}

/// `KEY=STATUS CONTENT-TYPE BODY`, as the macro has checked it.
fn output(text: &str) -> Mapping {
    let (key, rest) = text.split_once('=').unwrap_or((text, "200"));
    let mut rest = rest.splitn(3, ' ');
    let status: u16 = rest
        .next()
        .and_then(|status| status.parse().ok())
        .unwrap_or(200);
    let mut output = Mapping::new();
    output.insert("key".into(), key.trim().into());
    output.insert("statusCode".into(), status.into());
    set(&mut output, "contentType", rest.next());
    set(&mut output, "body", rest.next());
    output
}

/// What the URL was called with: an extractor, for the last argument.
///
/// Whoever called can have written any of it, whichever form it comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebRequest {
    /// The method.
    pub method: String,
    /// The headers, names as they were sent. A value that isn't UTF-8 is read as Latin-1.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body, byte for byte: what a signature is over.
    pub body: Bytes,
    /// What of the path came after the trigger's own: empty, or `/…` as it was sent.
    pub user_path: String,
    /// The query.
    pub query_parameters: BTreeMap<String, Vec<String>>,
}

impl WebRequest {
    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(one, _)| one.eq_ignore_ascii_case(name));
        found?.1.first().map(String::as_str)
    }

    /// The body as text; an error where it is none.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.body)
    }

    /// The body as JSON, whatever its content type says.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }
}

/// Forge's description of a request, as functions get it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    method: String,
    headers: BTreeMap<String, Vec<String>>,
    // It is always there, and tells a description from a body of the caller's.
    #[serde(rename = "path")]
    _path: String,
    #[serde(default, deserialize_with = "super::or_default")]
    body: String,
    #[serde(default, deserialize_with = "super::or_default")]
    user_path: String,
    #[serde(default, deserialize_with = "super::or_default")]
    query_parameters: BTreeMap<String, Vec<String>>,
}

impl<S: Send + Sync> FromRequest<S> for WebRequest {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let body =
            crate::extract::whole_body(Request::from_parts(parts.clone(), body), state).await?;
        let below = parts.extensions.get::<Below>();
        // A description comes by POST, to the trigger's own path.
        if below.is_none()
            && parts.method == Method::POST
            && let Ok(described) = serde_json::from_slice::<Described>(&body)
        {
            return Ok(Self {
                method: described.method,
                headers: described.headers,
                body: described.body.into(),
                user_path: described.user_path,
                query_parameters: described.query_parameters,
            });
        }
        // The request itself, passed on.
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let values = parts.headers.iter();
        for (name, value) in values.filter(|(_, value)| !value.is_sensitive()) {
            let value = match std::str::from_utf8(value.as_bytes()) {
                Ok(text) => text.to_owned(),
                Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
            };
            headers.entry(name.to_string()).or_default().push(value);
        }
        let mut query_parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        for (name, value) in pairs.map(|pairs| pairs.0).unwrap_or_default() {
            query_parameters.entry(name).or_default().push(value);
        }
        Ok(Self {
            method: parts.method.to_string(),
            headers,
            body,
            user_path: below.map(|below| below.0.clone()).unwrap_or_default(),
            query_parameters,
        })
    }
}

/// The answer of a dynamic web trigger: what the URL's caller gets.
///
/// ```
/// use forge_remote::kinds::WebResponse;
///
/// let answer = WebResponse::new(200, "hello").header("Content-Type", "text/plain");
/// assert_eq!(answer.status_code, 200);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebResponse {
    /// The status.
    pub status_code: u16,
    /// The headers.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body.
    pub body: String,
}

impl WebResponse {
    /// An answer with a body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status_code: status,
            headers: BTreeMap::new(),
            body: body.into(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers
            .entry(name.into())
            .or_default()
            .push(value.into());
        self
    }
}

impl IntoResponse for WebResponse {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// The answer of a static web trigger: the key of one of its `outputs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StaticOutput {
    /// The key.
    pub output_key: String,
}

impl StaticOutput {
    /// The output of this key.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            output_key: key.into(),
        }
    }
}
