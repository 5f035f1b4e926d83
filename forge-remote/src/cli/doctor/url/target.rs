//! The base URL to attack: only one of the app's own manifest.

use std::path::Path;

use reqwest::Url;
use serde_yaml::Value;

use crate::http_client::is_loopback;
use crate::manifest::{Variables, read_value};

/// Why a URL is not attacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("`{0}` is not a URL: {1}")]
    Invalid(String, String),
    #[error("`{0}` is not https: give the base URL as the manifest has it")]
    NotHttps(String),
    #[error(
        "{0} can't be read, so it is not known which deployments are this app's\n  help: run the command beside the \
         manifest, or name the file with FORGE_REMOTE_MANIFEST"
    )]
    NoManifest(String),
    #[error(
        "`{url}` is not a base URL of {manifest}, and only this app's own deployments are attacked\n  help: {known}"
    )]
    Unknown {
        url: String,
        manifest: String,
        known: String,
    },
}

/// Returns the URL without a slash at its end, if the manifest has it.
pub(super) fn find(url: &str, manifest: &Path) -> Result<Url, TargetError> {
    let wanted = parse(url)?;
    let name = manifest.display().to_string();
    let Some(value) = read_value(manifest) else {
        return Err(TargetError::NoManifest(name));
    };
    let (known, unset) = base_urls(&value);
    let is_it = |known: &&String| parse(known).is_ok_and(|known| known == wanted);
    if known.iter().any(|known| is_it(&known)) {
        return Ok(wanted);
    }
    let known = match (known.is_empty(), unset.is_empty()) {
        (false, _) => format!("its base URLs are {}", known.join(", ")),
        (true, false) => format!("set the variable of its base URL: {}", unset.join(", ")),
        (true, true) => "add a remote with this `baseUrl`".to_owned(),
    };
    let url = url.to_owned();
    Err(TargetError::Unknown {
        url,
        manifest: name,
        known,
    })
}

fn parse(url: &str) -> Result<Url, TargetError> {
    let mut parsed = Url::parse(url)
        .map_err(|error| TargetError::Invalid(url.to_owned(), error.to_string()))?;
    if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_loopback(&parsed)) {
        return Err(TargetError::NotHttps(url.to_owned()));
    }
    let path = parsed.path().trim_end_matches('/').to_owned();
    parsed.set_path(&path);
    Ok(parsed)
}

/// Returns the base URLs of a manifest's remotes, and the texts whose variables have no value.
fn base_urls(manifest: &Value) -> (Vec<String>, Vec<String>) {
    let variables = Variables::of(manifest);
    let remotes = manifest.get("remotes").and_then(Value::as_sequence);
    let (mut known, mut unset) = (Vec::new(), Vec::new());
    for remote in remotes.into_iter().flatten() {
        let url = remote.get("baseUrl");
        let regions = url.and_then(Value::as_mapping).into_iter().flatten();
        let urls = regions.map(|(_, url)| url).chain(url);
        for url in urls.filter_map(Value::as_str) {
            match variables.resolve(url) {
                Ok(url) => known.push(url.into_owned()),
                Err(_) => unset.push(url.to_owned()),
            }
        }
    }
    (known, unset)
}
