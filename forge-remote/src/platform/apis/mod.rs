//! Small stand-ins for the APIs that an app calls back: enough of Jira, Confluence, GraphQL and
//! Forge's storage for `dev` and tests to run whole. They check tokens, and who they are for; they
//! know no permissions and no JQL.

mod conditions;
mod confluence;
mod declared;
mod graphql;
mod jira;
mod storage;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) use declared::Declared;

use super::oauth::{Kind, OAuth};
use super::{Platform, random_hex};
use storage::Stored;

/// How many of the last calls are remembered.
const REMEMBERED: usize = 1000;
/// The items of a page, unless the call says how many.
const PAGE: usize = 25;
/// The largest body taken, in bytes: more than any of the APIs takes.
const BODY: usize = 16 * 1024 * 1024;

/// The local stand-ins' data, shared by every clone. They begin with an issue, `DEV-1`, and a
/// Confluence page, `98304`.
///
/// What they answer has Atlassian's shapes, but they are small: Jira has issues (get, create,
/// edit, comment, search) and `myself`; Confluence's v2 API has pages (list, get, create), v1 the
/// current user; GraphQL has the exchange for users' tokens, for an app that declares
/// [`App::impersonation`](crate::App::impersonation). A search finds every issue, whatever its JQL;
/// no scope and no permission is checked. Anything else is answered 501: give it an answer of your
/// own by [`respond`](Self::respond), and failures by [`fail_next`](Self::fail_next).
///
/// Storage has keys, secrets, entities, transactions and batches, with Atlassian's limits,
/// conditions and filters. What has expired is still given for 48 hours, as Atlassian may. Where
/// the app has a manifest, its `app.storage.entities` are the entities there are, with their types
/// and indexes; else [`declare_entity`](Self::declare_entity) does it, and without any of them
/// every name is taken.
///
/// ```
/// use forge_remote::{path, prelude::*};
/// use forge_remote::testing::{ApiAnswer, Harness};
/// use serde_json::{Value, json};
///
/// #[endpoint(method = "GET", auth = user, scopes = ["read:jira-work"])]
/// async fn votes(call: Invocation, token: UserToken) -> Result<Json<Value>> {
///     let jira = call.jira().as_user(&token);
///     let votes: Value = jira.get(path!("/rest/api/3/issue/{}/votes", "DEV-1")).fetch().await?;
///     Ok(Json(votes["votes"].clone()))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let app = App::empty()
///     .handler(forge_remote::handler!(votes))
///     .remote(Remote::new("backend").base_url("https://backend.example.com"));
/// let harness = Harness::with_apis(app).await?;
/// let apis = harness.platform().apis();
/// apis.respond(|call| {
///     call.path.ends_with("/issue/DEV-1/votes").then(|| ApiAnswer::json(200, json!({ "votes": 7 })))
/// });
/// apis.fail_next(1, ApiAnswer::status(503).header("retry-after", "0"));
///
/// assert_eq!(harness.call("votes").send().await.json(), 7);
/// let statuses: Vec<u16> = apis.calls().iter().map(|call| call.status).collect();
/// assert_eq!(statuses, [503, 200]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Apis(Arc<Mutex<Data>>);

type Responder = dyn Fn(&ApiRequest) -> Option<ApiAnswer> + Send + Sync;

#[derive(Default)]
struct Data {
    issues: BTreeMap<String, Value>,
    pages: BTreeMap<u64, Value>,
    /// By installation, by kind (`kvs`, `secret`, `entity:NAME`), by key.
    stored: BTreeMap<(String, String, String), Stored>,
    declared: Declared,
    responders: Vec<Arc<Responder>>,
    /// How many more calls are answered so.
    failures: VecDeque<(usize, ApiAnswer)>,
    calls: VecDeque<ApiCall>,
}

/// A call that the app made, and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiCall {
    /// The method and the path: `GET /ex/jira/…/rest/api/3/issue/DEV-1`.
    pub line: String,
    /// The account it was made as; `None` for the app.
    pub as_user: Option<String>,
    /// The answer's status.
    pub status: u16,
    /// Everything that was asked.
    pub request: ApiRequest,
}

/// A call that the app makes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path as it was sent: `/ex/jira/<cloudId>/rest/api/3/issue/DEV-1`.
    pub path: String,
    /// The query's names and values, decoded.
    pub query: Vec<(String, String)>,
    /// The headers, without the token.
    pub headers: HeaderMap,
    /// The body, as JSON; `null` when it isn't.
    pub body: Value,
    /// The account it is made as; `None` for the app.
    pub as_user: Option<String>,
    /// The installation whose token it brings; `None` for a call without a token of this platform,
    /// which is answered 401.
    pub installation_id: Option<String>,
}

impl ApiRequest {
    /// The first value of this name in the query.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer in place of the stand-ins' own: [`Apis::respond`], [`Apis::fail_next`].
#[derive(Clone, Debug)]
#[must_use = "it is given to `Apis::respond` or `Apis::fail_next`"]
pub struct ApiAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Option<Value>,
}

impl ApiAnswer {
    /// A status without a body. One that HTTP doesn't know is 500.
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// A status and JSON; `null` for what can't be written as JSON.
    pub fn json(status: u16, body: impl Serialize) -> Self {
        Self {
            body: Some(serde_json::to_value(body).unwrap_or_default()),
            ..Self::status(status)
        }
    }

    /// Adds a header. What can't be one is left out.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.append(name, value);
        }
        self
    }
}

impl fmt::Debug for Apis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apis")
            .field("calls", &self.data().calls.len())
            .finish_non_exhaustive()
    }
}

impl Default for Apis {
    fn default() -> Self {
        let apis = Self(Arc::default());
        apis.add_issue(json!({ "summary": "Try forge-remote" }));
        apis.add_page("A local page");
        apis
    }
}

impl Apis {
    /// Adds an issue with these fields; its key comes back.
    pub fn add_issue(&self, fields: Value) -> String {
        self.data().add_issue(fields)
    }

    /// An issue, as the API gives it.
    pub fn issue(&self, key: &str) -> Option<Value> {
        self.data().issues.get(key).cloned()
    }

    /// Adds a Confluence page of this title; its id comes back.
    pub fn add_page(&self, title: &str) -> String {
        self.data().add_page(&json!({ "title": title }))
    }

    /// Every stored value whose kind (`kvs`, `secret`, `entity:NAME`) and key are these, of any
    /// installation.
    pub fn stored(&self, kind: &str, key: &str) -> Vec<Value> {
        let data = self.data();
        let found = data
            .stored
            .iter()
            .filter(|(place, _)| place.1 == kind && place.2 == key);
        found.map(|(_, stored)| stored.value.clone()).collect()
    }

    /// Declares an entity, as an item of `app.storage.entities` in the manifest. From then on there
    /// are no others than those that are declared, and values must have their types.
    ///
    /// ```
    /// # use forge_remote::testing::Platform;
    /// # use serde_json::json;
    /// # fn declare(platform: &Platform) {
    /// platform.apis().declare_entity(json!({
    ///     "name": "employee",
    ///     "attributes": { "surname": { "type": "string" }, "age": { "type": "integer" } },
    ///     "indexes": ["surname", { "name": "by-age", "range": ["age"] }],
    /// }));
    /// # }
    /// ```
    pub fn declare_entity(&self, entity: Value) {
        self.data().declared.add_entity(entity);
    }

    /// Answers calls with what this gives, before the stand-ins do; `None` leaves the call to those
    /// who were there before. Calls without a token of this platform are answered 401 all the same.
    pub fn respond(
        &self,
        answer: impl Fn(&ApiRequest) -> Option<ApiAnswer> + Send + Sync + 'static,
    ) {
        self.data().responders.push(Arc::new(answer));
    }

    /// Answers the next calls so, whatever they are, and before anything else does: to see how the
    /// app fares with a 429, a 503, a 401.
    pub fn fail_next(&self, calls: usize, answer: ApiAnswer) {
        self.data().failures.push_back((calls, answer));
    }

    /// The calls so far, the last 1,000.
    pub fn calls(&self) -> Vec<ApiCall> {
        self.data().calls.iter().cloned().collect()
    }

    /// What the app declares: it is held to it.
    pub(crate) fn hold_to(&self, declared: Declared) {
        self.data().declared = declared;
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    fn failure(&mut self) -> Option<ApiAnswer> {
        while let Some((left, answer)) = self.failures.front_mut() {
            if *left > 0 {
                *left -= 1;
                return Some(answer.clone());
            }
            self.failures.pop_front();
        }
        None
    }
}

/// What an API answers.
type Answer = (StatusCode, Value);

fn ok(value: Value) -> Answer {
    (StatusCode::OK, value)
}

fn refused(status: StatusCode, message: &str) -> Answer {
    (
        status,
        json!({ "code": status.as_u16(), "message": message }),
    )
}

fn unknown() -> Answer {
    let message = "the local platform plays a few of Atlassian's APIs, and not this one: give it an \
                   answer by `Apis::respond`";
    refused(StatusCode::NOT_IMPLEMENTED, message)
}

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
) -> ApiAnswer {
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
        return ApiAnswer::json(status.as_u16(), body);
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
        ApiAnswer {
            body: (!body.is_null()).then_some(body),
            ..ApiAnswer::status(status.as_u16())
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

/// One call, its token checked.
struct Call<'a> {
    platform: &'a Platform,
    token: &'a OAuth,
    request: &'a ApiRequest,
    /// The body's size.
    bytes: usize,
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

    fn body(&self) -> &Value {
        &self.request.body
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.request.query_value(name)
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.platform.apis().data()
    }

    fn now(&self) -> SystemTime {
        self.platform.0.clock.now()
    }
}

/// A page of a list, and where the next begins.
fn part<T: Clone>(all: &[T], from: usize, limit: usize) -> (Vec<T>, Option<usize>) {
    let items: Vec<T> = all.iter().skip(from).take(limit).cloned().collect();
    let next = from.saturating_add(items.len());
    let more = next < all.len() && !items.is_empty();
    (items, more.then_some(next))
}
