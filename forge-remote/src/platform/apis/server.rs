//! The server of the stand-ins.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::call::{Answer, Call, ok, refused, unknown};
use super::data::{ApiCall, ApiRequest, ApiResponse};
use crate::platform::local::{Platform, random_hex};
use crate::platform::oauth::{Kind, OAuth};

/// How many of the last calls are remembered.
const REMEMBERED: usize = 1000;
/// The largest body taken, in bytes: more than any of the APIs takes.
const BODY: usize = 16 * 1024 * 1024;

/// The stand-ins, to be served on loopback.
pub(crate) fn router(platform: Platform) -> Router {
    Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::max(BODY))
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
    let answer = answer(&platform, &request, token.as_ref(), body.len());
    let status = answer.status.as_u16();
    let mut data = platform.apis().data();
    data.calls.push_back(ApiCall {
        line: format!("{method} {}", uri.path()),
        as_user: request.as_user.clone(),
        status,
        request,
    });
    if data.calls.len() > REMEMBERED {
        data.calls.pop_front();
    }
    drop(data);
    let mut response = match answer.body {
        Some(body) => (answer.status, axum::Json(body)).into_response(),
        None => answer.status.into_response(),
    };
    if let Ok(trace) = HeaderValue::from_str(&random_hex(16)) {
        response.headers_mut().insert("atl-traceid", trace);
    }
    response.headers_mut().extend(answer.headers);
    response
}

/// Who answers: failures that were ordered, the test's own answers, the stand-ins.
fn answer(
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
        let (status, body) = refused(StatusCode::UNAUTHORIZED, message);
        return ApiResponse::json(status.as_u16(), body);
    };
    // Without the lock: it may ask for the data.
    let own = responders.iter().rev().find_map(|respond| respond(request));
    own.unwrap_or_else(|| {
        let call = Call {
            platform,
            token,
            request,
            bytes,
        };
        let segments: Vec<String> = request.path.split('/').skip(1).map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (status, body) = call.answer(&request.method, &segments);
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

/// A path's segment, its `%XX` undone.
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

impl Call<'_> {
    fn answer(&self, method: &str, path: &[&str]) -> Answer {
        match (method, path) {
            (_, ["ex", product, site, rest @ ..]) => {
                if *site != self.platform.0.cloud_id {
                    return refused(
                        StatusCode::UNAUTHORIZED,
                        "Unauthorized; the token is for another site",
                    );
                }
                match *product {
                    "jira" => self.jira(method, rest),
                    "confluence" => self.confluence(method, rest),
                    _ => unknown(),
                }
            }
            ("POST", ["graphql"]) => self.graphql(),
            ("POST", ["forge", "storage", "kvs", "v1", rest @ ..]) => {
                if self.token.kind != Kind::System {
                    return refused(
                        StatusCode::UNAUTHORIZED,
                        "Unauthorized; storage takes the system token only",
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
            _ => unknown(),
        }
    }

    /// The details of an installation, for the app's token of that installation alone.
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>
    fn installation(&self, app: &str, environment: &str, id: &str) -> Answer {
        let platform = &self.platform.0;
        let ari = format!("ari:cloud:ecosystem::installation/{id}");
        let is_own = app == platform.app_id.uuid() && environment == platform.environment;
        if !is_own || self.token.kind != Kind::System || self.token.installation != ari {
            return (
                StatusCode::UNAUTHORIZED,
                json!({ "type": "AuthorizationError", "code": 401, "message": "Authorization failed" }),
            );
        }
        let site =
            |product| json!({ "id": format!("ari:cloud:{product}::site/{}", platform.cloud_id) });
        ok(json!({
            "version": "1.0.0",
            "installationContext": site("confluence"),
            "secondaryInstallationContexts": [site("jira")],
            "permissions": { "scopes": [], "external": {} },
            "isSandbox": false,
        }))
    }
}
