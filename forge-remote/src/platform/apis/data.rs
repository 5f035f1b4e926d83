//! The data of the stand-ins, and the calls they got.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::declared::Declared;

/// The local stand-ins' data, shared by every clone. They begin with an issue, `DEV-1`, and a
/// Confluence page, `98304`.
///
/// What they answer has Atlassian's shapes, but they are small: Jira has issues (get, create,
/// edit, comment, search) and `myself`; Confluence's v2 API has pages (list, get, create), v1 the
/// current user; GraphQL has the exchange for users' tokens, for an app that declares
/// [`App::impersonation_scopes`](crate::App::impersonation_scopes). A search finds every issue, whatever its JQL;
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
/// use forge_remote::testing::{ApiResponse, Harness};
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
///     call.path.ends_with("/issue/DEV-1/votes").then(|| ApiResponse::json(200, json!({ "votes": 7 })))
/// });
/// apis.fail_next(1, ApiResponse::status(503).header("retry-after", "0"));
///
/// assert_eq!(harness.call("votes").send().await.json(), 7);
/// let statuses: Vec<u16> = apis.calls().iter().map(|call| call.status).collect();
/// assert_eq!(statuses, [503, 200]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FakeApis(Arc<Mutex<Data>>);

pub(super) type Responder = dyn Fn(&ApiRequest) -> Option<ApiResponse> + Send + Sync;

#[derive(Default)]
pub(super) struct Data {
    pub(super) issues: BTreeMap<String, Value>,
    pub(super) pages: BTreeMap<u64, Value>,
    /// By installation, by kind (`kvs`, `secret`, `entity:NAME`), by key.
    pub(super) stored: BTreeMap<(String, String, String), Stored>,
    pub(super) declared: Declared,
    pub(super) responders: Vec<Arc<Responder>>,
    /// How many more calls are answered so.
    pub(super) failures: VecDeque<(usize, ApiResponse)>,
    pub(super) calls: VecDeque<ApiCall>,
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

/// An answer in place of the stand-ins' own: [`FakeApis::respond`], [`FakeApis::fail_next`].
#[derive(Clone, Debug)]
#[must_use = "it is given to `FakeApis::respond` or `FakeApis::fail_next`"]
pub struct ApiResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Value>,
}

impl ApiResponse {
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

impl fmt::Debug for FakeApis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apis")
            .field("calls", &self.data().calls.len())
            .finish_non_exhaustive()
    }
}

impl Default for FakeApis {
    fn default() -> Self {
        let apis = Self(Arc::default());
        apis.add_issue(json!({ "summary": "Try forge-remote" }));
        apis.add_page("A local page");
        apis
    }
}

impl FakeApis {
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
        answer: impl Fn(&ApiRequest) -> Option<ApiResponse> + Send + Sync + 'static,
    ) {
        self.data().responders.push(Arc::new(answer));
    }

    /// Answers the next calls so, whatever they are, and before anything else does: to see how the
    /// app fares with a 429, a 503, a 401.
    pub fn fail_next(&self, calls: usize, answer: ApiResponse) {
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

    pub(super) fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    pub(super) fn failure(&mut self) -> Option<ApiResponse> {
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

/// A value and its times.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) value: Value,
    pub(super) created: SystemTime,
    pub(super) updated: SystemTime,
    pub(super) expires: Option<SystemTime>,
}
