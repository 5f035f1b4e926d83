//! HTTP clients: built when first needed, and retried when the build fails.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Url};

/// The pause after the first failed build; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The network that a client may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// This machine, by http: neither a proxy nor certificates are needed.
    Loopback,
    /// Anywhere, by https only, through the environment's proxy.
    Https,
}

impl Network {
    /// Returns the network that a URL is in.
    pub fn of(url: &Url) -> Self {
        if url.scheme() == "http" && is_loopback(url) {
            Self::Loopback
        } else {
            Self::Https
        }
    }

    /// Returns the environment's proxy for a URL, without its password; `None` without a proxy, and
    /// for text that is not a URL.
    pub fn proxy_of(url: &str) -> Option<String> {
        let parsed = Url::parse(url).ok()?;
        if Self::of(&parsed) == Self::Loopback {
            return None;
        }
        // reqwest reads the environment with the same function.
        let proxy = Matcher::from_env().intercept(&url.parse().ok()?)?;
        let proxy = proxy.uri();
        Some(format!("{}://{}", proxy.scheme_str()?, proxy.authority()?))
    }

    /// Returns a client's settings: no redirects, no referrer, this crate's name.
    pub fn client(self) -> ClientBuilder {
        let builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("forge-remote/", env!("CARGO_PKG_VERSION")));
        match self {
            Self::Loopback => builder.no_proxy().tls_certs_only([]),
            Self::Https => builder.https_only(true),
        }
    }
}

/// Returns whether a URL's host is loopback.
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// The error of building an HTTP client. A retry may succeed, for example once certificates are
/// mounted or files are closed.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the HTTP client could not be built, and is retried: install CA certificates (or set \
     SSL_CERT_FILE), and check the limit of open files"
)]
pub struct ClientBuildError {
    source: Arc<reqwest::Error>,
}

/// A client that is built when first needed. A failure is returned for a quarter of a second
/// (doubling up to two seconds); the next call after that retries.
#[derive(Debug, Default)]
pub struct LazyClient {
    client: OnceLock<Client>,
    failed: Mutex<Option<Failed>>,
}

#[derive(Debug)]
struct Failed {
    error: ClientBuildError,
    pause: Duration,
    retry_at: Instant,
}

impl LazyClient {
    /// Returns the client, and builds it at the first call.
    pub fn get(
        &self,
        settings: impl FnOnce() -> ClientBuilder,
    ) -> Result<&Client, ClientBuildError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have built it in the meantime.
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        if let Some(failed) = &*failed
            && Instant::now() < failed.retry_at
        {
            return Err(failed.error.clone());
        }
        match settings().build() {
            Ok(client) => {
                *failed = None;
                Ok(self.client.get_or_init(|| client))
            }
            Err(error) => {
                let error = ClientBuildError {
                    source: Arc::new(error),
                };
                let before = failed.as_ref().map(|failed| failed.pause * 2);
                let pause = before.unwrap_or(FIRST_PAUSE).min(MAX_PAUSE);
                *failed = Some(Failed {
                    error: error.clone(),
                    pause,
                    retry_at: Instant::now() + pause,
                });
                Err(error)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_is_retried() {
        let lazy = LazyClient::default();
        // An invalid header makes the build fail.
        let broken = || Network::Loopback.client().user_agent("\n");
        let good = || Network::Loopback.client();
        let error = lazy.get(broken).unwrap_err();
        let causes = crate::error::chain(&error);
        assert!(causes.contains("builder error: "), "{causes}");
        assert!(lazy.get(good).is_err(), "within the pause");
        lazy.failed.lock().unwrap().as_mut().unwrap().retry_at = Instant::now();
        lazy.get(broken).unwrap_err();
        assert_eq!(
            lazy.failed.lock().unwrap().as_ref().unwrap().pause,
            FIRST_PAUSE * 2
        );
        lazy.failed.lock().unwrap().as_mut().unwrap().retry_at = Instant::now();
        lazy.get(good).unwrap();
        lazy.get(broken).unwrap();
    }
}
