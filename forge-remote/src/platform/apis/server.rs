//! The server of the fake APIs.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::call::{CheckedCall, JsonResponse, error_response, not_implemented};
use super::data::{ApiCall, ApiRequest, ApiResponse};
use crate::platform::local::{Platform, random_hex};
use crate::platform::oauth::{Kind, OAuth};

/// The largest accepted body, in bytes: more than any of the APIs accepts.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Returns the routes of the fake APIs, to be served on loopback.
pub(crate) fn router(platform: Platform) -> Router {
    Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(platform)
}

async fn serve(
    State(platform): State<Platform>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = headers.remove(header::AUTHORIZATION);
    let token = token
        .as_ref()
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .and_then(|token| platform.read_token(token));
    let request = ApiRequest {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: query(&uri),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        as_user: token.as_ref().and_then(|token| token.account_id.clone()),
        installation_id: token.as_ref().map(|token| token.installation.clone()),
    };
    let reply = respond(&platform, &request, token.as_ref(), body.len());
    let status = reply.status.as_u16();
    platform.apis().data().record(ApiCall {
        line: format!("{method} {}", uri.path()),
        as_user: request.as_user.clone(),
        status,
        request,
    });
    let mut response = match reply.body {
        Some(body) => (reply.status, axum::Json(body)).into_response(),
        None => reply.status.into_response(),
    };
    if let Ok(trace) = HeaderValue::from_str(&random_hex(16)) {
        response.headers_mut().insert("atl-traceid", trace);
    }
    response.headers_mut().extend(reply.headers);
    response
}

/// Returns the response: of `fail_next`, else of a responder, else of the fake APIs.
fn respond(
    platform: &Platform,
    request: &ApiRequest,
    token: Option<&OAuth>,
    bytes: usize,
) -> ApiResponse {
    let apis = platform.apis();
    let (failure, responders) = {
        let mut data = apis.data();
        (data.failure(), data.responders.clone())
    };
    if let Some(failure) = failure {
        return failure;
    }
    let Some(token) = token else {
        let message = "Unauthorized; no token of this platform";
        let (status, body) = error_response(StatusCode::UNAUTHORIZED, message);
        return ApiResponse::json(status.as_u16(), body);
    };
    // Called without the lock, because a responder may use the data.
    let own = responders.iter().rev().find_map(|respond| respond(request));
    own.unwrap_or_else(|| {
        let call = CheckedCall {
            platform,
            token,
            request,
            bytes,
        };
        let segments: Vec<String> = request.path.split('/').skip(1).map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (status, body) = call.route(&request.method, &segments);
        ApiResponse {
            body: (!body.is_null()).then_some(body),
            ..ApiResponse::status(status.as_u16())
        }
    })
}

fn query(uri: &Uri) -> Vec<(String, String)> {
    let url = format!("http://local.invalid/?{}", uri.query().unwrap_or_default());
    let pairs = reqwest::Url::parse(&url).map(|url| url.query_pairs().into_owned().collect());
    pairs.unwrap_or_default()
}

/// Decodes the `%XX` of a path's segment.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl CheckedCall<'_> {
    fn route(&self, method: &str, path: &[&str]) -> JsonResponse {
        match (method, path) {
            (_, ["ex", product, site, rest @ ..]) => {
                if *site != self.platform.0.cloud_id {
                    return error_response(
                        StatusCode::UNAUTHORIZED,
                        "Unauthorized; the token is for another site",
                    );
                }
                match *product {
                    "jira" => self.jira(method, rest),
                    "confluence" => self.confluence(method, rest),
                    _ => not_implemented(),
                }
            }
            ("POST", ["graphql"]) => self.graphql(),
            ("POST", ["forge", "storage", "kvs", "v1", rest @ ..]) => {
                if self.token.kind != Kind::System {
                    return error_response(
                        StatusCode::UNAUTHORIZED,
                        "Unauthorized; storage accepts only a system token",
                    );
                }
                self.storage(rest)
            }
            (
                "GET",
                [
                    "forge",
                    "installation",
                    "v1",
                    app,
                    environment,
                    "installation",
                    id,
                ],
            ) => self.installation(app, environment, id),
            (
                _,
                [
                    "forge",
                    "installation",
                    "v2",
                    "dynamic",
                    "module",
                    rest @ ..,
                ],
            ) => self.dynamic_modules(method, rest),
            _ => not_implemented(),
        }
    }
}
