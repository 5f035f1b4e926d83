//! The fake Confluence API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, DEFAULT_PAGE_SIZE, JsonResponse, not_implemented, ok, page_of};
use super::data::Data;

impl Data {
    pub(super) fn add_page(&mut self, fields: &Value) -> String {
        let last = self.pages.last_key_value();
        let id = last.map_or(98_304, |(last, _)| last + 1);
        self.pages.insert(id, page(id, fields));
        id.to_string()
    }
}

fn page(id: u64, fields: &Value) -> Value {
    json!({
        "id": id.to_string(),
        "status": "current",
        "title": fields.get("title").cloned().unwrap_or_default(),
        "spaceId": fields.get("spaceId").cloned().unwrap_or_else(|| "65538".into()),
        "body": fields.get("body").cloned().unwrap_or_else(|| json!({})),
        "version": { "number": 1 },
    })
}

fn find_page(id: &str, data: &Data) -> JsonResponse {
    let number = id.parse().ok();
    let page = number.and_then(|id: u64| data.pages.get(&id).cloned());
    let title = format!("Cannot find page with ID: {id}");
    let missing = json!({ "errors": [{ "status": 404, "code": "NOT_FOUND", "title": title }] });
    page.map_or((StatusCode::NOT_FOUND, missing), ok)
}

impl Call<'_> {
    pub(super) fn confluence(&self, method: &str, path: &[&str]) -> JsonResponse {
        if let ("GET", ["wiki", "rest", "api", "user", "current"]) = (method, path) {
            let (account, name) = match &self.token.account_id {
                Some(account) => (account.as_str(), "A local user"),
                None => ("app", "The app"),
            };
            return ok(json!({ "type": "known", "accountId": account, "displayName": name }));
        }
        let ["wiki", "api", "v2", rest @ ..] = path else {
            return not_implemented();
        };
        let mut data = self.data();
        match (method, rest) {
            ("GET", ["pages"]) => {
                let number = |name: &str| self.query(name).and_then(|text| text.parse().ok());
                let limit = number("limit").unwrap_or(DEFAULT_PAGE_SIZE);
                let all: Vec<Value> = data.pages.values().cloned().collect();
                let (results, next) = page_of(&all, number("cursor").unwrap_or(0), limit);
                let mut response = json!({ "results": results, "_links": {} });
                if let Some(next) = next {
                    let link = format!("/wiki/api/v2/pages?limit={limit}&cursor={next}");
                    response["_links"]["next"] = link.into();
                }
                ok(response)
            }
            ("GET", ["pages", id]) => find_page(id, &data),
            ("POST", ["pages"]) => {
                let id = data.add_page(self.body());
                find_page(&id, &data)
            }
            _ => not_implemented(),
        }
    }
}
