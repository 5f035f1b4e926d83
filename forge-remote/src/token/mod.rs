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
//! use forge_remote::token::SqliteTokens;
//! # use std::time::Duration;
//!
//! #[derive(serde::Deserialize)]
//! struct Page { title: String }
//!
//! /// Runs for as long as the app serves.
//! async fn sync_all(tokens: Tokens, atlassian: Atlassian) -> Result<()> {
//!     loop {
//!         for installation in tokens.installations().await? {
//!             let token = tokens.system(installation.installation_id()).await?;
//!             let confluence = atlassian.confluence(&installation).as_app(&token);
//!             let mut pages = confluence.get("/wiki/api/v2/pages").pages::<Page>();
//!             while let Some(page) = pages.next().await {
//!                 println!("{}", page?.title);
//!             }
//!         }
//!         tokio::time::sleep(Duration::from_secs(600)).await;
//!     }
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
//! - The expiry is read from the token, where it can be; else it counts as 2 hours. No token is
//!   handed out within [`Tokens::margin`] of its end.
//! - With it, what a call needs to know: the installation, app, environment and base URLs.
//!
//! Only the platform's own calls count: schedules, events, functions. What a page sends may come
//! from whoever sits in front of it, and the token isn't signed together with the request; see
//! [`Tokens::from_pages`].
//!
//! Storing is off the request's path: the request leaves the token in memory, a task writes it. A
//! store that is down costs no request; the tokens wait in memory and are written once it is back.
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
//! one after the old one (`old,new`) on every instance, then `new,old`, then, 4 hours later, `new`:
//! the first seals, all open. With a key that opens nothing the app doesn't start, and the tokens
//! stay as they are.

mod error;
mod expiring;
mod fresh;
mod installation;
mod keeper;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod seal;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use tokio::sync::watch;
use zeroize::Zeroizing;

pub use error::{OpenError, TokenError};
pub(crate) use fresh::registrations as fresh_registrations;
pub use installation::Installation;
pub use keeper::TokenCounts;
pub use memory::MemoryTokens;
#[cfg(feature = "postgres")]
pub use postgres::PostgresTokens;
#[cfg(feature = "redis")]
pub use redis::RedisTokens;
pub use seal::InvalidKeys;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteTokens;
pub use store::{Listed, Page, SealedToken, StoreError, Stored, TokenStore};

use crate::app::variable;
use crate::extract::{AppState, SystemToken, new_system_token};
use crate::fit::{Claims, Clock, SystemClock};
use crate::response;
use expiring::Watcher;
use installation::About;
use keeper::{Entry, Keeper, Opened};
use seal::Keys;

/// A system token that doesn't tell its end lives this long.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
const UNKNOWN_LIFE: Duration = Duration::from_secs(2 * 3600);
/// No token lives longer (Atlassian: 4 hours): a wrong `exp` must not keep newer ones out.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How many tokens are read from a store at once.
const PAGE: u32 = 500;
/// Reading before anybody opened is worth a word after this.
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
    app_id: Arc<OnceLock<String>>,
    told_about_pages: OnceLock<()>,
}

struct Settings {
    store: Arc<dyn TokenStore>,
    keys: Option<Zeroizing<String>>,
    margin: Duration,
    limit: usize,
    from_pages: bool,
    clock: Arc<dyn Clock>,
    /// Until there is a runtime to run on.
    watchers: Vec<Watcher>,
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

/// Setting up, before the app starts.
impl Tokens {
    /// Keeps tokens in this store. Nothing is connected until the app serves, or until
    /// [`open`](Self::open).
    pub fn new(store: impl TokenStore) -> Self {
        Self(Arc::new(Inner {
            settings: Mutex::new(Settings {
                store: Arc::new(store),
                keys: None,
                margin: Duration::from_secs(60),
                limit: 20_000,
                from_pages: false,
                clock: Arc::new(SystemClock::default()),
                watchers: Vec::new(),
            }),
            keeper: OnceLock::new(),
            opening: tokio::sync::Mutex::default(),
            is_open: watch::Sender::new(false),
            app_id: Arc::default(),
            told_about_pages: OnceLock::new(),
        }))
    }

    /// The keys that tokens are sealed with, where `FORGE_REMOTE_TOKEN_KEY` has none: 32 bytes in
    /// base64, several separated by commas. The first seals, all open.
    #[must_use]
    pub fn keys(self, keys: impl Into<String>) -> Self {
        self.settings().keys = Some(Zeroizing::new(keys.into()));
        self
    }

    /// No token is handed out that ends within this time: 60 seconds unless told otherwise.
    #[must_use]
    pub fn margin(self, margin: Duration) -> Self {
        self.settings().margin = margin;
        self
    }

    /// How many tokens stay in memory: 20,000 unless told otherwise, of about 2 KB each. More are
    /// read from the store when they are asked for; while the store is down, more are dropped.
    #[must_use]
    pub fn memory_limit(self, tokens: usize) -> Self {
        self.settings().limit = tokens.max(1);
        self
    }

    /// Keeps tokens from pages' calls too.
    ///
    /// A page's `invokeRemote` comes through Atlassian, with the token that Atlassian puts in. But
    /// its `requestRemote` comes straight from the browser: whoever sits there has a valid Forge
    /// Invocation Token, sends any header with it, and could so plant a token of his own for the
    /// app's background work. Turn this on for apps without a schedule or event, whose users are
    /// all trusted with what the app may do.
    #[must_use]
    pub fn from_pages(self) -> Self {
        self.settings().from_pages = true;
        self
    }

    /// Another clock, for tests. An app gives its own.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.settings().clock = Arc::new(clock);
        self
    }

    /// Calls back when a token has less than `before` to live and none has followed it: once for
    /// each token, one after the other, in every instance of the app.
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote::token::{MemoryTokens, Tokens};
    ///
    /// let tokens = Tokens::new(MemoryTokens::new());
    /// tokens.on_expiring(Duration::from_secs(30 * 60), |installation| async move {
    ///     let left = installation.remaining().as_secs() / 60;
    ///     eprintln!("{} gets no new tokens; {left} minutes left", installation.installation_id());
    /// });
    /// ```
    pub fn on_expiring<F, Fut>(&self, before: Duration, callback: F)
    where
        F: Fn(Installation) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.settings().watchers.push(Watcher {
            before,
            tell: Box::new(move |installation| Box::pin(callback(installation))),
        });
        self.start_watchers();
    }

    /// Connects the store and looks whether the keys open what is in it. An app does so when it
    /// starts to serve. Opened once, it stays so.
    pub async fn open(&self) -> Result<(), OpenError> {
        let _opening = self.0.opening.lock().await;
        if self.is_open() {
            return Ok(());
        }
        let (store, keeper) = self.new_keeper()?;
        let failed = |source| OpenError::Store {
            store: store.name(),
            source,
        };
        keeper::open_in_time(store.open()).await.map_err(failed)?;
        check_keys(&keeper).await?;
        self.start(keeper);
        Ok(())
    }

    /// As [`open`](Self::open) for a store that has nothing to connect; false for others.
    pub(crate) fn open_at_once(&self) -> bool {
        if self.is_open() {
            return true;
        }
        if self.settings().store.outlives_process() {
            return false;
        }
        let Ok((_, keeper)) = self.new_keeper() else {
            return false;
        };
        self.start(keeper);
        true
    }

    fn new_keeper(&self) -> Result<(Arc<dyn TokenStore>, Keeper), OpenError> {
        let settings = self.settings();
        let store = Arc::clone(&settings.store);
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
        let keeper = Keeper::new(
            Arc::clone(&store),
            keys,
            Arc::clone(&settings.clock),
            settings.margin,
            settings.limit,
            Arc::clone(&self.0.app_id),
        );
        Ok((store, keeper))
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

    /// Starts those who wait to be told, once tokens are open and there is a runtime.
    pub(crate) fn start_watchers(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.is_open() {
            return;
        }
        for watcher in std::mem::take(&mut self.settings().watchers) {
            runtime.spawn(watcher.run(Arc::downgrade(&self.0)));
        }
    }

    /// The clock of the app, before it opens.
    pub(crate) fn use_clock(&self, clock: &Arc<dyn Clock>) {
        self.settings().clock = Arc::clone(clock);
    }

    /// A local platform's tokens stay in the process: no API takes them, and the store may be the
    /// real one.
    pub(crate) fn use_memory(&self) {
        self.settings().store = Arc::new(MemoryTokens::new());
    }

    /// Which app it is; the first word counts.
    pub(crate) fn belong_to(&self, app_id: &str) {
        let _ = self.0.app_id.set(app_id.to_owned());
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        let settings = self.0.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store with tokens of which none opens: the key is wrong.
async fn check_keys(keeper: &Keeper) -> Result<(), OpenError> {
    let store = keeper.store().name();
    let asked = keeper.store().list(Page::first(PAGE));
    let listed = keeper.read(asked).await;
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

/// Using them. Before the app serves (or [`open`](Tokens::open) was called), these wait.
impl Tokens {
    /// The system token of an installation: one that lives longer than [`margin`](Self::margin).
    ///
    /// Mostly from memory. The store is asked when memory has none, and now and then to learn what
    /// other instances did.
    pub async fn system(&self, installation_id: &str) -> Result<SystemToken, TokenError> {
        let (entry, _) = self.find(installation_id).await?;
        Ok(SystemToken::kept(&entry.token).of(&entry.about.installation_id))
    }

    /// As [`system`](Self::system), with what belongs to the installation instead of the token.
    pub async fn installation(&self, installation_id: &str) -> Result<Installation, TokenError> {
        let (entry, now) = self.find(installation_id).await?;
        Ok(installation(&entry, now))
    }

    /// The system token of the only installation on this site.
    pub async fn system_for_cloud(&self, cloud_id: &str) -> Result<SystemToken, TokenError> {
        let mut found = self.on_site(cloud_id).await?;
        match (found.pop(), found.len()) {
            (Some(only), 0) => self.system(only.installation_id()).await,
            (Some(last), _) => Err(TokenError::Ambiguous {
                cloud_id: cloud_id.to_owned(),
                installation_ids: found
                    .iter()
                    .chain([&last])
                    .map(|one| one.installation_id().to_owned())
                    .collect(),
            }),
            (None, _) => Err(TokenError::NeverSeen {
                subject: format!("the site {cloud_id}"),
            }),
        }
    }

    /// The installations on this site that have a token now: one for each environment of the app,
    /// and perhaps one for each product.
    pub async fn on_site(&self, cloud_id: &str) -> Result<Vec<Installation>, TokenError> {
        let keeper = self.keeper().await;
        let here = |entry: &Entry| entry.about.cloud_ids().iter().any(|id| id == cloud_id);
        let asked = keeper.read(keeper.store().on_site(cloud_id)).await;
        let entries = match asked {
            Ok(sealed) => {
                let unwritten = keeper.unwritten().into_iter().filter(here).collect();
                merge(keeper, &sealed, unwritten)
            }
            // What this process has seen is better than nothing.
            Err(error) => match keeper.remembered_where(here) {
                none if none.is_empty() => return Err(error.into()),
                some => some,
            },
        };
        Ok(usable(keeper, &entries))
    }

    /// Every installation with a token that can be handed out, by id: those that a background task
    /// works for.
    pub async fn installations(&self) -> Result<Vec<Installation>, TokenError> {
        let keeper = self.keeper().await;
        let entries = self.all(keeper, None).await?;
        Ok(usable(keeper, &entries))
    }

    /// Removes an installation's token, here and in the store: for when the app is uninstalled.
    ///
    /// With an error the token is forgotten here, and is removed from the store once that is back.
    pub async fn remove(&self, installation_id: &str) -> Result<(), TokenError> {
        let keeper = self.keeper().await;
        Ok(keeper.remove(installation_id).await?)
    }

    /// Completes once every token that has come so far is in the store. With an error, writing goes
    /// on behind. An app that is told to stop does so by itself.
    pub async fn flush(&self) -> Result<(), TokenError> {
        let keeper = self.keeper().await;
        Ok(keeper.flush().await?)
    }

    /// What was seen, written, and what failed, in this process.
    pub fn counts(&self) -> TokenCounts {
        let keeper = self.0.keeper.get();
        keeper.map(|keeper| keeper.counts()).unwrap_or_default()
    }

    /// The keeper, once there is one.
    async fn keeper(&self) -> &Arc<Keeper> {
        let mut is_open = self.0.is_open.subscribe();
        loop {
            if let Some(keeper) = self.0.keeper.get() {
                return keeper;
            }
            let opened = is_open.wait_for(|is_open| *is_open);
            if tokio::time::timeout(PATIENCE, opened).await.is_err() {
                tracing::warn!(
                    "kept tokens are asked for, but no app serves with them: give them to \
                     `App::tokens`, or call `Tokens::open`"
                );
                // Once is enough.
                let _ = is_open.wait_for(|is_open| *is_open).await;
            }
        }
    }

    /// A token that can be handed out, and the time at which that was so.
    async fn find(&self, installation_id: &str) -> Result<(Entry, SystemTime), TokenError> {
        let keeper = self.keeper().await;
        let (now, elapsed) = (keeper.clock.now(), keeper.clock.elapsed());
        let remembered = keeper.remembered(installation_id);
        let enough = now + keeper.margin;
        if let Some(entry) = &remembered
            && entry.expires_at > enough
            && entry.is_trusted(now, elapsed)
        {
            return Ok((entry.clone(), now));
        }
        if remembered.is_none() && keeper.is_removed(installation_id) {
            return Err(never_seen(installation_id));
        }
        let found = match keeper.read(keeper.store().get(installation_id)).await {
            Ok(Some(sealed)) => match keeper.open_token(&sealed) {
                Opened::Entry(entry) => Ok(entry),
                Opened::Foreign => Err(never_seen(installation_id)),
                Opened::Shut(reason) => Err(TokenError::Sealed {
                    installation_id: installation_id.to_owned(),
                    reason,
                }),
            },
            Ok(None) => {
                keeper.forget_written(installation_id);
                // One that waits to be written is there still.
                let unwritten = keeper.remembered(installation_id);
                return match unwritten {
                    Some(entry) => alive(entry, now, enough),
                    None => Err(never_seen(installation_id)),
                };
            }
            Err(error) => {
                keeper.trust_for_now(installation_id);
                Err(error.into())
            }
        };
        match (found, remembered) {
            (Ok(entry), _) => alive(entry, now, enough),
            // Memory's own still serves.
            (Err(_), Some(entry)) if entry.expires_at > enough => Ok((entry, now)),
            (Err(error), _) => Err(error),
        }
    }

    /// Every entry there is, in the store and waiting for it.
    async fn all(
        &self,
        keeper: &Keeper,
        ends_before: Option<SystemTime>,
    ) -> Result<Vec<Entry>, TokenError> {
        let mut sealed = Vec::new();
        let mut after = None;
        loop {
            let page = Page {
                after,
                limit: PAGE,
                ends_before,
            };
            let listed = keeper.read(keeper.store().list(page)).await?;
            sealed.extend(listed.tokens);
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        Ok(merge(keeper, &sealed, keeper.unwritten()))
    }

    /// For those who want to be told: tokens that end before this, the ended ones too.
    async fn ending_before(&self, time: SystemTime) -> Result<Vec<Installation>, TokenError> {
        let keeper = self.keeper().await;
        let now = keeper.clock.now();
        let entries = self.all(keeper, Some(time)).await?;
        Ok(entries
            .iter()
            .filter(|entry| entry.expires_at < time)
            .map(|entry| installation(entry, now))
            .collect())
    }
}

/// What the store has, and what still waits for it.
fn merge(keeper: &Keeper, sealed: &[SealedToken], unwritten: Vec<Entry>) -> Vec<Entry> {
    let by_id = |entry: Entry| (entry.about.installation_id.clone(), entry);
    let mut entries: BTreeMap<String, Entry> = unwritten.into_iter().map(by_id).collect();
    for token in sealed {
        if keeper.is_removed(&token.installation_id) {
            continue;
        }
        // The later of the store's and memory's comes back.
        if let Opened::Entry(entry) = keeper.open_token(token) {
            entries.insert(token.installation_id.clone(), entry);
        }
    }
    entries.into_values().collect()
}

/// Those that can be handed out now.
fn usable(keeper: &Keeper, entries: &[Entry]) -> Vec<Installation> {
    let now = keeper.clock.now();
    let enough = now + keeper.margin;
    let usable = entries.iter().filter(|entry| entry.expires_at > enough);
    usable.map(|entry| installation(entry, now)).collect()
}

fn never_seen(installation_id: &str) -> TokenError {
    TokenError::NeverSeen {
        subject: installation_id.to_owned(),
    }
}

fn alive(
    entry: Entry,
    now: SystemTime,
    enough: SystemTime,
) -> Result<(Entry, SystemTime), TokenError> {
    if entry.expires_at > enough {
        return Ok((entry, now));
    }
    Err(TokenError::Ended {
        installation_id: entry.about.installation_id.clone(),
        since: now.duration_since(entry.expires_at).unwrap_or_default(),
    })
}

fn installation(entry: &Entry, now: SystemTime) -> Installation {
    Installation {
        about: Arc::clone(&entry.about),
        expires_at: entry.expires_at,
        remaining: entry.expires_at.duration_since(now).unwrap_or_default(),
    }
}

/// Taking them in.
impl Tokens {
    /// Looks at a verified request of an endpoint that asks for a system token, and keeps the one
    /// it brings. Costs a look-up when the token is known.
    pub(crate) fn observe(&self, claims: &Claims, headers: &HeaderMap, by_platform: bool) {
        let Some(keeper) = self.0.keeper.get() else {
            return;
        };
        let now = keeper.clock.now();
        let known = |token: &[u8]| {
            keeper.knows(claims.installation_id(), |entry| {
                entry.token.as_bytes() == token
                    && entry.about.agrees_with(claims)
                    // One of unknown life is good for another 2 hours whenever it is delivered.
                    && entry.expires_at > now + UNKNOWN_LIFE / 2
            })
        };
        let Some(token) = new_system_token(headers, known) else {
            return;
        };
        if !by_platform && !self.takes_from_pages() {
            return;
        }
        let read = SystemToken::kept(token).expires_at();
        let expires_at = read.unwrap_or(now + UNKNOWN_LIFE).min(now + LONGEST_LIFE);
        if expires_at <= now {
            tracing::warn!("a delivered system token has ended already; it is not kept");
            return;
        }
        let token = Zeroizing::new(token.to_owned());
        keeper.keep(About::of(claims), token, expires_at);
    }

    fn takes_from_pages(&self) -> bool {
        let takes = self.settings().from_pages;
        if !takes && self.0.told_about_pages.set(()).is_ok() {
            tracing::info!(
                "system tokens that come with pages' calls are not kept: see `Tokens::from_pages`"
            );
        }
        takes
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
