//! The keeper's state of removed installations.

use std::sync::Arc;
use std::time::Duration;

use super::keeper::Keeper;
use super::removal::Removal;
use super::store::StoreError;

impl Keeper {
    /// Removes an installation's token: here at once, in the store by the task that writes. The error
    /// is that of a failed round, which is retried.
    ///
    /// `products` is the number of the installation's products, if the caller knows it. The largest number counts that the
    /// caller, an earlier removal or the installation's token names, in memory or in the store: it is not documented which
    /// products Forge names when one of several is removed.
    pub(super) async fn remove(
        self: &Arc<Self>,
        installation_id: &str,
        products: Option<u32>,
    ) -> Result<(), StoreError> {
        // Before the first await point, so that dropping this future doesn't undo the removal.
        let mut begun = self.begin_removal(installation_id, products);
        if !begun.products.is_some_and(is_several) {
            // Without the store it stays as it is.
            let record = self.read(self.store.get(installation_id)).await;
            let record = record.ok().flatten();
            let of_record = record.and_then(|record| self.products_in(&record));
            begun.products = begun.products.max(of_record);
        }
        drop(begun);
        self.settle(|memory| usize::from(memory.unremoved.contains(installation_id)))
            .await
    }

    fn begin_removal<'a>(
        self: &'a Arc<Self>,
        installation_id: &'a str,
        products: Option<u32>,
    ) -> BegunRemoval<'a> {
        let mut removal = Removal::new(self.fleet_now(), self.clock.elapsed());
        let mut memory = self.memory();
        let (entry, before) = (
            memory.entries.get(installation_id),
            memory.removals.get(installation_id),
        );
        let of_token = entry.and_then(|entry| entry.about.products());
        let of_removal = before.and_then(|before| before.products);
        let products = products.max(of_token).max(of_removal);
        // The store may name more: another instance that reads a smaller number would keep it.
        removal.products = products.filter(|products| is_several(*products));
        if let Some(entry) = entry {
            removal.outlast(entry.expires_at);
        }
        removal.is_reported = before.is_some_and(|before| before.is_reported);
        memory.forget(installation_id);
        memory.rejected.remove(installation_id);
        let id = installation_id.to_owned();
        memory.unremoved.insert(id.clone());
        let is_new = memory.removals.insert(id, removal).is_none();
        BegunRemoval {
            keeper: self,
            installation_id,
            products,
            is_new,
        }
    }

    /// Returns whether an installation was removed, and no token was delivered for it since.
    pub(super) fn is_removed(&self, installation_id: &str) -> bool {
        let memory = self.memory();
        let removal = memory.removals.get(installation_id);
        removal.is_some_and(|removal| !removal.is_settled(self.clock.elapsed()))
    }

    /// Returns a removal that was not revoked, and whose callbacks have not yet succeeded in this
    /// process.
    pub(super) fn unreported(&self, installation_id: &str) -> Option<Removal> {
        let memory = self.memory();
        let removal = memory.removals.get(installation_id);
        removal.filter(|removal| !removal.is_reported).cloned()
    }

    /// Returns the installations whose removal is not yet reported.
    pub(super) fn unreported_ids(&self) -> Vec<String> {
        let memory = self.memory();
        let removals = memory.removals.iter();
        let mut ids: Vec<String> = removals
            .filter(|(_, removal)| !removal.is_reported)
            .map(|(id, _)| id.clone())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Marks a removal as reported: every callback has succeeded.
    pub(super) fn mark_reported(&self, installation_id: &str) {
        if let Some(removal) = self.memory().removals.get_mut(installation_id) {
            removal.is_reported = true;
        }
    }

    /// Extends the record of a removal that was written this long ago: until the callbacks succeed, a
    /// restarted process has to find it.
    pub(super) fn renew_removal(self: &Arc<Self>, installation_id: &str, age: Duration) {
        let (now, elapsed) = (self.fleet_now(), self.clock.elapsed());
        let mut memory = self.memory();
        let Some(removal) = memory.removals.get_mut(installation_id) else {
            return;
        };
        let is_old = |written: Duration| elapsed.saturating_sub(written) >= age;
        if !removal.written.is_some_and(is_old) {
            return;
        }
        removal.renew(now);
        removal.known = elapsed;
        memory.unremoved.insert(installation_id.to_owned());
        drop(memory);
        self.wake_writer();
    }
}

/// Returns whether an installation in this many products is in several, which no other number can change.
fn is_several(products: u32) -> bool {
    products > 1
}

/// A removal whose record is written, and whose callbacks are announced, once the number of products is known, or this
/// is dropped. A round that runs meanwhile writes the record without the number; it is then written again.
struct BegunRemoval<'a> {
    keeper: &'a Arc<Keeper>,
    installation_id: &'a str,
    products: Option<u32>,
    is_new: bool,
}

impl Drop for BegunRemoval<'_> {
    fn drop(&mut self) {
        let id = self.installation_id;
        {
            let mut memory = self.keeper.memory();
            let Some(removal) = memory.removals.get_mut(id) else {
                // A later call of Forge has revoked it.
                return;
            };
            // Another call may know more.
            removal.products = removal.products.max(self.products);
            memory.unremoved.insert(id.to_owned());
        }
        if self.is_new {
            self.keeper.announcer.announce(id);
        }
        self.keeper.wake_writer();
    }
}
