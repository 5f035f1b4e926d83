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

/// The header with the secret of this start.
const SECRET_HEADER: &str = "x-console-secret";
/// The length of the secret, in bytes.
const SECRET_SIZE: usize = 32;
/// Scripts, styles and requests of this server alone; no frame, no form, no code in the page's text.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The names of the server, and the secret of this start.
#[derive(Clone)]
pub(crate) struct Guard(Arc<Inner>);

struct Inner {
    /// `127.0.0.1:8079` and its equals.
    hosts: [String; 3],
    origins: [String; 3],
    secret: String,
}

/// No secret could be made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no secret for the console could be generated: is the system's random source working?")]
pub(crate) struct NoSecret;

impl Guard {
    /// Creates the guard of the server at this port, with a new secret.
    pub(crate) fn new(port: u16) -> Result<Self, NoSecret> {
        let mut secret = [0; SECRET_SIZE];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| NoSecret)?;
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}"));
        let origins = hosts.clone().map(|host| format!("http://{host}"));
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

async fn check_names(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_own =
        |value: &HeaderValue, names: &[String]| names.iter().any(|name| value == name.as_str());
    let Inner { hosts, origins, .. } = &*guard.0;
    if !only(headers, &header::HOST).is_some_and(|host| is_own(host, hosts)) {
        let message = format!("this server is called as http://{} only", hosts[0]);
        return ApiError::new(StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    let is_foreign = headers.contains_key(header::ORIGIN)
        && !only(headers, &header::ORIGIN).is_some_and(|origin| is_own(origin, origins));
    if is_foreign {
        let message = "pages of other origins can't call this server";
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
