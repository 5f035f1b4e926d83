//! Tokens that outlive the request: work in the background, hours later and on any machine, calls
//! Atlassian as the app.
//!
//! Forge delivers a system token with each call of an endpoint that asks for one (`auth = system`).
//! An app that is given a store keeps the newest of each installation:
//!
#![cfg_attr(feature = "sqlite", doc = "```no_run")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use forge_remote::client::Atlassian;
//! use forge_remote::prelude::*;
//! use forge_remote::token::{Installation, SqliteTokens};
//! # use std::time::Duration;
//!
//! #[derive(serde::Deserialize)]
//! struct Page { title: String }
//!
//! /// Runs for as long as the app serves.
//! async fn sync_all(tokens: Tokens, atlassian: Atlassian) -> Result<()> {
//!     loop {
//!         for installation in tokens.installations().await? {
//!             // One customer's failure is no other's: no `?` in this loop.
//!             if let Err(error) = sync(&installation, &tokens, &atlassian).await {
//!                 eprintln!("{}: {error}", installation.installation_id());
//!             }
//!         }
//!         tokio::time::sleep(Duration::from_secs(600)).await;
//!     }
//! }
//!
//! async fn sync(installation: &Installation, tokens: &Tokens, atlassian: &Atlassian) -> Result<()> {
//!     let confluence = atlassian.confluence(installation).as_app_with(tokens).await?;
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
//!         .tokens(SqliteTokens::at("tokens.db"))
//!         .keep_tokens_fresh()
//!         .scopes(["read:page:confluence"])
//!         .background(sync_all)
//!         .run()
//!         .await
//! }
//! ```
//!
//! # What is kept
//!
//! - The newest token of each installation: a later expiry wins, in whatever order requests arrive
//!   and whichever instance they reach. A request without a token changes nothing.
//! - A token that AtlassianClient refused (401) gives way to the next one, whatever its expiry; other
//!   instances learn of it from the store. Until then it is handed out, for a 401 may also mean that a
//!   scope is missing.
//! - An installation's token comes from the AtlassianClient cloud that signed its first call; a call that
//!   another cloud signed neither replaces nor removes it.
//! - The expiry is read from the token, where it can be; else it counts as 2 hours. No token is
//!   handed out within [`Tokens::margin`] of its end.
//! - With it, what a call needs to know: the installation, app, environment and base URLs.
//!
//! Only the platform's own calls count: schedules, events, functions. What a page sends may come
//! from whoever sits in front of it, and the token isn't signed together with the request; see
//! [`Tokens::accept_from_pages`]. A web trigger's caller is anybody, and Forge may pass the headers on, so
//! its calls never bring a token into the store; nor do an agent's, until it is known what comes
//! through.
//!
//! Storing is off the request's path: the request leaves the token in memory, a task writes it. A
//! store that is down costs no request, not even at launch; the tokens wait in memory and are
//! written once it is back. A store that has lost tokens (Redis that keeps nothing on its disk, or
//! fails over) gets them again from every instance that still has them, when they are listed, asked
//! for or delivered again. A record that the store refuses while it takes others is set aside, logged
//! and as_retry, with pauses from one minute to one hour. Permanent problems abort the launch: a wrong
//! key, missing permissions, a newer schema.
//!
//! Where the platform freezes the CPU after the response (AWS Lambda, Google Cloud Run without "CPU
//! always allocated"), that task does not run: call [`Tokens::flush`] before the handler returns.
//!
//! # Removing
//!
//! [`Tokens::remove`], which [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh) calls before
//! an uninstallation, puts a record of the removal in the token's place: so no instance brings it
//! back. [`Tokens::on_removed`] is where the app deletes what it keeps for a customer; it runs at
//! least once, after the removal has settled. Don't delete anything for an installation that just
//! isn't listed: it only lacks a token right now.
//!
//! # Clocks
//!
//! Instances' clocks may disagree. Removals are dated by the clock of the store's server (PostgreSQL,
//! Redis), where there is one. Ended tokens are purged a day after their end, by the earlier of the
//! server's clock and the machine's own; not while Forge Invocation Tokens are refused for their
//! dates; and where the store has no clock (SQLite, memory), not before such a token has shown that
//! the machine's is right.
//!
//! # Stores
//!
//! | store | for | feature |
//! | --- | --- | --- |
//! | [`MemoryTokens`] | tests, and apps that may forget at a restart | |
//! | `SqliteTokens` | one machine; a file is all it takes | `sqlite` |
//! | `PostgresTokens` | several instances | `postgres` |
//! | `RedisTokens` | several instances | `redis` |
//!
//! Or one of your own: [`TokenStore`]. Each app has a store of its own.
//!
//! # Keys
//!
//! Tokens leave the process sealed by AES-256-GCM, under `FORGE_REMOTE_TOKEN_KEY`: 32 bytes in base64,
//! as `openssl rand -base64 32` prints them, the same for every instance. To change it, put the new
//! one after the old one (`old,new`) on every instance, then `new,old`, then, two days later, `new` (records of removals last longer than tokens):
//! the first seals, all open. The store has a record of the first key, so that instances with
//! different keys don't start on it, even while it is empty: with a key that doesn't open the
//! record, or none of the tokens, the app doesn't start, and what is kept stays as it is.

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
mod keeper;
mod limits;
mod listing;
mod lookup;
mod opening;
mod purge;
mod records;
mod removal;
mod removal_watch;
mod removing;
mod seal;
mod settings;
#[cfg(test)]
#[allow(clippy::panic)]
mod simulation;
mod site;
pub(crate) mod store;
mod writer;

pub use cache::TokenStats;
pub use callbacks::RemovalOutcome;
pub use error::{OpenError, TokenError};
pub use handle::Tokens;
pub use installation::Installation;
pub use listing::InstallationStream;
pub use seal::InvalidKeys;
pub use site::Site;
#[cfg(feature = "postgres")]
pub use store::PostgresTokens;
#[cfg(feature = "redis")]
pub use store::RedisTokens;
#[cfg(feature = "sqlite")]
pub use store::SqliteTokens;
pub use store::{
    MemoryTokens, PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore,
};
