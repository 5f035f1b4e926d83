//! What a store of tokens has to do. It sees sealed tokens only.

#[cfg(feature = "testing")]
mod conformance;
mod guard;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::error::BoxError;
use crate::fit::BoxFuture;

#[cfg(feature = "testing")]
pub use conformance::{ConformanceError, token_store_conformance};
pub(super) use guard::Guarded;
pub use memory::MemoryTokens;
#[cfg(feature = "postgres")]
pub use postgres::PostgresTokens;
#[cfg(feature = "redis")]
pub use redis::RedisTokens;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteTokens;

/// A token as a store keeps it: sealed, and with what it is found by.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedToken {
    /// The installation's ARI: one token is kept for each.
    pub installation_id: String,
    /// When the token ends, in whole milliseconds. Bound into the seal: a store can't change it.
    pub expires_at: SystemTime,
    /// The sites the installation is on, to find it by, in order.
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
pub struct PageRequest {
    /// Where the last page ended ([`TokenPage::next`]); from the beginning without.
    pub after: Option<String>,
    /// The most that may come back.
    pub limit: u32,
    /// Only tokens that end before this.
    pub ends_before: Option<SystemTime>,
}

impl PageRequest {
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
pub struct TokenPage {
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
    pub fn with_source(mut self, cause: impl Into<BoxError>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// It won't pass by itself: a URL that can't be read, a wrong password, a newer schema. From
    /// [`TokenStore::open`] it ends the launch of an app; without this the app serves, and it is
    /// tried again.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.is_setup = true;
        self
    }

    pub(super) fn is_setup(&self) -> bool {
        self.is_setup
    }
}

/// What a store answers with.
pub type StoreFuture<T> = BoxFuture<Result<T, StoreError>>;

/// A place where sealed tokens are kept: [`MemoryTokens`](super::MemoryTokens), SQLite, PostgreSQL,
/// Redis, or one of your own.
///
/// Several processes may share it. Callers bound the time of each call.
pub trait TokenStore: Send + Sync + 'static {
    /// What to call it in messages; without its password.
    fn name(&self) -> String;

    /// Connects and brings the schema up to date. Several instances may do so at once.
    fn open(&self) -> StoreFuture<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Keeps one record besides the tokens: when the app starts, it tells whether the keys are
    /// those of the other instances. Puts `new` in the place of `there`, or of nothing, and comes
    /// back with it; when something else is there, that stays, and comes back. The comparison and
    /// the write are one step.
    ///
    /// A store without a place for it takes every `new` for the one that is there, as this does:
    /// then only the tokens tell whether a key is missing.
    fn compare_and_swap_key_check(
        &self,
        there: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        let _ = there;
        Box::pin(std::future::ready(Ok(new)))
    }

    /// Whether what it holds outlives the process. Then a key from outside is needed.
    fn outlives_process(&self) -> bool {
        true
    }

    /// Keeps each of these records unless one with a later end is there for its installation. The
    /// comparison and the write are one step, whoever else writes: a record that is there is never
    /// lost, and never replaced by one with an earlier end. Each record stands for itself; after an
    /// error some may have been kept.
    ///
    /// A corrupt row, or one that ends more than 2 days after the new record (no token lives longer
    /// than one day), must not block the write: it is replaced.
    ///
    /// A write that returned an error, or that the caller stopped waiting for, should not be
    /// executed afterwards: give the server a time limit below the caller's 10 seconds.
    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<()>;

    /// Replaces the record of `new`'s installation if its sealed bytes still are `expected`; returns
    /// whether it did. The comparison and the write are one step. Sealed bytes contain a random
    /// nonce, so equal bytes are the same write: a delayed call never overwrites a later record.
    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool>;

    /// Removes the record of an installation if its sealed bytes still are `expected`; returns
    /// whether it did. The comparison and the removal are one step.
    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool>;

    /// Returns the server's clock, where the store is a server that has one; `None` otherwise (the
    /// default). Instances whose own clocks disagree date removals and purge by it.
    fn server_time(&self) -> StoreFuture<Option<SystemTime>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The token of an installation; an error when what is there can't be read.
    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>>;

    /// The tokens of the installations on a site; what can't be read is passed over.
    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>>;

    /// A page of the tokens; what can't be read is passed over.
    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage>;

    /// Removes the tokens that ended before this; says how many.
    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64>;
}

/// A store in a box is a store.
impl TokenStore for Box<dyn TokenStore> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn open(&self) -> StoreFuture<()> {
        (**self).open()
    }

    fn compare_and_swap_key_check(
        &self,
        there: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        (**self).compare_and_swap_key_check(there, new)
    }

    fn outlives_process(&self) -> bool {
        (**self).outlives_process()
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<()> {
        (**self).put(tokens)
    }

    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>> {
        (**self).get(installation_id)
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        (**self).find_by_site(cloud_id)
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        (**self).list(page)
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        (**self).replace_if(expected, new)
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        (**self).remove_if(installation_id, expected)
    }

    fn server_time(&self) -> StoreFuture<Option<SystemTime>> {
        (**self).server_time()
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
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

/// A kept token that ends this much later than a new one is none: no token lives longer than a day.
pub(super) const MAX_LEAD_MILLIS: i64 = 2 * 24 * 3600 * 1000;

/// A row of which no token can be made.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
#[derive(Debug, thiserror::Error)]
#[error("the kept token of {installation_id} can't be read: {problem}")]
pub(super) struct BadRow {
    installation_id: String,
    problem: String,
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
impl BadRow {
    /// The problem in words without anything of the row's content.
    pub(super) fn of(installation_id: &str, problem: impl Into<String>) -> Self {
        Self {
            installation_id: installation_id.to_owned(),
            problem: problem.into(),
        }
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
impl From<BadRow> for StoreError {
    fn from(bad: BadRow) -> Self {
        Self::new(bad.to_string())
    }
}

/// The tokens among rows. One that can't be read is told of and passed over: it must not keep the
/// others from being read.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
pub(super) fn readable(store: &str, rows: Vec<Result<SealedToken, BadRow>>) -> Vec<SealedToken> {
    let told = |bad: &BadRow| {
        tracing::warn!(
            store,
            installation = bad.installation_id,
            problem = bad.problem,
            "a kept token can't be read; the next one that Forge delivers takes its place"
        );
    };
    let rows = rows.into_iter();
    rows.filter_map(|row| row.inspect_err(told).ok()).collect()
}

/// A page of rows in order, of which the last has this id: there may be a next one when it is full.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn listed(store: &str, rows: Vec<Result<SealedToken, BadRow>>, limit: u32) -> TokenPage {
    let full = rows.len() >= limit as usize;
    let id = |row: &Result<SealedToken, BadRow>| match row {
        Ok(token) => token.installation_id.clone(),
        Err(bad) => bad.installation_id.clone(),
    };
    // One without an id leads nowhere.
    let last = rows.iter().rev().map(id).find(|id| !id.is_empty());
    TokenPage {
        next: last.filter(|_| full),
        tokens: readable(store, rows),
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
        .permanent());
    }
    Ok((1..=known)
        .zip(steps.iter().copied())
        .filter(move |(version, _)| *version > done))
}
