//! The shared client: connections, allowed hosts, timeout and retries.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::Url;

use super::calling_handler::{AppScopes, CallingHandler};
use super::clouds::IsolatedCloud;
use super::clouds::{self, CloudUrls};
use super::hosts::{self, Hosts, InvalidHost};
use super::permission_cache::PermissionCache;
use super::retry::RetryPolicy;
use super::token_caches::{ProofCache, Turns, UserTokenCache};
use crate::fit::{Clock, SystemClock};
use crate::http_client::{ClientBuildError, LazyClient, Network};
use crate::opaque::Opaque;
use crate::token::Tokens;

/// Timeout for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of Atlassian's APIs for every installation.
///
/// It holds the connections, the hosts that tokens may be sent to, and the timeout and retry policy.
/// Clones share connections and hosts; each clone has its own timeout and retry policy. The hosts and
/// the clock are fixed once the app is built.
///
/// Handlers use the app's client through [`Invocation`](crate::Invocation), or take it as an argument.
/// Background work gets a clone: see the [module](super).
#[derive(Clone)]
pub struct AtlassianClient {
    pub(super) shared: Opaque<Shared>,
    pub(super) options: CallOptions,
}

/// The options of calls; each clone has its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallOptions {
    pub(super) timeout: Duration,
    pub(super) response_limit: usize,
    pub(super) retries: RetryPolicy,
    /// The end of the caller's wait, on the clock's `elapsed`.
    pub(super) deadline: Option<Duration>,
    /// The handler that makes the calls, if its scopes are checked.
    pub(super) handler: Option<CallingHandler>,
}

pub(super) struct Shared {
    settings: Mutex<Arc<ClientSettings>>,
    https: LazyClient,
    loopback: LazyClient,
    pub(super) user_tokens: UserTokenCache,
    /// Atlassian's verdicts on the tokens of pages' calls.
    pub(super) proofs: ProofCache,
    pub(super) turns: Turns,
    /// The scopes that admins granted.
    pub(super) permissions: PermissionCache,
    /// The app's stored tokens, if it stores them.
    pub(super) tokens: OnceLock<Tokens>,
}

#[derive(Clone)]
pub(super) struct ClientSettings {
    pub(super) hosts: Hosts,
    /// The base URL of GraphQL and Forge's own APIs, except in isolated clouds.
    pub(super) platform: String,
    /// The isolated clouds, by their labels.
    pub(super) clouds: BTreeMap<String, CloudUrls>,
    /// Whether the app declares scopes for [`ProductApi::impersonate`](super::ProductApi::impersonate); unknown without
    /// an app.
    pub(super) impersonates: Option<bool>,
    /// The scopes that the app's code declares; none without an app.
    pub(super) scopes: Arc<AppScopes>,
    are_fixed: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for AtlassianClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings();
        f.debug_struct("AtlassianClient")
            .field("hosts", &settings.hosts)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Default for AtlassianClient {
    fn default() -> Self {
        Self::new()
    }
}

/// Configuration.
impl AtlassianClient {
    /// Creates a client that calls only `https://api.atlassian.com` and `https://api.bitbucket.org`.
    pub fn new() -> Self {
        let settings = ClientSettings {
            hosts: Hosts::default(),
            platform: hosts::PLATFORM.to_owned(),
            clouds: BTreeMap::new(),
            impersonates: None,
            scopes: Arc::default(),
            are_fixed: false,
            clock: Arc::new(SystemClock::default()),
        };
        Self {
            shared: Opaque::new(Shared {
                settings: Mutex::new(Arc::new(settings)),
                https: LazyClient::default(),
                loopback: LazyClient::default(),
                user_tokens: UserTokenCache::default(),
                proofs: ProofCache::default(),
                turns: Turns::default(),
                permissions: PermissionCache::default(),
                tokens: OnceLock::new(),
            }),
            options: CallOptions {
                timeout: Duration::from_secs(10),
                response_limit: 16 * 1024 * 1024,
                retries: RetryPolicy::new(),
                deadline: None,
                handler: None,
            },
        }
    }

    /// Creates a client for tests, which calls only a mock server on this machine over http.
    ///
    /// GraphQL and storage are called there, and so are installations whose base URLs point to it.
    pub fn on_loopback(origin: &str) -> Result<Self, InvalidHost> {
        let this = Self::new();
        this.use_loopback(origin)?;
        Ok(this)
    }

    /// Like [`on_loopback`](Self::on_loopback), for the app's client, which may have clones.
    pub(crate) fn use_loopback(&self, origin: &str) -> Result<(), InvalidHost> {
        self.forbid_others();
        self.try_change(|settings| {
            settings.platform = settings.hosts.allow_loopback(origin)?;
            Ok(())
        })
    }

    /// Allows only loopback from now on: a local platform's tokens are useless elsewhere.
    pub(crate) fn forbid_others(&self) {
        self.change(|settings| settings.hosts.forbid_others());
    }

    /// Also allows this host to receive the tokens of **every** installation, for example your own proxy.
    ///
    /// The host's operator can then act as the app.
    pub fn allow_host(self, url: &str) -> Result<Self, InvalidHost> {
        self.configure(|settings| settings.hosts.allow(url))?;
        Ok(self)
    }

    /// Configures an isolated cloud, for a program without an [`App`](crate::App).
    ///
    /// An app uses [`App::isolated_cloud`](crate::App::isolated_cloud) instead.
    pub fn isolated_cloud(
        self,
        label: &str,
        cloud: impl Into<IsolatedCloud>,
    ) -> Result<Self, InvalidHost> {
        let cloud = cloud.into();
        self.configure(|settings| settings.add_cloud(label, &cloud))?;
        Ok(self)
    }

    /// Sets the timeout of one attempt, including its response (default: 10 seconds).
    ///
    /// Connecting may take 5 seconds of it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets the maximum size of a response, in bytes (default: 16 MiB).
    #[must_use]
    pub fn response_limit(mut self, bytes: usize) -> Self {
        self.options.response_limit = bytes;
        self
    }

    /// Sets the retry policy.
    #[must_use]
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.options.retries = retries;
        self
    }

    /// Sets the clock, for tests.
    ///
    /// A built app replaces this clock by its own ([`App::clock`](crate::App::clock)).
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        if self.settings().are_fixed {
            tracing::warn!("`AtlassianClient::clock` has no effect: the app is already running");
            return self;
        }
        self.use_clock(&(Arc::new(clock) as Arc<dyn Clock>));
        self
    }

    /// Allows the staging cloud, for an app of that cloud.
    pub(crate) fn allow_staging(&self) {
        self.change(|settings| settings.hosts.allow_staging());
    }

    /// Configures an isolated cloud of the app.
    pub(crate) fn use_cloud(&self, label: &str, cloud: &IsolatedCloud) -> Result<(), InvalidHost> {
        self.try_change(|settings| settings.add_cloud(label, cloud))
    }

    /// Records whether the app declares scopes for impersonated users.
    pub(crate) fn impersonates(&self, declared: bool) {
        self.change(|settings| settings.impersonates = Some(declared));
    }

    /// Records the scopes that the app's code declares.
    pub(crate) fn declares(&self, scopes: AppScopes) {
        self.change(|settings| settings.scopes = Arc::new(scopes));
    }

    pub(crate) fn use_clock(&self, clock: &Arc<dyn Clock>) {
        self.change(|settings| settings.clock = Arc::clone(clock));
        // Their lifetimes are measured on the previous clock.
        self.shared.user_tokens.forget_all();
        self.shared.proofs.forget_all();
        self.shared.permissions.forget_all();
    }

    /// Sets the app's stored tokens: pages' tokens are compared with them, and rejections are reported
    /// there.
    pub(crate) fn use_tokens(&self, tokens: &Tokens) {
        // If several apps share the client, the first one's tokens are used.
        let _ = self.shared.tokens.set(tokens.clone());
    }

    fn change(&self, change: impl FnOnce(&mut ClientSettings)) {
        let settings = self.shared.settings.lock();
        change(Arc::make_mut(
            &mut settings.unwrap_or_else(PoisonError::into_inner),
        ));
    }

    /// Fixes the hosts once the app is built, so that no handler can allow another host.
    pub(crate) fn fix_hosts(&self) {
        self.change(|settings| settings.are_fixed = true);
    }

    fn configure(
        &self,
        change: impl FnOnce(&mut ClientSettings) -> Result<(), InvalidHost>,
    ) -> Result<(), InvalidHost> {
        self.try_change(|settings| {
            if settings.are_fixed {
                return Err(InvalidHost::TooLate);
            }
            change(settings)
        })
    }

    fn try_change(
        &self,
        change: impl FnOnce(&mut ClientSettings) -> Result<(), InvalidHost>,
    ) -> Result<(), InvalidHost> {
        let mut result = Ok(());
        self.change(|settings| result = change(settings));
        result
    }

    pub(super) fn settings(&self) -> Arc<ClientSettings> {
        let settings = self.shared.settings.lock();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the HTTP client for this URL. If it cannot be built, for example because no certificates
    /// were found, the next call tries again.
    pub(super) fn http(&self, url: &Url) -> Result<&reqwest::Client, ClientBuildError> {
        let network = Network::of(url);
        let client = match network {
            Network::Loopback => &self.shared.loopback,
            Network::Https => &self.shared.https,
        };
        client.get(|| network.client().connect_timeout(CONNECT_TIMEOUT))
    }
}

impl ClientSettings {
    fn add_cloud(&mut self, label: &str, cloud: &IsolatedCloud) -> Result<(), InvalidHost> {
        if !clouds::is_label(label) {
            return Err(InvalidHost::NotLabel(label.to_owned()));
        }
        self.clouds.insert(label.to_owned(), cloud.urls()?);
        Ok(())
    }

    /// Returns the settings for an installation of this isolated cloud: tokens go only to its hosts.
    pub(super) fn of_cloud(&self, label: &str) -> Self {
        let own = self.clouds.get(label).map(|cloud| &cloud.origins);
        Self {
            hosts: self.hosts.of_cloud(own.unwrap_or(&Default::default())),
            ..self.clone()
        }
    }
}

/// The deadline of calls.
impl AtlassianClient {
    /// Removes the deadline, for work that continues after the handler's response.
    ///
    /// Calls are then retried as [`RetryPolicy`] describes, whether Forge still waits or not.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// #[endpoint(auth = system, scopes = ["read:jira-work"])]
    /// async fn import(call: Invocation, token: SystemToken) {
    ///     let atlassian = call.atlassian().clone().without_deadline();
    ///     let jira = atlassian.jira(&call).as_app(&token);
    ///     call.spawn(async move {
    ///         jira.get("/rest/api/3/project/search").send().await?;
    ///         Ok(())
    ///     });
    /// }
    /// ```
    #[must_use]
    pub fn without_deadline(mut self) -> Self {
        self.options.deadline = None;
        self
    }

    /// Sets the deadline: the caller waits for this long from now.
    pub(crate) fn responding_within(mut self, time: Duration) -> Self {
        let settings = self.shared.settings.lock();
        let settings = settings.unwrap_or_else(PoisonError::into_inner);
        let now = settings.clock.elapsed();
        drop(settings);
        self.options.deadline = Some(now.saturating_add(time));
        self
    }
}
