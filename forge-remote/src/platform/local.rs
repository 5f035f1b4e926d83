//! The local platform: its key, its claims, its installation.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::apis::FakeApis;
use crate::fit::{AppId, Clock, FetchError, JwksDocument, KeySource, SystemClock};
use crate::registry::BoxFuture;

/// A local Forge platform: signs Forge Invocation Tokens with a key of its own.
#[derive(Clone)]
pub struct Platform(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) app_id: AppId,
    pub(super) key: KeyPair,
    pub(super) kid: String,
    pub(super) clock: Arc<dyn Clock>,
    /// The one installation that calls come from unless told otherwise.
    pub(super) installation: String,
    pub(super) cloud_id: String,
    pub(super) environment: String,
    /// Where its APIs are served, once they are.
    pub(super) origin: OnceLock<String>,
    pub(super) apis: FakeApis,
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform")
            .field("app_id", &self.0.app_id)
            .finish_non_exhaustive()
    }
}

/// The platform could not be set up.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no RSA key could be generated: is the system's random source working?")]
pub struct PlatformError;

impl Platform {
    /// A platform for one app, with a new RSA key. Generating it takes about 50 ms.
    pub fn new(app_id: AppId) -> Result<Self, PlatformError> {
        Self::with_clock(app_id, Arc::new(SystemClock::default()))
    }

    /// The same, with its own idea of time.
    pub fn with_clock(app_id: AppId, clock: Arc<dyn Clock>) -> Result<Self, PlatformError> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| PlatformError)?;
        Ok(Self(Arc::new(Inner {
            app_id,
            key,
            // Slashes and all, as Atlassian's.
            kid: format!("forge/invocation-token/wf-{}", uuid()),
            clock,
            installation: uuid(),
            cloud_id: uuid(),
            environment: uuid(),
            origin: OnceLock::new(),
            apis: FakeApis::default(),
        })))
    }

    /// The app it is a platform for.
    pub fn app_id(&self) -> &AppId {
        &self.0.app_id
    }

    /// Its key set, as Atlassian publishes its own (RFC 7517).
    pub fn key_set(&self) -> serde_json::Value {
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(self.0.key.public_key());
        serde_json::json!({ "keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.0.kid,
            "n": URL_SAFE_NO_PAD.encode(public.n),
            "e": URL_SAFE_NO_PAD.encode(public.e),
        }] })
    }

    /// Its key set as a source for an app in the same process.
    pub fn key_source(&self) -> impl KeySource + use<> {
        InProcess(self.clone())
    }

    /// The data of its APIs.
    pub fn apis(&self) -> &FakeApis {
        &self.0.apis
    }

    /// Where its APIs are: on this machine, once they are served; before, Atlassian's address. A
    /// product that its FITs don't name, Bitbucket say, can be there by
    /// `fit.set("/app/installation/contexts", …)`.
    pub fn apis_url(&self) -> &str {
        let origin = self.0.origin.get();
        origin.map_or("https://api.atlassian.com", String::as_str)
    }

    /// Its tokens say from now on that its APIs are here.
    pub(crate) fn serves_apis_at(&self, origin: &str) {
        let _ = self.0.origin.set(origin.to_owned());
    }

    /// A product's base URL, as in Atlassian's tokens.
    pub(super) fn api_base_url(&self, product: &str) -> String {
        let origin = self.apis_url();
        format!("{origin}/ex/{product}/{}", self.0.cloud_id)
    }

    pub(super) fn installation_ari(&self) -> String {
        format!("ari:cloud:ecosystem::installation/{}", self.0.installation)
    }

    /// A compact JWS over these claims, by the platform's key.
    pub(crate) fn sign(&self, claims: &serde_json::Value) -> String {
        let header = serde_json::json!({ "alg": "RS256", "kid": self.0.kid });
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
        self.sign_text(token)
    }

    /// The text and its signature.
    pub(super) fn sign_text(&self, mut token: String) -> String {
        let mut signature = vec![0; self.0.key.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        // Fails only for a buffer of another length; the token would then be refused.
        let _ = self
            .0
            .key
            .sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature);
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        token
    }

    pub(super) fn now(&self) -> u64 {
        let since = self
            .0
            .clock
            .now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH);
        since.unwrap_or_default().as_secs()
    }
}

struct InProcess(Platform);

impl KeySource for InProcess {
    fn fetch(&self) -> BoxFuture<Result<JwksDocument, FetchError>> {
        let document = self.0.key_set().to_string().into();
        Box::pin(std::future::ready(Ok(JwksDocument {
            document,
            max_age: None,
        })))
    }

    fn name(&self) -> &str {
        "the local platform"
    }
}

/// Random bytes in hex.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    // Ids, not secrets: zeros would do in the worst case.
    let _ = aws_lc_rs::rand::fill(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random UUID (version 4).
pub(super) fn uuid() -> String {
    let hex = random_hex(16);
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}
