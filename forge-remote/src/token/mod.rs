//! Stored system tokens, with which background work can call Atlassian as the app, hours later and on
//! any machine.
//!
//! Forge delivers a system token with each call of an endpoint that requests one (`auth = system`).
//! An app with a store keeps the newest token of each installation:
//!
#![cfg_attr(feature = "sqlite", doc = "```no_run")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use forge_remote::client::AtlassianClient;
//! use forge_remote::prelude::*;
//! use forge_remote::token::{Installation, SqliteTokens};
//! # use std::time::Duration;
//!
//! #[derive(serde::Deserialize)]
//! struct Page { title: String }
//!
//! /// Runs for as long as the app serves.
//! async fn sync_all(tokens: Tokens, atlassian: AtlassianClient) -> Result<()> {
//!     loop {
//!         for installation in tokens.installations().await? {
//!             // No `?` here: a failure for one installation must not stop the others.
//!             if let Err(error) = sync(&installation, &tokens, &atlassian).await {
//!                 eprintln!("{}: {error}", installation.installation_id());
//!             }
//!         }
//!         tokio::time::sleep(Duration::from_secs(600)).await;
//!     }
//! }
//!
//! async fn sync(
//!     installation: &Installation,
//!     tokens: &Tokens,
//!     atlassian: &AtlassianClient,
//! ) -> Result<()> {
//!     let confluence = atlassian.confluence(installation).as_app_renewing(tokens).await?;
//!     let mut pages = confluence.get("/wiki/api/v2/pages").pages::<Page>();
//!     while let Some(page) = pages.next().await {
//!         println!("{}", page?.title);
//!     }
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     App::new()
//!         .remote(Remote::new("backend").base_url("https://backend.example.com"))
//!         .token_store(SqliteTokens::new("tokens.db"))
//!         .keep_tokens_fresh()
//!         .scopes(["read:page:confluence"])
//!         .background(sync_all)
//!         .run()
//!         .await
//! }
//! ```
//!
//! # Stored tokens
//!
//! - The token with the latest expiry of each installation is kept, regardless of the order of
//!   requests and of the instances that receive them. A request without a token changes nothing.
//! - A token that Atlassian rejected (401) is replaced by the next one, regardless of its expiry;
//!   other instances read this from the store. Until then the token is still used, because a 401
//!   may also mean that a scope is missing.
//! - An installation's token comes from the Atlassian cloud that signed its first call. A call that
//!   another cloud signed neither replaces nor removes it.
//! - The expiry is read from the token, if possible; otherwise it is assumed to be in 2 hours. No
//!   token is handed out within [`Tokens::expiry_margin`] of its expiry.
//! - The data that a call to Atlassian needs is kept with the token: the installation, app,
//!   environment and base URLs.
//!
//! Tokens of the platform's own calls are kept, schedules and events: an endpoint that requests the system token gets it
//! from Forge. A call of the app's functions ([`function_call`](macro@crate::function_call)) has the headers that the
//! function wrote, which it may have copied from a page; see [`Tokens::accept_from_functions`]. A page's user may choose
//! the token in a page's call, which isn't signed together with the request; see [`Tokens::accept_from_pages`]. Anyone
//! can call a web trigger, and Forge may forward the caller's
//! headers, so tokens of its calls are never kept; nor are an agent's, until it is known which headers
//! are forwarded.
//!
//! Storing does not delay the request: the token is put in memory, and a background task writes it, at once or,
//! soon after another write, within 20 milliseconds, together with others. A process that is killed in between loses
//! it until a call brings the next. No request fails because the store is down, not even at launch; the tokens wait in
//! memory and are written once it is back. A store that has lost tokens (Redis without persistence, or after a
//! failover) gets them again from every instance that still has them, when they are listed, read or
//! delivered again. A record that the store rejects while it accepts others is set aside, logged and
//! retried, with pauses from one minute to one hour. Permanent problems abort the launch: a wrong
//! key, missing permissions, a newer schema.
//!
//! Where the platform freezes the CPU after the response (AWS Lambda, Google Cloud Run without "CPU
//! always allocated"), that task does not run: call [`Tokens::flush`] before the handler returns.
//!
//! # Removals
//!
//! [`Tokens::remove`], which a handler of [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh) or
//! [`App::keep_tokens_fresh_by`](crate::App::keep_tokens_fresh_by), or the app's own `#[pre_uninstall]` handler, calls
//! before an uninstallation, replaces the token with a record of the removal, so that no instance writes the token back. Delete an installation's data in [`Tokens::on_removed`]: its callbacks run at least
//! once, after the removal has settled. An installation that [`Tokens::installations`] does not list may
//! just have no token at the moment: do not delete its data.
//!
//! Since 2025-10-31, an installation stays inactive for 60 days after an administrator has clicked *Uninstall*, unless
//! the administrator shortens this time. It still makes calls, calls for it succeed, and a call that brings a token
//! ends the removal. So a listed installation is not always one that its administrator still uses.
//! Sources: <https://developer.atlassian.com/changelog/> (31 October 2025),
//! <https://community.atlassian.com/forums/Community-Announcements-articles/Platform-changes-for-inactive-app-installations/bc-p/3139569>
//!
//! # Clocks
//!
//! Instances' clocks may disagree. Removals are dated by the clock of the store's server (PostgreSQL,
//! Redis), if there is one. Expired tokens are purged a day after their expiry, by the slower of the two
//! clocks: the server's and this machine's. They are not purged while Forge Invocation Tokens are
//! rejected for their dates. If the store has no clock (SQLite, memory), they are purged only once such a
//! token has shown that the machine's clock is right.
//!
//! # Stores
//!
//! | type | store | feature |
//! | --- | --- | --- |
//! | [`MemoryTokens`] | memory, for tests and apps that need no tokens after a restart | |
//! | `PostgresTokens` | PostgreSQL, for apps of several instances | `postgres` |
//! | `RedisTokens` | Redis (7 or newer) or Valkey, for apps of several instances | `redis` |
//! | `SqliteTokens` | an SQLite file, for apps on one machine | `sqlite` |
//!
//! Implement [`TokenStore`] for another one. Each backend needs a separate store. A backend
//! that serves several apps ([`App::app_ids`](crate::App::app_ids)) uses one store for all of them: each
//! record names its app. Outside of handlers, [`Tokens::for_app`] selects an app.
//!
//! # Keys
//!
//! Tokens and [jobs](crate::jobs) leave the process sealed by AES-256-GCM, under `FORGE_REMOTE_TOKEN_KEY`: 32 bytes in
//! base64, as `openssl rand -base64 32` prints them, the same for every instance. The first key encrypts; records of the
//! other keys can still be decrypted.
//!
//! To change the key, set `old,new` on every instance, then `new,old`. Remove `old` once nothing needs it. Tokens and
//! records of removals need it for two days. A job needs it until it has run: for its delay and all its retries, and a
//! dead job for the 30 days in which it can be retried. The command `doctor` shows how many tokens and jobs need each
//! key, which it names by an id (a part of the key's hash); it does not see the keys of jobs in a Restate server. A job
//! whose key is missing waits (`other-key` in `jobs list`), and is dead 7 to 14 days after its due time.
//!
//! The store has a record that is sealed with the first key. So an instance with different keys does not
//! start with that store, even if the store has no tokens yet. An app whose keys open neither the record nor any of the tokens
//! doesn't start, and leaves the store unchanged.

mod cache;
mod callbacks;
mod connecting;
mod error;
mod expiry_watch;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handle;
mod installation;
mod intake;
mod job_seal;
mod keeper;
mod limits;
mod listing;
mod lookup;
mod opening;
mod outdated_tokens;
mod purge;
mod records;
mod removal;
mod removal_watch;
mod removing;
mod seal;
mod settings;
#[cfg(test)]
mod simulation;
mod site;
#[cfg(feature = "dev")]
mod sources;
pub(crate) mod store;
mod subscriptions;
#[cfg(feature = "cli")]
mod survey;
mod writer;

pub use cache::TokenStats;
pub use callbacks::RemovalOutcome;
pub use error::{OpenError, TokenError};
pub use handle::Tokens;
pub use installation::Installation;
#[cfg(feature = "cli")]
pub(crate) use job_seal::configured_key_ids;
pub(crate) use job_seal::{JobSeal, SealError, SealedCall, sealing_key};
pub use listing::InstallationStream;
pub(crate) use lookup::InstallState;
pub use seal::InvalidKeys;
pub use site::Site;
#[cfg(feature = "dev")]
pub(crate) use sources::TokenSource;
pub use store::{
    MemoryTokens, PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore,
};
#[cfg(feature = "cli")]
pub(crate) use survey::{Group, Survey, SurveyError};

// generated: the stores with a driver
#[cfg(feature = "postgres")]
pub use store::PostgresTokens;
#[cfg(feature = "redis")]
pub use store::RedisTokens;
#[cfg(feature = "sqlite")]
pub use store::SqliteTokens;
// end of the generated part
