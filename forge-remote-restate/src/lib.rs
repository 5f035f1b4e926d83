//! Durable jobs for [forge-remote](forge_remote), on a [Restate](https://restate.dev) server.
//!
//! ```
//! use forge_remote::prelude::*;
//! use forge_remote_restate::RestateJobs;
//!
//! /// Copies the work item to the search index.
//! #[trigger(events = ["avi:jira:updated:issue"], durable(retries = 8, timeout = "2m", per_installation = 1))]
//! async fn index(Event(change): Event) -> Result<()> {
//!     println!("{change}");
//!     Ok(())
//! }
//!
//! // The URLs of the server's ingress and of its admin API.
//! let jobs = RestateJobs::new("http://127.0.0.1:8080", "http://127.0.0.1:9070");
//! let app = App::new().jobs(jobs);
//! # let _ = app;
//! ```
//!
//! `npx @restatedev/restate-server` starts a server on these ports. The engine works with version 1.7. One server, or
//! cluster, is for one environment of one app: the launch fails if it runs the jobs of another one.
//!
//! The server's licence is the Business Source License 1.1: it is free to use, but not to offer as a hosted
//! service. This crate does not contain it; it contains Restate's SDK, whose licence is MIT.
//!
//! # How Restate reaches the app
//!
//! Restate calls the app to run a job, over HTTP/2 without TLS, on a listener of its own
//! ([`RestateJobs::listen`]). The app's public port does not serve these calls. Anything that reaches the listener could
//! run jobs, so an address other than loopback needs an [identity key](RestateJobs::identity_key): the server signs its
//! calls, and others are rejected. The two are separate because a call of Restate's runs any job for any installation, and
//! Forge's calls are verified one by one: on one port, a mistake in a proxy's rules or in a path would turn one into the other.
//! Restate also needs HTTP/2 with streams in both directions, which few proxies in front of a public port pass on.
//!
//! The server's ingress and its admin API have no authentication of their own. Keep both private: anything that reaches them
//! can store, read and end jobs. The listener is private as well: it has at most 1,000 connections, and closes one
//! without a request after 20 seconds.
//!
//! The app registers the listener's URL with the server when it starts, or you do it
//! ([`RestateJobs::register_by_hand`]). Restate runs a job to its end at the URL where it began. So the URL stays the
//! same in all versions of the app; for several machines it is a load balancer's.
//!
//! # Objects
//!
//! Each job has its own virtual object, whose key is the key of its delivery, the handler and the installation. One object per
//! installation would block: Restate runs the calls of one object sequentially, so a job that waits for a retry would delay all
//! jobs of its installation for hours. `per_installation` has objects of its own, one for each slot of a handler and an
//! installation, which a job holds only while it runs; a pause until Atlassian's `Retry-After` has one as well. The key of the
//! delivery comes first because Forge's retries are found by it.
//!
//! # Guarantees
//!
//! - A call is acknowledged when the server has stored it. Without the server, or before the URL is registered, the
//!   response is 503, and Forge retries the call.
//! - A handler runs at least once. If the process ends, or the connection of Restate breaks during a run, the next attempt
//!   follows after the `backoff`.
//! - `per_installation` holds on all machines. With a limit above 1, each call is assigned to one slot, and may wait for
//!   it while another slot is free.
//! - A job that crashes its process is dead after its last attempt, and the jobs that ran beside it get their attempts
//!   back. All of them are suspects until they have run to their end, one at a time, alone in the process; where other
//!   jobs run for long, a suspect runs beside them after 20 seconds. A job that ran alone has spent the attempt, and each
//!   one that it got back; a job that ends beside others is taken for the cause at the fourth time.
//! - The stored call is encrypted. The server has the handler, the installation and the key in clear.
//!
//! # Limits
//!
//! - A long queue of one installation delays the calls of others: the places of a process are not shared out between
//!   installations ([`shares_fairly`](forge_remote::jobs::Guarantees::shares_fairly)).
//! - `jobs retry` does not start a job before the time of its first attempt
//!   ([`retries_early`](forge_remote::jobs::Guarantees::retries_early)).
//! - `jobs discard` ends a running job after its run.
//! - When the app is uninstalled, a job that begins at that moment may be discarded after its run, whatever its result.
//! - A pause until Atlassian's `Retry-After` is stored by the clock of the machine that got it, and a job looks again every 10
//!   minutes at least. A clock that is wrong by an hour makes pauses longer or shorter. Waits are timed by the server.
//! - `jobs list` shows the newest 10,000 of the jobs that match.
//! - Each time that a job waits adds 1 kB to its journal on the server, and three copies of its last error, sealed. A job
//!   that waits for a token retries every 30 seconds for a day: about 5 MB. The call itself is stored three times.
//! - The engine does not count its jobs for metrics, and does not send jobs in a transaction of your database
//!   ([`joins_transactions`](forge_remote::jobs::Guarantees::joins_transactions)).
//! - An operator's `kill` of an invocation in Restate's own tools discards the job without a trace in `jobs list`.
//!
//! Restate's SDK logs a warning with the target `restate_sdk` whenever an invocation continues later, which is its normal
//! life: `RUST_LOG=info,restate_sdk=error` leaves it out.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod engine;
mod inspector;
mod listener;
mod objects;
mod restate_jobs;
mod server;
mod serving;
mod stored_call;
mod stored_job;

pub use restate_jobs::RestateJobs;
