//! A small Confluence.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{Answer, Call, PAGE, ok, part, unknown};
use super::data::Data;

impl Data {
    pub(super) fn add_page(&mut self, given: &Value) -> String {
        let last = self.pages.last_key_value();
        let id = last.map_or(98_304, |(last, _)| last + 1);
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

fn found(id: &str, data: &Data) -> Answer {
    let number = id.parse().ok();
    let page = number.and_then(|id: u64| data.pages.get(&id).cloned());
    let title = format!("Cannot find page with ID: {id}");
    let missing = json!({ "errors": [{ "status": 404, "code": "NOT_FOUND", "title": title }] });
    page.map_or((StatusCode::NOT_FOUND, missing), ok)
}

impl Call<'_> {
    pub(super) fn confluence(&self, method: &str, path: &[&str]) -> Answer {
        if let ("GET", ["wiki", "rest", "api", "user", "current"]) = (method, path) {
            let (account, name) = match &self.token.account_id {
                Some(account) => (account.as_str(), "A local user"),
                None => ("app", "The app"),
            };
            return ok(json!({ "type": "known", "accountId": account, "displayName": name }));
        }
        let ["wiki", "api", "v2", rest @ ..] = path else {
            return unknown();
        };
        let mut data = self.data();
        match (method, rest) {
            ("GET", ["pages"]) => {
                let number = |name: &str| self.query(name).and_then(|text| text.parse().ok());
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
                let id = data.add_page(self.body());
                found(&id, &data)
            }
            _ => unknown(),
        }
    }
}
