//! Removing: what the keeper does and remembers about installations that were uninstalled.

use std::sync::Arc;
use std::time::Duration;

use super::keeper::Keeper;
use super::removal::Removal;
use super::store::StoreError;

impl Keeper {
    /// Removes an installation's token: here at once, in the store by the task that writes. An
    /// error is that of a round which failed; then it is tried again.
    ///
    /// `products` is the number of the installation's products, where the caller knows it.
    pub(super) async fn remove(
        self: &Arc<Self>,
        installation_id: &str,
        products: Option<u32>,
    ) -> Result<(), StoreError> {
        let mut removal = Removal::new(self.fleet_now(), self.clock.elapsed());
        let is_new = {
            let mut memory = self.memory();
            let entry = memory.entries.get(installation_id);
            let known = entry.map(|entry| entry.about.contexts().len());
            let known = known.and_then(|count| u32::try_from(count).ok());
            removal.products = products.or(known).filter(|products| *products > 1);
            if let Some(entry) = entry {
                removal.outlast(entry.expires_at);
            }
            memory.forget(installation_id);
            memory.refused.remove(installation_id);
            memory.unremoved.insert(installation_id.to_owned());
            let before = memory.removals.get(installation_id);
            removal.is_reported = before.is_some_and(|before| before.is_reported);
            let id = installation_id.to_owned();
            memory.removals.insert(id, removal).is_none()
        };
        // Before the first wait: whoever drops this future doesn't undo the removal.
        if is_new {
            self.announcer.announce(installation_id);
        }
        self.start_writing();
        self.settle(|memory| usize::from(memory.unremoved.contains(installation_id)))
            .await
    }

    /// Whether an installation was removed, and nothing has come for it since.
    pub(super) fn is_removed(&self, installation_id: &str) -> bool {
        let memory = self.memory();
        let removal = memory.removals.get(installation_id);
        removal.is_some_and(|removal| !removal.is_settled(self.clock.elapsed()))
    }

    /// A removal that is still one, and whose callbacks have yet to succeed in this process.
    pub(super) fn unreported(&self, installation_id: &str) -> Option<Removal> {
        let memory = self.memory();
        let removal = memory.removals.get(installation_id);
        removal.filter(|removal| !removal.is_reported).cloned()
    }

    /// The installations whose removal has yet to be reported.
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

    /// Every callback has succeeded.
    pub(super) fn mark_reported(&self, installation_id: &str) {
        if let Some(removal) = self.memory().removals.get_mut(installation_id) {
            removal.is_reported = true;
        }
    }

    /// Has the record of a removal last for longer where it was written this long ago: until the
    /// callbacks succeed, a restarted process has to find it.
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
        self.start_writing();
    }
}
