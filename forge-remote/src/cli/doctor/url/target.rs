//! The base URL to attack: only one of an endpoint in the app's own manifest.

use std::path::Path;

use reqwest::Url;
use serde_yaml::Value;

use crate::http_client::is_loopback;
use crate::manifest::{ManifestError, ManifestFile, Variables};

/// Why a URL is not attacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("`{0}` is not a URL: {1}")]
    Invalid(String, String),
    #[error("`{0}` is not https: pass the base URL of the manifest")]
    NotHttps(String),
    #[error(
        "{0} does not exist, so the app's base URLs are unknown\n  help: run the command in the manifest's directory, \
         or name the file with FORGE_REMOTE_MANIFEST"
    )]
    NoManifest(String),
    #[error("the app's base URLs are unknown: {0}")]
    Unreadable(#[from] ManifestError),
    #[error(
        "`{url}` is not a base URL of an endpoint in {manifest}, and only this app's own deployments are attacked\n  help: {known}"
    )]
    Unknown {
        url: String,
        manifest: String,
        known: String,
    },
}

/// Returns the URL without a slash at its end, if the manifest has it for one of its endpoints.
pub(super) fn find(url: &str, manifest: &Path) -> Result<Url, TargetError> {
    let wanted = parse(url)?;
    let name = manifest.display().to_string();
    let file = ManifestFile::read(manifest)?;
    if !file.exists() {
        return Err(TargetError::NoManifest(name));
    }
    let all = base_urls(file.value());
    let is_it = |one: &&BaseUrl| parse(&one.url).is_ok_and(|known| known == wanted);
    let found = all.iter().filter(is_it);
    if found.clone().any(|one| one.is_of_endpoint) {
        return Ok(wanted);
    }
    let own = all.iter().filter(|one| one.is_of_endpoint);
    let list = |is_set: bool| {
        let urls = own.clone().filter(|one| one.is_set == is_set);
        urls.map(|one| one.url.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (known, unset) = (list(true), list(false));
    let known = match (found.clone().next(), known.is_empty(), unset.is_empty()) {
        (Some(other), ..) => {
            format!(
                "no endpoint has the remote `{}`: name it as the `remote` of one",
                other.remote
            )
        }
        (None, false, _) => format!("its base URLs are {known}"),
        (None, true, false) => format!("set the variable of its base URL: {unset}"),
        (None, true, true) => {
            "add a remote with this `baseUrl`, and name it as the `remote` of an endpoint"
                .to_owned()
        }
    };
    Err(TargetError::Unknown {
        url: url.to_owned(),
        manifest: name,
        known,
    })
}

fn parse(url: &str) -> Result<Url, TargetError> {
    let mut parsed =
        Url::parse(url).map_err(|error| TargetError::Invalid(url.to_owned(), error.to_string()))?;
    if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_loopback(&parsed)) {
        return Err(TargetError::NotHttps(url.to_owned()));
    }
    let path = parsed.path().trim_end_matches('/').to_owned();
    parsed.set_path(&path);
    Ok(parsed)
}

/// A base URL of a manifest's remote.
struct BaseUrl<'a> {
    remote: &'a str,
    /// Whether an endpoint has the remote. Others are another party's services.
    is_of_endpoint: bool,
    /// The URL, or its text if a variable in it has no value.
    url: String,
    is_set: bool,
}

/// Returns the base URLs of a manifest's remotes.
fn base_urls(manifest: &Value) -> Vec<BaseUrl<'_>> {
    let variables = Variables::of(manifest);
    let endpoints = manifest
        .get("modules")
        .and_then(|modules| modules.get("endpoint"));
    let endpoints = endpoints.and_then(Value::as_sequence);
    let mut found = Vec::new();
    let remotes = manifest.get("remotes").and_then(Value::as_sequence);
    for remote in remotes.into_iter().flatten() {
        let key = remote
            .get("key")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let has_it = |endpoint: &Value| endpoint.get("remote").and_then(Value::as_str) == Some(key);
        let url = remote.get("baseUrl");
        let regions = url.and_then(Value::as_mapping).into_iter().flatten();
        let urls = regions.map(|(_, url)| url).chain(url);
        for text in urls.filter_map(Value::as_str) {
            let resolved = variables.resolve(text);
            found.push(BaseUrl {
                remote: key,
                is_of_endpoint: endpoints.into_iter().flatten().any(has_it),
                is_set: resolved.is_ok(),
                url: resolved.map_or_else(|_| text.to_owned(), |url| url.into_owned()),
            });
        }
    }
    found
}
