//! The local platform's Forge Invocation Tokens.

use serde_json::{Value, json};

use super::local::{Platform, random_hex, uuid};

/// A Forge Invocation Token before it is signed. It has Atlassian's shape, and every claim can be
/// changed.
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

    /// Sets the calling module: `core:endpoint` and the endpoint's key for a call of the platform, a
    /// UI module's type and key for a call of a page.
    pub fn module(self, module_type: &str, key: &str) -> Self {
        self.set("/app/module", json!({ "type": module_type, "key": key }))
    }

    /// Turns it into the FIT of a page's call by this user: sets `principal` and the page's context.
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

    /// Sets the installation, by its UUID.
    pub fn installation(self, uuid: &str) -> Self {
        let ari = format!("ari:cloud:ecosystem::installation/{uuid}");
        self.set("/app/installationId", ari.as_str().into())
            .set("/app/installation/id", ari.into())
    }

    /// Sets the type of the Forge environment: `DEVELOPMENT`, `STAGING` or `PRODUCTION`.
    pub fn environment(self, environment_type: &str) -> Self {
        self.set("/app/environment/type", environment_type.into())
    }

    /// Sets a claim by its JSON pointer (RFC 6901): `/app/license`, `/exp`, `/aud`.
    ///
    /// Missing parent objects are created.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let mut claim = &mut self.claims;
        for name in pointer.split('/').skip(1) {
            if !claim.is_object() {
                *claim = json!({});
            }
            claim = &mut claim[name.replace("~1", "/").replace("~0", "~")];
        }
        *claim = value;
        self
    }

    /// Removes a claim by its JSON pointer.
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

    /// Returns the claims.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// Signs the FIT and returns it as a compact JWS.
    #[must_use]
    pub fn sign(&self) -> String {
        self.platform.sign(&self.claims)
    }
}

impl Platform {
    /// Returns a FIT with all claims that Atlassian documents, to be changed and signed.
    pub fn fit(&self) -> Fit {
        Fit::new(self.clone())
    }
}
