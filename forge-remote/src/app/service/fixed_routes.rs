//! Responses without a handler: preflights, readiness, unknown paths and methods.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::by_hand::ByHand;
use super::context::ServiceContext;
use super::former::FormerCalls;
use super::served_routes::ServedRoutes;
use crate::app::route_digest::ROUTE_DIGEST_HEADER;
use crate::fit::Verifier;
use crate::log::{Foreign, LogLimits, Permit};
use crate::response;
use crate::token::Tokens;
use crate::work::Work;

/// The prefix of the headers that hold OAuth tokens.
const OAUTH_HEADERS: &str = "x-forge-oauth-";

/// The framework's own routes, and the app's own routes for all other paths.
pub(super) struct FixedRoutes {
    pub(super) own_routes: Arc<ServedRoutes>,
    pub(super) former: Arc<FormerCalls>,
    pub(super) by_hand: Arc<ByHand>,
    /// The header that shows which routes this build has.
    pub(super) digest: HeaderValue,
    pub(super) context: ServiceContext,
}

impl FixedRoutes {
    /// Adds `/healthz`, `/readyz` and the responses to requests for which there is no handler.
    pub(super) fn add_to(self, router: Router) -> Router {
        let Self {
            own_routes,
            former,
            by_hand,
            digest,
            context,
        } = self;
        let ServiceContext {
            work,
            verifier,
            tokens,
            log_limits,
            ..
        } = context;
        let health = ([(ROUTE_DIGEST_HEADER, digest.clone())], "ok\n");
        let ready = move || readiness(Arc::clone(&work), Arc::clone(&verifier), tokens.clone());
        let limits = log_limits.clone();
        let names = Arc::clone(&former);
        let other_paths = async move |request: Request| {
            by_hand.on_request();
            match own_routes.serve(request).await {
                Ok(response) => response,
                Err(request) => {
                    let mut response = not_found(&request, &limits, &former);
                    response.headers_mut().insert(ROUTE_DIGEST_HEADER, digest);
                    response
                }
            }
        };
        let other_methods =
            async move |request: Request| method_not_allowed(&request, &log_limits, &names);
        router
            .route("/healthz", get(|| async { health }))
            .route("/readyz", get(ready))
            .fallback(other_paths)
            .method_not_allowed_fallback(other_methods)
    }
}

/// Responds to the CORS preflight that a browser sends, without a FIT, before a `requestRemote`.
pub(super) fn preflight(request: &Request, methods: &str) -> Response {
    let headers = request.headers();
    if !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        let mut response = response::json_error(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not accept the request's method",
        );
        if let Ok(methods) = HeaderValue::from_str(methods) {
            response.headers_mut().insert(header::ALLOW, methods);
        }
        return response;
    }
    let requested = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let allowed = requested.map_or_else(
        || HeaderValue::from_static("authorization, content-type"),
        without_oauth_headers,
    );
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    if let Ok(methods) = HeaderValue::from_str(methods) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    response
}

/// Returns the headers that a page's script may set: the requested ones, without the headers that
/// only Forge sets, and without `*`, which would allow every name.
///
/// Source: <https://fetch.spec.whatwg.org/#http-new-header-syntax>
fn without_oauth_headers(requested: &HeaderValue) -> HeaderValue {
    let may_be_set = |name: &&str| {
        let start = name.get(..OAUTH_HEADERS.len());
        *name != "*" && !start.is_some_and(|start| start.eq_ignore_ascii_case(OAUTH_HEADERS))
    };
    let names = requested.to_str().unwrap_or_default().split(',');
    let names: Vec<&str> = names.map(str::trim).filter(may_be_set).collect();
    HeaderValue::from_str(&names.join(",")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

async fn readiness(work: Arc<Work>, verifier: Arc<Verifier>, tokens: Option<Tokens>) -> Response {
    if work.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    // Only the commercial cloud's keys decide. Without the keys of a staging or isolated cloud, or
    // without the token store, other requests are still served.
    if verifier.keys().commercial.is_ready() {
        if tokens.is_some_and(|tokens| !tokens.is_connected()) {
            return "ready, but the token store is not open: see the log\n".into_response();
        }
        "ready\n".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for Atlassian's key set\n",
        )
            .into_response()
    }
}

fn not_found(request: &Request, limits: &LogLimits, former: &FormerCalls) -> Response {
    if let Some(Permit { suppressed }) = limits.permit("not_found") {
        let (method, path) = (request.method(), Foreign(request.uri().path()));
        tracing::info!(
            %method,
            %path,
            hint = former
                .at_slash(request.uri().path())
                .or_else(|| former.at_unknown_path(request.headers())),
            suppressed,
            "no handler has this path: {}",
            hint(request.uri().path())
        );
    }
    response::json_error(
        StatusCode::NOT_FOUND,
        "not_found",
        "no handler has this path",
    )
}

/// Returns the probable reason why no handler has a path.
fn hint(path: &str) -> &'static str {
    if path.contains("//") {
        "it has a doubled slash, probably because the remote's `baseUrl` ends with `/`"
    } else {
        "compare it with the output of `routes`"
    }
}

fn method_not_allowed(request: &Request, limits: &LogLimits, names: &FormerCalls) -> Response {
    if let Some(Permit { suppressed }) = limits.permit("method_not_allowed") {
        let (method, path) = (request.method(), Foreign(request.uri().path()));
        tracing::info!(
            %method,
            %path,
            accepted = names.methods_at(request.uri().path()).join(", "),
            suppressed,
            "this path does not accept the request's method"
        );
    }
    response::json_error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path does not accept the request's method",
    )
}
