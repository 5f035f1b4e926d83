//! Small stand-ins for the APIs that an app calls back: enough of Jira, Confluence, GraphQL and
//! Forge's storage for `dev` and tests to run whole. They check tokens, and who they are for; they
//! know no scopes, no permissions and no JQL.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::oauth::{Kind, OAuth};
use super::{Platform, random_hex};

/// How many of the last calls are remembered.
const REMEMBERED: usize = 1000;
/// The items of a page, unless the call says how many.
const PAGE: usize = 25;

/// The local stand-ins' data, shared by every clone. They begin with an issue, `DEV-1`, and a
/// Confluence page, `98304`.
///
/// What they answer has Atlassian's shapes, but they are small: Jira has issues (get, create,
/// edit, comment, search) and `myself`; Confluence's v2 API has pages (list, get, create), v1 the current user; GraphQL
/// has the exchange for users' tokens; storage has keys, secrets, entities, transactions and
/// batches. A search finds every issue, whatever its JQL; no scope and no permission is checked. Anything else is
/// answered 501.
#[derive(Clone)]
pub struct Apis(Arc<Mutex<Data>>);

#[derive(Default)]
struct Data {
    issues: BTreeMap<String, Value>,
    pages: BTreeMap<u64, Value>,
    /// By installation, by kind (`kvs`, `secret`, `entity:NAME`), by key.
    stored: BTreeMap<(String, String, String), Value>,
    calls: VecDeque<ApiCall>,
}

/// A call that the app made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiCall {
    /// The method and the path: `GET /ex/jira/…/rest/api/3/issue/DEV-1`.
    pub line: String,
    /// The account it was made as; `None` for the app.
    pub as_user: Option<String>,
    /// The answer's status.
    pub status: u16,
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
        apis.data()
            .pages
            .insert(98304, page(98304, &json!({ "title": "A local page" })));
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
        let here =
            |(place, _): &(&(String, String, String), &Value)| place.1 == kind && place.2 == key;
        let found = data.stored.iter().filter(here);
        found.map(|(_, value)| value.clone()).collect()
    }

    /// The calls so far, the last 1,000.
    pub fn calls(&self) -> Vec<ApiCall> {
        self.data().calls.iter().cloned().collect()
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    fn add_issue(&mut self, fields: Value) -> String {
        let number = self.issues.len() + 1;
        let key = format!("DEV-{number}");
        let issue = json!({ "id": (10_000 + number).to_string(), "key": key, "fields": fields });
        self.issues.insert(key.clone(), issue);
        key
    }

    fn add_page(&mut self, given: &Value) -> String {
        let id = self
            .pages
            .last_key_value()
            .map_or(98_304, |(last, _)| last + 1);
        self.pages.insert(id, page(id, given));
        id.to_string()
    }
}

fn page(id: u64, given: &Value) -> Value {
    json!({
        "id": id.to_string(),
        "status": "current",
        "title": given.get("title").cloned().unwrap_or_default(),
        "spaceId": given.get("spaceId").cloned().unwrap_or_else(|| "65538".into()),
        "body": given.get("body").cloned().unwrap_or_else(|| json!({})),
        "version": { "number": 1 },
    })
}

/// What an API answers.
type Answer = (StatusCode, Value);

fn ok(value: Value) -> Answer {
    (StatusCode::OK, value)
}

fn no_issue() -> Answer {
    let message = "Issue does not exist or you do not have permission to see it.";
    (
        StatusCode::NOT_FOUND,
        json!({ "errorMessages": [message], "errors": {} }),
    )
}

fn refused(status: StatusCode, message: &str) -> Answer {
    (
        status,
        json!({ "code": status.as_u16(), "message": message }),
    )
}

/// Storage's errors have a code in words.
fn storage_error(status: StatusCode, code: &str) -> Answer {
    (status, json!({ "code": code, "message": "see the code" }))
}

/// The stand-ins, to be served on loopback.
pub(crate) fn router(platform: Platform) -> Router {
    Router::new().fallback(serve).with_state(platform)
}

async fn serve(
    State(platform): State<Platform>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .and_then(|token| platform.read_token(token));
    let (status, answer) = match &token {
        None => refused(
            StatusCode::UNAUTHORIZED,
            "Unauthorized; no token of this platform",
        ),
        Some(token) => {
            let call = Call {
                platform: &platform,
                token,
                query: query(&uri),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let segments: Vec<String> = uri.path().split('/').skip(1).map(decoded).collect();
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            call.answer(method.as_str(), &segments)
        }
    };
    let mut data = platform.apis().data();
    data.calls.push_back(ApiCall {
        line: format!("{method} {}", uri.path()),
        as_user: token.and_then(|token| token.account_id),
        status: status.as_u16(),
    });
    if data.calls.len() > REMEMBERED {
        data.calls.pop_front();
    }
    drop(data);
    let mut response = if answer.is_null() {
        status.into_response()
    } else {
        (status, axum::Json(answer)).into_response()
    };
    if let Ok(trace) = HeaderValue::from_str(&random_hex(16)) {
        response.headers_mut().insert("atl-traceid", trace);
    }
    response
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
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
    query: BTreeMap<String, String>,
    body: Value,
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
            _ => unknown(),
        }
    }

    fn jira(&self, method: &str, path: &[&str]) -> Answer {
        let ["rest", "api", _, rest @ ..] = path else {
            return unknown();
        };
        let mut data = self.platform.apis().data();
        match (method, rest) {
            ("GET", ["myself"]) => match &self.token.account_id {
                Some(account) => ok(json!({ "accountId": account, "accountType": "atlassian" })),
                None => ok(json!({ "accountId": "app", "accountType": "app" })),
            },
            ("GET", ["issue", key]) => data.issues.get(*key).cloned().map_or_else(no_issue, ok),
            ("POST", ["issue"]) => {
                let fields = self.body.get("fields").cloned().unwrap_or_default();
                let key = data.add_issue(fields);
                let issue = data.issues.get(&key).cloned().unwrap_or_default();
                (
                    StatusCode::CREATED,
                    json!({ "id": issue["id"], "key": key }),
                )
            }
            ("PUT", ["issue", key]) => {
                let Some(issue) = data.issues.get_mut(*key) else {
                    return no_issue();
                };
                if !issue["fields"].is_object() {
                    issue["fields"] = json!({});
                }
                for (name, value) in self
                    .body
                    .get("fields")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                {
                    issue["fields"][name] = value.clone();
                }
                (StatusCode::NO_CONTENT, Value::Null)
            }
            ("POST", ["issue", key, "comment"]) => {
                let Some(issue) = data.issues.get_mut(*key) else {
                    return no_issue();
                };
                let body = self.body.get("body").cloned().unwrap_or_default();
                let held = issue.pointer("/fields/comment/comments").cloned();
                let mut held = held.unwrap_or_default();
                if !held.is_array() {
                    held = json!([]);
                }
                if !issue["fields"].is_object() {
                    issue["fields"] = json!({});
                }
                issue["fields"]["comment"] = json!({ "comments": held });
                let comments = &mut issue["fields"]["comment"]["comments"];
                let author =
                    json!({ "accountId": self.token.account_id.as_deref().unwrap_or("app") });
                let mut comment = json!({ "body": body, "author": author });
                if let Some(comments) = comments.as_array_mut() {
                    comment["id"] = (20_001 + comments.len()).to_string().into();
                    comments.push(comment.clone());
                }
                (StatusCode::CREATED, comment)
            }
            ("GET" | "POST", ["search", "jql"]) => {
                let asked = |name: &str| {
                    let body = self.body.get(name).map(|value| value.to_string());
                    self.query.get(name).cloned().or(body)
                };
                let from =
                    asked("nextPageToken").and_then(|token| token.trim_matches('"').parse().ok());
                let most = asked("maxResults").and_then(|most| most.parse().ok());
                let all: Vec<Value> = data.issues.values().cloned().collect();
                let (issues, next) = part(&all, from.unwrap_or(0), most.unwrap_or(PAGE));
                let mut answer = json!({ "issues": issues, "isLast": next.is_none() });
                if let Some(next) = next {
                    answer["nextPageToken"] = next.to_string().into();
                }
                ok(answer)
            }
            _ => unknown(),
        }
    }

    fn confluence(&self, method: &str, path: &[&str]) -> Answer {
        if let ("GET", ["wiki", "rest", "api", "user", "current"]) = (method, path) {
            return match &self.token.account_id {
                Some(account) => ok(
                    json!({ "type": "known", "accountId": account, "displayName": "A local user" }),
                ),
                None => {
                    ok(json!({ "type": "known", "accountId": "app", "displayName": "The app" }))
                }
            };
        }
        let ["wiki", "api", "v2", rest @ ..] = path else {
            return unknown();
        };
        let mut data = self.platform.apis().data();
        let found = |id: &str, data: &Data| {
            let page = id
                .parse()
                .ok()
                .and_then(|id: u64| data.pages.get(&id).cloned());
            let title = format!("Cannot find page with ID: {id}");
            let missing =
                json!({ "errors": [{ "status": 404, "code": "NOT_FOUND", "title": title }] });
            page.map_or((StatusCode::NOT_FOUND, missing), ok)
        };
        match (method, rest) {
            ("GET", ["pages"]) => {
                let number = |name: &str| self.query.get(name).and_then(|text| text.parse().ok());
                let limit = number("limit").unwrap_or(PAGE);
                let all: Vec<Value> = data.pages.values().cloned().collect();
                let (results, next) = part(&all, number("cursor").unwrap_or(0), limit);
                let mut answer = json!({ "results": results, "_links": {} });
                if let Some(next) = next {
                    let link = format!("/wiki/api/v2/pages?limit={limit}&cursor={next}");
                    answer["_links"]["next"] = link.into();
                }
                ok(answer)
            }
            ("GET", ["pages", id]) => found(id, &data),
            ("POST", ["pages"]) => {
                let id = data.add_page(&self.body);
                found(&id, &data)
            }
            _ => unknown(),
        }
    }

    /// The exchange for a user's token; the gateway's other questions aren't known here.
    fn graphql(&self) -> Answer {
        let text = self
            .body
            .get("query")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !text.contains("offlineUserAuthToken") {
            let message = "the local platform knows the exchange offlineUserAuthToken only";
            return ok(json!({ "data": null, "errors": [{ "message": message }] }));
        }
        let input = self
            .body
            .pointer("/variables/input")
            .cloned()
            .unwrap_or_default();
        let account = input
            .get("userId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let site = &self.platform.0.cloud_id;
        let contexts = ["jira", "confluence"].map(|name| format!("ari:cloud:{name}::site/{site}"));
        let asked = input
            .pointer("/contextIds/0")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let problem = if self.token.kind != Kind::System {
            Some("only the app can ask for a user's token")
        } else if account.is_empty() {
            Some("no such user")
        } else if !contexts.iter().any(|context| context == asked) {
            Some("the app isn't installed in this context")
        } else {
            None
        };
        let outcome = match problem {
            Some(message) => {
                json!({ "success": false, "errors": [{ "message": message }], "authToken": null })
            }
            None => {
                let token = self.platform.token(&OAuth {
                    kind: Kind::User,
                    installation: self.token.installation.clone(),
                    account_id: Some(account.to_owned()),
                });
                json!({ "success": true, "errors": null, "authToken": { "token": token, "ttl": 4 * 3600 } })
            }
        };
        ok(json!({ "data": { "offlineUserAuthToken": outcome } }))
    }

    fn storage(&self, path: &[&str]) -> Answer {
        let mut data = self.platform.apis().data();
        match path {
            ["get"] | ["entity", "get"] => self.stored_get("kvs", &data, &self.body),
            ["set"] | ["entity", "set"] => self.stored_set("kvs", &mut data, &self.body),
            ["delete"] | ["entity", "delete"] => self.stored_delete("kvs", &mut data, &self.body),
            ["secret", "get"] => self.stored_get("secret", &data, &self.body),
            ["secret", "set"] => self.stored_set("secret", &mut data, &self.body),
            ["secret", "delete"] => self.stored_delete("secret", &mut data, &self.body),
            ["query"] | ["entity", "query"] => self.stored_query(&data),
            ["batch", what @ ("get" | "set" | "delete")] => {
                if self.body.as_array().is_none_or(|items| items.len() > 25) {
                    return storage_error(StatusCode::BAD_REQUEST, "TOO_MANY_KEYS");
                }
                let (mut done, mut failed) = (Vec::new(), Vec::new());
                for item in self.body.as_array().into_iter().flatten() {
                    let (status, mut answer) = match *what {
                        "get" => self.stored_get("kvs", &data, item),
                        "set" => self.stored_set("kvs", &mut data, item),
                        _ => self.stored_delete("kvs", &mut data, item),
                    };
                    let key = item.get("key").cloned().unwrap_or_default();
                    if status.is_success() {
                        if !answer.is_object() {
                            answer = json!({});
                        }
                        answer["key"] = key;
                        done.push(answer);
                    } else {
                        failed.push(json!({ "key": key, "error": answer }));
                    }
                }
                ok(json!({ "successfulKeys": done, "failedKeys": failed }))
            }
            ["transaction"] => self.transaction(&mut data),
            _ => unknown(),
        }
    }

    fn place(&self, kind: &str, item: &Value) -> (String, String, String) {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let kind =
            text("entityName").map_or_else(|| kind.to_owned(), |name| format!("entity:{name}"));
        let key = text("key").unwrap_or_default().to_owned();
        (self.token.installation.clone(), kind, key)
    }

    fn stored_get(&self, kind: &str, data: &Data, item: &Value) -> Answer {
        let place = self.place(kind, item);
        match data.stored.get(&place) {
            Some(value) => ok(json!({ "key": place.2, "value": value })),
            None => storage_error(StatusCode::NOT_FOUND, "KEY_NOT_FOUND"),
        }
    }

    fn stored_set(&self, kind: &str, data: &mut Data, item: &Value) -> Answer {
        let place = self.place(kind, item);
        let option = |name: &str| item.pointer("/options")?.get(name)?.as_str();
        if option("keyPolicy") == Some("FAIL_IF_EXISTS") && data.stored.contains_key(&place) {
            return storage_error(StatusCode::CONFLICT, "KEY_CONFLICT");
        }
        let key = place.2.clone();
        let value = item.get("value").cloned().unwrap_or_default();
        let before = data.stored.insert(place, value.clone());
        match (option("returnValue"), before) {
            (Some("PREVIOUS"), Some(before)) => ok(json!({ "key": key, "value": before })),
            (Some("LATEST"), _) => ok(json!({ "key": key, "value": value })),
            _ => (StatusCode::NO_CONTENT, Value::Null),
        }
    }

    fn stored_delete(&self, kind: &str, data: &mut Data, item: &Value) -> Answer {
        data.stored.remove(&self.place(kind, item));
        (StatusCode::NO_CONTENT, Value::Null)
    }

    /// In the order of keys. An entity's index, range and filters aren't looked at.
    fn stored_query(&self, data: &Data) -> Answer {
        let (installation, kind, _) = self.place("kvs", &self.body);
        let condition = self
            .body
            .pointer("/where/0/values/0")
            .and_then(Value::as_str);
        let prefix = condition.unwrap_or_default();
        let here = |(place, _): &(&(String, String, String), &Value)| {
            place.0 == installation && place.1 == kind && place.2.starts_with(prefix)
        };
        let found = data.stored.iter().filter(here);
        let all: Vec<Value> = found
            .map(|(place, value)| json!({ "key": place.2, "value": value }))
            .collect();
        let cursor = ["after", "cursor"]
            .iter()
            .find_map(|name| self.body.get(*name)?.as_str());
        let from = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let limit = self.body.get("limit").and_then(Value::as_u64);
        let limit = limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(PAGE);
        if !(1..100).contains(&limit) {
            return storage_error(StatusCode::BAD_REQUEST, "LIST_QUERY_LIMIT_EXCEEDED");
        }
        let (data, next) = part(&all, from, limit);
        let mut answer = Map::from_iter([("data".to_owned(), data.into())]);
        if let Some(next) = next {
            answer.insert("cursor".to_owned(), next.to_string().into());
        }
        ok(answer.into())
    }

    /// Conditions are known in one form: a key must be there.
    fn transaction(&self, data: &mut Data) -> Answer {
        let items = |name: &str| {
            self.body
                .get(name)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let is_there = |item: &Value| data.stored.contains_key(&self.place("kvs", item));
        if !items("check").iter().all(is_there) {
            return storage_error(StatusCode::CONFLICT, "CONDITION_FAILED");
        }
        for item in items("set") {
            self.stored_set("kvs", data, &item);
        }
        for item in items("delete") {
            self.stored_delete("kvs", data, &item);
        }
        (StatusCode::NO_CONTENT, Value::Null)
    }
}

fn unknown() -> Answer {
    let message = "the local platform plays a few of Atlassian's APIs, and not this one";
    refused(StatusCode::NOT_IMPLEMENTED, message)
}

/// A page of a list, and where the next begins.
fn part(all: &[Value], from: usize, limit: usize) -> (Vec<Value>, Option<usize>) {
    let items: Vec<Value> = all.iter().skip(from).take(limit).cloned().collect();
    let next = from.saturating_add(items.len());
    let more = next < all.len() && !items.is_empty();
    (items, more.then_some(next))
}
