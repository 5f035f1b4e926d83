//! The data of the fake APIs, and the calls they received.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::declared::Declared;

/// The number of recorded calls.
const MAX_CALLS: usize = 1000;

/// The local platform's fake APIs and their data, shared by every clone. They start with an issue,
/// `DEV-1`, and a Confluence page, `98304`; [`set_fixtures`](Self::set_fixtures) replaces them.
///
/// Responses have Atlassian's shapes, but only a few APIs exist. Jira has issues (get, create, edit,
/// comment, search) and `myself`. Confluence's v2 API has pages (list, get, create), v1 the current
/// user. GraphQL has the exchange for users' tokens, for an app that declares
/// [`App::impersonation_scopes`](crate::App::impersonation_scopes). A search returns every issue,
/// regardless of its JQL; scopes and permissions are not checked. Other calls get 501: add responses
/// with [`respond`](Self::respond), and failures with [`fail_next`](Self::fail_next).
///
/// The modules that an app registers at run time are kept for each installation, with generated keys;
/// Forge's calls of them are those of a `dynamic` handler. The installation's details have every scope
/// that the code declares, without the ones of [`withhold_scopes`](Self::withhold_scopes), or those of
/// [`grant_scopes`](Self::grant_scopes).
///
/// Storage has keys, secrets, entities, transactions and batches, with Atlassian's limits,
/// conditions and filters. Expired values are still returned for 48 hours, as Atlassian may do. The
/// entities, with their types and indexes, are the manifest's `app.storage.entities` and the ones of
/// [`declare_entity`](Self::declare_entity). Without a manifest and declarations, every entity name
/// is accepted.
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
    /// Values by installation, kind (`kvs`, `secret`, `entity:NAME`) and key.
    pub(super) stored: BTreeMap<(String, String, String), Stored>,
    /// The modules that the app registered at run time, by installation.
    pub(super) dynamic_modules: BTreeMap<String, Vec<Value>>,
    /// The scopes that the installation's admin granted.
    pub(super) granted_scopes: BTreeSet<String>,
    pub(super) declared: Declared,
    pub(super) responders: Vec<Arc<Responder>>,
    /// Responses to the next calls, each with the number of calls left.
    pub(super) failures: VecDeque<(usize, ApiResponse)>,
    calls: VecDeque<ApiCall>,
    /// Whether calls are not recorded.
    is_unrecorded: bool,
}

/// A call that the app made, with the response's status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiCall {
    /// The method and the path: `GET /ex/jira/…/rest/api/3/issue/DEV-1`.
    pub line: String,
    /// The account that the call was made as; `None` for the app.
    pub as_user: Option<String>,
    /// The response's status.
    pub status: u16,
    /// The whole request.
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
    /// The body as JSON; `null` if it isn't JSON.
    pub body: Value,
    /// The account that the call is made as; `None` for the app.
    pub as_user: Option<String>,
    /// The installation of the call's token; `None` for a call without a token of this platform, which
    /// gets 401.
    pub installation_id: Option<String>,
}

impl ApiRequest {
    /// Returns the first value of this name in the query.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A response that replaces the fake APIs' own: see [`FakeApis::respond`] and
/// [`FakeApis::fail_next`].
#[derive(Clone, Debug)]
#[must_use = "a response does nothing until it is passed to `FakeApis::respond` or `FakeApis::fail_next`"]
pub struct ApiResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Value>,
}

impl ApiResponse {
    /// Creates a response without a body. An invalid status becomes 500.
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// Creates a response with JSON; `null` for a value that cannot be serialized.
    pub fn json(status: u16, body: impl Serialize) -> Self {
        Self {
            body: Some(serde_json::to_value(body).unwrap_or_default()),
            ..Self::status(status)
        }
    }

    /// Adds a header. An invalid name or value is ignored.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.append(name, value);
        }
        self
    }
}

impl fmt::Debug for FakeApis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeApis")
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
    /// Adds an issue with these fields, and returns its key.
    pub fn add_issue(&self, fields: Value) -> String {
        self.data().add_issue(fields)
    }

    /// Returns an issue, in the API's format.
    pub fn issue(&self, key: &str) -> Option<Value> {
        self.data().issues.get(key).cloned()
    }

    /// Adds a Confluence page with this title, and returns its id.
    pub fn add_page(&self, title: &str) -> String {
        self.data().add_page(&json!({ "title": title }))
    }

    /// Returns the stored values with this kind (`kvs`, `secret`, `entity:NAME`) and key, of all
    /// installations.
    pub fn stored(&self, kind: &str, key: &str) -> Vec<Value> {
        let data = self.data();
        let found = data
            .stored
            .iter()
            .filter(|((_, of_kind, of_key), _)| of_kind == kind && of_key == key);
        found.map(|(_, stored)| stored.value.clone()).collect()
    }

    /// Sets the scopes that the installation's admin granted, as its details have them. Default: every
    /// scope that the app's code declares.
    pub fn grant_scopes(&self, scopes: impl IntoIterator<Item = impl Into<String>>) {
        self.data().granted_scopes = scopes.into_iter().map(Into::into).collect();
    }

    /// Removes scopes from the ones that the installation's admin granted, as if the app's new version
    /// were not approved yet. The APIs still accept calls that need them.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    /// use forge_remote::testing::Harness;
    ///
    /// #[endpoint(auth = system, scopes = ["write:jira-work"])]
    /// async fn can_write(call: Invocation, token: SystemToken) -> Result<Json<bool>> {
    ///     Ok(Json(call.permissions(&token).has_scope("write:jira-work").await?))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let app = App::empty()
    ///     .handler(forge_remote::handler!(can_write))
    ///     .remote(Remote::new("backend").base_url("https://backend.example.com"));
    /// let harness = Harness::with_apis(app).await?;
    /// harness.platform().apis().withhold_scopes(["write:jira-work"]);
    ///
    /// assert_eq!(harness.call("can-write").send().await.json(), false);
    /// # Ok(())
    /// # }
    /// ```
    pub fn withhold_scopes(&self, scopes: impl IntoIterator<Item = impl AsRef<str>>) {
        let mut data = self.data();
        for scope in scopes {
            data.granted_scopes.remove(scope.as_ref());
        }
    }

    /// Declares an entity, as an item of `app.storage.entities` in the manifest. From then on,
    /// undeclared entities are rejected, and values must have the declared types.
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

    /// Adds a responder, which is called before earlier responders and the fake APIs. If it returns
    /// `None`, the next one is called. Calls without a token of this platform always get 401.
    pub fn respond(
        &self,
        responder: impl Fn(&ApiRequest) -> Option<ApiResponse> + Send + Sync + 'static,
    ) {
        self.data().responders.push(Arc::new(responder));
    }

    /// Sends this response to the next calls, before any responder: to test how the app handles a
    /// 429, a 503 or a 401.
    pub fn fail_next(&self, calls: usize, response: ApiResponse) {
        self.data().failures.push_back((calls, response));
    }

    /// Returns the last 1,000 calls, oldest first.
    pub fn calls(&self) -> Vec<ApiCall> {
        self.data().calls.iter().cloned().collect()
    }

    /// Records no calls: nobody reads them under `dev`, whose memory must not grow.
    pub(crate) fn record_no_calls(&self) {
        let mut data = self.data();
        data.is_unrecorded = true;
        data.calls.clear();
    }

    /// Sets the app's declarations, which are enforced.
    pub(crate) fn set_declared(&self, declared: Declared) {
        self.data().declared = declared;
    }

    pub(super) fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    /// Records a call, and drops the oldest one if there are too many.
    pub(super) fn record(&mut self, call: ApiCall) {
        if self.is_unrecorded {
            return;
        }
        self.calls.push_back(call);
        if self.calls.len() > MAX_CALLS {
            self.calls.pop_front();
        }
    }

    pub(super) fn failure(&mut self) -> Option<ApiResponse> {
        while let Some((left, response)) = self.failures.front_mut() {
            if *left > 0 {
                *left -= 1;
                return Some(response.clone());
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

/// Returns an object of the API: the fields that are always there, with these instead or in addition.
/// Another value replaces the fields; `null` does not.
pub(super) fn completed(mut defaults: Value, fields: &Value) -> Value {
    if fields.is_null() {
        return defaults;
    }
    let (Some(object), Some(fields)) = (defaults.as_object_mut(), fields.as_object()) else {
        return fields.clone();
    };
    for (name, value) in fields {
        let value = match object.get(name) {
            Some(default @ Value::Object(_)) if value.is_object() => {
                completed(default.clone(), value)
            }
            _ => value.clone(),
        };
        object.insert(name.clone(), value);
    }
    defaults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: usize) -> ApiCall {
        ApiCall {
            line: format!("PUT /blob/{number}"),
            as_user: None,
            status: 200,
            request: ApiRequest {
                method: "PUT".to_owned(),
                path: format!("/blob/{number}"),
                query: Vec::new(),
                headers: HeaderMap::new(),
                body: Value::Null,
                as_user: None,
                installation_id: None,
            },
        }
    }

    #[test]
    fn the_last_calls_are_recorded_unless_nobody_reads_them() {
        let apis = FakeApis::default();
        for number in 0..MAX_CALLS + 10 {
            apis.data().record(call(number));
        }
        let calls = apis.calls();
        assert_eq!((calls.len(), &calls[0]), (MAX_CALLS, &call(10)));
        apis.record_no_calls();
        apis.data().record(call(0));
        assert!(apis.calls().is_empty());
    }
}
