//! Minting Forge Invocation Tokens.

use serde_json::{Value, json};

use super::local::{Platform, random_hex, uuid};

/// A Forge Invocation Token before it is signed: Atlassian's shape, every claim open to change.
///
/// Source of the shape: <https://developer.atlassian.com/platform/forge/remote/essentials/>
#[derive(Clone, Debug)]
#[must_use = "a FIT does nothing until it is signed"]
pub struct Fit {
    platform: Platform,
    claims: Value,
}

impl Fit {
    pub(super) fn new(platform: Platform) -> Self {
        let inner = &platform.0;
        let (app, now) = (&inner.app_id, platform.now());
        let installation = platform.installation_ari();
        let environment = format!(
            "ari:cloud:ecosystem::environment/{}/{}",
            app.uuid(),
            inner.environment
        );
        let [api, jira] = ["confluence", "jira"].map(|name| platform.api_base_url(name));
        let claims = json!({
            "app": {
                "id": app.as_str(),
                "version": "1",
                "appVersion": "1.0.0",
                "installationId": installation,
                "apiBaseUrl": api,
                "installation": {
                    "id": installation,
                    "contexts": [
                        { "name": "confluence", "apiBaseUrl": api, "cloudId": inner.cloud_id },
                        { "name": "jira", "apiBaseUrl": jira, "cloudId": inner.cloud_id },
                    ],
                },
                "environment": { "type": "DEVELOPMENT", "id": environment },
                "module": { "type": "core:endpoint", "key": "" },
            },
            "aud": app.as_str(),
            "iss": "forge/invocation-token",
            "iat": now,
            "nbf": now,
            "exp": now + 25,
            "jti": random_hex(20),
        });
        Self { platform, claims }
    }

    /// The module the call comes from: `core:endpoint` and the endpoint's key for the platform's
    /// own calls, a UI module's type and key for a page's.
    pub fn module(self, module_type: &str, key: &str) -> Self {
        self.set("/app/module", json!({ "type": module_type, "key": key }))
    }

    /// A page's call by this user: with the acting user (`principal`) and the page's context.
    pub fn as_user(self, account_id: &str) -> Self {
        let cloud_id = self.platform.0.cloud_id.clone();
        let key = self
            .claims
            .pointer("/app/module/key")
            .cloned()
            .unwrap_or_default();
        self.set("/principal", account_id.into()).set(
            "/context",
            json!({
                "localId": uuid(),
                "cloudId": cloud_id,
                "moduleKey": key,
                "siteUrl": "https://example.atlassian.net",
                "accountId": account_id,
                "extension": {
                    "type": "macro",
                    "content": { "id": "98304", "type": "page" },
                    "space": { "id": "65538", "key": "DEV" },
                },
            }),
        )
    }

    /// Another installation: the UUID alone.
    pub fn installation(self, uuid: &str) -> Self {
        let ari = format!("ari:cloud:ecosystem::installation/{uuid}");
        self.set("/app/installationId", ari.as_str().into())
            .set("/app/installation/id", ari.into())
    }

    /// A Forge environment: `DEVELOPMENT`, `STAGING` or `PRODUCTION`.
    pub fn environment(self, environment_type: &str) -> Self {
        self.set("/app/environment/type", environment_type.into())
    }

    /// Any claim, by its JSON pointer (RFC 6901): `/app/license`, `/exp`, `/aud`.
    ///
    /// Objects on the way are made where they are missing.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let mut place = &mut self.claims;
        for name in pointer.split('/').skip(1) {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[name.replace("~1", "/").replace("~0", "~")];
        }
        *place = value;
        self
    }

    /// Leaves a claim out, by its JSON pointer.
    pub fn without(mut self, pointer: &str) -> Self {
        if let Some((parent, name)) = pointer.rsplit_once('/')
            && let Some(parent) = self
                .claims
                .pointer_mut(parent)
                .and_then(Value::as_object_mut)
        {
            parent.remove(name);
        }
        self
    }

    /// The claims as they stand.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// The token.
    #[must_use]
    pub fn sign(&self) -> String {
        self.platform.sign(&self.claims)
    }
}

impl Platform {
    /// A FIT with every claim of the true shape, to be changed at will and signed.
    pub fn fit(&self) -> Fit {
        Fit::new(self.clone())
    }
}
