//! Durable work: calls that are acknowledged once they are stored, and jobs that the app sends itself.
//!
//! Forge waits 5 seconds for the response to an event or a schedule. It retries a failed event of a product four times,
//! a minute apart; then the event is lost. A handler with `durable` in its attribute is acknowledged as soon as its
//! call is stored. It runs afterwards; its options set the retries and timeouts:
//!
//! ```
//! use forge_remote::jobs::{Attempt, MemoryJobs};
//! use forge_remote::prelude::*;
//!
//! /// Copies the work item to the search index, which is slow and sometimes down.
//! #[trigger(
//!     events = ["avi:jira:updated:issue"],
//!     durable(retries = 8, backoff = "10s..1h", timeout = "2m", per_installation = 1),
//! )]
//! async fn index(attempt: Attempt, Event(change): Event) -> Result<()> {
//!     println!("attempt {} of {change}", attempt.number());
//!     Ok(())
//! }
//!
//! let app = App::new().jobs(MemoryJobs::new());
//! # let _ = app;
//! ```
//!
//! | option | sets | default | range |
//! | --- | --- | --- | --- |
//! | `retries` | the attempts after the first | 8 | 0 to 100 |
//! | `backoff` | the pause before the first retry, doubled up to a maximum | `"10s..1h"` | `1s` to `24h` |
//! | `timeout` | the time limit of one attempt | `"2m"` | `1s` to `1h` |
//! | `per_installation` | the maximum number of concurrent runs per installation, across all machines | no limit | 1 to 100 |
//!
//! The kinds whose response Forge ignores can be durable: `trigger`, `scheduled_trigger`, `consumer`
//! and `workflow_post_function`.
//!
//! A [`job`](macro@crate::job) is a function that Forge does not call: handlers send it with
//! [`Jobs`], background tasks with [`AppJobs`]. It has the same options, outcomes and guarantees.
//!
//! # Outcomes
//!
//! | the handler | the stored call |
//! | --- | --- |
//! | returns `Ok`, or a response of 2xx or 3xx | it is done |
//! | returns an error or another response, panics, or exceeds `timeout` | it is retried after the `backoff`, and dead after its last attempt |
//! | returns [`Error::retry_after`](crate::Error::retry_after) | it is retried after that pause; the attempt counts |
//! | returns an error of the client with a `Retry-After` (429, 503) | the handler pauses for this installation until then, for 1 second to 24 hours; the attempt does not count for the first 24 hours |
//! | returns [`Error::permanent`](crate::Error::permanent) | it is dead, with the error as its reason |
//! | is not in this version of the app, or the app does not accept the call any more | it is retried for a week, by instances of any version, and then dead |
//!
//! # Arguments
//!
//! A durable handler takes the same arguments as any other, and [`Attempt`]. Its
//! [`Invocation`](crate::Invocation) has the claims that were verified when the call arrived. Its
//! [`SystemToken`](crate::SystemToken) is the newest one of the [token store](crate::App::token_store)
//! when it runs: while the store has no token, the call waits without counting attempts. After 24 hours it is dead, but
//! at the earliest two hours after the process started. To act for a user, see
//! [`ProductApi::impersonate`](crate::client::ProductApi::impersonate).
//!
//! A job takes [`Args`] with the sent arguments, and [`JobCall`] instead of `Invocation`: the
//! installation that it works for, and the call that sent it, if one did. Everything else is as for a
//! durable handler.
//!
//! # Guarantees
//!
//! - The response is 2xx only when the engine has stored the call, and 503 otherwise; Forge then
//!   retries it.
//! - A handler runs **at least once**: if a process dies during a run, the call is run again.
//!   Write handlers to be idempotent.
//! - A retry by Forge of a stored call is ignored. A call is recognised as a retry only by Forge's retry
//!   context, so two events with equal bodies both run. A retry is recognised for 24 hours if the body has an id, and
//!   for 15 minutes otherwise (4.5 minutes for a five-minute schedule). If two events have equal bodies, a retry of
//!   the second may be taken for a retry of the first and ignored, even if the second was not stored.
//! - The stored call (claims, body, trace id) is encrypted with the keys of the token store. It contains
//!   neither the Forge Invocation Token nor an OAuth token.
//! - Jobs start in no particular order.
//! - When an installation is uninstalled, its waiting jobs end without a run: once the app's
//!   [token store](crate::App::token_store) has recorded the removal and it has [settled](crate::Tokens::removal_delay).
//!   A job that runs at that moment is not interrupted, and not retried. Later ones are
//!   [not sent](SendError::Uninstalled).
//!
//! The differences between engines are in their [`Guarantees`]. The launch fails if a handler needs one that the
//! engine lacks, or if the app [requires](crate::App::require_guarantees) it.
//!
//! # Engines
//!
//! | engine | jobs are in | machines |
//! | --- | --- | --- |
//! | [`SqliteJobs`](https://docs.rs/forge-remote-river) | an SQLite file | one; several processes may share it |
//! | [`PostgresJobs`](https://docs.rs/forge-remote-river) | PostgreSQL | several |
//! | [`RestateJobs`](https://docs.rs/forge-remote-restate) | a Restate server | several |
//! | [`MemoryJobs`] | memory: they end with the process | for tests; `dev` uses it regardless of the app's engine |
//!
//! [`App::jobs`](crate::App::jobs) takes any [`JobEngine`].

mod attempt;
#[cfg(feature = "conformance")]
mod conformance;
mod contents;
mod counts;
mod delivery;
mod engine;
mod envelope;
mod guarantees;
mod inspect;
mod job_contents;
mod kept_claims;
mod memory;
mod memory_inspector;
mod policy;
mod report;
mod send;
mod sender;
mod versioned;

pub use crate::extract::{Args, JobCall};
pub use attempt::Attempt;
pub(crate) use attempt::RunningAttempt;
#[cfg(feature = "conformance")]
pub use conformance::{job_engine_conformance, job_engine_conformance_in_parallel};
pub(crate) use contents::Contents;
pub use counts::JobCounts;
pub(crate) use delivery::Delivery;
pub use engine::{
    Accepted, EngineContext, JobEngine, JobRunner, KeyCount, KeyCounts, LastAccepted, PastAttempts,
    Verdict,
};
pub use envelope::{Envelope, Repeats};
pub use guarantees::Guarantees;
pub use inspect::{JobInspector, JobRecord, JobState};
pub(crate) use job_contents::{JobContents, JobSender};
pub use memory::MemoryJobs;
pub use policy::JobPolicy;
pub use report::{EngineError, Report, ReportCode};
#[cfg(feature = "dev")]
pub(crate) use send::random_key;
pub use send::{AppJobs, Jobs, NewJob, SendError, SendJob};
pub(crate) use sender::{NotStored, Parcel, Sender};
pub(crate) use versioned::UnreadableContents;
