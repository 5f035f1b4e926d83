//! Token stores: their interface, and one file for each store.

#[cfg(feature = "testing")]
mod conformance;
mod guard;
mod interface;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis"))]
mod rows;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "testing")]
pub use conformance::token_store_conformance;
pub(super) use guard::Guarded;
pub use interface::{PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore};
pub(super) use interface::{from_millis, to_millis};
pub use memory::MemoryTokens;
#[cfg(feature = "postgres")]
pub use postgres::PostgresTokens;
#[cfg(feature = "redis")]
pub use redis::RedisTokens;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteTokens;
