//! The fake GraphQL gateway: the exchange for a user's token, and the current user.

use serde_json::{Value, json};

use super::call::{CheckedCall, JsonResponse, ok};
use crate::platform::oauth::{Kind, OAuth};

impl CheckedCall<'_> {
    pub(super) fn graphql(&self) -> JsonResponse {
        let text = self.body().get("query").and_then(Value::as_str);
        if text == Some("query { me { user { accountId } } }") {
            let user = self.token.account_id.as_ref();
            let user = user.map(|account| json!({ "user": { "accountId": account } }));
            return ok(json!({ "data": { "me": user } }));
        }
        if !text.unwrap_or_default().contains("offlineUserAuthToken") {
            let message = "the local platform has only the operation offlineUserAuthToken: add a \
                           response to others with `FakeApis::respond`";
            return ok(json!({ "data": null, "errors": [{ "message": message }] }));
        }
        let input = |name: &str| {
            let value = self.body().pointer(&format!("/variables/input/{name}"));
            value.and_then(Value::as_str).unwrap_or_default()
        };
        let (account, context) = (input("userId"), input("contextIds/0"));
        let site = &self.platform.0.cloud_id;
        let contexts = ["jira", "confluence"].map(|name| format!("ari:cloud:{name}::site/{site}"));
        let problem = if self.token.kind != Kind::System {
            Some("only a system token can be exchanged for a user's token")
        } else if !self.data().declared.impersonates {
            Some("the app lists no scope with `allowImpersonation: true`")
        } else if account.is_empty() {
            Some("no such user")
        } else if !contexts.iter().any(|one| one == context) {
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
                let token = json!({ "token": token, "ttl": 4 * 3600 });
                json!({ "success": true, "errors": null, "authToken": token })
            }
        };
        ok(json!({ "data": { "offlineUserAuthToken": outcome } }))
    }
}
