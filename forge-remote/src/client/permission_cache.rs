//! The cache of the scopes that admins granted, by installation.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::ClientError;
use super::single_flight::Flights;

/// The scopes of one installation, or why they are not known.
pub(super) type KnownScopes = Result<Arc<BTreeSet<String>>, Arc<ClientError>>;

/// An installation, and whether a page's token was used: its failures must not count for others.
pub(super) type PermissionKey = (String, bool);

/// The scopes of installations.
#[derive(Default)]
pub(super) struct PermissionCache {
    pub(super) known: Flights<PermissionKey, KnownScopes>,
    /// The end of the pause after a 429, on the clock's `elapsed`, and the error.
    paused: Mutex<Option<(Duration, Arc<ClientError>)>>,
}

impl PermissionCache {
    pub(super) fn forget_all(&self) {
        self.known.forget_all();
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn pause(&self, until: Duration, error: &Arc<ClientError>) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = Some((until, Arc::clone(error)));
    }

    /// Returns the error of the 429, while no requests are sent.
    pub(super) fn pause_at(&self, now: Duration) -> Option<Arc<ClientError>> {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, error) = paused.as_ref()?;
        (*until > now).then(|| Arc::clone(error))
    }
}
