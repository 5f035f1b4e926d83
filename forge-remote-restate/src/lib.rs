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
//! `npx @restatedev/restate-server` starts a server on these ports. 8080 is the default port of the app too: on the same
//! machine, set `FORGE_REMOTE_BIND=127.0.0.1:8081`. `FORGE_REMOTE_TOKEN_KEY` (`openssl rand -base64 32`) encrypts the
//! stored calls. The engine works with version 1.7 of the server. Each environment of each app needs a separate server
//! or cluster; the launch fails if the server already runs another app's jobs.
//!
//! The server's licence is the Business Source License 1.1: it is free to use, but not to offer as a hosted
//! service. This crate does not contain it; it contains Restate's SDK, whose licence is MIT.
//!
//! # How Restate reaches the app
//!
//! Restate calls the app to run a job, over HTTP/2 without TLS, on a separate listener ([`RestateJobs::listen`]). The
//! app's public port does not serve these calls. Anything that reaches the listener could run jobs, so an address other
//! than loopback needs an [identity key](RestateJobs::identity_key): the server signs its calls, and others are
//! rejected. The ports are separate because a call by Restate can run any job for any installation, without a FIT: on
//! one port, a mistake in a proxy's path rules would expose it. Restate also needs bidirectional HTTP/2 streams, which
//! few public proxies support.
//!
//! The server's ingress and its admin API do not authenticate callers. Keep both private: anything that reaches them
//! can store, read and end jobs. The listener is private as well: it has at most 1,000 connections, and closes one
//! without a request after 20 seconds.
//!
//! The app registers the listener's URL with the server when it starts, or you do it
//! ([`RestateJobs::register_by_hand`]). Restate runs a job to completion at the URL where it started. So the URL
//! stays the same in all versions of the app; for several machines, use a load balancer's URL.
//!
//! # Objects
//!
//! Each job has its own virtual object, whose key consists of the delivery's key, the handler and the installation. One
//! object per installation would block: Restate runs the calls of one object sequentially, so a job that waits for a
//! retry would delay all jobs of its installation for hours. Each slot of `per_installation` is a separate object,
//! which a job holds only while it runs; each pause for a `Retry-After` is one too. The delivery key is the first part,
//! because it is how retries by Forge are found.
//!
//! # Guarantees
//!
//! - A call is acknowledged when the server has stored it. Without the server, or before the URL is registered, the
//!   response is 503, and Forge retries the call.
//! - A handler runs at least once. If the process ends, or the connection of Restate breaks during a run, the next
//!   attempt follows after the `backoff`.
//! - `per_installation` holds on all machines. With a limit above 1, each call is assigned to one slot, and may wait
//!   for it while another slot is free.
//! - A job that crashes its process is dead after its last attempt. The interrupted attempts of jobs that ran at the
//!   same time are not counted. After a crash, all of these jobs are *suspects* until they complete a run: they start
//!   one after another, each without other jobs for its first 20 seconds (if other jobs are still running after 20
//!   seconds, the suspect starts anyway). After each further crash the time without other jobs is four times as long,
//!   up to the handler's `timeout`. If the process crashes again in that time, the suspect's attempt and its earlier
//!   uncounted ones are counted. If a job is interrupted together with other jobs four times, its attempts are counted
//!   too.
//! - The stored call is encrypted. The handler, the installation and the key are not encrypted.
//!
//! # Limits
//!
//! - A long queue of one installation delays the calls of others: a process's workers are not distributed among
//!   installations ([`shares_fairly`](forge_remote::jobs::Guarantees::shares_fairly)).
//! - `jobs retry` does not start a job before the time of its first attempt
//!   ([`retries_early`](forge_remote::jobs::Guarantees::retries_early)).
//! - `jobs discard` ends a running job after its run.
//! - When the app is uninstalled, a job that starts at that moment may be recorded as discarded after its run, even if
//!   it succeeded.
//! - The end of a pause for a `Retry-After` is computed with the clock of the machine that received it, and checked at
//!   least every 10 minutes. A clock that is wrong by an hour makes pauses longer or shorter. Waits are timed by the
//!   server.
//! - `jobs list` shows the newest 10,000 of the jobs that match.
//! - Each wait of a job adds 1 kB to its journal on the server, plus three encrypted copies of its last error. A job
//!   that waits for a token retries every 30 seconds for a day: about 5 MB. The call itself is stored three times.
//! - The engine does not count its jobs for metrics, and does not send jobs in a transaction of your database
//!   ([`joins_transactions`](forge_remote::jobs::Guarantees::joins_transactions)).
//! - If an operator kills an invocation with Restate's tools, the job is discarded and `jobs list` does not show
//!   it.
//!
//! Restate's SDK logs a warning with the target `restate_sdk` whenever an invocation suspends, which is normal;
//! `RUST_LOG=info,restate_sdk=error` hides it.

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
