//! Durable jobs for [forge-remote](forge_remote), in SQLite or PostgreSQL.
//!
//! ```
//! use forge_remote::prelude::*;
//! # #[cfg(feature = "sqlite")]
//! use forge_remote_river::SqliteJobs;
//!
//! /// Copies the work item to the search index.
//! #[trigger(events = ["avi:jira:updated:issue"], durable(retries = 8, timeout = "2m"))]
//! async fn index(Event(change): Event) -> Result<()> {
//!     println!("{change}");
//!     Ok(())
//! }
//!
//! # #[cfg(feature = "sqlite")]
//! let app = App::new().jobs(SqliteJobs::new("jobs.db"));
//! # #[cfg(feature = "sqlite")]
//! # let _ = app;
//! ```
//!
//! | feature | engine | for |
//! | --- | --- | --- |
//! | `sqlite` | `SqliteJobs` | one machine; several processes may share the file |
//! | `postgres` | `PostgresJobs` | several machines |
//!
//! The engine is [River](https://docs.rs/riverqueue), pinned to one version. `FORGE_REMOTE_TOKEN_KEY` encrypts
//! the stored calls.
//!
//! # Guarantees
//!
//! - A call is acknowledged when its transaction is committed to disk.
//! - A handler runs at least once. If a process is suspended, or cannot reach the database, for more than 30 seconds, a
//!   second run may start while the first still runs. If the process then stores the result of the first run, River
//!   takes it for the result of the second, which is still running, and a third run may start.
//! - `per_installation` holds across all processes that share the database, except during such a second run. After a
//!   crash, interrupted runs count towards the limit until they are reclaimed.
//! - A job that crashes its process is dead after its last attempt. The interrupted attempts of jobs that ran at the
//!   same time are not counted. After a crash, all of these jobs are *suspects* until they complete a run: they start
//!   one after another, each without other jobs for its first 20 seconds. Once a suspect has a worker and its slot of
//!   `per_installation`, it waits for at most 30 seconds until no other job runs, and then starts anyway. The next
//!   worker for which its installation does not have to leave others room is the suspect's. After each further crash the time without other jobs is four times as long,
//!   up to the handler's `timeout`. If the process crashes again while a suspect runs alone, its attempt and its
//!   earlier uncounted ones are counted. If a job is interrupted together with other jobs four times, its attempts are
//!   counted too.
//! - The jobs of a process that died run again after about 40 seconds; in an SQLite file that no other process
//!   uses, as soon as the next one starts.
//! - If the clock is changed, for example by an hour, no job is lost, and retries are not delayed. A job that runs at
//!   that moment may run twice. With PostgreSQL, a machine whose clock differs from the database's by more than 5
//!   seconds runs no jobs until they agree. It notices within 5 seconds; until then, jobs that it reschedules are dated
//!   by the database's clock.
//! - If the database's response to a claim is lost, the claimed jobs are released after 10 minutes.
//! - The more jobs of an installation are waiting, the lower the priority of its next one, so a long queue hardly
//!   delays other installations. A delayed or retried job gets its priority when it becomes due. The last quarter of a
//!   process's workers is reserved for installations that use less than a quarter. Handlers with `per_installation` are
//!   exempt, and so is a handler whose runs for the installation take less than a second, for about as many runs as have
//!   just ended.
//!
//! # Transactions
//!
//! A [`job`](macro@forge_remote::job) can be sent in your own transaction, if the engine's tables are in your
//! database: [`InTransaction`].
//!
//! # Tables
//!
//! River's tables begin with `river_`, and those of this crate with `forge_remote_`. In PostgreSQL they are in a
//! separate schema. Several instances may start at once: one of them migrates. A version of this crate does not open
//! tables that a newer one has migrated.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("forge-remote-river needs the feature `sqlite` or `postgres`");

mod admission;
mod counts;
mod dispatch;
mod engine;
mod engine_type;
mod error;
mod gate;
mod heartbeat;
mod in_transaction;
mod inspector;
mod lead;
mod ledger;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_store;
#[cfg(feature = "postgres")]
mod privileges;
mod quarantine;
mod ranking;
mod reclaim;
mod run_times;
mod running;
mod shares;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_store;
mod statements;
mod store;
mod stored_call;
mod tables;
mod upkeep;
mod waker;

pub use in_transaction::{InTransaction, JobTransaction, TransactionError};
#[cfg(feature = "postgres")]
pub use postgres::PostgresJobs;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteJobs;
