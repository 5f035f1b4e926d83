//! The scene of the attacks: the keys, the time, and the claims of valid FITs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::jws::{self, Fit, unique_id};
use crate::rsa::{self, RsaKey};

/// The keys of a [`Scene`].
#[derive(Clone, Debug)]
pub struct Keys {
    /// The key that signs valid FITs. An attacker without it signs with another key.
    pub first: Arc<RsaKey>,
    /// Another published key.
    pub second: Arc<RsaKey>,
    /// The attacker's key.
    pub stranger: Arc<RsaKey>,
    /// A longer key, if there is one.
    pub long: Option<Arc<RsaKey>>,
    /// The published key with the id `first_kid`, whose bytes an attacker uses as a secret.
    pub published: Arc<RsaKey>,
}

impl Keys {
    /// Returns keys that are generated once for the process.
    pub fn generated() -> Self {
        let [first, second, stranger] =
            [rsa::first(), rsa::second(), rsa::stranger()].map(|key| Arc::new(key.clone()));
        Self {
            published: Arc::clone(&first),
            first,
            second,
            stranger,
            long: Some(Arc::new(rsa::long4096().clone())),
        }
    }

    /// Returns the fixed keys of the vectors. Their private halves are published: a deployment that
    /// trusts them accepts anyone's FITs.
    pub fn published_for_tests() -> Option<Self> {
        let read = |base64: &str| {
            let base64: String = base64.split_whitespace().collect();
            let pkcs8 = STANDARD.decode(base64).ok()?;
            Some(Arc::new(RsaKey::from_pkcs8(&pkcs8)?))
        };
        let first = read(include_str!("keys/first.txt"))?;
        Some(Self {
            published: Arc::clone(&first),
            first,
            second: read(include_str!("keys/second.txt"))?,
            stranger: read(include_str!("keys/stranger.txt"))?,
            long: Some(read(include_str!("keys/long.txt"))?),
        })
    }

    /// Returns the keys around this one, which signs valid FITs.
    pub fn of(first: RsaKey) -> Self {
        let stranger = Arc::new(rsa::stranger().clone());
        let first = Arc::new(first);
        Self {
            published: Arc::clone(&first),
            first,
            second: Arc::clone(&stranger),
            stranger,
            long: None,
        }
    }

    /// Returns the keys of an attacker who knows only this published key.
    pub fn of_an_attacker(published: RsaKey) -> Self {
        let stranger = Arc::new(rsa::stranger().clone());
        Self {
            first: Arc::clone(&stranger),
            second: Arc::clone(&stranger),
            stranger,
            long: None,
            published: Arc::new(published),
        }
    }
}

/// The scene of the attacks: the keys, the time, and the claims of valid FITs.
///
/// ```
/// use std::time::SystemTime;
///
/// use forge_remote_attacks::{Keys, Scene, class};
///
/// let scene = Scene::new(Keys::generated(), SystemTime::now());
/// let case = class("expiry").and_then(|expiry| expiry.case(&scene, "an hour ago"));
/// assert!(case.is_some_and(|case| case.token.is_some()));
/// ```
#[derive(Debug)]
pub struct Scene {
    keys: Keys,
    now: SystemTime,
    fit: Fit,
    page: Fit,
    second_kid: String,
    trap_url: String,
    key_set_url: String,
    /// Where the ids of FITs start, if they are not random.
    ids: Option<AtomicU64>,
}

impl Scene {
    /// Returns a scene with the claims that Atlassian documents.
    pub fn new(keys: Keys, now: SystemTime) -> Self {
        Self {
            fit: Fit::backend(now, "tick").with_key(Arc::clone(&keys.first)),
            page: Fit::page(now).with_key(Arc::clone(&keys.first)),
            keys,
            now,
            second_kid: jws::SECOND_KID.to_owned(),
            trap_url: "https://attacker.example/jwks.json".to_owned(),
            key_set_url: "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json"
                .to_owned(),
            ids: None,
        }
    }

    /// Replaces the claims of valid FITs: of a call by the platform, and of one by a page.
    #[must_use]
    pub fn with_claims(mut self, fit: Value, page: Value) -> Self {
        (self.fit.claims, self.page.claims) = (fit, page);
        self
    }

    /// Replaces the ids of the published keys.
    #[must_use]
    pub fn with_key_ids(mut self, first: &str, second: &str) -> Self {
        self.fit = self.fit.head("kid", first);
        self.page = self.page.head("kid", first);
        second.clone_into(&mut self.second_kid);
        self
    }

    /// Sets the attacker's URL, and the URL of the key set.
    #[must_use]
    pub fn with_urls(mut self, trap: &str, key_set: &str) -> Self {
        trap.clone_into(&mut self.trap_url);
        key_set.clone_into(&mut self.key_set_url);
        self
    }

    /// Counts the ids of FITs instead of choosing random ones, so that the same FITs are made again.
    #[must_use]
    pub fn with_counted_ids(mut self) -> Self {
        self.ids = Some(AtomicU64::new(1));
        self
    }

    /// Returns the time.
    pub fn now(&self) -> SystemTime {
        self.now
    }

    pub(crate) fn seconds(&self) -> i64 {
        jws::seconds(self.now)
    }

    /// Returns a valid FIT for `/tick`, unsigned.
    pub fn fit(&self) -> Fit {
        self.numbered(&self.fit)
    }

    /// Returns a valid FIT for `/ui`, unsigned.
    pub fn page(&self) -> Fit {
        self.numbered(&self.page)
    }

    /// Returns the platform's FIT for the endpoint with this key, unsigned.
    pub(crate) fn endpoint(&self, key: &str) -> Fit {
        self.fit().claim("/app/module/key", key)
    }

    /// Returns the published key set.
    pub fn key_set(&self) -> Value {
        let keys = &self.keys;
        jws::key_set(&[
            keys.published.jwk(self.first_kid()),
            keys.second.jwk(&self.second_kid),
        ])
    }

    pub(crate) fn first(&self) -> &RsaKey {
        &self.keys.first
    }

    pub(crate) fn second(&self) -> &RsaKey {
        &self.keys.second
    }

    pub(crate) fn stranger(&self) -> &RsaKey {
        &self.keys.stranger
    }

    pub(crate) fn long(&self) -> Option<&RsaKey> {
        self.keys.long.as_deref()
    }

    pub(crate) fn published(&self) -> &RsaKey {
        &self.keys.published
    }

    pub(crate) fn first_kid(&self) -> &str {
        self.fit.header["kid"].as_str().unwrap_or_default()
    }

    pub(crate) fn second_kid(&self) -> &str {
        &self.second_kid
    }

    pub(crate) fn app_id(&self) -> &str {
        self.fit.claims["aud"].as_str().unwrap_or_default()
    }

    pub(crate) fn installation_id(&self) -> &str {
        let claim = &self.fit.claims["app"]["installationId"];
        claim.as_str().unwrap_or_default()
    }

    pub(crate) fn trap_url(&self) -> &str {
        &self.trap_url
    }

    /// Returns host and port of the attacker's URL.
    pub(crate) fn trap_authority(&self) -> &str {
        self.trap_url.split('/').nth(2).unwrap_or_default()
    }

    pub(crate) fn key_set_url(&self) -> &str {
        &self.key_set_url
    }

    fn numbered(&self, fit: &Fit) -> Fit {
        let id = match &self.ids {
            Some(ids) => format!("{:040x}", ids.fetch_add(1, Ordering::Relaxed)),
            None => unique_id(),
        };
        fit.clone().claim("/jti", id)
    }
}
