//! Connecting a store, and comparing this instance's keys with those of the others.

use super::error::OpenError;
use super::keeper::{Keeper, in_time};
use super::limits::PAGE;
use super::seal::Shut;
use super::store::{PageRequest, StoreError};

/// Attempts to write the record of the keys: another instance may write its own in between.
const MAX_ATTEMPTS: u32 = 8;

/// Opens the store, and checks that the keys open its records before anything is written.
pub(super) async fn connect(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store();
    let failed = |source| OpenError::Store {
        store: store.name(),
        source,
    };
    in_time(store.open()).await.map_err(failed)?;
    keeper.read_server_time().await.map_err(failed)?;
    check_keys(keeper).await?;
    if store.outlives_process() {
        agree_on_keys(keeper).await?;
    }
    Ok(())
}

/// Checks that the keys open at least one of the store's tokens, if it has any.
async fn check_keys(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store().name();
    let listing = keeper.store().list(PageRequest::first(PAGE));
    let listed = keeper.read_bounded(listing).await;
    let tokens = match listed {
        Ok(listed) => listed.tokens,
        Err(source) => return Err(OpenError::Store { store, source }),
    };
    let now = keeper.clock.now();
    let alive: Vec<_> = tokens
        .iter()
        .filter(|token| token.expires_at > now)
        .collect();
    let missing: Vec<String> = alive
        .iter()
        .filter_map(|token| keeper.missing_key(token))
        .collect();
    match missing.first() {
        Some(key_id) if missing.len() == alive.len() => Err(OpenError::OtherKey {
            store,
            key_id: key_id.clone(),
        }),
        Some(key_id) => {
            tracing::warn!(
                store,
                key_id,
                tokens = missing.len(),
                "some stored tokens are encrypted with a key that FORGE_REMOTE_TOKEN_KEY does not contain, and are \
                 left unchanged: append the old key after a comma"
            );
            Ok(())
        }
        None => Ok(()),
    }
}

/// Checks that the keys open the store's record of the keys, and writes a missing one. Afterwards it
/// is sealed under the newest key, so that the older ones can be removed.
async fn agree_on_keys(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store();
    let failed = |source| OpenError::Store {
        store: store.name(),
        source,
    };
    let mut current = None;
    for _ in 0..MAX_ATTEMPTS {
        let new = keeper.keys.key_check();
        let new = new.ok_or_else(|| {
            failed(StoreError::new(
                "the system's random source returned no bytes",
            ))
        })?;
        let swapped = in_time(store.compare_and_swap_key_check(current, new.clone())).await;
        let record = swapped.map_err(failed)?;
        if record == new {
            return Ok(());
        }
        match keeper.keys.opens_key_check(&record) {
            Ok(under_newest) if under_newest => return Ok(()),
            Ok(_) => {}
            Err(Shut::OtherKey(key_id)) => {
                return Err(OpenError::OtherKey {
                    store: store.name(),
                    key_id: key_id.to_string(),
                });
            }
            Err(Shut::Damaged) => tracing::warn!(
                store = store.name(),
                "the store's record of the app's keys is corrupt; it is written again"
            ),
        }
        current = Some(record);
    }
    // Instances whose first key is another of these keys write too: a key rotation is in progress.
    Ok(())
}
