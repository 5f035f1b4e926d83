//! Connecting a store: whether it opens, and whether this instance's keys are those of the others.

use super::error::OpenError;
use super::keeper::{Keeper, in_time};
use super::limits::PAGE;
use super::seal::Shut;
use super::store::{PageRequest, StoreError};

/// How often another instance may write its record in between.
const TRIES: u32 = 8;

/// Opens the store and looks whether the keys open what is in it: before anything is written.
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
        agree(keeper).await?;
    }
    Ok(())
}

/// A store with tokens of which none opens: the key is wrong.
async fn check_keys(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store().name();
    let asked = keeper.store().list(PageRequest::first(PAGE));
    let listed = keeper.ask(asked).await;
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
                "some kept tokens were sealed under a key that FORGE_REMOTE_TOKEN_KEY lacks; they are left as they are"
            );
            Ok(())
        }
        None => Ok(()),
    }
}

/// Looks whether the store's record opens, and writes one where there is none. It ends up sealed
/// under the newest key, so that the older ones can go.
async fn agree(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store();
    let failed = |source| OpenError::Store {
        store: store.name(),
        source,
    };
    let mut there = None;
    for _ in 0..TRIES {
        let new = keeper.keys.key_check();
        let new = new.ok_or_else(|| failed(StoreError::new("there are no random bytes")))?;
        let swapped = in_time(store.compare_and_swap_key_check(there, new.clone())).await;
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
                "the store's record of the app's keys is damaged; it is written again"
            ),
        }
        there = Some(record);
    }
    // Others, whose first key is another of ours, write as well: a rotation is under way.
    Ok(())
}
