//! What a process remembers of tokens, and has counted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::installation::{About, Standing};
use super::limits::{FIRST_REFUSED_PAUSE, LONGEST_LIFE, LONGEST_REFUSED_PAUSE};
use super::removal::Removal;
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
pub struct TokenStats {
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
    /// When a request last brought it to this process, by the fleet's time; `None` for one that was
    /// read from the store.
    pub(super) delivered: Option<SystemTime>,
    /// When it has ended whatever the wall clock says, by the clock's `elapsed`.
    pub(super) ends_by: Duration,
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

    /// When a token with this end has ended at the latest, by the clock's `elapsed`: a wall clock
    /// that jumps back does not make it last longer.
    pub(super) fn ends_by(expires_at: SystemTime, now: SystemTime, elapsed: Duration) -> Duration {
        let left = expires_at.duration_since(now).unwrap_or_default();
        elapsed + left.min(LONGEST_LIFE)
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
    /// The installations on each site, by cloud id.
    find_by_site: HashMap<String, BTreeSet<String>>,
    /// Rows that the store refuses while it takes others, by installation.
    pub(super) refused: HashMap<String, Refused>,
    /// Installations that were removed, as long as that matters.
    pub(super) removals: HashMap<String, Removal>,
    /// Those of them that the store doesn't know of yet.
    pub(super) unremoved: BTreeSet<String>,
    /// The store's own clock, where it has one, and when it was read by the clock's `elapsed`.
    pub(super) server_time: Option<(SystemTime, Duration)>,
    pub(super) link: Link,
    /// A task is writing.
    pub(super) writing: bool,
    pub(super) counts: TokenStats,
    pub(super) failed_rounds: u64,
    /// For lines about tokens that are dropped, and about those that the store lost.
    pub(super) full_limit: LogLimit,
    pub(super) lost_limit: LogLimit,
}

impl Memory {
    /// Drops what has ended while it waited. By `elapsed` alone: a wall clock that jumps must not
    /// lose a token, and one that is written late loses against every later one.
    pub(super) fn pass_over_ended(&mut self, elapsed: Duration) {
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
        let (entries, unremoved) = (&self.entries, &self.unremoved);
        self.refused.retain(|id, _| {
            unremoved.contains(id) || entries.get(id).is_some_and(|entry| entry.unwritten)
        });
    }

    /// Everything that waits to be written.
    pub(super) fn waiting(&self) -> usize {
        self.unwritten.len() + self.unremoved.len()
    }

    /// Whether there is something to write now: what the store refuses waits for its next attempt.
    pub(super) fn has_due(&self, elapsed: Duration) -> bool {
        let mut ids = self
            .unremoved
            .iter()
            .chain(self.unwritten.iter().map(|(_, id)| id));
        ids.any(|id| self.is_due(id, elapsed))
    }

    pub(super) fn is_due(&self, id: &str, elapsed: Duration) -> bool {
        let refused = self.refused.get(id);
        refused.is_none_or(|refused| refused.again_at <= elapsed)
    }

    /// Sets aside a row that the store refuses while it takes others; returns the pause before the
    /// next attempt.
    pub(super) fn set_aside(&mut self, id: &str, elapsed: Duration) -> Duration {
        let before = self.refused.get(id).map(|refused| refused.pause * 2);
        let pause = before
            .unwrap_or(FIRST_REFUSED_PAUSE)
            .min(LONGEST_REFUSED_PAUSE);
        let again_at = elapsed + pause;
        let refused = Refused { again_at, pause };
        self.refused.insert(id.to_owned(), refused);
        pause
    }

    /// Has what the store refused tried again with the next round.
    pub(super) fn retry_refused(&mut self) {
        for refused in self.refused.values_mut() {
            refused.again_at = Duration::ZERO;
        }
    }

    /// The entries of the installations on a site.
    pub(super) fn find_by_site<'a>(&'a self, cloud_id: &str) -> impl Iterator<Item = &'a Entry> {
        let ids = self.find_by_site.get(cloud_id).into_iter().flatten();
        ids.filter_map(|id| self.entries.get(id))
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
        for cloud_id in entry.about.cloud_ids() {
            self.find_by_site
                .entry(cloud_id)
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
            if let Some(ids) = self.find_by_site.get_mut(&cloud_id) {
                ids.remove(id);
                if ids.is_empty() {
                    self.find_by_site.remove(&cloud_id);
                }
            }
        }
    }

    /// Forgets written entries that ended this long ago, by `elapsed`.
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

/// A row that the store refuses while it takes others.
pub(super) struct Refused {
    /// By the clock's `elapsed`.
    pub(super) again_at: Duration,
    pause: Duration,
}
