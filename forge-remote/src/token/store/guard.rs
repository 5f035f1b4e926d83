//! A store whose panics are errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt as _;

use super::{PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore};

/// A store whose panics become errors, in the call as well as in its future: whoever waits for the
/// store gets a failure to log and to retry, as from a server that is down.
pub(crate) struct Guarded(Arc<dyn TokenStore>);

impl Guarded {
    pub(crate) fn new(store: Arc<dyn TokenStore>) -> Self {
        Self(store)
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn TokenStore) -> StoreFuture<T>,
    ) -> StoreFuture<T> {
        // A store that panics may be inconsistent; so may one that returns an error.
        match catch_unwind(AssertUnwindSafe(|| call(&*self.0))) {
            Ok(stored) => Box::pin(async {
                let stored = AssertUnwindSafe(stored).catch_unwind().await;
                stored.unwrap_or_else(|_| Err(panicked()))
            }),
            Err(_) => Box::pin(std::future::ready(Err(panicked()))),
        }
    }
}

/// The panic's message was printed by the panic hook; it is not repeated, it may hold a secret.
fn panicked() -> StoreError {
    StoreError::new("the store panicked")
}

impl TokenStore for Guarded {
    fn name(&self) -> String {
        let name = catch_unwind(AssertUnwindSafe(|| self.0.name()));
        name.unwrap_or_else(|_| "a store".to_owned())
    }

    fn open(&self) -> StoreFuture<()> {
        self.call(|store| store.open())
    }

    fn compare_and_swap_key_check(
        &self,
        there: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        self.call(|store| store.compare_and_swap_key_check(there, new))
    }

    fn outlives_process(&self) -> bool {
        self.0.outlives_process()
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<()> {
        self.call(|store| store.put(tokens))
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        self.call(|store| store.replace_if(expected, new))
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        self.call(|store| store.remove_if(installation_id, expected))
    }

    fn server_time(&self) -> StoreFuture<Option<SystemTime>> {
        self.call(|store| store.server_time())
    }

    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>> {
        self.call(|store| store.get(installation_id))
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        self.call(|store| store.find_by_site(cloud_id))
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        self.call(|store| store.list(page))
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
        self.call(|store| store.purge(ended_before))
    }
}
