//! The fake Jira API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{
    CheckedCall, DEFAULT_PAGE_SIZE, JsonResponse, LOCAL_USER, not_implemented, ok, page_of,
};
use super::data::{Data, completed};

impl Data {
    pub(super) fn add_issue(&mut self, fields: Value) -> String {
        let mut number = self.issues.len() + 1;
        // A fixture may have the key.
        while self.issues.contains_key(&format!("DEV-{number}")) {
            number += 1;
        }
        let key = format!("DEV-{number}");
        self.insert_issue(key.clone(), fields);
        key
    }

    /// Inserts an issue with these fields and the ones that Atlassian always sends.
    pub(super) fn insert_issue(&mut self, key: String, fields: Value) {
        let id = (10_001 + self.issues.len()).to_string();
        let link = format!("https://local.atlassian.net/rest/api/3/issue/{id}");
        let fields = completed(default_fields(&key), &fields);
        let issue = json!({ "id": id, "key": key, "self": link, "fields": fields });
        self.issues.insert(key, issue);
    }
}

/// Returns an issue's fields that Atlassian always sends.
/// Source: <https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/>
fn default_fields(key: &str) -> Value {
    let created = "2026-01-01T12:00:00.000+0000";
    let project = key.rsplit_once('-').map_or(key, |(project, _)| project);
    let user = json!({ "accountId": LOCAL_USER, "displayName": "A local user", "active": true });
    json!({
        "summary": "",
        "description": null,
        "issuetype": { "id": "10001", "name": "Story", "subtask": false },
        "project": { "id": "10000", "key": project, "name": "Development" },
        "status": {
            "id": "1", "name": "To Do", "statusCategory": { "id": 2, "key": "new", "name": "To Do" },
        },
        "priority": { "id": "3", "name": "Medium" },
        "labels": [],
        "creator": user,
        "reporter": user,
        "assignee": null,
        "created": created,
        "updated": created,
    })
}

fn no_issue() -> JsonResponse {
    let message = "Issue does not exist or you do not have permission to see it.";
    (
        StatusCode::NOT_FOUND,
        json!({ "errorMessages": [message], "errors": {} }),
    )
}

impl CheckedCall<'_> {
    pub(super) fn jira(&self, method: &str, path: &[&str]) -> JsonResponse {
        let ["rest", "api", _, rest @ ..] = path else {
            return not_implemented();
        };
        let mut data = self.data();
        match (method, rest) {
            ("GET", ["myself"]) => match &self.token.account_id {
                Some(account) => ok(json!({ "accountId": account, "accountType": "atlassian" })),
                None => ok(json!({ "accountId": "app", "accountType": "app" })),
            },
            ("GET", ["issue", key]) => data.issues.get(*key).cloned().map_or_else(no_issue, ok),
            ("POST", ["issue"]) => {
                let fields = self.body().get("fields").cloned().unwrap_or_default();
                let key = data.add_issue(fields);
                let issue = data.issues.get(&key).cloned().unwrap_or_default();
                (
                    StatusCode::CREATED,
                    json!({ "id": issue["id"], "key": key }),
                )
            }
            ("PUT", ["issue", key]) => match data.issues.get_mut(*key) {
                Some(issue) => self.edit(issue),
                None => no_issue(),
            },
            ("POST", ["issue", key, "comment"]) => match data.issues.get_mut(*key) {
                Some(issue) => self.comment(issue),
                None => no_issue(),
            },
            ("GET" | "POST", ["search", "jql"]) => self.search(&data),
            _ => not_implemented(),
        }
    }

    fn edit(&self, issue: &mut Value) -> JsonResponse {
        if !issue["fields"].is_object() {
            issue["fields"] = json!({});
        }
        let fields = self.body().get("fields").and_then(Value::as_object);
        for (name, value) in fields.into_iter().flatten() {
            issue["fields"][name] = value.clone();
        }
        (StatusCode::NO_CONTENT, Value::Null)
    }

    fn comment(&self, issue: &mut Value) -> JsonResponse {
        let body = self.body().get("body").cloned().unwrap_or_default();
        let comments = issue.pointer("/fields/comment/comments").cloned();
        let mut comments = comments.unwrap_or_default();
        if !comments.is_array() {
            comments = json!([]);
        }
        if !issue["fields"].is_object() {
            issue["fields"] = json!({});
        }
        issue["fields"]["comment"] = json!({ "comments": comments });
        let comments = &mut issue["fields"]["comment"]["comments"];
        let author = json!({ "accountId": self.token.account_id.as_deref().unwrap_or("app") });
        let mut comment = json!({ "body": body, "author": author });
        if let Some(comments) = comments.as_array_mut() {
            comment["id"] = (20_001 + comments.len()).to_string().into();
            comments.push(comment.clone());
        }
        (StatusCode::CREATED, comment)
    }

    fn search(&self, data: &Data) -> JsonResponse {
        let parameter = |name: &str| {
            let body = self.body().get(name).map(|value| value.to_string());
            self.query(name).map(str::to_owned).or(body)
        };
        let from =
            parameter("nextPageToken").and_then(|token| token.trim_matches('"').parse().ok());
        let limit = parameter("maxResults").and_then(|limit| limit.parse().ok());
        let all: Vec<Value> = data.issues.values().cloned().collect();
        let (issues, next) = page_of(&all, from.unwrap_or(0), limit.unwrap_or(DEFAULT_PAGE_SIZE));
        let mut response = json!({ "issues": issues, "isLast": next.is_none() });
        if let Some(next) = next {
            response["nextPageToken"] = next.to_string().into();
        }
        ok(response)
    }
}
