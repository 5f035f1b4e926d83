//! The listing of installations, one page of the store at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::cache::Entry;
use super::error::TokenError;
use super::handle::Tokens;
use super::installation::Installation;
use super::keeper::Keeper;
use super::limits::PAGE;
use super::lookup::installation;
use super::records::{Opened, Peeked};
use super::store::{PageRequest, SealedToken, StoreError};

impl Tokens {
    /// Returns every installation with a token that can be handed out, sorted by id, for background
    /// work. Apps with many installations use [`installation_stream`](Self::installation_stream).
    ///
    /// An installation that is not listed has no token *now*. It may still exist: only
    /// [`on_removed`](Self::on_removed) reports an uninstallation. While the store is down, the
    /// installations whose tokens are in this process's memory are listed, and a warning is logged.
    pub async fn installations(&self) -> Result<Vec<Installation>, TokenError> {
        let mut stream = self.installation_stream();
        let mut all = Vec::new();
        while let Some(installation) = stream.next().await {
            all.push(installation?);
        }
        Ok(all)
    }

    /// Returns the [`installations`](Self::installations) as a stream, with at most some hundreds in
    /// memory at a time.
    ///
    /// ```
    /// # use forge_remote::token::{MemoryTokens, Tokens};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> forge_remote::Result<()> {
    /// # let tokens = Tokens::new(MemoryTokens::new());
    /// # tokens.open().await?;
    /// let mut stream = tokens.installation_stream();
    /// while let Some(installation) = stream.next().await {
    ///     println!("{}", installation?.installation_id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn installation_stream(&self) -> InstallationStream {
        InstallationStream {
            tokens: self.clone(),
            listing: None,
            page: VecDeque::new(),
        }
    }

    /// Returns the tokens that seem to expire before this time, including expired ones, for
    /// [`on_expiring`](Self::on_expiring).
    pub(super) async fn ending_before(
        &self,
        time: SystemTime,
    ) -> Result<Vec<(String, SystemTime)>, TokenError> {
        let keeper = self.keeper().await?;
        let mut listing = Listing::new(keeper, Some(time));
        let mut ending = Vec::new();
        while let Some(page) = listing.page().await? {
            let page = page.into_iter().filter(|entry| entry.expires_at < time);
            ending.extend(page.map(|entry| (entry.id().to_owned(), entry.expires_at)));
        }
        Ok(ending)
    }

    /// Returns how many installations have no token that lasts this long, whichever instance got the newest one.
    /// The store is read, and nothing is recorded in memory. `None` until the tokens are open.
    pub(crate) async fn expiring_within(&self, time: Duration) -> Result<Option<u64>, StoreError> {
        let Some(keeper) = self.0.keeper.get() else {
            return Ok(None);
        };
        let end = keeper.clock.now() + time;
        let (mut count, mut after) = (0, None);
        loop {
            let page = PageRequest {
                after,
                limit: PAGE,
                ends_before: Some(end),
            };
            let page = keeper.read(keeper.store().list(page)).await?;
            let expires = |record: &&SealedToken| {
                // A newer token may wait to be written.
                let newer = keeper.remembered(&record.installation_id);
                newer.is_none_or(|entry| entry.expires_at < end)
                    && matches!(keeper.peek(record), Peeked::Token { .. })
            };
            count += page.tokens.iter().filter(expires).count() as u64;
            after = page.next;
            if after.is_none() {
                return Ok(Some(count));
            }
        }
    }
}

/// A stream of installations, returned by [`Tokens::installation_stream`].
pub struct InstallationStream {
    tokens: Tokens,
    /// Set by the first call of `next`.
    listing: Option<Listing>,
    page: VecDeque<Entry>,
}

impl fmt::Debug for InstallationStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstallationStream").finish_non_exhaustive()
    }
}

impl InstallationStream {
    /// Returns the next installation; `None` at the end, and after an error.
    pub async fn next(&mut self) -> Option<Result<Installation, TokenError>> {
        if self.listing.is_none() {
            match self.tokens.keeper().await {
                Ok(keeper) => self.listing = Some(Listing::new(keeper, None)),
                Err(error) => return Some(Err(error)),
            }
        }
        let listing = self.listing.as_mut()?;
        loop {
            while let Some(entry) = self.page.pop_front() {
                let now = listing.keeper.clock.now();
                let is_ours = self.tokens.1.has(&entry.about);
                if is_ours && entry.expires_at > now + listing.keeper.margin {
                    return Some(Ok(installation(&entry, now)));
                }
            }
            match listing.page().await {
                Ok(Some(page)) => self.page.extend(page),
                Ok(None) => return None,
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// A pass through the store's records, merged with the entries in memory.
struct Listing {
    keeper: Arc<Keeper>,
    ends_before: Option<SystemTime>,
    after: Option<String>,
    /// The entries in memory beyond `after`, by id.
    cached: Peekable<std::vec::IntoIter<Entry>>,
    /// The start of the listing, by the clock's `elapsed`.
    began: Duration,
    is_over: bool,
}

impl Listing {
    fn new(keeper: &Arc<Keeper>, ends_before: Option<SystemTime>) -> Self {
        let wanted = |entry: &Entry| ends_before.is_none_or(|before| entry.expires_at < before);
        let mut cached = keeper.remembered_where(wanted);
        cached.sort_unstable_by(|one, other| one.id().cmp(other.id()));
        Self {
            keeper: Arc::clone(keeper),
            ends_before,
            after: None,
            cached: cached.into_iter().peekable(),
            began: keeper.clock.elapsed(),
            is_over: false,
        }
    }

    /// Returns the next page, by id; `None` at the end.
    async fn page(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let page = PageRequest {
            after: self.after.take(),
            limit: PAGE,
            ends_before: self.ends_before,
        };
        let listed = match self.keeper.read(self.keeper.store().list(page)).await {
            Ok(listed) => listed,
            Err(error) => {
                self.is_over = true;
                let cached: Vec<Entry> = self.cached.by_ref().collect();
                if cached.is_empty() {
                    return Err(error);
                }
                tracing::warn!(
                    tokens = cached.len(),
                    "the token store is down: the tokens in memory are listed, others may be missing"
                );
                return Ok(Some(cached));
            }
        };
        let ids: BTreeSet<&str> = listed
            .tokens
            .iter()
            .map(|token| token.installation_id.as_str())
            .collect();
        let mut entries = BTreeMap::new();
        let mut in_both = BTreeMap::new();
        let end = listed.next.as_deref();
        while let Some(entry) = self
            .cached
            .next_if(|entry| end.is_none_or(|end| entry.id() <= end))
        {
            if ids.contains(entry.id()) {
                // Opening the record selects the later of the two.
                in_both.insert(entry.id().to_owned(), entry);
                continue;
            }
            if let Some(entry) = self.not_listed(entry) {
                entries.insert(entry.id().to_owned(), entry);
            }
        }
        for token in &listed.tokens {
            let entry = match self.keeper.open_record(token, false) {
                Opened::Entry(entry) => Some(entry),
                // The entry in memory can still be used.
                Opened::Shut(_) => in_both.remove(&token.installation_id),
                Opened::Removed | Opened::Foreign => None,
            };
            entries.extend(entry.map(|entry| (token.installation_id.clone(), entry)));
        }
        self.is_over = listed.next.is_none();
        self.after = listed.next;
        Ok(Some(entries.into_values().collect()))
    }

    /// Returns the current entry of an installation that the store didn't list.
    fn not_listed(&self, entry: Entry) -> Option<Entry> {
        let id = entry.id();
        if self.keeper.is_removed(id) {
            return None;
        }
        // A renewed token is missing from a list of tokens that expire soon.
        let is_new = entry.unwritten || entry.confirmed >= self.began;
        if self.ends_before.is_some() || is_new {
            return Some(self.keeper.remembered(id).unwrap_or(entry));
        }
        self.keeper.not_in_store(id)
    }
}
