//! The configured key sets.

use std::sync::Arc;

use crate::app::builder::App;
use crate::client::is_label;
use crate::diagnostic::{Diagnostic, Rule};
use crate::fit::{HttpKeySource, Jwks, KeyRing, KeySource, PRODUCTION_KEYS, STAGING_KEYS};
use crate::http_client::Network;

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&BAD_KEY_URL, &BAD_CLOUD_LABEL, &BAD_CLOUD_URL];

const BAD_KEY_URL: Rule = Rule::launch(
    "bad-key-url",
    "The URL of a key set is not valid. It must be `https://` (or `http://` on this machine) and a host. \
    Correct FORGE_REMOTE_JWKS_URL, or the URL given to `App::jwks_url` or `IsolatedCloud::new`.",
);

const BAD_CLOUD_LABEL: Rule = Rule::launch(
    "bad-cloud-label",
    "The label of an isolated cloud is not valid. It must be 1 to 50 of `a-z`, `0-9`, `_` and `-`. \
    Correct the label given to `App::isolated_cloud`.",
);

const BAD_CLOUD_URL: Rule = Rule::launch(
    "bad-cloud-url",
    "A URL of an isolated cloud is not valid, or belongs to another cloud already. Correct the URLs given to \
    `IsolatedCloud`.",
);

impl App {
    /// Returns the problems of the configured key sets and isolated clouds. Nothing is fetched.
    pub(crate) fn key_problems(&self, jwks_url: Option<&str>) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let bad_url = |url: &str| {
            let error = HttpKeySource::new(url).err()?;
            let help = "correct the key set's URL (FORGE_REMOTE_JWKS_URL, `App::jwks_url` or `IsolatedCloud::new`)";
            Some(Diagnostic::error(&BAD_KEY_URL, error.to_string(), help))
        };
        if self.key_source.is_none() {
            problems.extend(bad_url(jwks_url.unwrap_or(PRODUCTION_KEYS)));
        }
        for (label, cloud) in &self.isolated_clouds {
            if !is_label(label) {
                let message = format!("`{label}` is not a valid label of an isolated cloud");
                problems.push(Diagnostic::error(
                    &BAD_CLOUD_LABEL,
                    message,
                    "use 1 to 50 of `a-z`, `0-9`, `_` and `-`",
                ));
            } else if let Err(error) = cloud.check() {
                problems.push(Diagnostic::error(
                    &BAD_CLOUD_URL,
                    format!("the isolated cloud `{label}`: {error}"),
                    "correct the URLs given to `IsolatedCloud`",
                ));
            }
            problems.extend(bad_url(&cloud.jwks_url));
        }
        problems
    }
}

/// Returns the configured key sets; `None` if they have [problems](App::key_problems).
pub(super) fn key_ring(app: &mut App, jwks_url: Option<&str>) -> Option<KeyRing> {
    let set = |source: Box<dyn KeySource>| {
        Jwks::new(source, app.jwks_policy.clone(), Arc::clone(&app.clock))
    };
    let http = |url: &str| Some(set(Box::new(HttpKeySource::new(url).ok()?)));
    let mut ring = KeyRing::new(match app.key_source.take() {
        Some(source) => set(source),
        None => http(jwks_url.unwrap_or(PRODUCTION_KEYS))?,
    });
    if app.staging_cloud {
        ring.staging = http(STAGING_KEYS);
    }
    for (label, cloud) in &app.isolated_clouds {
        app.client.use_cloud(label, cloud).ok()?;
        ring.isolated.insert(label.clone(), http(&cloud.jwks_url)?);
    }
    log_key_sources(&ring);
    Some(ring)
}

/// Logs a source of keys that is not Atlassian's own address, and a proxy in between: the keys decide
/// which tokens are accepted.
fn log_key_sources(ring: &KeyRing) {
    for keys in ring.all() {
        let source = keys.source_name();
        if ![PRODUCTION_KEYS, STAGING_KEYS].contains(&source) {
            tracing::info!(
                source,
                "FITs are verified with the keys of this source, which is not Atlassian's default"
            );
        }
        if let Some(proxy) = Network::proxy_of(source) {
            tracing::info!(source, proxy, "the key set is fetched through a proxy");
        }
    }
}
