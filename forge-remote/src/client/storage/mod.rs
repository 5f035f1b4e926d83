//! Forge's hosted storage: keys and values, secrets, entities.
//!
//! Source: <https://developer.atlassian.com/platform/forge/remote/accessing-storage/>

mod batch;
mod batch_outcome;
mod call;
mod item;
mod put;
mod query;
mod transaction;
mod values;

pub use batch::SetBatch;
pub use batch_outcome::{BatchError, BatchKey, BatchOutcome, FailedKey, FailedKeyError};
pub use item::Item;
pub use put::{Put, PutIfAbsent};
pub use query::{QueryPage, StorageQuery};
pub use transaction::Transaction;
pub use values::{Entities, Secrets, Storage};
