//! Signed requests, prepared before the measurement.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::json;

/// Returns an OAuth token of realistic size with this expiry.
pub(crate) fn oauth(ends: u64) -> String {
    let claims = json!({ "exp": ends, "padding": "p".repeat(640) }).to_string();
    format!(
        "{}.{}.{}",
        "h".repeat(60),
        BASE64.encode(claims),
        "s".repeat(340)
    )
}

pub(crate) const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
const KID: &str = "forge/invocation-token/wf-f641e7a7-0000-4000-a000-000000000000";

/// The platform's signing key.
pub(crate) struct Signer(KeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).expect("a random source"))
    }

    /// Returns the published key set.
    pub(crate) fn key_set(&self) -> String {
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(self.0.public_key());
        json!({ "keys": [{ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID,
            "n": BASE64.encode(public.n), "e": BASE64.encode(public.e) }] })
        .to_string()
    }

    fn sign(&self, claims: &serde_json::Value) -> String {
        let header = json!({ "alg": "RS256", "kid": KID }).to_string();
        let signed = format!(
            "{}.{}",
            BASE64.encode(header),
            BASE64.encode(claims.to_string())
        );
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .expect("signing");
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// Returns a FIT with all of Atlassian's claims, about 1.9 KB, and a unique `jti`.
    fn fit(&self, at: usize, endpoint: &str, installation: &str) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let installation = format!("ari:cloud:ecosystem::installation/{installation}");
        let api = "https://api.atlassian.com/ex/confluence/d0d52620-3203-4cfa-8db5-f2587155f0dd";
        self.sign(&json!({
            "app": {
                "id": APP_ID, "version": "16", "appVersion": "16.0.1", "installationId": installation, "apiBaseUrl": api,
                "installation": { "id": installation, "contexts": [
                    { "name": "confluence", "apiBaseUrl": api, "cloudId": "d0d52620-3203-4cfa-8db5-f2587155f0dd" },
                    { "name": "jira", "apiBaseUrl": api.replace("confluence", "jira"), "cloudId": "d0d52620-3203-4cfa-8db5-f2587155f0dd" }] },
                "environment": { "type": "PRODUCTION", "id": "ari:cloud:ecosystem::environment/8db33809-1f32-48bb-8c52-5877dab48107/aa911f10-c54b-4b93-9e27-dd2947840b9e" },
                "module": { "type": "core:endpoint", "key": endpoint },
                "license": { "active": true, "billingPeriod": "MONTHLY", "capabilitySet": "capabilityAdvanced", "isEvaluation": false,
                    "subscriptionEndDate": "2026-12-08T00:00:00.000Z", "trialEndDate": "2027-06-08T00:00:00.000Z", "type": "commercial" }
            },
            "aud": APP_ID, "iss": "forge/invocation-token",
            "iat": now, "nbf": now, "exp": now + 1500, "jti": format!("{at:040x}"),
        }))
    }

    /// Returns the bytes of requests of one installation, with one OAuth token.
    pub(crate) fn requests(&self, count: usize, path: &str, endpoint: &str) -> Vec<Vec<u8>> {
        let oauth = format!("{}.{}.{}", "h".repeat(60), "p".repeat(900), "s".repeat(340));
        let installation = "0a3a7799-53ae-4a5b-9e7e-03338980abb5";
        self.requests_of(count, path, endpoint, |_| {
            (installation.to_owned(), oauth.clone())
        })
    }

    /// Returns the bytes of requests whose installation and OAuth token depend on their number.
    pub(crate) fn requests_of(
        &self,
        count: usize,
        path: &str,
        endpoint: &str,
        of: impl Fn(usize) -> (String, String) + Sync,
    ) -> Vec<Vec<u8>> {
        let body = format!("{{\"data\":\"{}\"}}", "x".repeat(1024 - 11));
        let request = |at: usize| {
            let (installation, oauth) = of(at);
            format!(
                "POST {path} HTTP/1.1\r\nhost: backend.example.com\r\nauthorization: Bearer {}\r\nx-forge-oauth-system: {oauth}\r\n\
                 x-b3-traceid: {at:032x}\r\nx-b3-spanid: {at:016x}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                self.fit(at, endpoint, &installation),
                body.len(),
            )
            .into_bytes()
        };
        let half = count / 2;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| (0..half).map(request).collect::<Vec<_>>());
            let mut second: Vec<_> = (half..count).map(request).collect();
            let mut all = first.join().expect("signing");
            all.append(&mut second);
            all
        })
    }
}
