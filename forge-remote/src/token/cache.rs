//! What a process remembers of tokens, and has counted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::installation::{About, Standing};
use super::removal::{self, Removal};
use super::seal::{Keys, Subject};
use super::store::SealedToken;
use crate::log::LogLimit;

/// After this long a token in memory is compared with the store's: another instance may have
/// renewed or removed it.
const TRUSTED: Duration = Duration::from_secs(60);
/// The same, near its end.
const TRUSTED_NEAR_END: Duration = Duration::from_secs(5);
const NEAR_END: Duration = Duration::from_secs(10 * 60);
/// A token that is delivered again after this long is written again: the store may have lost it.
const CONFIRMED: Duration = Duration::from_secs(10 * 60);

/// What the keeper has done so far, in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenCounts {
    /// Tokens that requests brought and that were news.
    pub seen: u64,
    /// Tokens written to the store.
    pub written: u64,
    /// Tokens and removals that wait to be written.
    pub pending: u64,
    /// Calls of the store that failed: opening, reading, writing.
    pub store_failures: u64,
    /// Purges of ended tokens that failed.
    pub purge_failures: u64,
    /// Tokens that were dropped unwritten, because more than
    /// [`Tokens::memory_limit`](super::Tokens::memory_limit) waited.
    pub dropped: u64,
    /// Kept tokens that were read and didn't open with the app's keys.
    pub unreadable: u64,
    /// Ended tokens that were purged.
    pub purged: u64,
    /// Tokens that the store had lost, and that were written again from memory.
    pub restored: u64,
    /// Tokens that came for an installation just after it was removed, and were not kept.
    pub refused: u64,
}

/// A token in memory.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) token: Arc<Zeroizing<String>>,
    pub(super) about: Arc<About>,
    pub(super) expires_at: SystemTime,
    pub(super) standing: Standing,
    /// When a request last brought it to this process; never, for one that came from the store.
    pub(super) delivered: Option<SystemTime>,
    /// Waits to be written.
    pub(super) unwritten: bool,
    /// Nothing was known of its installation when it came: the store may have a record of a removal,
    /// which would win.
    pub(super) is_first: bool,
    /// The store has a record that would win though it must not: it goes before this is written.
    pub(super) replaces: bool,
    /// When it was last known to be what the store has, by the clock's `elapsed`.
    pub(super) confirmed: Duration,
    /// When the store was last asked, though perhaps in vain.
    pub(super) asked: Duration,
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        &self.about.installation_id
    }

    /// The token as a store keeps it.
    pub(super) fn sealed(&self, keys: &Keys) -> Option<SealedToken> {
        let subject = Subject {
            installation_id: self.id(),
            expires_at: self.expires_at,
        };
        let sealed = keys.seal(subject, self.about.plain(&self.token, &self.standing)?)?;
        Some(SealedToken {
            installation_id: self.id().to_owned(),
            expires_at: self.expires_at,
            cloud_ids: self.about.cloud_ids(),
            sealed,
        })
    }

    /// Whether it can be handed out without asking the store.
    pub(super) fn is_trusted(&self, now: SystemTime, elapsed: Duration) -> bool {
        let near_end = self.expires_at < now + NEAR_END;
        // Another instance may have the next one already.
        let trusted = if near_end || self.standing.refused {
            TRUSTED_NEAR_END
        } else {
            TRUSTED
        };
        elapsed.saturating_sub(self.asked) < trusted
    }

    /// Whether it waits for the store, or was known to be there not long ago.
    pub(super) fn is_safe(&self, elapsed: Duration) -> bool {
        self.unwritten || elapsed.saturating_sub(self.confirmed) < CONFIRMED
    }
}

/// Whether the store can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    #[default]
    Open,
    /// It could not be reached when the app started.
    Waiting,
    /// It was reached since, and must not be written to: the key is another's, say.
    Refused,
}

#[derive(Default)]
pub(super) struct Memory {
    pub(super) entries: HashMap<String, Entry>,
    /// Installations whose entry is to be written, the newest token each, by its end.
    pub(super) unwritten: BTreeSet<(SystemTime, String)>,
    /// Installations that were removed, as long as that matters.
    pub(super) removals: HashMap<String, Removal>,
    /// Those of them that the store doesn't know of yet.
    pub(super) unremoved: BTreeSet<String>,
    pub(super) link: Link,
    /// A task is writing.
    pub(super) writing: bool,
    pub(super) counts: TokenCounts,
    pub(super) failed_rounds: u64,
    /// For lines about tokens that are dropped, and about those that the store lost.
    pub(super) full_limit: LogLimit,
    pub(super) lost_limit: LogLimit,
}

impl Memory {
    /// What has ended while it waited is of no use to the store any more; written late, it could
    /// even take the place of what came meanwhile.
    pub(super) fn pass_over_ended(&mut self, now: SystemTime) {
        while let Some((expires_at, id)) = self.unwritten.first().cloned()
            && expires_at <= now
        {
            self.unwritten.pop_first();
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.unwritten = false;
            }
        }
        let removals = &self.removals;
        self.unremoved.retain(|id| {
            let removal = removals.get(id);
            removal.is_some_and(|removal| now < removal::end(removal.at))
        });
    }

    pub(super) fn waiting(&self) -> usize {
        self.unwritten.len() + self.unremoved.len()
    }

    /// Has what memory has of an installation written.
    pub(super) fn queue(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.unwritten = true;
            self.unwritten.insert((entry.expires_at, id.to_owned()));
        }
    }

    /// Puts an entry in the place of what there is.
    pub(super) fn insert(&mut self, entry: Entry) {
        let id = entry.id().to_owned();
        self.forget(&id);
        if entry.unwritten {
            self.unwritten.insert((entry.expires_at, id.clone()));
        }
        self.entries.insert(id, entry);
    }

    pub(super) fn forget(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.unwritten.remove(&(entry.expires_at, id.to_owned()));
        }
    }
}
