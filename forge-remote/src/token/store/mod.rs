//! Token stores: their interface, and one file for each store.

#[cfg(feature = "conformance")]
mod conformance;
mod guard;
mod interface;
mod memory;
#[cfg(feature = "_rows")]
mod rows;
#[cfg(feature = "_sql")]
mod sql;

// generated: the stores with a driver, each behind the feature of its name
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;
// end of the generated part

#[cfg(feature = "conformance")]
pub use conformance::token_store_conformance;
pub(super) use guard::Guarded;
pub use interface::{PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore};
pub(super) use interface::{from_millis, to_millis};
pub use memory::MemoryTokens;

// generated: their types
#[cfg(feature = "postgres")]
pub use postgres::PostgresTokens;
#[cfg(feature = "redis")]
pub use redis::RedisTokens;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteTokens;
// end of the generated part
