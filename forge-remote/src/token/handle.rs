//! The handle to kept tokens, and its settings.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::callbacks::Callbacks;
use super::keeper::{Admission, Keeper};
use super::settings::{MIN_MARGIN, Settings};
use super::store::TokenStore;
use crate::fit::{Clock, ClockHealth, Environment};

/// The app's kept system tokens: an argument of handlers, and a handle for everything outside of
/// requests. Clones share them; see the [module](super) for the whole picture.
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
/// let tokens = Tokens::new(store); // `PostgresTokens::new(url)`, the one that the app writes to
/// tokens.open().await?;
/// for installation in tokens.installations().await? {
///     println!("{:?} left", installation.remaining());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tokens(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Mutex<Settings>,
    pub(super) keeper: OnceLock<Arc<Keeper>>,
    pub(super) opening: tokio::sync::Mutex<()>,
    pub(super) is_open: watch::Sender<bool>,
    pub(super) admission: Arc<Admission>,
    pub(super) callbacks: Callbacks,
    pub(super) clock_health: Arc<ClockHealth>,
    pub(super) is_purged: OnceLock<()>,
    pub(super) has_warned_of_pages: OnceLock<()>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("store", &self.settings().store.name())
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// So that [`App::token_store`](crate::App::token_store) takes a store as well.
impl<S: TokenStore> From<S> for Tokens {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

impl Tokens {
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        let settings = self.0.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Settings, which apply until the tokens are opened.
impl Tokens {
    /// Keeps tokens in this store. Nothing is connected until the app serves, or until
    /// [`open`](Self::open).
    pub fn new(store: impl TokenStore) -> Self {
        Self(Arc::new(Inner {
            settings: Mutex::new(Settings::new(Arc::new(store))),
            keeper: OnceLock::new(),
            opening: tokio::sync::Mutex::default(),
            is_open: watch::Sender::new(false),
            admission: Arc::default(),
            callbacks: Callbacks::default(),
            clock_health: Arc::default(),
            is_purged: OnceLock::new(),
            has_warned_of_pages: OnceLock::new(),
        }))
    }

    /// The keys that tokens are sealed with, where `FORGE_REMOTE_TOKEN_KEY` has none: 32 bytes in
    /// base64, several separated by commas. The first seals, all open.
    #[must_use]
    pub fn keys(self, keys: impl Into<String>) -> Self {
        let keys = Zeroizing::new(keys.into());
        self.set("keys", |settings| settings.keys = Some(keys));
        self
    }

    /// No token is handed out that ends within this time: default: 60 seconds, at
    /// least 10.
    #[must_use]
    pub fn expiry_margin(self, margin: Duration) -> Self {
        self.set("margin", |settings| {
            settings.margin = margin.max(MIN_MARGIN)
        });
        self
    }

    /// How many tokens stay in memory (default: 20,000), of about 2 KB each. More are
    /// read from the store when they are asked for; while the store is down, those that end first
    /// are dropped.
    #[must_use]
    pub fn memory_limit(self, tokens: usize) -> Self {
        self.set("memory_limit", |settings| settings.limit = tokens.max(1));
        self
    }

    /// Keeps tokens from pages' calls too; never those of a web trigger's or an agent's calls, see
    /// the [module](super#what-is-kept).
    ///
    /// A page's `invokeRemote` comes through Atlassian, with the token that Atlassian puts in. But
    /// its `requestRemote` comes straight from the browser: whoever sits there has a valid Forge
    /// Invocation Token, sends any header with it, and could so plant a token of his own for the
    /// app's background work. Turn this on for apps without a schedule or event, whose users are
    /// all trusted with what the app may do.
    ///
    /// Kept tokens then prove nothing about a page's own: pages' handlers get the header's token, which
    /// is proven as [`SystemToken`](crate::SystemToken#on-a-pages-call) says.
    #[must_use]
    pub fn accept_from_pages(self) -> Self {
        self.settings().accept_from_pages = true;
        self
    }

    /// Another clock, for tests. An app gives its own.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        let clock = Arc::new(clock);
        self.set("clock", |settings| settings.clock = clock);
        self
    }

    /// Only the tokens of installations in these environments are handed out, listed and counted.
    /// An app's are those that its verification accepts
    /// ([`VerificationPolicy::environments`](crate::fit::VerificationPolicy::environments)), unless this says
    /// otherwise; without either, all.
    ///
    /// ```
    /// use forge_remote::fit::Environment;
    /// use forge_remote::token::{MemoryTokens, Tokens};
    ///
    /// let tokens = Tokens::new(MemoryTokens::new()).environments([Environment::Production]);
    /// # let _ = tokens;
    /// ```
    #[must_use]
    pub fn environments(self, environments: impl IntoIterator<Item = Environment>) -> Self {
        let environments = environments.into_iter().collect();
        self.set("environments", |settings| {
            settings.environments = Some(environments)
        });
        self
    }

    /// A setting that counts until tokens are opened.
    pub(super) fn set(&self, name: &'static str, change: impl FnOnce(&mut Settings)) {
        let is_open = self.is_open();
        let mut settings = self.settings();
        if is_open {
            tracing::error!(
                setting = name,
                "kept tokens are open already: this setting comes too late, and changes nothing"
            );
            settings.too_late = Some(name);
        } else {
            change(&mut settings);
        }
    }

    /// The clock of the app, before it opens.
    pub(crate) fn use_clock(&self, clock: &Arc<dyn Clock>) {
        self.settings().clock = Arc::clone(clock);
    }
}
