//! The local platform: its key, its clock, its installation.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forge_remote_attacks::rsa::RsaKey;

use super::apis::FakeApis;
use super::signing_key::{PlatformError, signing_key};
use crate::fit::{AppId, Clock, FetchError, JwksDocument, KeySource, SystemClock};
use crate::registry::BoxFuture;

/// A local Forge platform, which signs Forge Invocation Tokens with its own key.
#[derive(Clone)]
pub struct Platform(pub(super) Arc<PlatformState>);

pub(super) struct PlatformState {
    pub(super) app_id: AppId,
    pub(super) key: Arc<RsaKey>,
    pub(super) kid: String,
    pub(super) clock: Arc<dyn Clock>,
    /// The UUID of the default installation of calls.
    pub(super) installation: String,
    pub(super) cloud_id: String,
    pub(super) environment: String,
    /// The origin of its APIs, once they are served.
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

impl Platform {
    /// Creates a platform for one app, with its own key id. The first platform of a process generates the
    /// RSA key of all of them, which takes about 50 ms.
    pub fn new(app_id: AppId) -> Result<Self, PlatformError> {
        Self::with_clock(app_id, Arc::new(SystemClock::default()))
    }

    /// Creates a platform with a clock, for tests.
    pub fn with_clock(app_id: AppId, clock: Arc<dyn Clock>) -> Result<Self, PlatformError> {
        Ok(Self(Arc::new(PlatformState {
            key: signing_key()?,
            // With slashes, as in Atlassian's key ids.
            kid: format!("forge/invocation-token/wf-{}", uuid()),
            clock,
            installation: id_of(&app_id, "installation"),
            cloud_id: id_of(&app_id, "cloud"),
            environment: id_of(&app_id, "environment"),
            app_id,
            origin: OnceLock::new(),
            apis: FakeApis::default(),
        })))
    }

    /// Returns the id of the platform's app.
    pub fn app_id(&self) -> &AppId {
        &self.0.app_id
    }

    /// Returns the key set, in the format that Atlassian publishes (RFC 7517).
    pub fn key_set(&self) -> serde_json::Value {
        serde_json::json!({ "keys": [self.0.key.jwk(&self.0.kid)] })
    }

    /// Returns the key set as a source for an app in the same process.
    pub fn key_source(&self) -> impl KeySource + use<> {
        InProcess(self.clone())
    }

    /// Returns the platform's APIs and their data.
    pub fn apis(&self) -> &FakeApis {
        &self.0.apis
    }

    /// Returns the origin of the platform's APIs: a local one once they are served, Atlassian's
    /// before. Its FITs list Confluence and Jira; add another product, such as Bitbucket, with
    /// `fit.set("/app/installation/contexts", …)`.
    pub fn apis_url(&self) -> &str {
        let origin = self.0.origin.get();
        origin.map_or("https://api.atlassian.com", String::as_str)
    }

    /// Sets the origin of the APIs, which tokens contain from now on.
    pub(crate) fn serves_apis_at(&self, origin: &str) {
        let _ = self.0.origin.set(origin.to_owned());
    }

    /// Returns a product's base URL, as in Atlassian's tokens.
    pub(super) fn api_base_url(&self, product: &str) -> String {
        let origin = self.apis_url();
        format!("{origin}/ex/{product}/{}", self.0.cloud_id)
    }

    pub(crate) fn installation_ari(&self) -> String {
        format!("ari:cloud:ecosystem::installation/{}", self.0.installation)
    }

    /// Returns the encoded header of this platform's tokens.
    pub(super) fn header(&self) -> String {
        let header = serde_json::json!({ "alg": "RS256", "kid": self.0.kid });
        URL_SAFE_NO_PAD.encode(header.to_string())
    }

    /// Returns a compact JWS of these claims, signed with the platform's key.
    pub(crate) fn sign(&self, claims: &serde_json::Value) -> String {
        let mut token = self.header();
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
        self.sign_text(token)
    }

    /// Appends the signature of the text.
    pub(super) fn sign_text(&self, mut token: String) -> String {
        let signature = self.0.key.rs256(token.as_bytes());
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

/// Returns random bytes in hex.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    // These are ids, not secrets: zeros are acceptable if the random source fails.
    let _ = aws_lc_rs::rand::fill(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a random UUID (version 4).
pub(super) fn uuid() -> String {
    uuid_of(&random_hex(16))
}

/// Returns an id of the app's local installation: the same at every start, so that an app whose
/// database outlives `dev` finds one installation there.
fn id_of(app_id: &AppId, name: &str) -> String {
    let digest = digest(&SHA256, format!("{} {name}", app_id.as_str()).as_bytes());
    let digest = digest.as_ref().iter();
    let hex: String = digest.map(|byte| format!("{byte:02x}")).collect();
    uuid_of(&hex)
}

/// Returns these hexadecimal digits in the format of a UUID (version 4).
fn uuid_of(hex: &str) -> String {
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}
