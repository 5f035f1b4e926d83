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
//! - A token that Atlassian refused (401) gives way to the next one, whatever its expiry; other
//!   instances learn of it from the store. Until then it is handed out, for a 401 may also mean that a
//!   scope is missing.
//! - An installation's token comes from the Atlassian cloud that signed its first call; a call that
//!   another cloud signed neither replaces nor removes it.
//! - The expiry is read from the token, where it can be; else it counts as 2 hours. No token is
//!   handed out within [`Tokens::margin`] of its end.
//! - With it, what a call needs to know: the installation, app, environment and base URLs.
//!
//! Only the platform's own calls count: schedules, events, functions. What a page sends may come
//! from whoever sits in front of it, and the token isn't signed together with the request; see
//! [`Tokens::from_pages`]. A web trigger's caller is anybody, and Forge may pass the headers on, so
//! its calls never bring a token into the store; nor do an agent's, until it is known what comes
//! through.
//!
//! Storing is off the request's path: the request leaves the token in memory, a task writes it. A
//! store that is down costs no request, not even at launch; the tokens wait in memory and are
//! written once it is back. A store that has lost tokens (Redis that keeps nothing on its disk, or
//! fails over) gets them again from every instance that still has them, when they are listed, asked
//! for or delivered again. Launch ends for what won't pass: a wrong key, no right, a newer schema.
//!
//! # Removing
//!
//! [`Tokens::remove`], which [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh) calls before
//! an uninstallation, puts a note of the removal in the token's place: so no instance brings it
//! back. [`Tokens::on_removed`] is where the app deletes what it keeps for a customer. Don't do that
//! for an installation that just isn't listed: it has no token at the moment, which passes.
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
mod error;
mod expiry;
mod fresh;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod installation;
mod intake;
mod keeper;
mod key_check;
mod listing;
mod lookup;
mod removal;
mod seal;
mod settings;
mod site;
mod store;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use tokio::sync::watch;
use zeroize::Zeroizing;

pub use cache::TokenCounts;
pub use error::{OpenError, TokenError};
use expiry::told;
pub(crate) use fresh::registrations as fresh_registrations;
pub use installation::Installation;
pub use listing::EachInstallation;
pub use seal::InvalidKeys;
pub use site::Site;
#[cfg(feature = "postgres")]
pub use store::PostgresTokens;
#[cfg(feature = "redis")]
pub use store::RedisTokens;
#[cfg(feature = "sqlite")]
pub use store::SqliteTokens;
pub use store::{Listed, MemoryTokens, Page, SealedToken, StoreError, Stored, TokenStore};

use crate::app::variable;
use crate::error::chain;
use crate::extract::AppState;
use crate::fit::Environment;
use crate::response;
use cache::Link;
use expiry::Watcher;
use keeper::{Admission, Keeper};
use removal::Removals;
use seal::Keys;
use settings::Settings;

/// A system token that doesn't tell its end lives this long.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
const UNKNOWN_LIFE: Duration = Duration::from_secs(2 * 3600);
/// No token lives longer (Atlassian: 4 hours), give or take clocks: a later end is read wrongly.
const LONGEST_LIFE: Duration = Duration::from_secs(4 * 3600 + 5 * 60);
/// How many tokens are read from a store at once.
const PAGE: u32 = 500;
/// How long a call waits for tokens that nobody has opened yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// The app's kept system tokens: an argument of handlers, and a handle for everything outside of
/// requests. Clones share them; see the [module](self) for the whole picture.
///
/// In a handler:
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[endpoint(method = "GET")]
/// async fn token_life(call: Invocation, tokens: Tokens) -> Result<Json<u64>> {
///     let kept = tokens.installation(call.installation_id()).await?;
///     Ok(Json(kept.remaining().as_secs()))
/// }
/// ```
///
/// In a program without an [`App`](crate::App), say a worker on another machine:
///
/// ```
/// # use forge_remote::token::{MemoryTokens, Tokens};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> forge_remote::Result<()> {
/// # let store = MemoryTokens::new();
/// let tokens = Tokens::new(store); // `PostgresTokens::at(url)`, the one that the app writes to
/// tokens.open().await?;
/// for installation in tokens.installations().await? {
///     println!("{:?} left", installation.remaining());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    settings: Mutex<Settings>,
    keeper: OnceLock<Arc<Keeper>>,
    opening: tokio::sync::Mutex<()>,
    is_open: watch::Sender<bool>,
    admission: Arc<Admission>,
    removals: Removals,
    /// Until there is a runtime to run on.
    watchers: Mutex<Vec<Watcher>>,
    is_purged: OnceLock<()>,
    told_about_pages: OnceLock<()>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("store", &self.settings().store.name())
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// So that [`App::tokens`](crate::App::tokens) takes a store as well.
impl<S: TokenStore> From<S> for Tokens {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

/// Opening: from settings to a store that is connected.
impl Tokens {
    /// Connects the store and looks whether the keys open what is in it. An app does so when it
    /// starts to serve; there a store that is only down ends nothing, here it is an error, and the
    /// call may be made again. Opened once, it stays so.
    pub async fn open(&self) -> Result<(), OpenError> {
        let _opening = self.0.opening.lock().await;
        if let Some(keeper) = self.opened()? {
            // It may have been down when an app started with it.
            if keeper.link() != Link::Open {
                connect(keeper).await?;
                keeper.memory().link = Link::Open;
            }
            return Ok(());
        }
        let keeper = self.new_keeper()?;
        connect(&keeper).await?;
        self.start(keeper);
        Ok(())
    }

    /// As [`open`](Self::open), for an app that serves without its store as well: what may pass
    /// (the store is down) is tried again behind, what can't (a wrong key) is an error.
    pub(crate) async fn open_or_wait(&self) -> Result<(), OpenError> {
        let _opening = self.0.opening.lock().await;
        if self.opened()?.is_some() {
            return Ok(());
        }
        let keeper = self.new_keeper()?;
        if let Err(error) = connect(&keeper).await {
            if !error.may_pass() {
                return Err(error);
            }
            tracing::error!(
                error = %format_args!("{error}{}", chain(&error)),
                "the app starts without its tokens' store; tokens are kept in memory until it is there"
            );
            let mut memory = keeper.memory();
            memory.counts.store_failures += 1;
            memory.link = Link::Waiting;
        }
        self.start(keeper);
        Ok(())
    }

    /// As [`open`](Self::open) for a store that has nothing to connect; false for others.
    pub(crate) fn open_at_once(&self) -> Result<bool, OpenError> {
        if self.opened()?.is_some() {
            return Ok(true);
        }
        if self.settings().store.outlives_process() {
            return Ok(false);
        }
        self.start(self.new_keeper()?);
        Ok(true)
    }

    /// The keeper, where there is one already: what was set since was set in vain.
    fn opened(&self) -> Result<Option<&Arc<Keeper>>, OpenError> {
        let Some(keeper) = self.0.keeper.get() else {
            return Ok(None);
        };
        match self.settings().too_late {
            Some(setting) => Err(OpenError::TooLate { setting }),
            None => Ok(Some(keeper)),
        }
    }

    fn new_keeper(&self) -> Result<Keeper, OpenError> {
        let settings = self.settings();
        let store = Arc::clone(&settings.store);
        if let Some(environments) = &settings.environments {
            let _ = self.0.admission.environments.set(environments.clone());
        }
        let keys = if store.outlives_process() {
            let text = variable("FORGE_REMOTE_TOKEN_KEY").map(Zeroizing::new);
            let Some(text) = text.or_else(|| settings.keys.clone()) else {
                let store = store.name();
                return Err(OpenError::NoKey { store });
            };
            Keys::parse(&text)?
        } else {
            Keys::random()?
        };
        Ok(Keeper::new(
            store,
            keys,
            Arc::clone(&settings.clock),
            settings.margin,
            settings.limit,
            Arc::clone(&self.0.admission),
            self.0.removals.announcer(),
        ))
    }

    fn start(&self, keeper: Keeper) {
        // Set by another thread meanwhile: that one is as good.
        let _ = self.0.keeper.set(Arc::new(keeper));
        self.0.is_open.send_replace(true);
        self.start_watchers();
    }

    fn is_open(&self) -> bool {
        self.0.keeper.get().is_some()
    }

    /// Starts what goes on beside, once tokens are open and there is a runtime: those who wait to
    /// be told, the purge, and a store that is yet to be opened.
    pub(crate) fn start_watchers(&self) {
        let (Ok(runtime), Some(keeper)) =
            (tokio::runtime::Handle::try_current(), self.0.keeper.get())
        else {
            return;
        };
        let watchers = self.0.watchers.lock();
        let watchers = std::mem::take(&mut *watchers.unwrap_or_else(PoisonError::into_inner));
        for watcher in watchers {
            runtime.spawn(watcher.run(Arc::downgrade(&self.0)));
        }
        self.0.removals.start(&runtime);
        if self.0.is_purged.set(()).is_ok() {
            runtime.spawn(Keeper::keep_purged(Arc::downgrade(keeper)));
        }
        keeper.start_writing();
    }

    /// Whether the store can be used, for those who look whether the app is well.
    pub(crate) fn is_connected(&self) -> bool {
        let keeper = self.0.keeper.get();
        keeper.is_some_and(|keeper| keeper.link() == Link::Open)
    }

    /// A local platform's tokens stay in the process: no API takes them, and the store may be the
    /// real one. False when that one is open already.
    pub(crate) fn use_memory(&self) -> bool {
        let Ok(_opening) = self.0.opening.try_lock() else {
            return false;
        };
        let mut settings = self.settings();
        if self.is_open() {
            return !settings.store.outlives_process();
        }
        settings.store = Arc::new(MemoryTokens::new());
        true
    }

    /// Which app it is and which environments it takes; the first word counts.
    pub(crate) fn belong_to(&self, app_id: &str, environments: Option<&[Environment]>) {
        let _ = self.0.admission.app_id.set(app_id.to_owned());
        if let Some(environments) = environments {
            let _ = self.0.admission.environments.set(environments.to_vec());
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        let settings = self.0.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the store and looks whether the keys open what is in it: before anything is written.
async fn connect(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store();
    let failed = |source| OpenError::Store {
        store: store.name(),
        source,
    };
    keeper::in_time(store.open()).await.map_err(failed)?;
    check_keys(keeper).await?;
    if store.outlives_process() {
        key_check::agree(keeper).await?;
    }
    Ok(())
}

/// A store with tokens of which none opens: the key is wrong.
async fn check_keys(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store().name();
    let asked = keeper.store().list(Page::first(PAGE));
    let listed = keeper.ask(asked).await;
    let tokens = match listed {
        Ok(listed) => listed.tokens,
        Err(source) => return Err(OpenError::Store { store, source }),
    };
    let now = keeper.clock.now();
    let alive: Vec<_> = tokens
        .iter()
        .filter(|token| token.expires_at > now)
        .collect();
    let missing: Vec<String> = alive
        .iter()
        .filter_map(|token| keeper.missing_key(token))
        .collect();
    match missing.first() {
        Some(key_id) if missing.len() == alive.len() => Err(OpenError::OtherKey {
            store,
            key_id: key_id.clone(),
        }),
        Some(key_id) => {
            tracing::warn!(
                store,
                key_id,
                tokens = missing.len(),
                "some kept tokens were sealed under a key that FORGE_REMOTE_TOKEN_KEY lacks; they are left as they are"
            );
            Ok(())
        }
        None => Ok(()),
    }
}

impl FromRequestParts<AppState> for Tokens {
    type Rejection = Response;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, Response> {
        state.get().ok_or_else(|| {
            // Only inside another extractor: launch checks the rest.
            tracing::error!("the app keeps no tokens: give it a store with `App::tokens(store)`");
            response::internal_error()
        })
    }
}
