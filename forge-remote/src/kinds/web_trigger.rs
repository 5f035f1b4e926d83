//! `webtrigger`: a URL of the app that anyone can call.

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

use super::items::{item, item_mistakes, module, nested, set};
use crate::extract::rejection::BodyRejection;
use crate::extract::{Json, Subpath};
use crate::json::{Lenient as _, repair};
use crate::log::{self, Permit};
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[web_trigger]`.
///
/// `forge webtrigger` prints the URL of an installation, whose id is in `forge install list`. A Forge function of the
/// app gets it with `webTrigger.getUrl("KEY")`, where `KEY` is the module's. Atlassian documents no way for a remote.
///
/// The FIT proves only that Forge forwarded the call: authenticate the URL's caller yourself. `hmac`
/// makes Forge require an HMAC with a shared secret; the option is in the manifest's schema, but not
/// documented.
///
/// The [`SystemToken`](crate::SystemToken) of such a call may be forged, because Forge may forward the caller's
/// headers. So it is never [stored](crate::token). If the app stores tokens, the handler gets the stored one. Otherwise
/// the token is [proven](crate::SystemToken#on-a-pages-call) before it is sent to an API that identifies the
/// installation only by the token.
///
/// It is not documented whether a remote receives the request itself or Forge's description of it:
/// [`WebTriggerRequest`] accepts both. In the first case, the request has the caller's method and
/// sub-path. So the handler serves every method on `path` and on all paths below it, and no other
/// handler can have such a path.
///
/// Without `outputs` the response is a [`WebTriggerResponse`]; with `outputs` it is a
/// [`WebTriggerOutput`] with one of their keys. An output without a body is `"KEY=STATUS"`; other
/// outputs are written in parentheses, with a name for each part.
///
/// ```
/// use forge_remote::kinds::{WebTriggerOutput, WebTriggerRequest};
/// use forge_remote::prelude::*;
///
/// #[web_trigger(outputs = [
///     "accepted=202",
///     (key = "wrong", status = 400, content_type = "text/plain", body = "What?"),
/// ])]
/// async fn tracker_webhook(request: WebTriggerRequest) -> Result<WebTriggerOutput> {
///     let key = if request.body.is_empty() { "wrong" } else { "accepted" };
///     Ok(WebTriggerOutput::new(key))
/// }
/// ```
///
/// A key that isn't among the `outputs` becomes a 500, as in Forge itself, and is logged with the valid
/// keys, so that `dev` and tests show it. The same applies to a [`WebTriggerResponse`] of a trigger
/// with `outputs`, and to a [`WebTriggerOutput`] of a trigger without. Bodies over 64 KiB are not
/// checked.
///
/// Sources: <https://developer.atlassian.com/platform/forge/runtime-reference/web-trigger/>,
/// <https://developer.atlassian.com/platform/forge/cli-reference/webtrigger/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebTrigger {
    /// The responses of a static web trigger, at most 20. Empty for a dynamic one.
    pub outputs: &'static [StaticOutput],
    /// Whether Forge requires an HMAC with a shared secret (`request.authentication`).
    pub hmac: bool,
    /// The URL's format: `v1` or `v2`.
    pub url_format: Option<&'static str>,
}

impl WebTrigger {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        outputs: &[],
        hmac: false,
        url_format: None,
    };
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
        module(self.spec(), item)
    }

    fn validate(&self) -> Vec<Mistake> {
        let items = self.outputs.iter().map(|output| match output {
            StaticOutput::Short(text) => lists::ListItem::Text(text),
            StaticOutput::Full { key, .. } => lists::ListItem::Group(key),
        });
        item_mistakes("outputs", &lists::OUTPUTS, items)
    }

    fn check_response(&self, body: &[u8]) -> Option<(String, String)> {
        let ResponseFields {
            output_key,
            status_code,
        } = object(body)?;
        let keys: Vec<&str> = self.outputs.iter().map(StaticOutput::key).collect();
        match output_key {
            Some(key) if keys.is_empty() && status_code.is_none() => Some((
                format!(
                    "the response names the output {key:?}, but the web trigger has no `outputs`"
                ),
                "write `outputs` in the attribute, or return a `WebTriggerResponse`".to_owned(),
            )),
            Some(key) if !keys.is_empty() && !keys.contains(&&*key) => Some((
                format!("the web trigger has no output {key:?}"),
                format!(
                    "return one of its `outputs`, {}, or add the output to them",
                    keys.join(", ")
                ),
            )),
            None if !keys.is_empty() && status_code.is_some() => Some((
                "the web trigger has `outputs`, but the response is a `WebTriggerResponse`"
                    .to_owned(),
                format!(
                    "return a `WebTriggerOutput` with one of {}, or remove `outputs`",
                    keys.join(", ")
                ),
            )),
            _ => None,
        }
    }

    fn sample_call(&self) -> SampleCall {
        let body = serde_json::json!({
            "method": "POST", "headers": { "Content-Type": ["application/json"] }, "body": "{}",
            "path": "/x1/local", "userPath": "", "queryParameters": {},
        });
        SampleCall {
            timeout: Duration::from_secs(55),
            ..SampleCall::from_platform(body)
        }
    }
}

/// Parses a JSON object. serde would also read a struct's fields from a list.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// The fields that distinguish the types of responses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseFields<'a> {
    #[serde(borrow)]
    output_key: Option<Cow<'a, str>>,
    status_code: Option<IgnoredAny>,
}

/// A response of a static web trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaticOutput {
    /// `"KEY=STATUS"`: a response without a body.
    Short(&'static str),
    /// `(key = "…", status = …)`, with `content_type` and `body` if there is one.
    Full {
        /// The key for [`WebTriggerOutput`]: at most 255 characters.
        key: &'static str,
        /// The status.
        status: u16,
        /// The body's content type, with its parameters: at most 255 characters.
        content_type: Option<&'static str>,
        /// The body: at most 1,024 characters.
        body: Option<&'static str>,
    },
}

impl StaticOutput {
    /// Returns the key for [`WebTriggerOutput`].
    pub fn key(&self) -> &'static str {
        match self {
            Self::Short(text) => lists::short_output(text).map_or(*text, |(key, _)| key),
            Self::Full { key, .. } => key,
        }
    }

    fn item(&self) -> Value {
        let (status, content_type, body) = match *self {
            // Malformed texts are rejected at launch.
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

/// The request to the URL, and an extractor for a handler's last argument.
///
/// The URL's caller may have forged any part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebTriggerRequest {
    /// The method.
    pub method: String,
    /// The headers, with names as they were sent. A value that isn't UTF-8 is read as Latin-1.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body, byte for byte, for checking a signature.
    pub body: Bytes,
    /// The sub-path after the trigger's path: empty, or `/…` as it was sent.
    pub user_path: String,
    /// The query parameters.
    pub query_parameters: BTreeMap<String, Vec<String>>,
}

impl WebTriggerRequest {
    /// Returns the first value of a header; the name is case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(one, _)| one.eq_ignore_ascii_case(name));
        found?.1.first().map(String::as_str)
    }

    /// Returns the body as UTF-8 text.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.body)
    }

    /// Parses the body as JSON, regardless of its content type. An unpaired surrogate becomes
    /// U+FFFD.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&repair(&self.body))
    }
}

/// Returns whether a body is read as Forge's description of a request.
pub(super) fn is_description(body: &[u8]) -> bool {
    RequestDescription::of(&repair(body)).is_some()
}

/// Forge's description of a request, as functions receive it.
///
/// Atlassian documents `method`, `path` and `userPath` as required. A description without
/// `userPath` but with `headers` is accepted too: that was the format before `userPath` was added.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestDescription {
    method: String,
    // Always present, so it distinguishes a description from the caller's own body.
    #[serde(rename = "path")]
    _path: String,
    body: Option<String>,
    user_path: Option<String>,
    headers: Option<Values>,
    query_parameters: Option<Values>,
}

/// Names with their values. A single value may come without a list; values that aren't text are left
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

impl RequestDescription {
    /// Returns the description in a body, if the body is one.
    fn of(body: &[u8]) -> Option<Self> {
        match object::<Self>(body) {
            Some(one) if one.user_path.is_some() || one.headers.is_some() => Some(one),
            _ => {
                warn_if_similar(body);
                None
            }
        }
    }
}

/// Warns about a body that is almost a description, because it is treated as the caller's own.
fn warn_if_similar(body: &[u8]) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Similar {
        method: Option<IgnoredAny>,
        path: Option<IgnoredAny>,
        user_path: Option<IgnoredAny>,
        headers: Option<IgnoredAny>,
        query_parameters: Option<IgnoredAny>,
    }
    let Some(similar) = object::<Similar>(body) else {
        return;
    };
    let fields = [
        ("method", &similar.method),
        ("path", &similar.path),
        ("userPath", &similar.user_path),
        ("headers", &similar.headers),
        ("queryParameters", &similar.query_parameters),
    ];
    let present = fields.iter().filter(|(_, field)| field.is_some());
    let present: Vec<&str> = present.map(|(name, _)| *name).collect();
    // The values are the caller's, so only names are logged.
    if present.len() >= 3
        && let Some(Permit { suppressed }) = log::permit("near_description")
    {
        tracing::warn!(
            fields = present.join(", "),
            suppressed,
            "the body looks like Forge's description of a request but cannot be read as one, so it is treated as the request's own body"
        );
    }
}

impl<S: Send + Sync> FromRequest<S> for WebTriggerRequest {
    type Rejection = BodyRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, BodyRejection> {
        let (parts, body) = request.into_parts();
        let body =
            crate::extract::whole_body(Request::from_parts(parts.clone(), body), state).await?;
        let subpath = parts.extensions.get::<Subpath>();
        // A description is sent by POST to the trigger's own path.
        if subpath.is_none()
            && parts.method == Method::POST
            && let Some(described) = RequestDescription::of(&repair(&body))
        {
            return Ok(Self {
                method: described.method,
                headers: described.headers.unwrap_or_default().0,
                body: described.body.unwrap_or_default().into(),
                user_path: described.user_path.unwrap_or_default(),
                query_parameters: described.query_parameters.unwrap_or_default().0,
            });
        }
        // The request itself was forwarded.
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
            user_path: subpath.map(|subpath| subpath.0.clone()).unwrap_or_default(),
            query_parameters,
        })
    }
}

/// The response of a dynamic web trigger, which the URL's caller receives.
///
/// ```
/// use forge_remote::kinds::WebTriggerResponse;
///
/// let response = WebTriggerResponse::new(200, "hello").header("Content-Type", "text/plain");
/// assert_eq!(response.status_code, 200);
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/web-trigger/#response>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebTriggerResponse {
    /// The status.
    pub status_code: u16,
    /// The status text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_text: Option<String>,
    /// The headers.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body.
    pub body: String,
}

impl WebTriggerResponse {
    /// Creates a response with a body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status_code: status,
            status_text: None,
            headers: BTreeMap::new(),
            body: body.into(),
        }
    }

    /// Sets the status text.
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

/// The response of a static web trigger: the key of one of its `outputs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebTriggerOutput {
    /// The key.
    pub output_key: String,
}

impl WebTriggerOutput {
    /// Creates a response with the output of this key.
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
