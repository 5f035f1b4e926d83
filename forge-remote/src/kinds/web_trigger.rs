//! `webtrigger`: a URL of the app's that anybody can call.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::Utf8Error;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, Mistake, kinds, lists};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};

use super::items::{item, nested, set, wrong_items};
use crate::extract::rejection::BodyRejection;
use crate::extract::{Json, Subpath};
use crate::json::{Lenient as _, repair};
use crate::log::{self, Permit};
use crate::manifest::OwnedProperties;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[web_trigger]`.
///
/// Who called the URL is for you to find out: the FIT says only that Forge passed it on. `hmac`
/// asks Forge to demand a shared secret's HMAC; the schema has it, no page documents it.
///
/// Nor is a [`SystemToken`](crate::SystemToken) that such a call brings proven to be Forge's: where
/// Forge passes the caller's headers on, the caller may have written it. So it is never
/// [kept](crate::token). Where the app keeps tokens, the handler gets the kept one; otherwise the
/// token is [proven](crate::SystemToken#on-a-pages-call) where it alone names the tenant.
///
/// Whether a remote gets the request itself or Forge's description of it isn't documented:
/// [`WebTriggerRequest`] takes both. A request itself has the caller's method, and the rest of the
/// caller's path behind the trigger's own: so every method is answered, on `path` and on everything
/// below it, and no other handler can be there.
///
/// Without `outputs` the answer is a [`WebTriggerResponse`]; with them, the [`WebTriggerOutput`] of one of
/// their keys. An output without a body is `"KEY=STATUS"`; one with more has parentheses, and a
/// name for each part.
///
/// ```
/// use forge_remote::kinds::{WebTriggerOutput, WebTriggerRequest};
/// use forge_remote::prelude::*;
///
/// #[web_trigger(outputs = [
///     "accepted=202",
///     (key = "wrong", status = 400, content_type = "text/plain", body = "What?"),
/// ])]
/// async fn hook(request: WebTriggerRequest) -> Result<WebTriggerOutput> {
///     let key = if request.body.is_empty() { "wrong" } else { "accepted" };
///     Ok(WebTriggerOutput::new(key))
/// }
/// ```
///
/// A key that isn't among the `outputs` is answered 500, as Forge itself does, and logged with the
/// keys that are: so that `dev` and a test show it. The same goes for a [`WebTriggerResponse`] of a
/// trigger with `outputs`, and for a [`WebTriggerOutput`] of one without. Bodies over 64 KiB aren't
/// looked at.
///
/// Source: <https://developer.atlassian.com/platform/forge/runtime-reference/web-trigger/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebTrigger {
    /// The answers of a static web trigger, 20 at most. Empty for a dynamic one.
    pub outputs: &'static [StaticOutput],
    /// Whether Forge demands an HMAC by a shared secret (`request.authentication`).
    pub hmac: bool,
    /// The form of the URL: `v1` or `v2`.
    pub url_format: Option<&'static str>,
}

impl Kind for WebTrigger {
    fn spec(&self) -> &'static KindSpec {
        &kinds::WEB_TRIGGER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
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
            let outputs = self.outputs.iter().map(StaticOutput::item);
            response.insert("outputs".into(), Value::Sequence(outputs.collect()));
        }
        item.insert("response".into(), Value::Mapping(response));
        set(&mut item, "urlFormat", self.url_format);
        vec![Module {
            module_type: self.spec().module_type,
            item,
            // A hand-written demand for an HMAC stays.
            owned: OwnedProperties::Named(&[
                "key",
                "endpoint",
                "function",
                "response",
                "urlFormat",
            ]),
        }]
    }

    fn validate(&self) -> Vec<Mistake> {
        let items = self.outputs.iter().map(|output| match output {
            StaticOutput::Short(text) => lists::ListItem::Text(text),
            StaticOutput::Full { key, .. } => lists::ListItem::Group(key),
        });
        wrong_items("outputs", &lists::OUTPUTS, items)
    }

    fn check_response(&self, answer: &[u8]) -> Option<(String, String)> {
        let Answered {
            output_key,
            status_code,
        } = object(answer)?;
        let keys: Vec<&str> = self.outputs.iter().map(StaticOutput::key).collect();
        match output_key {
            Some(key) if keys.is_empty() && status_code.is_none() => Some((
                format!("the answer names the output {key:?}, and the web trigger has no `outputs`"),
                "write `outputs` in the attribute, or answer a `WebTriggerResponse`".to_owned(),
            )),
            Some(key) if !keys.is_empty() && !keys.contains(&&*key) => Some((
                format!("the web trigger has no output {key:?}"),
                format!("answer one of its `outputs`, {}, or add it to them", keys.join(", ")),
            )),
            None if !keys.is_empty() && status_code.is_some() => Some((
                "the web trigger has `outputs`, and the answer names none of them but is one of its own".to_owned(),
                format!("answer the `WebTriggerOutput` of one of {}, or remove `outputs`", keys.join(", ")),
            )),
            _ => None,
        }
    }

    fn simulation(&self) -> SampleCall {
        let body = serde_json::json!({
            "method": "POST", "headers": { "Content-Type": ["application/json"] }, "body": "{}",
            "path": "/x1/local", "userPath": "", "queryParameters": {},
        });
        SampleCall {
            timeout: Duration::from_secs(55),
            ..SampleCall::of_platform(body)
        }
    }
}

/// An object in JSON: a list would be taken for its values.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// What an answer says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    #[serde(borrow)]
    output_key: Option<Cow<'a, str>>,
    status_code: Option<IgnoredAny>,
}

/// An answer of a static web trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaticOutput {
    /// `"KEY=STATUS"`: without a body.
    Short(&'static str),
    /// `(key = "…", status = …)`, with `content_type` and `body` if there is one.
    Full {
        /// What a [`WebTriggerOutput`] names it by: 255 characters at most.
        key: &'static str,
        /// The status.
        status: u16,
        /// The body's type, with its parameters: 255 characters at most.
        content_type: Option<&'static str>,
        /// The body: 1,024 characters at most.
        body: Option<&'static str>,
    },
}

impl StaticOutput {
    /// What a [`WebTriggerOutput`] names it by.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Short(text) => lists::short_output(text).map_or(*text, |(key, _)| key),
            Self::Full { key, .. } => key,
        }
    }

    fn item(&self) -> Value {
        let (status, content_type, body) = match *self {
            // What is none, the launch refuses.
            Self::Short(text) => {
                let status = lists::short_output(text).map_or(200, |(_, status)| status);
                (status, None, None)
            }
            Self::Full {
                status,
                content_type,
                body,
                ..
            } => (status, content_type, body),
        };
        let mut item = Mapping::new();
        item.insert("key".into(), self.key().into());
        item.insert("statusCode".into(), status.into());
        set(&mut item, "contentType", content_type);
        set(&mut item, "body", body);
        Value::Mapping(item)
    }
}

/// What the URL was called with: an extractor, for the last argument.
///
/// Whoever called can have written any of it, whichever form it comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebTriggerRequest {
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

impl WebTriggerRequest {
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

    /// The body as JSON, whatever its content type says; half a surrogate pair is read as U+FFFD.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&repair(&self.body))
    }
}

/// Whether a body is read as Forge's description of a request.
pub(super) fn is_description(body: &[u8]) -> bool {
    Described::of(&repair(body)).is_some()
}

/// Forge's description of a request, as functions get it.
///
/// Its page calls `method`, `path` and `userPath` required. One without `userPath` but with
/// `headers` is taken as well: so it was before there was a `userPath`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    method: String,
    // It is always there, and tells a description from a body of the caller's.
    #[serde(rename = "path")]
    _path: String,
    body: Option<String>,
    user_path: Option<String>,
    headers: Option<Values>,
    query_parameters: Option<Values>,
}

/// Names with their values; a single one may stand without a list. A value that isn't text is left
/// out.
#[derive(Default, Deserialize)]
#[serde(from = "BTreeMap<String, serde_json::Value>")]
struct Values(BTreeMap<String, Vec<String>>);

impl From<BTreeMap<String, serde_json::Value>> for Values {
    fn from(values: BTreeMap<String, serde_json::Value>) -> Self {
        let texts = |value| match Vec::read(value) {
            Ok(all) => Some(all),
            Err(one) => String::read(one).ok().map(|one| vec![one]),
        };
        let all = values
            .into_iter()
            .filter_map(|(name, value)| Some((name, texts(value)?)));
        Self(all.collect())
    }
}

impl Described {
    /// A description, if the body is one.
    fn of(body: &[u8]) -> Option<Self> {
        match object::<Self>(body) {
            Some(one) if one.user_path.is_some() || one.headers.is_some() => Some(one),
            _ => {
                warn_of_near(body);
                None
            }
        }
    }
}

/// A body that is nearly a description is taken as the caller's own: somebody should know.
fn warn_of_near(body: &[u8]) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Near {
        method: Option<IgnoredAny>,
        path: Option<IgnoredAny>,
        user_path: Option<IgnoredAny>,
        headers: Option<IgnoredAny>,
        query_parameters: Option<IgnoredAny>,
    }
    let Some(near) = object::<Near>(body) else {
        return;
    };
    let fields = [
        ("method", &near.method),
        ("path", &near.path),
        ("userPath", &near.user_path),
        ("headers", &near.headers),
        ("queryParameters", &near.query_parameters),
    ];
    let there = fields.iter().filter(|(_, field)| field.is_some());
    let there: Vec<&str> = there.map(|(name, _)| *name).collect();
    // Not what they say: it is the caller's.
    if there.len() >= 3
        && let Some(Permit { suppressed }) = log::permit("near_description")
    {
        tracing::warn!(
            fields = there.join(", "),
            suppressed,
            "the body looks like Forge's description of a request and can't be read as one, so it is taken as the request's own"
        );
    }
}

impl<S: Send + Sync> FromRequest<S> for WebTriggerRequest {
    type Rejection = BodyRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, BodyRejection> {
        let (parts, body) = request.into_parts();
        let body =
            crate::extract::whole_body(Request::from_parts(parts.clone(), body), state).await?;
        let below = parts.extensions.get::<Subpath>();
        // A description comes by POST, to the trigger's own path.
        if below.is_none()
            && parts.method == Method::POST
            && let Some(described) = Described::of(&repair(&body))
        {
            return Ok(Self {
                method: described.method,
                headers: described.headers.unwrap_or_default().0,
                body: described.body.unwrap_or_default().into(),
                user_path: described.user_path.unwrap_or_default(),
                query_parameters: described.query_parameters.unwrap_or_default().0,
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
/// use forge_remote::kinds::WebTriggerResponse;
///
/// let answer = WebTriggerResponse::new(200, "hello").header("Content-Type", "text/plain");
/// assert_eq!(answer.status_code, 200);
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/web-trigger/#response>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebTriggerResponse {
    /// The status.
    pub status_code: u16,
    /// The status in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_text: Option<String>,
    /// The headers.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body.
    pub body: String,
}

impl WebTriggerResponse {
    /// An answer with a body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status_code: status,
            status_text: None,
            headers: BTreeMap::new(),
            body: body.into(),
        }
    }

    /// The same, with the status in words.
    #[must_use]
    pub fn status_text(mut self, text: impl Into<String>) -> Self {
        self.status_text = Some(text.into());
        self
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

impl IntoResponse for WebTriggerResponse {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// The answer of a static web trigger: the key of one of its `outputs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebTriggerOutput {
    /// The key.
    pub output_key: String,
}

impl WebTriggerOutput {
    /// The output of this key.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            output_key: key.into(),
        }
    }
}

impl IntoResponse for WebTriggerOutput {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
