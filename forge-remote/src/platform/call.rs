//! Calls to handlers, as Forge makes them.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use serde_json::Value;

use super::local::uuid;
use super::oauth::{Kind, OAuth};
use super::{Fit, Platform, random_hex};
use crate::credentials::{SYSTEM_HEADER, USER_HEADER};
use crate::extract::RetryContext;
use crate::fit::AllowedCaller;
use crate::registry::{Auth, Handler, Method, SampleCall};
use crate::telemetry::http::{SPAN_ID, TRACE_ID};

/// The account of local pages' users.
const USER: &str = "712020:00000000-0000-4000-a000-000000000001";

/// The module key in the FITs of functions' calls.
pub(crate) const FUNCTION_KEY: &str = "local-function";

/// The OAuth tokens that are sent with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentTokens {
    /// The tokens that the handler requests, as Forge sends them.
    AsDeclared,
    /// Exactly these tokens, regardless of the handler's options.
    Exactly(Auth),
}

/// A call to a handler, in the shape of its kind, before it is signed and sent.
#[must_use = "a call does nothing until it is sent"]
pub struct Call {
    platform: Platform,
    fit: Fit,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    declared: Auth,
    tokens: SentTokens,
    timeout: Duration,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} {})", self.method, self.path)
    }
}

impl Platform {
    /// Returns the call that Forge would make to this handler; for the first of its events if it has
    /// several.
    pub fn call(&self, handler: &Handler) -> Call {
        self.call_as(handler, handler.registration().kind.sample_call())
    }

    /// Returns the call of a handler for one of its kind's sample calls.
    pub(crate) fn call_as(&self, handler: &Handler, sample_call: SampleCall) -> Call {
        let record = handler.registration();
        let mut fit = self.fit();
        // Forge generates the key of a module that was registered at run time.
        let key = match record.dynamic {
            true => uuid(),
            false if handler.is_cron() => handler.key().to_owned(),
            false => handler.endpoint().to_owned(),
        };
        fit = match record.kind.caller() {
            // A page's FIT names its UI module, whose key the code may not know.
            AllowedCaller::Page => {
                let page = record.kind.pages().first().copied();
                fit.module(sample_call.module_type, page.unwrap_or("local-page"))
                    .as_user(USER)
            }
            AllowedCaller::PlatformForUser => fit
                .module(sample_call.module_type, &key)
                .set("/principal", USER.into()),
            AllowedCaller::Platform => fit.module(sample_call.module_type, &key),
            // Atlassian does not document the key. Not the handler's name, which may be another handler's key.
            AllowedCaller::Function => fit
                .module(sample_call.module_type, FUNCTION_KEY)
                .set("/principal", USER.into()),
        };
        let body = self.sample_body(&sample_call, handler);
        Call {
            platform: self.clone(),
            fit,
            method: handler.method(),
            path: sample_path(handler.path()),
            headers: HeaderMap::new(),
            body: body.map(|body| body.to_string().into_bytes()),
            declared: record.auth,
            tokens: SentTokens::AsDeclared,
            timeout: sample_call.timeout,
        }
    }
}

/// Returns a path of a route: with a number, which is also a text, in place of each parameter.
fn sample_path(route: &str) -> String {
    let parts = route.split('/');
    let parts = parts.map(|part| if part.starts_with('{') { "1" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

impl Platform {
    /// Returns the body of a sample call, with the platform's ids.
    pub(crate) fn sample_body(&self, sample: &SampleCall, handler: &Handler) -> Option<Value> {
        let body = sample.body.clone();
        let body = body.or_else(|| has_body(handler.method()).then(|| serde_json::json!({})));
        body.map(|body| self.with_own_ids(body))
    }

    /// Replaces the ids in a sample body by the platform's: a body names the installation, the site, the
    /// app and the environment of its FIT, as Forge's bodies do.
    fn with_own_ids(&self, mut body: Value) -> Value {
        let platform = &self.0;
        let ids = [
            (SampleCall::APP, platform.app_id.uuid()),
            (SampleCall::INSTALLATION, platform.installation.as_str()),
            (SampleCall::CLOUD, platform.cloud_id.as_str()),
            (SampleCall::ENVIRONMENT, platform.environment.as_str()),
        ];
        replace_ids(&mut body, &ids);
        body
    }
}

fn replace_ids(value: &mut Value, ids: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            // An id alone, or the last segment of an ARI.
            let (start, last) = text.split_at(text.rfind('/').map_or(0, |at| at + 1));
            if let Some((_, own)) = ids.iter().find(|(sample, _)| *sample == last) {
                *text = format!("{start}{own}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace_ids(item, ids)),
        Value::Object(fields) => fields.values_mut().for_each(|item| replace_ids(item, ids)),
        _ => {}
    }
}

/// Returns whether a call with this method has a body.
pub(crate) fn has_body(method: Method) -> bool {
    !matches!(method, Method::Get | Method::Delete)
}

impl Call {
    /// Sets the method, for handlers that accept any (web triggers, design and security information
    /// providers). GET and DELETE remove the body; set one after this if needed.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        if !has_body(method) {
            self.body = None;
        }
        self
    }

    /// Sets the path, such as one that an older major version of the app calls (`also_at`).
    pub fn at_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Appends to the handler's path, such as `/orders/7`, as callers of a web trigger's URL can.
    pub fn subpath(mut self, path: &str) -> Self {
        let (base, query) = match self.path.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (self.path.as_str(), String::new()),
        };
        let (base, path) = (base.trim_end_matches('/'), path.trim_start_matches('/'));
        self.path = format!("{base}/{path}{query}");
        self
    }

    /// Sets the body to a sample of this event, as `dev` does, instead of the handler's first event.
    pub fn event(self, event: &str) -> Self {
        let body = self
            .platform
            .with_own_ids(crate::kinds::event_sample(event));
        self.json(&body)
    }

    /// Changes the Forge Invocation Token.
    pub fn fit(mut self, change: impl FnOnce(Fit) -> Fit) -> Self {
        self.fit = change(self.fit);
        self
    }

    /// Sets the body to this JSON.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.body(body.to_string())
    }

    /// Sets the body to these bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Turns the call into Forge's `count`th retry of an event, with a reason. A body that isn't a
    /// JSON object is not changed.
    pub fn as_retry(mut self, count: u32, reason: &str) -> Self {
        let body = self
            .body
            .as_deref()
            .map(serde_json::from_slice::<serde_json::Value>);
        if let Some(Ok(serde_json::Value::Object(mut body))) = body {
            let context = serde_json::json!({
                "retryCount": count, "retryReason": reason, "retryData": null,
            });
            body.insert("retryContext".to_owned(), context);
            self.body = Some(serde_json::Value::Object(body).to_string().into_bytes());
        }
        self
    }

    /// Adds a header, as a page's `invokeRemote` can. An invalid name or value is ignored.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.append(name, value);
        }
        self
    }

    /// Adds a query, given without the `?`.
    pub fn query(mut self, query: &str) -> Self {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{mark}{query}", self.path);
        self
    }

    /// Sets which OAuth tokens are sent with the call.
    pub fn tokens(mut self, tokens: SentTokens) -> Self {
        self.tokens = tokens;
        self
    }

    /// Returns the platform that signs its FIT.
    #[cfg(feature = "testing")]
    pub(super) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Returns the claims of its FIT.
    pub(super) fn claims(&self) -> &Value {
        self.fit.claims()
    }

    /// Returns the path, with its query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the number of the retry that the body's context has.
    pub(super) fn retry(&self) -> Option<u32> {
        let count = RetryContext::of(self.body.as_deref()?).count;
        Some(count).filter(|count| *count > 0)
    }

    /// Returns the kinds of OAuth tokens that will be sent.
    pub fn auth(&self) -> Auth {
        match self.tokens {
            SentTokens::AsDeclared => self.declared,
            SentTokens::Exactly(auth) => auth,
        }
    }

    /// Returns how long Forge waits for the response.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the signed request, for a service in this process.
    #[must_use]
    pub fn into_request(self) -> Request<Body> {
        self.signed("").map(Body::from)
    }

    /// Returns the signed request to a server at this origin.
    pub(crate) fn signed(self, origin: &str) -> Request<Vec<u8>> {
        let auth = self.auth();
        let mut request = Request::new(self.body.unwrap_or_default());
        *request.method_mut() = self
            .method
            .as_str()
            .parse()
            .unwrap_or(axum::http::Method::POST);
        if let Ok(uri) = format!("{origin}{}", self.path).parse() {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(
                    matches!(name, header::AUTHORIZATION)
                        || name == SYSTEM_HEADER
                        || name == USER_HEADER,
                );
                headers.insert(name, value);
            }
        };
        set(header::CONTENT_TYPE, "application/json");
        set(
            header::AUTHORIZATION,
            &format!("Bearer {}", self.fit.sign()),
        );
        set(TRACE_ID, &random_hex(16));
        set(SPAN_ID, &random_hex(8));
        let claim = |pointer: &str| {
            self.fit
                .claims()
                .pointer(pointer)?
                .as_str()
                .map(str::to_owned)
        };
        let oauth = |kind, account_id| {
            self.platform.token(&OAuth {
                kind,
                installation: claim("/app/installationId").unwrap_or_default(),
                account_id,
            })
        };
        if auth.system {
            set(SYSTEM_HEADER, &oauth(Kind::System, None));
        }
        if auth.user {
            set(USER_HEADER, &oauth(Kind::User, claim("/principal")));
        }
        headers.extend(self.headers);
        request
    }
}
