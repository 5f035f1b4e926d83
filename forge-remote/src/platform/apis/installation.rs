//! The fake of Forge's APIs about an installation: its details, and its dynamic modules.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::{CheckedCall, JsonResponse, not_implemented, ok, page_of};
use crate::platform::local::uuid;
use crate::platform::oauth::Kind;

/// Forge's limit of modules for an installation.
/// Source: <https://developer.atlassian.com/platform/forge/apis-reference/dynamic-modules/>
const MAX_MODULES: usize = 100;

impl CheckedCall<'_> {
    /// Returns the details of an installation, only for the system token of that installation.
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/>
    pub(super) fn installation(&self, app: &str, environment: &str, id: &str) -> JsonResponse {
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
        let scopes = self.data().granted_scopes.clone();
        ok(json!({
            "version": "1.0.0",
            "installationContext": site("confluence"),
            "secondaryInstallationContexts": [site("jira")],
            "permissions": { "scopes": scopes, "external": {} },
            "isSandbox": false,
        }))
    }

    /// Responds to a call about the modules that the app registered.
    /// Source: <https://developer.atlassian.com/platform/forge/apis-reference/dynamic-modules-api/>
    pub(super) fn dynamic_modules(&self, method: &str, path: &[&str]) -> JsonResponse {
        if self.token.kind != Kind::System {
            return message(StatusCode::UNAUTHORIZED, "Authorization failed");
        }
        let installation = self.token.installation.clone();
        let mut data = self.data();
        let modules = data.dynamic_modules.entry(installation).or_default();
        let at = |modules: &[Value], key: &str| modules.iter().position(|one| one["key"] == *key);
        match (method, path) {
            ("POST", [] | [""]) if modules.len() >= MAX_MODULES => {
                let text = "the installation has the maximum of 100 dynamic modules";
                message(StatusCode::UNPROCESSABLE_ENTITY, text)
            }
            ("POST", [] | [""]) => match self.module(&uuid()) {
                Some(module) => {
                    modules.push(module.clone());
                    (StatusCode::CREATED, module)
                }
                None => message(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "`type` or `data` is missing",
                ),
            },
            ("GET", [] | [""]) => {
                let number = |name: &str| self.query(name).and_then(|text| text.parse().ok());
                let from = number("nextPageToken").unwrap_or(0);
                let (page, next) = page_of(modules, from, number("limit").unwrap_or(MAX_MODULES));
                match next {
                    None => ok(Value::Array(page)),
                    Some(next) => ok(json!({ "modules": page, "nextPageToken": next.to_string() })),
                }
            }
            ("GET" | "PUT" | "DELETE", [key]) => {
                let Some(at) = at(modules, key) else {
                    return message(StatusCode::NOT_FOUND, "Dynamic module not found");
                };
                match method {
                    "GET" => ok(modules[at].clone()),
                    "DELETE" => {
                        modules.remove(at);
                        (StatusCode::NO_CONTENT, Value::Null)
                    }
                    _ => match self.module(key) {
                        Some(module) => {
                            modules[at] = module.clone();
                            ok(module)
                        }
                        None => message(
                            StatusCode::UNPROCESSABLE_ENTITY,
                            "`type` or `data` is missing",
                        ),
                    },
                }
            }
            _ => not_implemented(),
        }
    }

    /// Returns the module in the body, with its key; `None` if a part is missing.
    fn module(&self, key: &str) -> Option<Value> {
        let module_type = self.body().get("type")?.as_str()?;
        let mut data = self.body().get("data")?.as_object()?.clone();
        data.insert("key".to_owned(), key.into());
        Some(json!({ "key": key, "type": module_type, "data": data }))
    }
}

fn message(status: StatusCode, message: &str) -> JsonResponse {
    (status, json!({ "message": message }))
}
