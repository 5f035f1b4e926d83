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

pub(super) fn key_ring(
    app: &mut App,
    jwks_url: Option<&str>,
    problems: &mut Vec<Diagnostic>,
) -> Option<KeyRing> {
    let set = |source: Result<Box<dyn KeySource>, _>, problems: &mut Vec<Diagnostic>| match source {
        Ok(source) => Some(Jwks::new(
            source,
            app.key_policy.clone(),
            Arc::clone(&app.clock),
        )),
        Err(error) => {
            let help = "correct the key set's URL (FORGE_REMOTE_JWKS_URL, `App::jwks_url` or `IsolatedCloud::new`)";
            problems.push(Diagnostic::error(&BAD_KEY_URL, format!("{error}"), help));
            None
        }
    };
    let http =
        |url: &str| HttpKeySource::new(url).map(|source| Box::new(source) as Box<dyn KeySource>);

    let commercial = match app.key_source.take() {
        Some(source) => Ok(source),
        None => http(jwks_url.unwrap_or(PRODUCTION_KEYS)),
    };
    let mut ring = KeyRing::new(set(commercial, problems)?);
    if app.staging {
        ring.staging = set(http(STAGING_KEYS), problems);
    }
    for (label, cloud) in &app.isolated {
        if !is_label(label) {
            let message = format!("`{label}` is not a valid label of an isolated cloud");
            problems.push(Diagnostic::error(
                &BAD_CLOUD_LABEL,
                message,
                "use 1 to 50 of `a-z`, `0-9`, `_` and `-`",
            ));
        } else if let Err(error) = app.atlassian.use_cloud(label, cloud) {
            problems.push(Diagnostic::error(
                &BAD_CLOUD_URL,
                format!("the isolated cloud `{label}`: {error}"),
                "correct the URLs given to `IsolatedCloud`",
            ));
        }
        if let Some(keys) = set(http(&cloud.jwks_url), problems) {
            ring.isolated.insert(label.clone(), keys);
        }
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
