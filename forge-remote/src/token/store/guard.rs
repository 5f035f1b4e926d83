//! A wrapper that converts a store's panics to errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt as _;

use crate::diagnostic::Check;
use crate::fit::BoxFuture;

use super::interface::{PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore};

/// A store whose panics, in a method as well as in its future, are returned as errors: callers log and
/// retry them like those of a server that is down.
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

/// Returns the error of a panic. The panic hook has printed its message, which is not repeated, because
/// it may contain a secret.
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

    fn checks(&self) -> BoxFuture<Vec<Check>> {
        let checks = self.call(|store| {
            let checks = store.checks();
            Box::pin(async { Ok(checks.await) })
        });
        let name = self.name();
        Box::pin(async move {
            checks.await.unwrap_or_else(|error| {
                let fix = "correct `TokenStore::checks` of this store";
                vec![Check::failed("store", format!("{name}: {error}"), fix)]
            })
        })
    }

    fn compare_and_swap_key_check(
        &self,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        self.call(|store| store.compare_and_swap_key_check(expected, new))
    }

    fn outlives_process(&self) -> bool {
        self.0.outlives_process()
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>> {
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
