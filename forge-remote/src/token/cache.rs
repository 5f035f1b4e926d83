//! The process's cache of tokens, and its counters.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::installation::{About, Standing};
use super::limits::{FIRST_REJECTED_PAUSE, MAX_LIFE, MAX_REJECTED_PAUSE};
use super::removal::Removal;
use super::seal::{Keys, Subject};
use super::store::SealedToken;

use crate::log::LogLimit;

/// The age at which a token in memory is compared with the store's: another instance may have
/// renewed or removed it.
const TRUSTED: Duration = Duration::from_secs(60);
/// The same, near the token's expiry.
const TRUSTED_NEAR_END: Duration = Duration::from_secs(5);
const NEAR_END: Duration = Duration::from_secs(10 * 60);
/// The age at which a token that is delivered again is written again: the store may have lost it.
const CONFIRMED: Duration = Duration::from_secs(10 * 60);

/// Counters of this process's token storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStats {
    /// New tokens in requests.
    pub seen: u64,
    /// Tokens written to the store.
    pub written: u64,
    /// Tokens and removals waiting to be written.
    pub pending: u64,
    /// Failed calls of the store: opening, reading, writing.
    pub store_failures: u64,
    /// Failed purges of expired tokens.
    pub purge_failures: u64,
    /// Tokens dropped unwritten, because more than
    /// [`Tokens::memory_limit`](super::Tokens::memory_limit) were waiting.
    pub dropped: u64,
    /// Stored tokens that could not be decrypted with the app's keys.
    pub unreadable: u64,
    /// Expired tokens that were purged.
    pub purged: u64,
    /// Tokens that the store had lost, written again from memory.
    pub restored: u64,
    /// Tokens that were rejected: delivered just after their installation was removed, or in a call
    /// that another cloud signed.
    pub rejected: u64,
}

/// A token in memory.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) token: Arc<Zeroizing<String>>,
    pub(super) about: Arc<About>,
    pub(super) expires_at: SystemTime,
    pub(super) standing: Standing,
    /// The last time that a request delivered it to this process, by the fleet's time; `None` for a
    /// token that was read from the store.
    pub(super) delivered: Option<SystemTime>,
    /// Upper bound on its expiry, by the clock's `elapsed`, regardless of the wall clock.
    pub(super) ends_by: Duration,
    /// Whether it waits to be written.
    pub(super) unwritten: bool,
    /// Whether the store has a record that would win but must not: it is replaced by this one.
    pub(super) replaces: bool,
    /// The last time that the store was known to have it, by the clock's `elapsed`.
    pub(super) confirmed: Duration,
    /// The last read of the store, successful or not, by the clock's `elapsed`.
    pub(super) checked: Duration,
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        &self.about.installation_id
    }

    /// Returns the sealed record for a store.
    pub(super) fn sealed(&self, keys: &Keys) -> Option<SealedToken> {
        let subject = Subject {
            installation_id: self.id(),
            expires_at: self.expires_at,
        };
        let sealed = keys.seal(subject, self.about.plain(&self.token, &self.standing)?)?;
        Some(SealedToken {
            installation_id: self.id().to_owned(),
            expires_at: self.expires_at,
            cloud_ids: self.about.cloud_ids().to_vec(),
            sealed,
        })
    }

    /// Returns whether it can be handed out without reading the store.
    pub(super) fn is_trusted(&self, now: SystemTime, elapsed: Duration) -> bool {
        let near_end = self.expires_at < now + NEAR_END;
        // Another instance may have a newer one already.
        let trusted = if near_end || self.standing.rejected {
            TRUSTED_NEAR_END
        } else {
            TRUSTED
        };
        elapsed.saturating_sub(self.checked) < trusted
    }

    /// Returns the upper bound on this expiry by the clock's `elapsed`: a wall clock that jumps back
    /// does not prolong a token's life.
    pub(super) fn ends_by(expires_at: SystemTime, now: SystemTime, elapsed: Duration) -> Duration {
        let left = expires_at.duration_since(now).unwrap_or_default();
        elapsed + left.min(MAX_LIFE)
    }

    /// Returns whether it waits to be written, or was recently known to be in the store.
    pub(super) fn is_safe(&self, elapsed: Duration) -> bool {
        self.unwritten || elapsed.saturating_sub(self.confirmed) < CONFIRMED
    }
}

/// The state of the connection to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    #[default]
    Open,
    /// The store could not be reached when the app started.
    Waiting,
    /// The store was reached later, and must not be written to: its key is another one, for example.
    Rejected,
}

#[derive(Default)]
pub(super) struct Memory {
    pub(super) entries: HashMap<String, Entry>,
    /// Installations whose entry is to be written, by the expiry of their newest token.
    pub(super) unwritten: BTreeSet<(SystemTime, String)>,
    /// The installations on each site, by cloud id.
    find_by_site: HashMap<String, BTreeSet<String>>,
    /// Rows that the store rejects while it accepts others, by installation.
    pub(super) rejected: HashMap<String, Rejected>,
    /// Removed installations, until every token that was delivered before has expired.
    pub(super) removals: HashMap<String, Removal>,
    /// The removals that are not yet written to the store.
    pub(super) unremoved: BTreeSet<String>,
    /// The installations whose record in the store is newer than a token, and is not yet read.
    pub(super) unread: BTreeSet<String>,
    /// Whether a task is reading them.
    pub(super) reading: bool,
    /// The store's own clock, if it has one, and the clock's `elapsed` when it was read.
    pub(super) server_time: Option<(SystemTime, Duration)>,
    pub(super) link: Link,
    /// Whether a task is writing.
    pub(super) writing: bool,
    /// Whether that task waits for more tokens before its next round.
    pub(super) gathering: bool,
    /// When the next round begins, by the clock's `elapsed`.
    pub(super) next_round: Duration,
    pub(super) counts: TokenStats,
    pub(super) failed_rounds: u64,
    /// The number of failed reads of these records.
    pub(super) failed_reads: u64,
    /// Limits lines about dropped tokens.
    pub(super) full_limit: LogLimit,
    /// Limits lines about tokens that the store lost.
    pub(super) lost_limit: LogLimit,
}

impl Memory {
    /// Stops waiting to write entries and removals that have expired. By `elapsed` alone: a wall clock
    /// that jumps must not lose a token, and a token that is written late loses against every later one.
    pub(super) fn skip_ended(&mut self, elapsed: Duration) {
        let entries = &mut self.entries;
        self.unwritten.retain(|(_, id)| {
            let waits = entries.get(id).is_some_and(|entry| elapsed < entry.ends_by);
            if !waits && let Some(entry) = entries.get_mut(id) {
                entry.unwritten = false;
            }
            waits
        });
        // However long a removal waits: others learn of it from the store alone.
        let removals = &self.removals;
        self.unremoved.retain(|id| removals.contains_key(id));
        if self.rejected.is_empty() {
            return;
        }
        let (entries, unremoved) = (&self.entries, &self.unremoved);
        self.rejected.retain(|id, _| {
            unremoved.contains(id) || entries.get(id).is_some_and(|entry| entry.unwritten)
        });
    }

    /// Returns the number of tokens and removals that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.unwritten.len() + self.unremoved.len()
    }

    /// Returns whether a row can be written now: a row that the store rejects waits for its next
    /// attempt.
    pub(super) fn has_due(&self, elapsed: Duration) -> bool {
        let mut ids = self
            .unremoved
            .iter()
            .chain(self.unwritten.iter().map(|(_, id)| id));
        ids.any(|id| self.is_due(id, elapsed))
    }

    pub(super) fn is_due(&self, id: &str, elapsed: Duration) -> bool {
        let rejected = self.rejected.get(id);
        rejected.is_none_or(|rejected| rejected.retry_at <= elapsed)
    }

    /// Sets aside a row that the store rejects while it accepts others; returns the pause before the
    /// next attempt.
    pub(super) fn set_aside(&mut self, id: &str, elapsed: Duration) -> Duration {
        let before = self.rejected.get(id).map(|rejected| rejected.pause * 2);
        let pause = before
            .unwrap_or(FIRST_REJECTED_PAUSE)
            .min(MAX_REJECTED_PAUSE);
        let retry_at = elapsed + pause;
        let rejected = Rejected { retry_at, pause };
        self.rejected.insert(id.to_owned(), rejected);
        pause
    }

    /// Retries all rejected rows with the next round.
    pub(super) fn retry_rejected(&mut self) {
        for rejected in self.rejected.values_mut() {
            rejected.retry_at = Duration::ZERO;
        }
    }

    /// Returns the entries of the installations on a site.
    pub(super) fn find_by_site<'a>(&'a self, cloud_id: &str) -> impl Iterator<Item = &'a Entry> {
        let ids = self.find_by_site.get(cloud_id).into_iter().flatten();
        ids.filter_map(|id| self.entries.get(id))
    }

    /// Marks an installation's entry to be written.
    pub(super) fn queue(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.unwritten = true;
            self.unwritten.insert((entry.expires_at, id.to_owned()));
        }
    }

    /// Inserts an entry, and replaces the installation's previous one.
    pub(super) fn insert(&mut self, entry: Entry) {
        if let Some(previous) = self.entries.get_mut(entry.id())
            && Arc::ptr_eq(&previous.about, &entry.about)
        {
            // A renewed token: its sites are the same.
            let mut key = (previous.expires_at, entry.id().to_owned());
            self.unwritten.remove(&key);
            if entry.unwritten {
                key.0 = entry.expires_at;
                self.unwritten.insert(key);
            }
            *previous = entry;
            return;
        }
        let id = entry.id().to_owned();
        self.forget(&id);
        if entry.unwritten {
            self.unwritten.insert((entry.expires_at, id.clone()));
        }
        for cloud_id in entry.about.cloud_ids() {
            self.find_by_site
                .entry(cloud_id.clone())
                .or_default()
                .insert(id.clone());
        }
        self.entries.insert(id, entry);
    }

    pub(super) fn forget(&mut self, id: &str) {
        let Some(entry) = self.entries.remove(id) else {
            return;
        };
        self.unwritten.remove(&(entry.expires_at, id.to_owned()));
        for cloud_id in entry.about.cloud_ids() {
            if let Some(ids) = self.find_by_site.get_mut(cloud_id) {
                ids.remove(id);
                if ids.is_empty() {
                    self.find_by_site.remove(cloud_id);
                }
            }
        }
    }

    /// Forgets written entries that expired this long ago, by `elapsed`.
    pub(super) fn forget_ended(&mut self, elapsed: Duration, kept: Duration) {
        let ended = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.unwritten && elapsed >= entry.ends_by.saturating_add(kept));
        let ended: Vec<String> = ended.map(|(id, _)| id.clone()).collect();
        for id in ended {
            self.forget(&id);
        }
    }
}

/// A row that the store rejects while it accepts others.
pub(super) struct Rejected {
    /// The next attempt, by the clock's `elapsed`.
    pub(super) retry_at: Duration,
    pause: Duration,
}
