//! The door of the servers of `dev`: the browser is the only way in from outside of this machine's user.
//!
//! A web page that the developer has open could otherwise send requests to loopback, directly or after its
//! host name was pointed there.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::ApiError;
use crate::response::json_error;

/// The header with the secret of this start.
const SECRET_HEADER: &str = "x-console-secret";
/// The length of the secret, in bytes.
const SECRET_SIZE: usize = 32;
/// Scripts, styles and requests of this server alone; no frame, no form, no code in the page's text.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The host names by which a server of `dev` is called, each with its port.
#[derive(Clone)]
pub(crate) struct Hosts(Arc<[String]>);

impl Hosts {
    /// Returns the names of loopback at this port.
    pub(crate) fn loopback(port: u16) -> Self {
        let names = ["127.0.0.1", "localhost", "[::1]"].into_iter();
        Self(names.map(|name| format!("{name}:{port}")).collect())
    }

    /// Adds names as a `Host` header has them.
    pub(crate) fn and(self, others: impl IntoIterator<Item = String>) -> Self {
        Self(self.0.iter().cloned().chain(others).collect())
    }

    /// Lets only requests to these names of an app through. Its handlers verify their callers, but its own
    /// routes, and the browser's caches and cookies, know a server by its name alone.
    pub(crate) fn protect_app(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, check_host))
    }

    fn has(&self, headers: &HeaderMap) -> bool {
        let host = only(headers, &header::HOST);
        host.is_some_and(|host| self.0.iter().any(|name| host == name.as_str()))
    }

    /// Returns the name that messages have.
    fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

/// The names of the platform's server, and the secret of this start.
#[derive(Clone)]
pub(crate) struct Guard(Arc<Inner>);

struct Inner {
    hosts: Hosts,
    origins: Vec<String>,
    secret: String,
}

/// No secret could be made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no secret for the console could be generated: check the system's random source")]
pub(crate) struct NoSecret;

impl Guard {
    /// Creates the guard of the server at this port, with a new secret.
    pub(crate) fn new(port: u16) -> Result<Self, NoSecret> {
        let mut secret = [0; SECRET_SIZE];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| NoSecret)?;
        let hosts = Hosts::loopback(port);
        let origins = hosts.0.iter().map(|host| format!("http://{host}"));
        let origins = origins.collect();
        let secret = URL_SAFE_NO_PAD.encode(secret);
        Ok(Self(Arc::new(Inner {
            hosts,
            origins,
            secret,
        })))
    }

    /// Returns the secret, for the link that is printed.
    pub(crate) fn secret(&self) -> &str {
        &self.0.secret
    }

    /// Lets only requests to this server's own names through, from no page or from its own.
    pub(super) fn protect(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), check_names))
    }

    /// Lets only requests with the secret through.
    pub(super) fn require_secret<S: Clone + Send + Sync + 'static>(
        &self,
        router: Router<S>,
    ) -> Router<S> {
        router.layer(from_fn_with_state(self.clone(), check_secret))
    }
}

/// Returns the header's value, if there is exactly one.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

async fn check_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if hosts.has(request.headers()) {
        return next.run(request).await;
    }
    let message = format!(
        "`dev` serves the app as http://{} only; for calls to the app's own routes through a tunnel, start \
         `dev --allow-host NAME`; for Forge's calls, run the app without `dev`, which accepts only its local platform's",
        hosts.first()
    );
    json_error(StatusCode::MISDIRECTED_REQUEST, "unknown_host", &message)
}

async fn check_names(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let Inner { hosts, origins, .. } = &*guard.0;
    let is_own = |value: &HeaderValue| origins.iter().any(|origin| value == origin.as_str());
    if !hosts.has(headers) {
        let message = format!("this server is called as http://{} only", hosts.first());
        return ApiError::new(StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    let is_foreign =
        headers.contains_key(header::ORIGIN) && !only(headers, &header::ORIGIN).is_some_and(is_own);
    if is_foreign {
        let message = "pages of other origins cannot call this server";
        return ApiError::new(StatusCode::FORBIDDEN, message).into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn check_secret(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let name = HeaderName::from_static(SECRET_HEADER);
    let sent = only(request.headers(), &name).map_or(&b""[..], HeaderValue::as_bytes);
    if verify_slices_are_equal(sent, guard.0.secret.as_bytes()).is_err() {
        let message =
            "open the link that `dev` printed at its last start: its secret is another one";
        return ApiError::new(StatusCode::UNAUTHORIZED, message).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
