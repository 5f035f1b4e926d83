//! A key set that is fetched over HTTPS.

use std::sync::Arc;
use std::time::Duration;

use super::future::BoxFuture;
use super::http_client::{LazyClient, Network, is_loopback};
use super::source::{FetchError, JwksDocument, KeySource, LONGEST_FETCH, PRODUCTION_KEYS};

/// A key-set document larger than this is rejected, in bytes.
const MAX_DOCUMENT: usize = 1024 * 1024;

/// A key set that is fetched from a URL: `https`, or `http` on loopback.
///
/// Redirects are not followed, a document has at most 1 MiB, and an HTTP client that could not be
/// built (certificates that are mounted late, say) is built again with the next fetch. The time is
/// bounded by the caller ([`JwksPolicy::fetch_timeout`](super::JwksPolicy::fetch_timeout)), 60 seconds
/// at most. A proxy is taken from the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`), except
/// on loopback.
#[derive(Clone, Debug)]
pub struct HttpKeySource {
    url: reqwest::Url,
    client: Arc<LazyClient>,
}

/// Why a URL cannot be a key source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum InvalidKeyUrl {
    #[error("`{0}` is not a URL: expected one like `{PRODUCTION_KEYS}`")]
    NotUrl(String),
    #[error("`{0}` is not https: use https, or http on loopback")]
    NotHttps(String),
    #[error("`{0}` has a user or password in it")]
    HasCredentials(String),
}

impl HttpKeySource {
    /// Creates a source of this URL. Its scheme is checked; nothing is fetched yet.
    pub fn new(url: &str) -> Result<Self, InvalidKeyUrl> {
        let url = reqwest::Url::parse(url).map_err(|_| InvalidKeyUrl::NotUrl(url.to_owned()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidKeyUrl::HasCredentials(
                url.host_str().unwrap_or_default().to_owned(),
            ));
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(InvalidKeyUrl::NotHttps(url.into()));
        }
        Ok(Self {
            url,
            client: Arc::default(),
        })
    }

    fn client(&self) -> Result<&reqwest::Client, FetchError> {
        let network = Network::of(&self.url);
        let settings = || {
            let client = network.client().pool_max_idle_per_host(1);
            client.timeout(LONGEST_FETCH)
        };
        self.client
            .get(settings)
            .map_err(|error| FetchError::new("the key set cannot be fetched").with_source(error))
    }
}

impl KeySource for HttpKeySource {
    fn fetch(&self) -> BoxFuture<Result<JwksDocument, FetchError>> {
        let this = self.clone();
        Box::pin(async move {
            let failed = |reason: &str, error: reqwest::Error| {
                FetchError::new(reason).with_source(error.without_url())
            };
            let client = this.client()?;
            let mut response = client
                .get(this.url.clone())
                .header("accept", "application/json")
                .send()
                .await
                .map_err(|error| failed("the key set's host cannot be reached", error))?;
            if response.status() != reqwest::StatusCode::OK {
                return Err(FetchError::new(format!(
                    "the key set's host responded with {}",
                    response.status()
                )));
            }
            let lines = response.headers().get_all(reqwest::header::CACHE_CONTROL);
            let lines: Vec<&str> = lines.iter().filter_map(|line| line.to_str().ok()).collect();
            let max_age = max_age(&lines.join(","));
            let mut document = Vec::new();
            while let Some(chunk) = response
                .chunk()
                .await
                .map_err(|error| failed("the key set's host broke off", error))?
            {
                if document.len() + chunk.len() > MAX_DOCUMENT {
                    return Err(FetchError::new(format!(
                        "the key set is larger than {MAX_DOCUMENT} bytes"
                    )));
                }
                document.extend_from_slice(&chunk);
            }
            Ok(JwksDocument {
                document: document.into(),
                max_age,
            })
        })
    }

    fn name(&self) -> &str {
        self.url.as_str()
    }
}

/// Returns the `max-age` of a Cache-Control value; `no-store` and `no-cache` count as zero.
fn max_age(value: &str) -> Option<Duration> {
    let mut age = None;
    for directive in value.split(',').map(str::trim) {
        if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache")
        {
            return Some(Duration::ZERO);
        }
        if let Some((name, seconds)) = directive.split_once('=')
            && name.trim().eq_ignore_ascii_case("max-age")
        {
            age = seconds
                .trim()
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs);
        }
    }
    age
}
