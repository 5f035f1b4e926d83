//! The builder of an app.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use super::background::{Background, Task};
use super::engine::JobsSetting;
use super::layer_stack::Layers;
use super::limits::Limits;
use super::route_table::OwnRoutes;
use super::service::UNKNOWN_KEY;
use super::span_observer::OnSpan;
use crate::client::{AtlassianClient, IsolatedCloud};
use crate::diagnostic::{Diagnostic, Rule};
use crate::error::{BoxError, Result};
use crate::extract::StateMap;
use crate::fit::{Clock, JwksPolicy, KeySource, SystemClock, VerificationPolicy};
use crate::jobs::Guarantees;
use crate::manifest::{ManifestReader, Remote};
use crate::registry::{Location, Registry};
use crate::token::Tokens;

/// A state that a future makes.
pub(crate) struct PendingState {
    pub(crate) id: TypeId,
    pub(crate) name: &'static str,
    pub(crate) value: MakeState,
}

type MakeState = Pin<Box<dyn Future<Output = Result<InsertState, BoxError>> + Send>>;
type InsertState = Box<dyn FnOnce(&mut StateMap) -> bool + Send>;

/// The builder of a Forge remote: handlers, state and server settings.
///
/// ```no_run
/// use forge_remote::prelude::*;
///
/// #[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:confluence-content.summary"])]
/// async fn refresh_index(call: Invocation, token: SystemToken) -> Result<()> {
///     # let _ = (call, token);
///     Ok(())
/// }
///
/// #[tokio::main]
/// async fn main() -> Result<()> {
///     App::new()
///         .remote(Remote::new("backend").base_url("https://backend.example.com"))
///         .run()
///         .await
/// }
/// ```
///
/// Environment variables override the settings in the code: see [`configuration`](crate::configuration).
#[must_use = "an app does nothing until it runs"]
pub struct App {
    pub(crate) registry: Registry,
    pub(crate) remotes: Vec<Remote>,
    pub(crate) state: StateMap,
    pub(crate) pending_state: Vec<PendingState>,
    pub(crate) token_store: Option<Tokens>,
    pub(crate) jobs: Option<JobsSetting>,
    /// See [`Self::require_guarantees`].
    pub(crate) required_guarantees: Guarantees,
    pub(crate) client: AtlassianClient,
    pub(crate) app_ids: Vec<String>,
    pub(crate) manifest_path: Option<PathBuf>,
    pub(crate) manifest_reader: ManifestReader,
    pub(crate) bind: Option<String>,
    pub(crate) jwks_url: Option<String>,
    pub(crate) key_source: Option<Box<dyn KeySource>>,
    pub(crate) staging_cloud: bool,
    pub(crate) isolated_clouds: BTreeMap<String, IsolatedCloud>,
    pub(crate) jwks_policy: JwksPolicy,
    pub(crate) verification: VerificationPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) sample_bodies: BTreeMap<String, Vec<serde_json::Value>>,
    /// The data of the local platform; see [`Self::fixtures`].
    pub(crate) fixtures: Vec<serde_json::Value>,
    pub(crate) allowed_lints: BTreeSet<String>,
    /// The first call of [`Self::keep_tokens_fresh`].
    pub(crate) kept_fresh: Option<Location>,
    /// The handlers of [`Self::keep_tokens_fresh_by`], by key.
    pub(crate) kept_fresh_by: Vec<(String, Location)>,
    pub(crate) has_five_minute_cron: bool,
    /// Whether handlers with `cron` have routes: a local platform calls them directly.
    pub(crate) serves_cron: bool,
    pub(crate) prefer_granular_scopes: bool,
    pub(crate) without_token_scopes: bool,
    pub(crate) app_managed: bool,
    pub(crate) foreign_endpoints: BTreeSet<String>,
    /// `None` if the app does not list them.
    pub(crate) foreign_modules: Option<BTreeSet<String>>,
    /// Scopes, each with the place in the code that requires it.
    pub(crate) scopes: BTreeMap<String, String>,
    pub(crate) impersonation_scopes: BTreeMap<String, String>,
    pub(crate) background: Vec<Task>,
    pub(crate) layers: Layers,
    pub(crate) on_span: OnSpan,
    pub(crate) own_routes: Vec<OwnRoutes>,
    /// The hint at a FIT whose key is unknown.
    pub(crate) unknown_key_hint: &'static str,
    pub(crate) problems: Vec<Diagnostic>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("handlers", &self.registry.handlers().len())
            .field("remotes", &self.remotes)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Creates an app with these handlers, and no other setting.
    pub(super) fn with_registry(registry: Registry) -> Self {
        Self {
            registry,
            remotes: Vec::new(),
            state: StateMap::default(),
            pending_state: Vec::new(),
            token_store: None,
            jobs: None,
            required_guarantees: Guarantees::new(),
            client: AtlassianClient::new(),
            app_ids: Vec::new(),
            manifest_path: None,
            manifest_reader: ManifestReader::default(),
            bind: None,
            jwks_url: None,
            key_source: None,
            staging_cloud: false,
            isolated_clouds: BTreeMap::new(),
            jwks_policy: JwksPolicy::default(),
            verification: VerificationPolicy::default(),
            clock: Arc::new(SystemClock::default()),
            limits: Limits::default(),
            sample_bodies: BTreeMap::new(),
            fixtures: Vec::new(),
            allowed_lints: BTreeSet::new(),
            kept_fresh: None,
            kept_fresh_by: Vec::new(),
            has_five_minute_cron: false,
            serves_cron: false,
            prefer_granular_scopes: false,
            without_token_scopes: false,
            app_managed: false,
            foreign_endpoints: BTreeSet::new(),
            foreign_modules: None,
            scopes: BTreeMap::new(),
            impersonation_scopes: BTreeMap::new(),
            background: Vec::new(),
            layers: Layers::default(),
            on_span: OnSpan::default(),
            own_routes: Vec::new(),
            unknown_key_hint: UNKNOWN_KEY,
            problems: Vec::new(),
        }
    }

    /// Adds a remote. The first one is the default for handlers without `remote = "…"`.
    pub fn remote(mut self, remote: Remote) -> Self {
        self.remotes.push(remote);
        self
    }

    /// Adds a value that handlers take as `State<T>`; each call gets a clone. Add at most one value
    /// of each type.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.check_new_state::<T>();
        self.state.insert(value);
        self
    }

    /// Adds a problem if the app was given a value of this type.
    fn check_new_state<T: 'static>(&mut self) {
        let id = TypeId::of::<T>();
        let mut pending = self.pending_state.iter();
        if self.state.contains(id) || pending.any(|one| one.id == id) {
            let name = std::any::type_name::<T>();
            self.problems.push(duplicate_state(name));
        }
    }

    /// Adds a [`state`](Self::state) that a future makes, such as a database connection. The future
    /// runs when the app starts to serve, and not for commands such as `manifest` or `routes`, so
    /// these work without a database.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    /// # #[derive(Clone)] struct Db;
    /// # impl Db { async fn connect() -> std::io::Result<Self> { Ok(Self) } }
    ///
    /// let app = App::new().state_async(Db::connect());
    /// # let _ = app;
    /// ```
    pub fn state_async<T, E>(
        mut self,
        value: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Self
    where
        T: Clone + Send + Sync + 'static,
        E: Into<BoxError>,
    {
        let pending = async move {
            let value = value.await.map_err(Into::into)?;
            let insert: InsertState = Box::new(move |state: &mut StateMap| state.insert(value));
            Ok(insert)
        };
        self.check_new_state::<T>();
        self.pending_state.push(PendingState {
            id: TypeId::of::<T>(),
            name: std::any::type_name::<T>(),
            value: Box::pin(pending),
        });
        self
    }

    /// Sets the token store, which keeps the system tokens that Forge delivers, for work outside of
    /// requests and in other instances. Handlers take them as [`Tokens`]; other code uses a clone
    /// of the `Tokens` passed to this method. See [`token`](crate::token) for stores, keys and an
    /// overview.
    ///
    /// The store is connected when the app starts to serve, and not for commands such as
    /// `manifest`. If it is down, the app serves and retries; the body of `/readyz` reports it, and
    /// its status stays 200, because requests are served. `dev` keeps tokens in memory.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    /// use forge_remote::token::MemoryTokens;
    ///
    /// let tokens = Tokens::new(MemoryTokens::new());
    /// let app = App::new().token_store(tokens.clone());
    /// # let _ = app;
    /// ```
    pub fn token_store(mut self, tokens: impl Into<Tokens>) -> Self {
        let tokens = tokens.into();
        if !self.state.insert(tokens.clone()) {
            self.problems
                .push(duplicate_state(std::any::type_name::<Tokens>()));
        }
        self.token_store = Some(tokens);
        self
    }

    /// Adds a background task. It starts once the state is connected, and not for commands such as `manifest`. It runs
    /// until it returns `Ok` or the app stops, so write a loop for work that repeats. When the app stops, a task that
    /// takes [`Shutdown`](crate::Shutdown) is notified and waited for; other tasks are cancelled at their next await
    /// point once the last response is sent. `dev` runs tasks too, with its own tokens and APIs.
    ///
    /// The function takes up to six arguments: [`State<T>`](crate::State), [`Tokens`](crate::Tokens),
    /// [`AtlassianClient`](crate::client::AtlassianClient), [`AppJobs`](crate::jobs::AppJobs) and
    /// [`Shutdown`](crate::Shutdown). The app does not start if a value for one of them is missing. A task that fails
    /// or panics is logged and restarted, after 1 second at first and 1 minute at most.
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote::client::AtlassianClient;
    /// use forge_remote::prelude::*;
    /// use forge_remote::token::{Installation, MemoryTokens};
    ///
    /// async fn sync(tokens: Tokens, atlassian: AtlassianClient) -> Result<()> {
    ///     loop {
    ///         for installation in tokens.installations().await? {
    ///             // With `?`, one installation's failure would stop the work for the others.
    ///             if let Err(error) = sync_one(&installation, &tokens, &atlassian).await {
    ///                 eprintln!("{}: {error}", installation.installation_id());
    ///             }
    ///         }
    ///         tokio::time::sleep(Duration::from_secs(600)).await;
    ///     }
    /// }
    ///
    /// async fn sync_one(one: &Installation, tokens: &Tokens, atlassian: &AtlassianClient) -> Result<()> {
    ///     let token = tokens.system(one.installation_id()).await?;
    ///     let _confluence = atlassian.confluence(one).as_app(&token);
    ///     Ok(())
    /// }
    ///
    /// let app = App::new().token_store(MemoryTokens::new()).keep_tokens_fresh().background(sync);
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn background<A>(mut self, task: impl Background<A>) -> Self {
        let place = std::panic::Location::caller();
        self.background.push(Task::new(place, task));
        self
    }

    /// Sets the client for Atlassian's APIs: hosts, timeouts, retries. [`Invocation`](crate::Invocation)
    /// and every clone of it use these settings. See [`client`](crate::client).
    ///
    /// ```
    /// use forge_remote::client::{AtlassianClient, RetryPolicy};
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().client(AtlassianClient::new().retries(RetryPolicy::none()));
    /// # let _ = app;
    /// ```
    pub fn client(mut self, atlassian: AtlassianClient) -> Self {
        self.client = atlassian;
        self
    }

    /// Sets the app's id. Needed if neither `FORGE_REMOTE_APP_ID` nor the manifest sets it.
    pub fn app_id(self, id: impl Into<String>) -> Self {
        self.app_ids([id])
    }

    /// Sets the ids of several apps that this backend serves, for example variants of one app. FITs
    /// for each of them are accepted; [`Claims::app_id`](crate::fit::Claims::app_id) returns the app
    /// that a call is for.
    ///
    /// Stored tokens, lists of installations and records of removals are kept apart: in a handler,
    /// [`Tokens`] contains only the tokens of the app that the call is for. See
    /// [`Tokens::for_app`].
    ///
    /// The first id is used for new manifests and by `dev`.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().app_ids([
    ///     "8db33809-1f32-48bb-8c52-5877dab48107",
    ///     "8db33809-1f32-48bb-8c52-5877dab48108",
    /// ]);
    /// # let _ = app;
    /// ```
    pub fn app_ids(mut self, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.app_ids = ids.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the manifest's path.
    pub fn manifest_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.manifest_path = Some(path.into());
        self
    }

    /// Sets the address to listen on, e.g. `0.0.0.0:8080`.
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.bind = Some(address.into());
        self
    }

    /// Sets the URL of the key set: https, or http on loopback.
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.jwks_url = Some(url.into());
        self
    }

    /// Sets the source of the key set. It overrides [`jwks_url`](Self::jwks_url) and the environment.
    ///
    /// Anyone with a private key of this set can sign FITs that the app accepts.
    pub fn key_source(mut self, source: impl KeySource) -> Self {
        self.key_source = Some(Box::new(source));
        self
    }

    /// Accepts FITs of Atlassian's staging cloud too, verified with its key set. Production apps don't need it.
    pub fn staging_cloud(mut self) -> Self {
        self.staging_cloud = true;
        self
    }

    /// Accepts FITs of an isolated cloud, verified with its key set, and calls its installations' APIs in that cloud.
    /// `label` is the `icLabel` of its FITs; the cloud's onboarding provides these values. One app can serve the
    /// commercial cloud and any number of isolated ones.
    ///
    /// The key set's URL is enough for an app that calls no API.
    ///
    /// ```
    /// use forge_remote::client::IsolatedCloud;
    /// use forge_remote::prelude::*;
    ///
    /// let orange = IsolatedCloud::new("https://keys.orange.example/jwks.json")
    ///     .api_url("https://api.orange.example");
    /// let app = App::new().isolated_cloud("orange", orange);
    /// # let _ = app;
    /// ```
    pub fn isolated_cloud(
        mut self,
        label: impl Into<String>,
        cloud: impl Into<IsolatedCloud>,
    ) -> Self {
        self.isolated_clouds.insert(label.into(), cloud.into());
        self
    }

    /// Sets how key sets are cached and refreshed.
    pub fn jwks_policy(mut self, policy: JwksPolicy) -> Self {
        self.jwks_policy = policy;
        self
    }

    /// Sets how Forge Invocation Tokens are verified.
    pub fn verification(mut self, verification: VerificationPolicy) -> Self {
        self.verification = verification;
        self
    }

    /// Sets the clock, for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a JSON body that `dev` sends to handlers with this key, if they take a body: `dev --once` makes a call
    /// with each. A body with an `eventType` is sent for that event of a trigger; a body without one is sent for
    /// each other event.
    pub fn sample_body(mut self, key: impl Into<String>, body: impl serde::Serialize) -> Self {
        let key = key.into();
        match serde_json::to_value(body) {
            Ok(body) => {
                self.sample_bodies.entry(key).or_default().push(body);
            }
            Err(error) => self.problems.push(Diagnostic::error(
                &BAD_SAMPLE,
                format!("the sample for `{key}` cannot be written as JSON: {error}"),
                "give `App::sample_body` a value whose maps have text for keys",
            )),
        }
        self
    }

    /// Fills the local Confluence and Jira that `dev` and the test kit serve. The format is that of
    /// `dev --fixtures`, which replaces sections that both have; see
    /// [`local_data`](crate::local_data).
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().fixtures(serde_json::json!({
    ///     "pages": [{ "title": "Stale", "version": { "createdAt": "2025-01-31T09:00:00.000Z" } }],
    ///     "issues": [{ "key": "DEV-7", "fields": { "summary": "Water the plants" } }],
    /// }));
    /// # let _ = app;
    /// ```
    pub fn fixtures(mut self, fixtures: impl serde::Serialize) -> Self {
        match serde_json::to_value(fixtures) {
            Ok(fixtures) => self.fixtures.push(fixtures),
            Err(error) => self.problems.push(Diagnostic::error(
                &BAD_SAMPLE,
                format!("the fixtures cannot be written as JSON: {error}"),
                "give `App::fixtures` a value whose maps have text for keys",
            )),
        }
        self
    }

    /// Declares that another service serves these endpoints of the manifest, although they name one of this app's
    /// remotes. Neither they nor the modules that name them are compared or changed.
    ///
    /// No handler of Forge's own calls accepts a FIT that names one of these keys, or a module of the manifest that
    /// names only these endpoints. A name with a variable does not count: its default may not be the deployed value.
    /// Where the app has no manifest to read, which is logged at launch, list the keys of these modules in
    /// [`foreign_modules`](Self::foreign_modules). A page's FIT names the page's module and no endpoint, so an
    /// [`endpoint`](crate::endpoint) handler accepts it, unless its option `pages` leaves out that module.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().foreign_endpoints(["other-service"]);
    /// # let _ = app;
    /// ```
    pub fn foreign_endpoints(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.foreign_endpoints
            .extend(keys.into_iter().map(Into::into));
        self
    }

    /// Declares that these modules of the manifest are another service's, although they name an endpoint of this app.
    /// They are neither compared nor changed, and no handler of Forge's own calls accepts a FIT that names one of them.
    ///
    /// It is also the list of the modules that name [`foreign_endpoints`](Self::foreign_endpoints), for an app that runs
    /// without its manifest: with both, list the modules of those endpoints too, which `manifest --check` compares with
    /// the file. An empty list declares that there are none. For each key with a variable, list its
    /// deployed values.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().foreign_modules(["nightly-report"]);
    /// # let _ = app;
    /// ```
    pub fn foreign_modules(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let modules = self.foreign_modules.get_or_insert_default();
        modules.extend(keys.into_iter().map(Into::into));
        self
    }

    /// Disables a manifest rule by its code. `explain CODE` explains each rule.
    ///
    /// Without the feature `cli` there are no such rules, and this has no effect.
    pub fn allow_lint(mut self, code: impl Into<String>) -> Self {
        let code = code.into();
        #[cfg(feature = "cli")]
        if crate::manifest::find_rule(&code).is_none() {
            self.problems.push(Diagnostic::error(
                &UNKNOWN_RULE,
                format!("`App::allow_lint(\"{code}\")`: there is no rule with this code"),
                "`explain` lists the codes",
            ));
        }
        self.allowed_lints.insert(code);
        self
    }
}

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&BAD_SAMPLE, &UNKNOWN_RULE, &DUPLICATE_STATE, &NO_TOKENS];

const BAD_SAMPLE: Rule = Rule::launch(
    "bad-sample",
    "The value given to `App::sample_body` or `App::fixtures` cannot be serialized as JSON, for example because a map \
    has keys that are not strings. Pass a value that serde_json can serialize.",
);

#[cfg(feature = "cli")]
const UNKNOWN_RULE: Rule = Rule::launch(
    "unknown-rule",
    "`App::allow_lint` disables a manifest rule by its code, and there is no rule with this code. \
    Correct the code: a finding shows it in brackets, as in `warning[base-url]`.",
);

const DUPLICATE_STATE: Rule = Rule::launch(
    "duplicate-state",
    "The app was given two values of one type, and `State<T>` could mean either. Wrap one of them in a new type.",
);

pub(super) const NO_TOKENS: Rule = Rule::launch(
    "no-tokens",
    "A handler or a background task takes `Tokens`, and the app has no store of tokens. Give it one with `App::token_store`.",
);

fn duplicate_state(name: &str) -> Diagnostic {
    Diagnostic::error(
        &DUPLICATE_STATE,
        format!("the app was given two values of type `{name}`"),
        "give each type once; for a second value of the same type, wrap it in a new type",
    )
}
