//! A JWS signer that lets the caller choose every byte.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::encoding::b64;
use crate::rsa::{RsaKey, Scheme, first};

/// The ARI of the app under test.
pub const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
/// The ARI of another app.
pub const OTHER_APP_ID: &str = "ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555";
/// The installation in every token.
pub const INSTALLATION_ID: &str =
    "ari:cloud:ecosystem::installation/0a3a7799-53ae-4a5b-9e7e-03338980abb5";
/// The issuer of every FIT.
pub const ISSUER: &str = "forge/invocation-token";
/// The first published key's id, which has slashes like Atlassian's.
pub const FIRST_KID: &str = "forge/invocation-token/wf-f641e7a7-0001";
/// The second published key's id.
pub const SECOND_KID: &str = "forge/invocation-token/wf-f641e7a7-0002";

/// Encodes these bytes as a token and signs it with RS256.
pub fn compact(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, key: &RsaKey) -> String {
    compact_text(&b64(header), &b64(payload), key)
}

/// Joins these encoded parts to a token and signs it with RS256.
pub fn compact_text(header: &str, payload: &str, key: &RsaKey) -> String {
    let signed = format!("{header}.{payload}");
    let signature = key.sign(Scheme::Rs256, signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

/// Splits a token into its parts; a missing one is empty.
pub fn parts(token: &str) -> [&str; 3] {
    let mut parts = token.split('.');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Replaces a token's signature.
pub fn with_signature(token: &str, signature: impl AsRef<[u8]>) -> String {
    let [header, payload, _] = parts(token);
    format!("{header}.{payload}.{}", b64(signature))
}

/// An unsigned Forge Invocation Token.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The protected header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
    /// The key of [`Fit::token`], if it is not [`first`].
    key: Option<Arc<RsaKey>>,
}

/// Returns the seconds since 1970.
pub fn seconds(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Returns a unique id.
pub fn unique_id() -> String {
    let mut bytes = [0; 20];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Fit {
    /// Returns a FIT of this header and these claims.
    pub fn new(header: Value, claims: Value) -> Self {
        Self {
            header,
            claims,
            key: None,
        }
    }

    /// Sets the key of [`Fit::token`].
    #[must_use]
    pub fn with_key(mut self, key: Arc<RsaKey>) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns the FIT of a call by the platform, for the endpoint with this key.
    pub fn backend(now: SystemTime, endpoint: &str) -> Self {
        let mut fit = Self::page(now);
        fit = fit
            .claim("/app/module/type", "core:endpoint")
            .claim("/app/module/key", endpoint);
        fit.without("/context").without("/principal")
    }

    /// Returns the FIT of a call by a page with a user, with all claims that Atlassian documents.
    pub fn page(now: SystemTime) -> Self {
        let issued = seconds(now);
        let site = "d0d52620-3203-4cfa-8db5-f2587155f0dd";
        let api = format!("https://api.atlassian.com/ex/confluence/{site}");
        let claims = json!({
            "app": {
                "id": APP_ID,
                "version": "16",
                "appVersion": "16.0.1",
                "installationId": INSTALLATION_ID,
                "apiBaseUrl": api,
                "installation": {
                    "id": INSTALLATION_ID,
                    "contexts": [
                        {"name": "confluence", "apiBaseUrl": api, "cloudId": site},
                        {
                            "name": "bitbucket",
                            "apiBaseUrl": "https://api.bitbucket.org",
                            "workspaceId": "b7ea02c9-0871-4858-a2a6-a190d7de977c"
                        }
                    ]
                },
                "environment": {
                    "type": "PRODUCTION",
                    "id": "ari:cloud:ecosystem::environment/8db33809-1f32-48bb-8c52-5877dab48107/aa911f10-c54b-4b93-9e27-dd2947840b9e"
                },
                "module": {"type": "xen:macro", "key": "forge-remote-app-boot"},
                "license": {
                    "active": true,
                    "billingPeriod": "MONTHLY",
                    "capabilitySet": "capabilityAdvanced",
                    "ccpEntitlementId": "5e176cc2-6fa0-3c7b-8fc4-302443a16e86",
                    "ccpEntitlementSlug": "X-3SH-1A6-33A-AS0",
                    "isEvaluation": false,
                    "subscriptionEndDate": "2026-12-08T00:00:00.000Z",
                    "supportEntitlementNumber": null,
                    "trialEndDate": "2027-06-08T00:00:00.000Z",
                    "type": "commercial",
                    "modes": ["USER_ACCESS"]
                }
            },
            "context": {
                "localId": "4654fa12-4c7c-4792-95a9-6019edb27953",
                "cloudId": site,
                "moduleKey": "forge-remote-app-boot",
                "siteUrl": "https://pbray2.jira-dev.com",
                "extension": {
                    "type": "macro",
                    "content": {"id": "5341185"},
                    "space": {"key": "~655362312d3308895442b0aa38771a10c88656", "id": "65538"},
                    "isEditing": false,
                    "references": []
                }
            },
            "principal": "655362:312d3308-8954-42b0-aa38-771a10c88656",
            "aud": APP_ID,
            "iss": ISSUER,
            "iat": issued,
            "nbf": issued,
            "exp": issued + 25,
            "jti": unique_id()
        });
        Self::new(json!({"alg": "RS256", "kid": FIRST_KID}), claims)
    }

    /// Sets a claim; `/app/module/key` names a nested one. A pointer to nowhere changes nothing.
    #[must_use]
    pub fn claim(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        if let Some((parent, name)) = self.parent(pointer) {
            parent.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without(mut self, pointer: &str) -> Self {
        if let Some((parent, name)) = self.parent(pointer) {
            parent.remove(name);
        }
        self
    }

    /// Sets the time of issue; the FIT expires 25 seconds later.
    #[must_use]
    pub fn issued(self, at: SystemTime) -> Self {
        let issued = seconds(at);
        self.claim("/iat", issued)
            .claim("/nbf", issued)
            .claim("/exp", issued + 25)
    }

    /// Sets a header member.
    #[must_use]
    pub fn head(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(header) = self.header.as_object_mut() {
            header.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Removes a header member.
    #[must_use]
    pub fn headless(mut self, name: &str) -> Self {
        if let Some(header) = self.header.as_object_mut() {
            header.remove(name);
        }
        self
    }

    /// Returns the header's JSON.
    pub fn header_json(&self) -> String {
        self.header.to_string()
    }

    /// Returns the claims' JSON.
    pub fn claims_json(&self) -> String {
        self.claims.to_string()
    }

    /// Returns the claims' JSON with a hand-written first member, which replaces one of the same name.
    pub fn claims_json_with(&self, name: &str, json: &str) -> String {
        let mut claims: Map<String, Value> = self.claims.as_object().cloned().unwrap_or_default();
        claims.remove(name);
        let rest = Value::Object(claims).to_string();
        format!("{{\"{name}\":{json},{}", &rest[1..])
    }

    /// Signs with this key and does not change the header's `kid`.
    pub fn sign(&self, key: &RsaKey) -> String {
        compact(self.header_json(), self.claims_json(), key)
    }

    /// Signs with its own key, by default the first published one.
    pub fn token(&self) -> String {
        self.sign(self.key.as_deref().unwrap_or_else(|| first()))
    }

    /// Signs with this scheme and names it in the header.
    pub fn sign_as(&self, scheme: Scheme, key: &RsaKey) -> String {
        let fit = self.clone().head("alg", scheme.alg());
        let signed = format!("{}.{}", b64(fit.header_json()), b64(fit.claims_json()));
        format!("{signed}.{}", b64(key.sign(scheme, signed.as_bytes())))
    }

    /// Signs with a custom function.
    pub fn sign_with(&self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let signed = format!("{}.{}", b64(self.header_json()), b64(self.claims_json()));
        format!("{signed}.{}", b64(sign(signed.as_bytes())))
    }

    /// Returns the object with the claim, and the claim's name.
    fn parent<'a>(&mut self, pointer: &'a str) -> Option<(&mut Map<String, Value>, &'a str)> {
        let (parent, name) = pointer.rsplit_once('/')?;
        let parent = self.claims.pointer_mut(parent)?.as_object_mut()?;
        Some((parent, name))
    }
}

/// Returns a time this many seconds after another.
pub fn later(time: SystemTime, seconds: u64) -> SystemTime {
    time + Duration::from_secs(seconds)
}

/// Returns a key-set document.
pub fn key_set(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

/// Returns the platform's key set of two keys.
pub fn published() -> Value {
    key_set(&[
        crate::rsa::first().jwk(FIRST_KID),
        crate::rsa::second().jwk(SECOND_KID),
    ])
}
