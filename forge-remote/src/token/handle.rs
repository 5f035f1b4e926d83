//! The handle to stored tokens, and its settings.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::callbacks::Callbacks;
use super::installation::{About, count_of};
use super::keeper::{Keeper, OwnApps};
use super::settings::{MIN_MARGIN, TokenSettings};
#[cfg(feature = "dev")]
use super::sources::Sources;
use super::store::TokenStore;
use crate::fit::{AppId, Claims, Clock, ClockHealth, Environment};

/// The app's stored system tokens, as an argument of handlers and as a handle outside of requests.
///
/// Clones share the tokens. The [module](super) describes how they are kept.
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
/// In a program without an [`App`](crate::App), such as a worker on another machine:
///
/// ```
/// # use forge_remote::token::{MemoryTokens, Tokens};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> forge_remote::Result<()> {
/// # let store = MemoryTokens::new();
/// let tokens = Tokens::new(store); // such as `PostgresTokens::new(url)`, the app's own store
/// tokens.open().await?;
/// for installation in tokens.installations().await? {
///     println!("{:?} left", installation.remaining());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tokens(pub(super) Arc<TokensState>, pub(super) AppScope);

/// The app whose installations a handle reaches; by default every app of the backend.
#[derive(Clone, Default)]
pub(super) struct AppScope {
    app_id: Option<Arc<str>>,
    /// The claims of the handler's call, whose installation is one of the app's.
    call: Option<Claims>,
}

impl AppScope {
    pub(super) fn of(app_id: &str) -> Self {
        Self {
            app_id: Some(app_id.into()),
            call: None,
        }
    }

    pub(super) fn has(&self, about: &About) -> bool {
        self.app_id.as_deref().is_none_or(|app| app == about.app_id)
    }

    /// Returns whether it leaves out some apps.
    pub(super) fn is_limited(&self) -> bool {
        self.app_id.is_some()
    }

    /// Returns whether an installation is the one of the handler's call.
    pub(super) fn was_called_for(&self, installation_id: &str) -> bool {
        self.claims_of(installation_id).is_some()
    }

    /// Returns the number of an installation's products, if it is the one of the handler's call.
    pub(super) fn products_of(&self, installation_id: &str) -> Option<u32> {
        count_of(&self.claims_of(installation_id)?.installation_contexts())
    }

    fn claims_of(&self, installation_id: &str) -> Option<&Claims> {
        let call = self.call.as_ref();
        call.filter(|claims| claims.installation_id() == installation_id)
    }
}

pub(super) struct TokensState {
    pub(super) settings: Mutex<TokenSettings>,
    pub(super) keeper: OnceLock<Arc<Keeper>>,
    pub(super) opening: tokio::sync::Mutex<()>,
    pub(super) is_open: watch::Sender<bool>,
    pub(super) own_apps: Arc<OwnApps>,
    pub(super) callbacks: Callbacks,
    pub(super) clock_health: Arc<ClockHealth>,
    pub(super) is_purged: OnceLock<()>,
    pub(super) has_warned_of_pages: OnceLock<()>,
    pub(super) has_warned_of_functions: OnceLock<()>,
    /// Where tokens came from, if a console shows it.
    #[cfg(feature = "dev")]
    pub(super) sources: OnceLock<Sources>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("store", &self.settings().store.name())
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// Lets [`App::token_store`](crate::App::token_store) accept a store as well.
impl<S: TokenStore> From<S> for Tokens {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

impl Tokens {
    pub(super) fn settings(&self) -> MutexGuard<'_, TokenSettings> {
        let settings = self.0.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.keeper.get().is_some()
    }
}

/// Settings, which have no effect after the tokens are opened.
impl Tokens {
    /// Creates a handle to the tokens in this store. The store is connected when the app starts to
    /// serve, or by [`open`](Self::open).
    pub fn new(store: impl TokenStore) -> Self {
        Self(
            Arc::new(TokensState {
                settings: Mutex::new(TokenSettings::new(Arc::new(store))),
                keeper: OnceLock::new(),
                opening: tokio::sync::Mutex::default(),
                is_open: watch::Sender::new(false),
                own_apps: Arc::default(),
                callbacks: Callbacks::default(),
                clock_health: Arc::default(),
                is_purged: OnceLock::new(),
                has_warned_of_pages: OnceLock::new(),
                has_warned_of_functions: OnceLock::new(),
                #[cfg(feature = "dev")]
                sources: OnceLock::new(),
            }),
            AppScope::default(),
        )
    }

    /// Returns a handle to the tokens of one app, for a backend of several
    /// ([`App::app_ids`](crate::App::app_ids)): the installations of other apps are neither found, nor
    /// listed, nor removed. A handler's `Tokens` are those of the app that called.
    ///
    /// ```
    /// use forge_remote::fit::AppId;
    /// use forge_remote::token::{MemoryTokens, Tokens};
    ///
    /// let lite: AppId = "8db33809-1f32-48bb-8c52-5877dab48107".parse()?;
    /// let tokens = Tokens::new(MemoryTokens::new());
    /// let of_lite = tokens.for_app(&lite);
    /// # let _ = of_lite;
    /// # Ok::<(), forge_remote::fit::InvalidAppId>(())
    /// ```
    #[must_use]
    pub fn for_app(&self, app_id: &AppId) -> Self {
        self.of_app(app_id.as_str())
    }

    /// Returns a handle to the tokens of a call's app.
    pub(crate) fn of_call(&self, claims: &Claims) -> Self {
        let mut tokens = self.of_app(claims.app_id());
        tokens.1.call = Some(claims.clone());
        tokens
    }

    /// Returns a handle to the tokens of the app with this id.
    pub(crate) fn of_app(&self, app_id: &str) -> Self {
        Self(Arc::clone(&self.0), AppScope::of(app_id))
    }

    /// Sets the keys that seal the tokens, if `FORGE_REMOTE_TOKEN_KEY` is not set: 32 bytes in base64,
    /// several separated by commas. The first encrypts; records of the others can still be decrypted.
    #[must_use]
    pub fn keys(self, keys: impl Into<String>) -> Self {
        let keys = Zeroizing::new(keys.into());
        self.set("keys", |settings| settings.keys = Some(keys));
        self
    }

    /// Sets the remaining life below which a token is not handed out (default: 60 seconds, at least
    /// 10).
    #[must_use]
    pub fn expiry_margin(self, margin: Duration) -> Self {
        self.set("expiry_margin", |settings| {
            settings.margin = margin.max(MIN_MARGIN)
        });
        self
    }

    /// Sets the number of tokens in memory (default: 20,000), of about 2 KB each.
    ///
    /// Other tokens are read from the store when they are needed. While the store is down, the tokens
    /// that expire first are dropped.
    #[must_use]
    pub fn memory_limit(self, tokens: usize) -> Self {
        self.set("memory_limit", |settings| settings.limit = tokens.max(1));
        self
    }

    /// Also keeps system tokens that arrive in calls of pages. Tokens in calls of web triggers and
    /// agents are never kept, see the [module](super#stored-tokens).
    ///
    /// A page's `invokeRemote` goes through Atlassian, which adds the token. But its `requestRemote`
    /// comes straight from the browser: the user has a valid Forge Invocation Token, can send any
    /// header with it, and so could inject another token for the app's background work. Turn this on
    /// only for apps without a schedule or event, whose users are all trusted with the app's
    /// permissions.
    ///
    /// With this setting, a stored token does not prove the token of a page's call: the handler gets the
    /// header's token, which is proven as described at
    /// [`SystemToken`](crate::SystemToken#on-a-pages-call).
    #[must_use]
    pub fn accept_from_pages(self) -> Self {
        self.settings().accept_from_pages = true;
        self
    }

    /// Also keeps system tokens that arrive in calls of the app's functions
    /// ([`function_call`](macro@crate::function_call)).
    ///
    /// A function writes the headers of its call, and Forge adds a token only if the installed version's remote requests
    /// one. Turn this on only if no function passes on the headers of a page's call: the page's user could inject another
    /// token for the app's background work. A schedule delivers tokens without this setting:
    /// [`App::keep_tokens_fresh`](crate::App::keep_tokens_fresh).
    ///
    /// With this setting, a stored token does not prove the token of a function's or a page's call, as with
    /// [`accept_from_pages`](Self::accept_from_pages).
    ///
    /// ```
    /// use forge_remote::Tokens;
    /// use forge_remote::token::MemoryTokens;
    ///
    /// let tokens = Tokens::new(MemoryTokens::new()).accept_from_functions();
    /// # let _ = tokens;
    /// ```
    #[must_use]
    pub fn accept_from_functions(self) -> Self {
        self.settings().accept_from_functions = true;
        self
    }

    /// Sets the clock, for tests (default: the app's clock).
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        let clock = Arc::new(clock);
        self.set("clock", |settings| settings.clock = clock);
        self
    }

    /// Restricts the tokens that are handed out, listed and counted to these environments.
    ///
    /// The default of an app is the environments that its verification accepts
    /// ([`VerificationPolicy::environments`](crate::fit::VerificationPolicy::environments)); without
    /// either setting, all.
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

    /// Changes a setting, unless the tokens are open already.
    pub(super) fn set(&self, name: &'static str, change: impl FnOnce(&mut TokenSettings)) {
        let is_open = self.is_open();
        let mut settings = self.settings();
        if is_open {
            tracing::error!(
                setting = name,
                "this setting has no effect, because the tokens are open already: change it before \
                 they are opened"
            );
            settings.too_late = Some(name);
        } else {
            change(&mut settings);
        }
    }

    /// Sets the clock to the app's, before the tokens are opened.
    pub(crate) fn use_clock(&self, clock: &Arc<dyn Clock>) {
        self.settings().clock = Arc::clone(clock);
    }
}
