//! Writing rows, which replace or lose against the records of the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::token::cache::Entry;
use crate::token::keeper::{Keeper, in_time};
use crate::token::outdated_tokens::start_reading;
use crate::token::removal::Removal;
use crate::token::seal::Keys;
use crate::token::store::{SealedToken, StoreError, StoreFuture};

/// How often a token is compared with the store's record in one round, while other instances change it.
const MAX_REPLACEMENTS: usize = 3;
/// Time limit of a write when the process is about to end.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

impl Keeper {
    /// Writes rows, or replaces records with them. After an error some may have been written.
    pub(super) async fn write_rows(self: &Arc<Self>, rows: &[Row]) -> Result<(), StoreError> {
        let mut records = Vec::with_capacity(rows.len());
        let (mut expired, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            let record = row
                .sealed(&self.keys)
                .ok_or_else(|| StoreError::new("the system's random source returned no bytes"))?;
            let replacement = match row {
                Row::Token(entry) if entry.replaces => self.replace(entry, &record).await?,
                _ => Replacement::Unknown,
            };
            match replacement {
                Replacement::Done => continue,
                Replacement::Removed => {
                    removed.insert(row.id().to_owned());
                    continue;
                }
                Replacement::Expired => {
                    expired.insert(row.id().to_owned());
                }
                Replacement::Loses | Replacement::Unknown => {}
            }
            records.push(record);
        }
        let outdated = match records.is_empty() {
            true => Vec::new(),
            false => self.in_write_time(self.store.put(records)).await?,
        };
        // Reading a removal that an expired token may not replace would queue the token again, without end.
        let outdated = outdated.into_iter().filter(|id| !expired.contains(id));
        self.mark_written(rows, &removed, &outdated.collect());
        start_reading(self);
        Ok(())
    }

    /// Replaces the store's record with this one, if it must. The replacement is atomic: a record that another instance
    /// writes after the read is compared in turn.
    async fn replace(
        self: &Arc<Self>,
        entry: &Entry,
        record: &SealedToken,
    ) -> Result<Replacement, StoreError> {
        if entry.expires_at <= self.clock.now() {
            return Ok(Replacement::Expired);
        }
        for _ in 0..MAX_REPLACEMENTS {
            let current = match self.in_write_time(self.store.get(entry.id())).await {
                Ok(Some(current)) => current,
                Ok(None) => return Ok(Replacement::Unknown),
                Err(error) if error.is_unreadable() => return Ok(Replacement::Unknown),
                Err(error) => return Err(error),
            };
            if !self.is_replaced_by(&current, entry) {
                return Ok(match self.learn_if_removal(&current) {
                    true => Replacement::Removed,
                    false => Replacement::Loses,
                });
            }
            let replacing = self.store.replace_if(current.sealed, record.clone());
            if self.in_write_time(replacing).await? {
                return Ok(Replacement::Done);
            }
        }
        Err(StoreError::new(
            "other instances change the installation's record at the same time",
        ))
    }

    /// Records that rows were written, or lost against a later record: one that is newer than a token, such as a removal
    /// by another instance, has to be known here. `removed` has the ids of the tokens that were not written because of a
    /// removal, and `outdated` those of the records that are still unknown.
    fn mark_written(&self, rows: &[Row], removed: &BTreeSet<String>, outdated: &BTreeSet<String>) {
        let elapsed = self.clock.elapsed();
        let mut memory = self.memory();
        for row in rows {
            memory.rejected.remove(row.id());
            if matches!(row, Row::Token(_)) {
                memory.unread.extend(outdated.get(row.id()).cloned());
            }
            match row {
                Row::Removal(id, written) => {
                    let removal = memory.removals.get_mut(id);
                    let same = removal.filter(|one| {
                        one.at == written.at
                            && one.ends == written.ends
                            && one.products == written.products
                    });
                    if let Some(removal) = same {
                        removal.written = Some(elapsed);
                        memory.unremoved.remove(id);
                    }
                }
                Row::Token(written) => {
                    memory.counts.written += u64::from(!removed.contains(written.id()));
                    // A newer token may have been delivered in the meantime; it still waits.
                    if let Some(entry) = memory.entries.get_mut(written.id()).filter(|entry| {
                        Arc::ptr_eq(&entry.token, &written.token)
                            && entry.standing == written.standing
                    }) {
                        // A call meanwhile may show that it has to replace the record after all: the read of an outdated
                        // one finds that out, and queues the token again.
                        entry.unwritten = false;
                        entry.replaces = false;
                        entry.confirmed = elapsed;
                        entry.checked = elapsed;
                        let key = (entry.expires_at, written.id().to_owned());
                        memory.unwritten.remove(&key);
                    }
                }
            }
        }
    }

    /// Runs a call of the store with the time limit of a write, which is shorter when the process is
    /// about to end.
    pub(super) async fn in_write_time<T>(&self, call: StoreFuture<T>) -> Result<T, StoreError> {
        let mut ending = self.ending.subscribe();
        let hurried = async {
            // This cannot fail: `self` holds the sender.
            let _ = ending.wait_for(|ending| *ending > 0).await;
            tokio::time::sleep(LAST_WRITE_TIMEOUT).await;
        };
        tokio::select! {
            result = in_time(call) => result,
            () = hurried => Err(StoreError::new(format!("no response within {LAST_WRITE_TIMEOUT:?}"))),
        }
    }
}

/// A row to be written to a store.
pub(super) enum Row {
    Removal(String, Removal),
    Token(Entry),
}

impl Row {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Removal(id, _) => id,
            Self::Token(entry) => entry.id(),
        }
    }

    fn sealed(&self, keys: &Keys) -> Option<SealedToken> {
        match self {
            Self::Removal(id, removal) => removal.sealed(id, keys),
            Self::Token(entry) => entry.sealed(keys),
        }
    }
}

/// The result of comparing a token with the store's record, which it may have to replace.
enum Replacement {
    /// The token has replaced the record.
    Done,
    /// The token is no longer kept, because the record is of a later removal.
    Removed,
    /// The token has expired, so it must not replace any record.
    Expired,
    /// The record stays, unless `put` finds that it expires earlier.
    Loses,
    /// There was no record, or it is unreadable.
    Unknown,
}
