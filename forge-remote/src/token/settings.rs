//! What is set before tokens are kept.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::callbacks::Callbacks;
use super::{Inner, TokenStore, Tokens};
use crate::fit::{Clock, Environment, SystemClock};

/// A token that is handed out must still be good when its call arrives.
const LEAST_MARGIN: Duration = Duration::from_secs(10);

pub(super) struct Settings {
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) keys: Option<Zeroizing<String>>,
    pub(super) margin: Duration,
    pub(super) limit: usize,
    pub(super) from_pages: bool,
    /// Between a removal and its callbacks.
    pub(super) removal_delay: Option<Duration>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) environments: Option<Vec<Environment>>,
    /// What was set when the store was open already.
    pub(super) too_late: Option<&'static str>,
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
                removal_delay: None,
                clock: Arc::new(SystemClock::default()),
                environments: None,
                too_late: None,
            }),
            keeper: OnceLock::new(),
            opening: tokio::sync::Mutex::default(),
            is_open: watch::Sender::new(false),
            admission: Arc::default(),
            callbacks: Callbacks::default(),
            clock_health: Arc::default(),
            watchers: Mutex::default(),
            is_purged: OnceLock::new(),
            told_about_pages: OnceLock::new(),
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

    /// No token is handed out that ends within this time: 60 seconds unless told otherwise, 10 at
    /// least.
    #[must_use]
    pub fn margin(self, margin: Duration) -> Self {
        self.set("margin", |settings| {
            settings.margin = margin.max(LEAST_MARGIN)
        });
        self
    }

    /// How many tokens stay in memory: 20,000 unless told otherwise, of about 2 KB each. More are
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
    pub fn from_pages(self) -> Self {
        self.settings().from_pages = true;
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
    /// ([`Verification::environments`](crate::fit::Verification::environments)), unless this says
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
