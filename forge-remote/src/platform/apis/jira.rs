//! A small Jira.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{Answer, Call, PAGE, ok, part, unknown};
use super::data::Data;

impl Data {
    pub(super) fn add_issue(&mut self, fields: Value) -> String {
        let number = self.issues.len() + 1;
        let key = format!("DEV-{number}");
        let issue = json!({ "id": (10_000 + number).to_string(), "key": key, "fields": fields });
        self.issues.insert(key.clone(), issue);
        key
    }
}

fn no_issue() -> Answer {
    let message = "Issue does not exist or you do not have permission to see it.";
    (
        StatusCode::NOT_FOUND,
        json!({ "errorMessages": [message], "errors": {} }),
    )
}

impl Call<'_> {
    pub(super) fn jira(&self, method: &str, path: &[&str]) -> Answer {
        let ["rest", "api", _, rest @ ..] = path else {
            return unknown();
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
            _ => unknown(),
        }
    }

    fn edit(&self, issue: &mut Value) -> Answer {
        if !issue["fields"].is_object() {
            issue["fields"] = json!({});
        }
        let fields = self.body().get("fields").and_then(Value::as_object);
        for (name, value) in fields.into_iter().flatten() {
            issue["fields"][name] = value.clone();
        }
        (StatusCode::NO_CONTENT, Value::Null)
    }

    fn comment(&self, issue: &mut Value) -> Answer {
        let body = self.body().get("body").cloned().unwrap_or_default();
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
        let author = json!({ "accountId": self.token.account_id.as_deref().unwrap_or("app") });
        let mut comment = json!({ "body": body, "author": author });
        if let Some(comments) = comments.as_array_mut() {
            comment["id"] = (20_001 + comments.len()).to_string().into();
            comments.push(comment.clone());
        }
        (StatusCode::CREATED, comment)
    }

    fn search(&self, data: &Data) -> Answer {
        let asked = |name: &str| {
            let body = self.body().get(name).map(|value| value.to_string());
            self.query(name).map(str::to_owned).or(body)
        };
        let from = asked("nextPageToken").and_then(|token| token.trim_matches('"').parse().ok());
        let most = asked("maxResults").and_then(|most| most.parse().ok());
        let all: Vec<Value> = data.issues.values().cloned().collect();
        let (issues, next) = part(&all, from.unwrap_or(0), most.unwrap_or(PAGE));
        let mut answer = json!({ "issues": issues, "isLast": next.is_none() });
        if let Some(next) = next {
            answer["nextPageToken"] = next.to_string().into();
        }
        ok(answer)
    }
}
