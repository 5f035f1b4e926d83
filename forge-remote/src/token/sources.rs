//! Where stored tokens came from, for the console of `dev`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::fit::Provenance;

/// The last delivery of each installation's token in this process.
#[derive(Default)]
pub(super) struct Sources(Mutex<BTreeMap<String, TokenSource>>);

/// A delivery of a token.
#[derive(Clone, Copy)]
pub(crate) struct TokenSource {
    pub(crate) provenance: Provenance,
    pub(crate) at: SystemTime,
}

impl Sources {
    pub(super) fn set(&self, installation_id: &str, provenance: Provenance, at: SystemTime) {
        let source = TokenSource { provenance, at };
        self.all().insert(installation_id.to_owned(), source);
    }

    pub(super) fn of(&self, installation_id: &str) -> Option<TokenSource> {
        self.all().get(installation_id).copied()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, TokenSource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
