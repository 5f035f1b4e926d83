//! Where key sets come from.

use std::time::Duration;

use bytes::Bytes;

use super::future::BoxFuture;

/// The URL of the key set of Atlassian's commercial cloud.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
pub const PRODUCTION_KEYS: &str = "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json";

/// The URL of the key set of Atlassian's staging cloud, which only Atlassian's own developers use.
pub const STAGING_KEYS: &str = "https://forge.cdn.stg.atlassian-dev.net/.well-known/jwks.json";

/// The limit on every fetch, regardless of the caller's limit.
pub(super) const LONGEST_FETCH: Duration = Duration::from_secs(60);

/// A key-set document with the cache lifetime that its source sent.
#[derive(Clone, Debug)]
pub struct JwksDocument {
    /// The document: a JWK set (RFC 7517).
    pub document: Bytes,
    /// The `max-age` of `Cache-Control`, if the source sent one.
    pub max_age: Option<Duration>,
}

/// Why a key set could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct FetchError {
    reason: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl FetchError {
    /// Creates an error with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            source: None,
        }
    }

    /// Adds the error that caused this one, for the log.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// A source of one key set.
pub trait KeySource: Send + Sync + 'static {
    /// Fetches the document. The caller limits the time.
    fn fetch(&self) -> BoxFuture<Result<JwksDocument, FetchError>>;

    /// Returns the source's name for messages.
    fn name(&self) -> &str;
}

impl KeySource for Box<dyn KeySource> {
    fn fetch(&self) -> BoxFuture<Result<JwksDocument, FetchError>> {
        (**self).fetch()
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}
