//! The fake Confluence API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{
    CheckedCall, DEFAULT_PAGE_SIZE, JsonResponse, LOCAL_USER, not_implemented, ok, page_of,
};
use super::data::{Data, completed};

impl Data {
    pub(super) fn add_page(&mut self, fields: &Value) -> String {
        let last = self.pages.last_key_value();
        let id = last.map_or(98_304, |(last, _)| last + 1);
        self.insert_page(id, fields);
        id.to_string()
    }

    /// Inserts a page with these fields and the ones that Atlassian always sends.
    pub(super) fn insert_page(&mut self, id: u64, fields: &Value) {
        let mut page = page(id);
        if fields.is_object() {
            page = completed(page, fields);
        }
        // Fixtures may have it as a number.
        page["id"] = id.to_string().into();
        self.pages.insert(id, page);
    }
}

/// Returns a page's fields that Atlassian always sends.
/// Source: <https://developer.atlassian.com/cloud/confluence/rest/v2/api-group-page/>
fn page(id: u64) -> Value {
    let created = "2026-01-01T12:00:00.000Z";
    json!({
        "id": id.to_string(),
        "status": "current",
        "title": null,
        "spaceId": "65538",
        "parentId": null,
        "parentType": null,
        "position": null,
        "authorId": LOCAL_USER,
        "ownerId": LOCAL_USER,
        "lastOwnerId": null,
        "createdAt": created,
        "version": {
            "createdAt": created, "message": "", "number": 1, "minorEdit": false, "authorId": LOCAL_USER,
        },
        "body": {},
        "_links": {
            "webui": format!("/spaces/DEV/pages/{id}"),
            "editui": format!("/pages/resumedraft.action?draftId={id}"),
            "tinyui": format!("/x/{id}"),
        },
    })
}

fn find_page(id: &str, data: &Data) -> JsonResponse {
    let number = id.parse().ok();
    let page = number.and_then(|id: u64| data.pages.get(&id).cloned());
    let title = format!("Cannot find page with ID: {id}");
    let missing = json!({ "errors": [{ "status": 404, "code": "NOT_FOUND", "title": title }] });
    page.map_or((StatusCode::NOT_FOUND, missing), ok)
}

impl CheckedCall<'_> {
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
