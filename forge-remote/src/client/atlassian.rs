//! The connections, the hosts that tokens may go to, and how calls are made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::Url;

use super::clouds::IsolatedCloud;
use super::clouds::{self, CloudUrls};
use super::hosts::{self, Hosts, InvalidHost};
use super::retry::RetryPolicy;
use super::token_caches::{Cache, Proofs, Turns};
use crate::fit::{Clock, SystemClock};
use crate::http_client::{ClientBuildError, LazyClient, Network};
use crate::opaque::Opaque;
use crate::token::Tokens;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Atlassian's APIs, for every installation: the connections, the hosts that tokens may go to, and
/// how calls are made. Clones share the first two; a clone's timeout and retries are its own. The
/// hosts and the clock are fixed once the app is built.
///
/// Handlers have the app's through [`Invocation`](crate::Invocation) and can take it as an argument. Background work
/// gets a clone: see the [module](super).
#[derive(Clone)]
pub struct AtlassianClient {
    pub(super) shared: Opaque<Shared>,
    pub(super) manner: Manner,
}

/// How calls are made: each handle's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) timeout: Duration,
    pub(super) response_limit: usize,
    pub(super) retries: RetryPolicy,
    /// When nobody waits any more, on the clock's `elapsed`.
    pub(super) deadline: Option<Duration>,
}

pub(super) struct Shared {
    settings: Mutex<Arc<Settings>>,
    https: LazyClient,
    loopback: LazyClient,
    pub(super) acting: Cache,
    /// What Atlassian said of the tokens that pages brought.
    pub(super) proofs: Proofs,
    pub(super) turns: Turns,
    /// The app's kept tokens, where it keeps some.
    pub(super) tokens: OnceLock<Tokens>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) hosts: Hosts,
    /// Where GraphQL and Forge's own APIs are, outside of isolated clouds.
    pub(super) platform: String,
    /// The isolated clouds, by their labels.
    pub(super) clouds: BTreeMap<String, CloudUrls>,
    /// Whether the app declares scopes for [`ProductApi::impersonate`](super::ProductApi::impersonate); unknown without an app.
    pub(super) impersonates: Option<bool>,
    are_fixed: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for AtlassianClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings();
        f.debug_struct("Atlassian")
            .field("hosts", &settings.hosts)
            .field("manner", &self.manner)
            .finish_non_exhaustive()
    }
}

impl Default for AtlassianClient {
    fn default() -> Self {
        Self::new()
    }
}

/// Setting up.
impl AtlassianClient {
    /// Calls `https://api.atlassian.com` and `https://api.bitbucket.org`, and nothing else.
    pub fn new() -> Self {
        let settings = Settings {
            hosts: Hosts::default(),
            platform: hosts::PLATFORM.to_owned(),
            clouds: BTreeMap::new(),
            impersonates: None,
            are_fixed: false,
            clock: Arc::new(SystemClock::default()),
        };
        Self {
            shared: Opaque::new(Shared {
                settings: Mutex::new(Arc::new(settings)),
                https: LazyClient::default(),
                loopback: LazyClient::default(),
                acting: Cache::default(),
                proofs: Proofs::default(),
                turns: Turns::default(),
                tokens: OnceLock::new(),
            }),
            manner: Manner {
                timeout: Duration::from_secs(10),
                response_limit: 16 * 1024 * 1024,
                retries: RetryPolicy::new(),
                deadline: None,
            },
        }
    }

    /// Calls a stand-in on this machine, by http, and nothing else: for tests. Installations whose
    /// base URLs point there are called there, and so are GraphQL and storage.
    pub fn on_loopback(origin: &str) -> Result<Self, InvalidHost> {
        let this = Self::new();
        this.use_loopback(origin)?;
        Ok(this)
    }

    /// As [`on_loopback`](Self::on_loopback), for the app's own, which clones have already.
    pub(crate) fn use_loopback(&self, origin: &str) -> Result<(), InvalidHost> {
        self.forbid_others();
        self.try_change(|settings| {
            settings.platform = settings.hosts.allow_loopback(origin)?;
            Ok(())
        })
    }

    /// Nothing but loopback from now on: a local platform's tokens are of no use elsewhere.
    pub(crate) fn forbid_others(&self) {
        self.change(|settings| settings.hosts.forbid_others());
    }

    /// Lets tokens of every installation go to this host too, e.g. a proxy of yours. Whoever runs
    /// it can then act as the app.
    pub fn allow_host(self, url: &str) -> Result<Self, InvalidHost> {
        self.configure(|settings| settings.hosts.allow(url))?;
        Ok(self)
    }

    /// Where the installations of an isolated cloud are called, for a program without an
    /// [`App`](crate::App); an app tells its own: [`App::isolated_cloud`](crate::App::isolated_cloud).
    pub fn isolated_cloud(
        self,
        label: &str,
        cloud: impl Into<IsolatedCloud>,
    ) -> Result<Self, InvalidHost> {
        let cloud = cloud.into();
        self.configure(|settings| settings.add_cloud(label, &cloud))?;
        Ok(self)
    }

    /// How long one attempt of a call may take, its answer included: 10 seconds unless told
    /// otherwise. (Connecting may take 5 of them.)
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.manner.timeout = timeout;
        self
    }

    /// The largest answer taken, in bytes: 16 MiB unless told otherwise.
    #[must_use]
    pub fn response_limit(mut self, bytes: usize) -> Self {
        self.manner.response_limit = bytes;
        self
    }

    /// How failed calls are made again.
    #[must_use]
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.manner.retries = retries;
        self
    }

    /// Another clock, for tests. An app gives its own, and keeps it: once the app is built, this
    /// changes nothing.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        if self.settings().are_fixed {
            tracing::warn!("`AtlassianClient::clock` changes nothing: the app runs already");
            return self;
        }
        self.use_clock(&(Arc::new(clock) as Arc<dyn Clock>));
        self
    }

    /// An app of the staging cloud calls that cloud.
    pub(crate) fn allow_staging(&self) {
        self.change(|settings| settings.hosts.allow_staging());
    }

    /// The app's isolated clouds.
    pub(crate) fn use_cloud(&self, label: &str, cloud: &IsolatedCloud) -> Result<(), InvalidHost> {
        self.try_change(|settings| settings.add_cloud(label, cloud))
    }

    /// Whether the app declares scopes for users who aren't in session.
    pub(crate) fn impersonates(&self, declared: bool) {
        self.change(|settings| settings.impersonates = Some(declared));
    }

    pub(crate) fn use_clock(&self, clock: &Arc<dyn Clock>) {
        self.change(|settings| settings.clock = Arc::clone(clock));
        // Their ends were counted on the other clock.
        self.shared.acting.forget_all();
        self.shared.proofs.forget_all();
    }

    /// The app's kept tokens: pages' tokens are compared with them, and refusals are reported there.
    pub(crate) fn use_tokens(&self, tokens: &Tokens) {
        // The first app's, where several share this.
        let _ = self.shared.tokens.set(tokens.clone());
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        let settings = self.shared.settings.lock();
        change(Arc::make_mut(
            &mut settings.unwrap_or_else(PoisonError::into_inner),
        ));
    }

    /// An app's handles, once it is built: no handler lets tokens go elsewhere.
    pub(crate) fn fix_hosts(&self) {
        self.change(|settings| settings.are_fixed = true);
    }

    fn configure(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<(), InvalidHost>,
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
        change: impl FnOnce(&mut Settings) -> Result<(), InvalidHost>,
    ) -> Result<(), InvalidHost> {
        let mut result = Ok(());
        self.change(|settings| result = change(settings));
        result
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        let settings = self.shared.settings.lock();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// The connections for this URL. A client that could not be built (no certificates were found,
    /// say) is built again when it is next needed.
    pub(super) fn http(&self, url: &Url) -> Result<&reqwest::Client, ClientBuildError> {
        let network = Network::of(url);
        let client = match network {
            Network::Loopback => &self.shared.loopback,
            Network::Https => &self.shared.https,
        };
        client.get(|| network.client().connect_timeout(CONNECT))
    }
}

impl Settings {
    fn add_cloud(&mut self, label: &str, cloud: &IsolatedCloud) -> Result<(), InvalidHost> {
        if !clouds::is_label(label) {
            return Err(InvalidHost::NotLabel(label.to_owned()));
        }
        self.clouds.insert(label.to_owned(), cloud.addresses()?);
        Ok(())
    }

    /// As an installation of this isolated cloud sees them: tokens go to its hosts.
    pub(super) fn of_cloud(&self, label: &str) -> Self {
        let own = self.clouds.get(label).map(|cloud| &cloud.origins);
        Self {
            hosts: self.hosts.of_cloud(own.unwrap_or(&Default::default())),
            ..self.clone()
        }
    }
}

/// How long somebody waits for what a handle's calls are for.
impl AtlassianClient {
    /// The same, for work that goes on after the handler has answered, or that answers nobody: its
    /// calls are made again as [`RetryPolicy`] say, whether Forge still waits or not.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// #[endpoint(auth = system)]
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
        self.manner.deadline = None;
        self
    }

    /// Somebody waits for this long from now.
    pub(crate) fn answered_within(mut self, time: Duration) -> Self {
        let now = self.settings().clock.elapsed();
        self.manner.deadline = Some(now.saturating_add(time));
        self
    }
}
