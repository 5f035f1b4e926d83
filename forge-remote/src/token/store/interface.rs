//! The interface of token stores, which see sealed tokens only.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::diagnostic::Check;
#[cfg(doc)]
use crate::diagnostic::CheckState;
use crate::error::BoxError;
use crate::fit::BoxFuture;

/// The record of a store: a sealed token with its keys for look-ups.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedToken {
    /// The installation's ARI: one token is kept for each.
    pub installation_id: String,
    /// The token's expiry, in whole milliseconds. The seal authenticates it: a store cannot change it.
    pub expires_at: SystemTime,
    /// The sites of the installation, in order, for look-ups by site.
    pub cloud_ids: Vec<String>,
    /// The token and its installation's data, encrypted.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedToken").finish_non_exhaustive()
    }
}

impl SealedToken {
    /// Returns the expiry in milliseconds since 1970, the format of the stores.
    pub fn expires_at_millis(&self) -> i64 {
        to_millis(self.expires_at)
    }
}

/// A request for a page of a store's tokens, sorted by the bytes of the installation id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The end of the last page ([`TokenPage::next`]); `None` for the first page.
    pub after: Option<String>,
    /// The maximum number of tokens.
    pub limit: u32,
    /// Restricts the page to tokens that expire before this.
    pub ends_before: Option<SystemTime>,
}

impl PageRequest {
    /// Requests the first page.
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
    /// The value of [`PageRequest::after`] for the next page; `None` on the last.
    pub next: Option<String>,
}

/// An error of a store.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    message: String,
    #[source]
    source: Option<BoxError>,
    is_setup: bool,
    is_unreadable: bool,
}

impl StoreError {
    /// Creates an error with this message, which must not contain secrets: a URL's password, a token.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
            is_setup: false,
            is_unreadable: false,
        }
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, cause: impl Into<BoxError>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Marks the error as permanent: retrying will not help. Examples are an invalid URL, a wrong
    /// password and a newer schema. As an error of [`TokenStore::open`] it aborts an app's launch; after
    /// other errors the app serves, and retries.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.is_setup = true;
        self
    }

    /// Marks the error as that of one record, which cannot be read however often [`TokenStore::get`] is called, although
    /// the store works. Without the mark, the read is retried.
    ///
    /// ```
    /// use forge_remote::token::StoreError;
    ///
    /// let error = StoreError::new("the record has no expiry").unreadable();
    /// # let _ = error;
    /// ```
    #[must_use]
    pub fn unreadable(mut self) -> Self {
        self.is_unreadable = true;
        self
    }

    pub(in crate::token) fn is_unreadable(&self) -> bool {
        self.is_unreadable
    }

    pub(in crate::token) fn is_setup(&self) -> bool {
        self.is_setup
    }
}

/// The future of a store's method.
pub type StoreFuture<T> = BoxFuture<Result<T, StoreError>>;

/// A store of sealed tokens: [`MemoryTokens`](super::MemoryTokens), SQLite, PostgreSQL, Redis, or your
/// own.
///
/// Several processes may share it. Callers limit the time of each call.
pub trait TokenStore: Send + Sync + 'static {
    /// Returns the store's name for messages, without secrets.
    fn name(&self) -> String;

    /// Connects and migrates the schema. Several instances may do so at once.
    fn open(&self) -> StoreFuture<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Checks the store for the command `doctor`: its schema, its settings for durability. It changes nothing: it
    /// creates no file and no table, and works before [`open`](Self::open). If none of its checks
    /// [failed](CheckState::Failed) or is [pending](CheckState::Pending), `doctor` then calls [`list`](Self::list),
    /// even before `open`.
    ///
    /// The default implementation returns no checks.
    fn checks(&self) -> BoxFuture<Vec<Check>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Replaces the key check, a record besides the tokens, if it is `expected` or missing; returns the
    /// current one. The comparison and the write are atomic.
    ///
    /// With the key check, a starting app detects whether its keys are those of the other instances.
    /// A store without such a record returns `new`, as the default implementation does. Different
    /// keys are then detected only when a token cannot be decrypted.
    fn compare_and_swap_key_check(
        &self,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        let _ = expected;
        Box::pin(std::future::ready(Ok(new)))
    }

    /// Returns whether its records outlive the process; if so, `FORGE_REMOTE_TOKEN_KEY` is
    /// required.
    fn outlives_process(&self) -> bool {
        true
    }

    /// Writes each of these records, unless its installation has a record with a later expiry. Returns the ids of the
    /// installations whose record was not written for that reason: the later one, such as the record of a removal, is
    /// then read.
    ///
    /// The comparison and the write are atomic, even with other writers: an existing record is never
    /// lost, and never replaced by one with an earlier expiry. The records are independent: after an
    /// error some may have been written.
    ///
    /// A corrupt row, or one that expires more than 2 days after the new record (no token is valid for
    /// more than a day), must be replaced, not block the write.
    ///
    /// A write that returned an error, or whose caller stopped waiting, should not be executed
    /// afterwards: set a time limit at the server below the caller's 10 seconds.
    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>>;

    /// Replaces the record of `new`'s installation if its sealed bytes still are `expected`; returns
    /// whether it did. The comparison and the write are atomic. Sealed bytes contain a random nonce, so
    /// equal bytes are the same write: a delayed call never overwrites a later record.
    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool>;

    /// Removes the record of an installation if its sealed bytes still are `expected`; returns
    /// whether it did. The comparison and the removal are atomic.
    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool>;

    /// Returns the server's clock, if the store is a server that has one; `None` otherwise (the
    /// default). Instances whose own clocks disagree use it to date removals and to purge.
    fn server_time(&self) -> StoreFuture<Option<SystemTime>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Returns the token of an installation; an error if its record cannot be read, marked as
    /// [`unreadable`](StoreError::unreadable) if that is the record's fault.
    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>>;

    /// Returns the tokens of the installations on a site; unreadable records are skipped.
    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>>;

    /// Returns a page of the tokens; unreadable records are skipped.
    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage>;

    /// Removes the tokens that expired before this; returns their number.
    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64>;
}

/// Forwards to the store in the box.
impl TokenStore for Box<dyn TokenStore> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn open(&self) -> StoreFuture<()> {
        (**self).open()
    }

    fn checks(&self) -> BoxFuture<Vec<Check>> {
        (**self).checks()
    }

    fn compare_and_swap_key_check(
        &self,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        (**self).compare_and_swap_key_check(expected, new)
    }

    fn outlives_process(&self) -> bool {
        (**self).outlives_process()
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>> {
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

/// Returns the milliseconds since 1970.
pub(in crate::token) fn to_millis(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time this many milliseconds after 1970; 1970 for an invalid number.
pub(in crate::token) fn from_millis(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Upper bound on the lead of a stored token's expiry over a new one's: a larger lead is corrupt, because
/// no token lives longer than a day.
pub(super) const MAX_LEAD_MILLIS: i64 = 2 * 24 * 3600 * 1000;
