//! What a store of tokens has to do. It sees sealed tokens only.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::error::BoxError;
use crate::registry::BoxFuture;

/// A token as a store keeps it: sealed, and with what it is found by.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedToken {
    /// The installation's ARI: one token is kept for each.
    pub installation_id: String,
    /// When the token ends, in whole milliseconds. Bound into the seal: a store can't change it.
    pub expires_at: SystemTime,
    /// The sites the installation is on, to find it by.
    pub cloud_ids: Vec<String>,
    /// The token and what belongs to it, encrypted.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedToken").finish_non_exhaustive()
    }
}

impl SealedToken {
    /// Milliseconds since 1970, as stores write the expiry.
    pub fn expires_at_millis(&self) -> i64 {
        to_millis(self.expires_at)
    }
}

/// A part of a store's tokens, by installation id in the order of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the last page ended ([`Listed::next`]); from the beginning without.
    pub after: Option<String>,
    /// The most that may come back.
    pub limit: u32,
    /// Only tokens that end before this.
    pub ends_before: Option<SystemTime>,
}

impl Page {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self {
            after: None,
            limit,
            ends_before: None,
        }
    }
}

/// A page of tokens.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The tokens.
    pub tokens: Vec<SealedToken>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// Why a store could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    message: String,
    #[source]
    source: Option<BoxError>,
    is_setup: bool,
}

impl StoreError {
    /// An error in words. Leave out what is secret: a URL's password, a token.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
            is_setup: false,
        }
    }

    /// What caused it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<BoxError>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// It won't pass by itself: a URL that can't be read, a wrong password, a newer schema. From
    /// [`TokenStore::open`] it ends the launch of an app; without this the app serves, and it is
    /// tried again.
    #[must_use]
    pub fn of_setup(mut self) -> Self {
        self.is_setup = true;
        self
    }

    pub(super) fn is_setup(&self) -> bool {
        self.is_setup
    }
}

/// What a store answers with.
pub type Stored<T> = BoxFuture<Result<T, StoreError>>;

/// A place where sealed tokens are kept: [`MemoryTokens`](super::MemoryTokens), SQLite, PostgreSQL,
/// Redis, or one of your own.
///
/// Several processes may share it. Callers bound the time of each call.
pub trait TokenStore: Send + Sync + 'static {
    /// What to call it in messages; without its password.
    fn name(&self) -> String;

    /// Connects and brings the schema up to date. Several instances may do so at once.
    fn open(&self) -> Stored<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether what it holds outlives the process. Then a key from outside is needed.
    fn outlives_process(&self) -> bool {
        true
    }

    /// Keeps each of these tokens unless one that ends later is there for its installation. The
    /// comparison and the write are one step, whoever else writes: a token that is there is never
    /// lost, and never replaced by one that ends earlier. Each token stands for itself; after an
    /// error some may have been kept.
    fn put(&self, tokens: Vec<SealedToken>) -> Stored<()>;

    /// The token of an installation.
    fn get(&self, installation_id: &str) -> Stored<Option<SealedToken>>;

    /// The tokens of the installations on a site.
    fn on_site(&self, cloud_id: &str) -> Stored<Vec<SealedToken>>;

    /// A page of the tokens.
    fn list(&self, page: Page) -> Stored<Listed>;

    /// Removes the token of an installation. One that isn't there is removed already.
    fn remove(&self, installation_id: &str) -> Stored<()>;

    /// Removes the tokens that ended before this; says how many.
    fn purge(&self, ended_before: SystemTime) -> Stored<u64>;
}

/// A store in a box is a store.
impl TokenStore for Box<dyn TokenStore> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn open(&self) -> Stored<()> {
        (**self).open()
    }

    fn outlives_process(&self) -> bool {
        (**self).outlives_process()
    }

    fn put(&self, tokens: Vec<SealedToken>) -> Stored<()> {
        (**self).put(tokens)
    }

    fn get(&self, installation_id: &str) -> Stored<Option<SealedToken>> {
        (**self).get(installation_id)
    }

    fn on_site(&self, cloud_id: &str) -> Stored<Vec<SealedToken>> {
        (**self).on_site(cloud_id)
    }

    fn list(&self, page: Page) -> Stored<Listed> {
        (**self).list(page)
    }

    fn remove(&self, installation_id: &str) -> Stored<()> {
        (**self).remove(installation_id)
    }

    fn purge(&self, ended_before: SystemTime) -> Stored<u64> {
        (**self).purge(ended_before)
    }
}

/// Milliseconds since 1970.
pub(super) fn to_millis(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time so many milliseconds after 1970; what no clock can show is 1970.
pub(super) fn from_millis(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A page of rows in order: there may be a next one when it is full.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn listed(tokens: Vec<SealedToken>, limit: u32) -> Listed {
    let full = tokens.len() >= limit as usize;
    let next = tokens.last().filter(|_| full);
    Listed {
        next: next.map(|token| token.installation_id.clone()),
        tokens,
    }
}

/// What is left to do of a schema's steps, each with its version, when this version is done.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn steps_left(
    done: i64,
    steps: &'static [&'static [&'static str]],
) -> Result<impl Iterator<Item = (i64, &'static [&'static str])> + Send, StoreError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if done > known {
        return Err(StoreError::new(format!(
            "its schema has version {done}, and this version of forge-remote knows {known} at \
             most: update forge-remote"
        ))
        .of_setup());
    }
    Ok((1..=known)
        .zip(steps.iter().copied())
        .filter(move |(version, _)| *version > done))
}
