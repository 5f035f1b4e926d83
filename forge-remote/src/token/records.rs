//! Reading the store's records, and merging them with the process's cache.

use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::cache::{Entry, Memory};
use super::installation::{About, Standing};
use super::keeper::Keeper;
use super::limits::MAX_PLAUSIBLE_LIFE;
use super::removal::{self, Record, Removal, SETTLES};
use super::seal::{Shut, Subject};
use super::store::{SealedToken, StoreError};

/// The result of opening a sealed record.
pub(super) enum Opened {
    Entry(Entry),
    /// The installation was removed.
    Removed,
    /// The record belongs to another app, or to an environment that the app doesn't accept.
    Foreign,
    /// The record cannot be opened, with the reason.
    Shut(String),
}

/// A record of the store that is read without noting it in memory.
pub(super) enum Peeked {
    #[cfg_attr(
        not(feature = "cli"),
        allow(dead_code, reason = "`doctor` reads the fields")
    )]
    Token {
        token: Zeroizing<String>,
        standing: Standing,
    },
    /// The installation was removed, or belongs to another app or environment.
    NotOurs,
    /// The token cannot be decrypted.
    Shut,
}

/// The result of looking up an installation.
pub(super) enum Found {
    Entry(Entry),
    Nothing,
    Shut(String),
}

impl Keeper {
    /// Looks up an installation in the store, and merges the result with memory.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        installation_id: &str,
    ) -> Result<Found, StoreError> {
        match self.read(self.store.get(installation_id)).await {
            Ok(Some(sealed)) => Ok(match self.open_record(&sealed, true) {
                Opened::Entry(entry) => Found::Entry(entry),
                Opened::Removed | Opened::Foreign => Found::Nothing,
                Opened::Shut(reason) => Found::Shut(reason),
            }),
            Ok(None) => Ok(self
                .not_in_store(installation_id)
                .map_or(Found::Nothing, Found::Entry)),
            Err(error) => {
                // Otherwise every reader would wait for a store that is down.
                let elapsed = self.clock.elapsed();
                if let Some(entry) = self.memory().entries.get_mut(installation_id) {
                    entry.checked = elapsed;
                }
                Err(error)
            }
        }
    }

    /// Handles a missing record: a removal would be a record, so the store has lost the token, and it
    /// is written again from memory.
    pub(super) fn not_in_store(self: &Arc<Self>, installation_id: &str) -> Option<Entry> {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let mut memory = self.memory();
        let entry = memory.entries.get_mut(installation_id)?;
        entry.checked = elapsed;
        if !self.own_apps.admits(&entry.about) {
            return None;
        }
        let entry = entry.clone();
        if entry.unwritten {
            return Some(entry);
        }
        if entry.expires_at <= now {
            // It was purged. The entry still has its expiry, for the error.
            return Some(entry);
        }
        self.restore(&mut memory, installation_id);
        drop(memory);
        self.wake_writer();
        Some(entry)
    }

    /// Queues a token that the store lost.
    fn restore(&self, memory: &mut Memory, id: &str) {
        memory.counts.restored += 1;
        memory.queue(id);
        if memory.lost_limit.permit(self.clock.elapsed()).is_some() {
            tracing::warn!(
                store = self.store.name(),
                restored = memory.counts.restored,
                "the token store has lost tokens; they are written again from memory"
            );
        }
    }

    /// Opens a record of the store and caches it: in any case with `all`, otherwise if memory has room.
    pub(super) fn open_record(self: &Arc<Self>, sealed: &SealedToken, all: bool) -> Opened {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        let reason = match self.keys.open(subject, &sealed.sealed) {
            Ok(plain) => {
                if let Some(record) = removal::read(&plain) {
                    return self.learn_removal(sealed, record);
                }
                match About::read(&sealed.installation_id, &plain) {
                    Some((_, about, _)) if !self.own_apps.admits(&about) => {
                        return Opened::Foreign;
                    }
                    Some((token, about, standing)) => {
                        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
                        let entry = Entry {
                            token: Arc::new(token),
                            about: Arc::new(about),
                            expires_at: sealed.expires_at,
                            standing,
                            delivered: None,
                            ends_by: Entry::ends_by(sealed.expires_at, now, elapsed),
                            unwritten: false,
                            replaces: false,
                            confirmed: elapsed,
                            checked: elapsed,
                        };
                        return self.remember(entry, all);
                    }
                    None => "a newer version of forge-remote wrote it".to_owned(),
                }
            }
            Err(Shut::OtherKey(id)) => {
                format!("FORGE_REMOTE_TOKEN_KEY lacks the key with the id {id}")
            }
            Err(Shut::Damaged) => "it was changed or is corrupt".to_owned(),
        };
        self.memory().counts.unreadable += 1;
        tracing::warn!(
            installation = sealed.installation_id,
            reason,
            "a stored token cannot be opened; it is left unchanged"
        );
        Opened::Shut(reason)
    }

    /// Opens a record of the store without noting it in memory or the log.
    pub(super) fn peek(&self, sealed: &SealedToken) -> Peeked {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        let Ok(plain) = self.keys.open(subject, &sealed.sealed) else {
            return Peeked::Shut;
        };
        if removal::read(&plain).is_some() {
            return Peeked::NotOurs;
        }
        match About::read(&sealed.installation_id, &plain) {
            Some((_, about, _)) if !self.own_apps.admits(&about) => Peeked::NotOurs,
            Some((token, _, standing)) => Peeked::Token { token, standing },
            None => Peeked::Shut,
        }
    }

    /// Returns the number of products that a record names.
    pub(super) fn products_in(&self, sealed: &SealedToken) -> Option<u32> {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        let plain = self.keys.open(subject, &sealed.sealed).ok()?;
        match removal::read(&plain) {
            Some(record) => record.products,
            None => About::read(&sealed.installation_id, &plain)?.1.products(),
        }
    }

    /// Returns the id of the missing key, if this token was sealed under one.
    pub(super) fn missing_key(&self, sealed: &SealedToken) -> Option<String> {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        match self.keys.open(subject, &sealed.sealed) {
            Err(Shut::OtherKey(id)) => Some(id.to_string()),
            _ => None,
        }
    }

    /// Merges an entry of the store with the one in memory, and returns the later of the two.
    fn remember(self: &Arc<Self>, mut from_store: Entry, all: bool) -> Opened {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        let id = from_store.id().to_owned();
        // A corrupt expiry, not just another machine's clock: it must not keep newer tokens out.
        let lasts_too_long = from_store.expires_at > now + MAX_PLAUSIBLE_LIFE;
        let mut memory = self.memory();
        if let Some(removal) = memory.removals.get(&id) {
            // The record was read before the removal was written, or its writer didn't know of it.
            if !removal.is_settled(elapsed) {
                return Opened::Removed;
            }
            memory.removals.remove(&id);
        }
        let mut restored = false;
        if let Some(entry) = memory.entries.get_mut(&id) {
            let same_end = entry.expires_at == from_store.expires_at;
            entry.checked = elapsed;
            let same_token = *entry.token == *from_store.token;
            if same_token && from_store.standing.rejected {
                entry.standing.rejected = true;
            }
            let (ours, theirs) = (&entry.standing, &from_store.standing);
            let is_superseded = ours.supersedes(&from_store.token);
            let supersedes = theirs.supersedes(&entry.token)
                || (!same_token && ours.rejected && !theirs.rejected);
            // As in `is_replaced_by`: otherwise a token that may not replace the record would be written without end.
            let is_corrupt = is_corrupt(from_store.expires_at, entry);
            if is_corrupt || is_superseded {
                entry.replaces = true;
            }
            if lasts_too_long
                || is_superseded
                || (!supersedes
                    && (entry.expires_at > from_store.expires_at || (same_end && entry.unwritten)))
            {
                let is_lost = !lasts_too_long || is_corrupt || is_superseded;
                if is_lost && !entry.unwritten && entry.expires_at > now {
                    self.restore(&mut memory, &id);
                    restored = true;
                }
                let entry = memory.entries.get(&id).cloned();
                drop(memory);
                if restored {
                    self.wake_writer();
                }
                return entry.map_or(Opened::Removed, Opened::Entry);
            }
            if same_end && *entry.token == *from_store.token {
                from_store.delivered = entry.delivered;
            }
        }
        if lasts_too_long {
            return Opened::Shut("its expiry is later than a token's can be".to_owned());
        }
        if all || memory.entries.contains_key(&id) || memory.entries.len() < self.limit {
            memory.insert(from_store.clone());
            self.bound(&mut memory);
        }
        Opened::Entry(from_store)
    }

    /// Records the removal of an installation, by this or another instance.
    fn learn_removal(self: &Arc<Self>, sealed: &SealedToken, record: Record) -> Opened {
        let id = &sealed.installation_id;
        let (now, elapsed) = (self.fleet_now(), self.clock.elapsed());
        let mut memory = self.memory();
        if let Some(entry) = memory.entries.get_mut(id) {
            entry.checked = elapsed;
            // Forge has called for it since, so the app was not uninstalled.
            if entry
                .delivered
                .is_some_and(|when| when >= record.at + SETTLES)
            {
                entry.replaces = true;
                let entry = entry.clone();
                memory.queue(id);
                drop(memory);
                self.wake_writer();
                return Opened::Entry(entry);
            }
        }
        memory.forget(id);
        let known = memory.removals.get(id);
        if known.is_none_or(|known| known.at < record.at) {
            let mut removal = Removal::read(record, sealed.expires_at, now, elapsed);
            let is_new = known.is_none();
            removal.is_reported = known.is_some_and(|known| known.is_reported);
            removal.products = removal.products.max(known.and_then(|known| known.products));
            memory.removals.insert(id.clone(), removal);
            memory.unremoved.remove(id);
            drop(memory);
            if is_new {
                self.announcer.announce(id);
            }
        }
        Opened::Removed
    }

    /// Records the removal of an installation if this is the record of one, and returns whether the installation counts
    /// as removed.
    pub(super) fn learn_if_removal(self: &Arc<Self>, sealed: &SealedToken) -> bool {
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        let plain = self.keys.open(subject, &sealed.sealed).ok();
        let record = plain.and_then(|plain| removal::read(&plain));
        record.is_some_and(|record| matches!(self.learn_removal(sealed, record), Opened::Removed))
    }

    /// Returns whether this entry must replace the store's record regardless of the record's expiry:
    /// a removal before Forge's last call, a rejected token, or an expiry that is corrupt in
    /// comparison with this one's. Any other record may be newer, and is left to the store's own
    /// comparison.
    pub(super) fn is_replaced_by(&self, sealed: &SealedToken, entry: &Entry) -> bool {
        if is_corrupt(sealed.expires_at, entry) {
            return true;
        }
        let subject = Subject {
            installation_id: &sealed.installation_id,
            expires_at: sealed.expires_at,
        };
        let Ok(plain) = self.keys.open(subject, &sealed.sealed) else {
            return false;
        };
        if let Some(record) = removal::read(&plain) {
            let delivered = entry.delivered;
            return delivered.is_some_and(|delivered| delivered >= record.at + SETTLES);
        }
        About::read(&sealed.installation_id, &plain)
            .is_some_and(|(token, ..)| entry.standing.supersedes(&token))
    }
}

/// Returns whether a record's expiry is corrupt in comparison with a token's. This is independent of clocks: one that has
/// jumped must not lose a valid record.
fn is_corrupt(expires_at: SystemTime, entry: &Entry) -> bool {
    expires_at > entry.expires_at + MAX_PLAUSIBLE_LIFE
}
