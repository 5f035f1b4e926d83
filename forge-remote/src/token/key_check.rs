//! Whether this instance's keys are those of the others: a sealed record in the store tells, even
//! while there is no token.

use super::error::OpenError;
use super::keeper::{self, Keeper};
use super::seal::Shut;
use super::store::StoreError;

/// How often another instance's record may come in between.
const TRIES: u32 = 8;

/// Looks whether the store's record opens, and writes one where there is none. It ends up sealed
/// under the newest key, so that the older ones can go.
pub(super) async fn agree(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store();
    let failed = |source| OpenError::Store {
        store: store.name(),
        source,
    };
    let mut there = None;
    for _ in 0..TRIES {
        let new = keeper.keys.key_check();
        let new = new.ok_or_else(|| failed(StoreError::new("there are no random bytes")))?;
        let swapped = keeper::in_time(store.swap_key_check(there, new.clone())).await;
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
                "the store's record of the app's keys is damaged; it is written anew"
            ),
        }
        there = Some(record);
    }
    // Others, whose first key is another of ours, write as well: a rotation is under way.
    Ok(())
}
