//! Calls back to Atlassian: Jira, Confluence, Bitbucket, Compass, GraphQL and Forge's storage, as
//! the app or as a user.
//!
//! In a handler, from the call itself; the token that is handed over says who acts, and that it is
//! there was checked by the compiler when the handler took it:
//!
//! ```
//! use forge_remote::{path, prelude::*};
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct Page { id: String, title: String }
//!
//! #[endpoint(method = "GET", auth = user, scopes = ["read:page:confluence"])]
//! async fn title(call: Invocation, token: UserToken, Query(id): Query<String>) -> Result<Json<Page>> {
//!     let confluence = call.confluence().as_user(&token);
//!     Ok(Json(confluence.get(path!("/wiki/api/v2/pages/{}", id)).fetch().await?))
//! }
//! ```
//!
//! Outside of requests, from a kept [`Installation`], with the [`Atlassian`] that
//! [`App::background`](crate::App::background) hands in, or a clone of the one that was given to
//! [`App::atlassian`](crate::App::atlassian):
//!
//! ```
//! use forge_remote::client::Atlassian;
//! use forge_remote::prelude::*;
//! use forge_remote::token::MemoryTokens;
//! # use serde_json::Value;
//!
//! async fn count_pages(atlassian: Atlassian, tokens: Tokens) -> Result<()> {
//!     for installation in tokens.installations().await? {
//!         let token = tokens.system(installation.installation_id()).await?;
//!         let confluence = atlassian.confluence(&installation).as_app(&token);
//!         let mut pages = confluence.get("/wiki/api/v2/pages").query("limit", 250).pages::<Value>();
//!         let mut count = 0;
//!         while let Some(page) = pages.next().await {
//!             page?;
//!             count += 1;
//!         }
//!         println!("{count} pages");
//!     }
//!     Ok(())
//! }
//!
//! let app = App::new().tokens(MemoryTokens::new()).keep_tokens_fresh().background(count_pages);
//! # let _ = app;
//! ```
//!
//! It is thin: methods, paths and bodies are those of Atlassian's reference pages. What it does is
//! what is easily got wrong:
//!
//! - The base URL is the one that Forge gave for this installation and product.
//! - A token goes to Atlassian's hosts only, by https; see [`Atlassian::allow_host`]. Another base
//!   URL is refused before anything is sent, and redirects aren't followed.
//! - What varies in a path is encoded: [`Path`]. A path that was put together by hand doesn't compile.
//! - Every call ends: [`Atlassian::timeout`]. 429 and 503 are waited out where a call may be
//!   repeated: [`Retries`].
//! - Errors name the scope, the limit and the trace id: [`ClientError`].
//! - Pages come as a stream: [`Pages`].
//!
//! Another crate's client gets the same credentials from [`Client::base_url`] and the token's
//! `expose_secret()`, or [`Client::authorization`].

mod error;
mod graphql;
mod hosts;
mod impersonation;
mod pages;
mod path;
mod request;
mod retry;
mod scopes;
mod storage;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response as HttpResponse;
use reqwest::Url;

pub use error::{CallName, ClientError, RateLimit, StatusError};
pub use graphql::{Answer, GraphQl, GraphQlClient, Question};
pub use hosts::InvalidHost;
use hosts::STAGING;
pub use pages::Pages;
pub use path::{IntoPath, Path};
pub use request::{Request, Response, Sending};
pub use retry::Retries;
pub use storage::{
    Batch, Entities, FailedKey, FailedKeyError, Found, Item, Put, Query, Secrets, Storage,
    Transaction,
};

use crate::extract::{AppState, Invocation, SystemToken, UserToken};
use crate::fit::{Claims, Clock, InstallationContext, SystemClock};
use crate::opaque::Opaque;
use crate::response;
use crate::token::Installation;
use hosts::Hosts;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// An API, as messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Api {
    Jira,
    Confluence,
    Bitbucket,
    Compass,
    GraphQl,
    Storage,
    /// Forge's own, at `https://api.atlassian.com`.
    Platform,
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jira => "Jira",
            Self::Confluence => "Confluence",
            Self::Bitbucket => "Bitbucket",
            Self::Compass => "Compass",
            Self::GraphQl => "Atlassian's GraphQL",
            Self::Storage => "Forge storage",
            Self::Platform => "Forge",
        })
    }
}

/// Atlassian's APIs, for every installation: the connections, the hosts that tokens may go to, and
/// how calls are made. Clones share the first two; a clone's timeout and retries are its own.
///
/// Handlers have the app's through [`Invocation`] and can take it as an argument. Background work
/// gets a clone: see the [module](self).
#[derive(Clone)]
pub struct Atlassian {
    shared: Opaque<Shared>,
    manner: Manner,
}

/// How calls are made: each handle's own.
#[derive(Clone, Copy, Debug)]
struct Manner {
    timeout: Duration,
    response_limit: usize,
    retries: Retries,
}

struct Shared {
    settings: Mutex<Arc<Settings>>,
    https: OnceLock<Result<reqwest::Client, String>>,
    loopback: OnceLock<Result<reqwest::Client, String>>,
    acting: impersonation::Cache,
}

#[derive(Clone)]
struct Settings {
    hosts: Hosts,
    /// Where GraphQL and Forge's own APIs are.
    platform: String,
    storage: Option<String>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Atlassian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings();
        f.debug_struct("Atlassian")
            .field("hosts", &settings.hosts)
            .field("manner", &self.manner)
            .finish_non_exhaustive()
    }
}

impl Default for Atlassian {
    fn default() -> Self {
        Self::new()
    }
}

/// Setting up.
impl Atlassian {
    /// Calls `https://api.atlassian.com` and `https://api.bitbucket.org`, and nothing else.
    pub fn new() -> Self {
        let settings = Settings {
            hosts: Hosts::default(),
            platform: hosts::PLATFORM.to_owned(),
            storage: None,
            clock: Arc::new(SystemClock::default()),
        };
        Self {
            shared: Opaque::new(Shared {
                settings: Mutex::new(Arc::new(settings)),
                https: OnceLock::new(),
                loopback: OnceLock::new(),
                acting: impersonation::Cache::default(),
            }),
            manner: Manner {
                timeout: Duration::from_secs(10),
                response_limit: 16 * 1024 * 1024,
                retries: Retries::new(),
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

    /// Lets tokens go to this host too, e.g. `https://api.stg.atlassian.com`, or an isolated
    /// cloud's. Whoever runs it can then act as the app.
    pub fn allow_host(self, url: &str) -> Result<Self, InvalidHost> {
        self.try_change(|settings| settings.hosts.allow(url))?;
        Ok(self)
    }

    /// Where GraphQL and Forge's own APIs are, in place of `https://api.atlassian.com`: for an
    /// isolated cloud. The host is allowed with it.
    pub fn platform_url(self, url: &str) -> Result<Self, InvalidHost> {
        self.try_change(|settings| {
            settings.hosts.allow(url)?;
            settings.platform = url.trim_end_matches('/').to_owned();
            Ok(())
        })?;
        Ok(self)
    }

    /// Where Forge's storage is, in place of `https://api.atlassian.com/forge/storage/kvs`: for an
    /// isolated cloud. The host is allowed with it.
    pub fn storage_url(self, url: &str) -> Result<Self, InvalidHost> {
        self.try_change(|settings| {
            settings.hosts.allow(url)?;
            settings.storage = Some(url.trim_end_matches('/').to_owned());
            Ok(())
        })?;
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
    pub fn retries(mut self, retries: Retries) -> Self {
        self.manner.retries = retries;
        self
    }

    /// Another clock, for tests. An app gives its own.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.use_clock(&(Arc::new(clock) as Arc<dyn Clock>));
        self
    }

    /// An app of the staging cloud calls that cloud.
    pub(crate) fn allow_staging(&self) {
        // It is an https URL.
        let _ = self.try_change(|settings| settings.hosts.allow(STAGING));
    }

    pub(crate) fn use_clock(&self, clock: &Arc<dyn Clock>) {
        self.change(|settings| settings.clock = Arc::clone(clock));
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        let settings = self.shared.settings.lock();
        change(Arc::make_mut(
            &mut settings.unwrap_or_else(PoisonError::into_inner),
        ));
    }

    fn try_change(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<(), InvalidHost>,
    ) -> Result<(), InvalidHost> {
        let mut result = Ok(());
        self.change(|settings| result = change(settings));
        result
    }

    fn settings(&self) -> Arc<Settings> {
        let settings = self.shared.settings.lock();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// The connections for this URL. Loopback needs neither a proxy nor the system's certificates.
    fn http(&self, url: &Url) -> Result<&reqwest::Client, String> {
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(CONNECT)
                .user_agent(concat!("forge-remote/", env!("CARGO_PKG_VERSION")))
        };
        let (place, builder): (_, &dyn Fn() -> reqwest::ClientBuilder) =
            if hosts::is_plain_loopback(url) {
                (&self.shared.loopback, &|| {
                    builder().no_proxy().tls_certs_only([])
                })
            } else {
                (&self.shared.https, &|| builder().https_only(true))
            };
        let made = place.get_or_init(|| builder().build().map_err(|error| error.to_string()));
        made.as_ref().map_err(Clone::clone)
    }
}

/// What can be called for an installation.
impl Atlassian {
    /// Jira (and Jira Service Management), at the installation's base URL. Paths begin with
    /// `/rest/`.
    pub fn jira(&self, tenant: &impl Tenant) -> Product {
        Product::new(self, Api::Jira, tenant)
    }

    /// Confluence, at the installation's base URL. Paths begin with `/wiki/`.
    pub fn confluence(&self, tenant: &impl Tenant) -> Product {
        Product::new(self, Api::Confluence, tenant)
    }

    /// Bitbucket. Paths begin with `/2.0/`.
    pub fn bitbucket(&self, tenant: &impl Tenant) -> Product {
        Product::new(self, Api::Bitbucket, tenant)
    }

    /// Forge's own REST APIs, at `https://api.atlassian.com`: `/forge/app/v1/license`.
    pub fn platform(&self, tenant: &impl Tenant) -> Product {
        Product::new(self, Api::Platform, tenant)
    }
}

/// Where calls are made for: a verified call ([`Invocation`], [`Claims`]) or a kept
/// [`Installation`].
pub trait Tenant: sealed::Tenant {}

impl<T: sealed::Tenant> Tenant for T {}

mod sealed {
    use super::*;

    /// Claims that say where to call.
    pub trait Tenant {
        fn installation_id(&self) -> &str;
        fn api_base_url(&self) -> Option<&str>;
        fn contexts(&self) -> Vec<InstallationContext>;
        /// The trace to go on with: trace id and span id.
        fn trace(&self) -> [Option<&str>; 2] {
            [None, None]
        }
    }

    impl Tenant for Claims {
        fn installation_id(&self) -> &str {
            self.installation_id()
        }

        fn api_base_url(&self) -> Option<&str> {
            self.api_base_url()
        }

        fn contexts(&self) -> Vec<InstallationContext> {
            self.installation_contexts()
        }
    }

    impl Tenant for Invocation {
        fn installation_id(&self) -> &str {
            self.claims().installation_id()
        }

        fn api_base_url(&self) -> Option<&str> {
            self.claims().api_base_url()
        }

        fn contexts(&self) -> Vec<InstallationContext> {
            self.installation_contexts()
        }

        fn trace(&self) -> [Option<&str>; 2] {
            [self.trace_id(), self.span_id()]
        }
    }

    impl Tenant for Installation {
        fn installation_id(&self) -> &str {
            self.installation_id()
        }

        fn api_base_url(&self) -> Option<&str> {
            self.api_base_url()
        }

        fn contexts(&self) -> Vec<InstallationContext> {
            self.installation_contexts()
        }
    }
}

/// Atlassian's APIs, for the installation that the call comes from.
impl Invocation {
    /// Jira: see [`Atlassian::jira`].
    pub fn jira(&self) -> Product {
        self.atlassian().jira(self)
    }

    /// Confluence: see [`Atlassian::confluence`].
    pub fn confluence(&self) -> Product {
        self.atlassian().confluence(self)
    }

    /// Bitbucket: see [`Atlassian::bitbucket`].
    pub fn bitbucket(&self) -> Product {
        self.atlassian().bitbucket(self)
    }

    /// Forge's own REST APIs: see [`Atlassian::platform`].
    pub fn platform(&self) -> Product {
        self.atlassian().platform(self)
    }
}

/// The app's, as an argument of a handler.
impl FromRequestParts<AppState> for Atlassian {
    type Rejection = HttpResponse;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, HttpResponse> {
        // Every app has one.
        state.get().ok_or_else(response::internal_error)
    }
}

/// A product of an installation, before it is said who calls it.
///
/// A user's calls need the user's token:
///
/// ```compile_fail
/// # use forge_remote::prelude::*;
/// fn wrong(call: &Invocation, token: &SystemToken) {
///     call.jira().as_user(token);
/// }
/// ```
#[derive(Clone)]
pub struct Product(Opaque<Place>);

struct Place {
    atlassian: Atlassian,
    api: Api,
    /// The names of the products there are, where this isn't among them.
    base: Result<String, String>,
    cloud_id: Option<String>,
    /// Where GraphQL is for this installation.
    platform: String,
    installation_id: String,
    trace: [Option<HeaderValue>; 2],
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Product({})", self.0.api)
    }
}

impl Product {
    fn new(atlassian: &Atlassian, api: Api, tenant: &impl Tenant) -> Self {
        let settings = atlassian.settings();
        let contexts = tenant.contexts();
        let found = |name: &str| find(name, &contexts, tenant.api_base_url());
        let platform = platform(&settings, &contexts, tenant.api_base_url());
        let (base, cloud_id) = match api {
            Api::Jira => found("jira"),
            Api::Confluence => found("confluence"),
            Api::Bitbucket => {
                let (base, _) = found("bitbucket");
                // One of the app's other products may act on Bitbucket too: it has one address.
                (base.or_else(|| Some(hosts::BITBUCKET.to_owned())), None)
            }
            Api::Storage => {
                let own = settings.storage.clone();
                let base = own.unwrap_or_else(|| format!("{platform}/forge/storage/kvs"));
                (Some(base), None)
            }
            Api::Compass => (
                Some(platform.clone()),
                found("compass").1.or_else(|| found("").1),
            ),
            Api::GraphQl | Api::Platform => (Some(platform.clone()), found("").1),
        };
        let present = || {
            let names: Vec<&str> = contexts.iter().map(|one| one.name.as_str()).collect();
            if names.is_empty() {
                "none named".to_owned()
            } else {
                names.join(", ")
            }
        };
        let header = |text: Option<&str>| HeaderValue::from_str(text?).ok();
        Self(Opaque::new(Place {
            atlassian: atlassian.clone(),
            api,
            base: base.ok_or_else(present),
            cloud_id,
            platform,
            installation_id: tenant.installation_id().to_owned(),
            trace: tenant.trace().map(header),
        }))
    }

    /// Calls it as the app.
    pub fn as_app(&self, token: &SystemToken) -> Client {
        self.client(token.authorization(), false)
    }

    /// Calls it as the user whose token this is: the acting one, or one [impersonated](Self::impersonate).
    pub fn as_user(&self, token: &UserToken) -> Client {
        self.client(token.authorization(), true)
    }

    /// The site's id, as far as Forge says it: some paths and GraphQL need it.
    pub fn cloud_id(&self) -> Option<&str> {
        self.0.cloud_id.as_deref()
    }

    /// GraphQL for the same installation.
    fn gateway(&self) -> Self {
        let place = &self.0;
        Self(Opaque::new(Place {
            atlassian: place.atlassian.clone(),
            api: Api::GraphQl,
            base: Ok(place.platform.clone()),
            cloud_id: place.cloud_id.clone(),
            platform: place.platform.clone(),
            installation_id: place.installation_id.clone(),
            trace: place.trace.clone(),
        }))
    }

    fn client(&self, authorization: HeaderValue, is_user: bool) -> Client {
        Client {
            place: self.0.clone(),
            authorization,
            is_user,
        }
    }
}

/// A product's base URL and site. An empty name takes any site.
fn find(
    name: &str,
    contexts: &[InstallationContext],
    api_base_url: Option<&str>,
) -> (Option<String>, Option<String>) {
    let context = contexts
        .iter()
        .find(|one| name.is_empty() || one.name == name);
    let from_url = api_base_url.filter(|url| {
        let wanted = if name.is_empty() {
            "/ex/".to_owned()
        } else {
            format!("/ex/{name}/")
        };
        url.contains(&wanted) || (name == "bitbucket" && *url == hosts::BITBUCKET)
    });
    let base = context
        .and_then(|one| one.api_base_url.as_deref())
        .or(from_url)
        .map(|url| url.trim_end_matches('/').to_owned());
    let cloud_id = context
        .and_then(|one| one.cloud_id.clone())
        .or_else(|| base.as_deref().and_then(cloud_id_of).map(str::to_owned));
    (base, cloud_id)
}

/// `https://api.atlassian.com/ex/jira/<cloudId>` → the id.
fn cloud_id_of(url: &str) -> Option<&str> {
    let (_, path) = url.split_once("/ex/")?;
    path.split('/').nth(1).filter(|id| !id.is_empty())
}

/// Where Forge's own APIs are for an installation: in the staging cloud they are the staging ones.
fn platform(
    settings: &Settings,
    contexts: &[InstallationContext],
    api_base_url: Option<&str>,
) -> String {
    let urls = contexts
        .iter()
        .filter_map(|one| one.api_base_url.as_deref());
    let staging = |url: &str| url.starts_with(&format!("{STAGING}/"));
    if settings.platform == hosts::PLATFORM && urls.chain(api_base_url).any(staging) {
        return STAGING.to_owned();
    }
    settings.platform.clone()
}

/// A product that is called as the app or as a user.
///
/// It has no `Debug` output beyond its API: it holds the token.
#[derive(Clone)]
pub struct Client {
    place: Opaque<Place>,
    authorization: HeaderValue,
    is_user: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.place.api)
    }
}

impl Client {
    /// A `GET`. See [`Path`] for what a path can be.
    pub fn get(&self, path: impl IntoPath) -> Request {
        self.request(Method::GET, path)
    }

    /// A `POST`. It is made once, unless it is marked [`idempotent`](Request::idempotent).
    pub fn post(&self, path: impl IntoPath) -> Request {
        self.request(Method::POST, path)
    }

    /// A `PUT`.
    pub fn put(&self, path: impl IntoPath) -> Request {
        self.request(Method::PUT, path)
    }

    /// A `PATCH`. It is made once, unless it is marked [`idempotent`](Request::idempotent).
    pub fn patch(&self, path: impl IntoPath) -> Request {
        self.request(Method::PATCH, path)
    }

    /// A `DELETE`.
    pub fn delete(&self, path: impl IntoPath) -> Request {
        self.request(Method::DELETE, path)
    }

    /// A call with this method.
    pub fn request(&self, method: Method, path: impl IntoPath) -> Request {
        Request::new(self.clone(), method, path.into_path())
    }

    /// The installation's base URL of this API, for another crate's client: an error where the
    /// app isn't installed in the product, and where it is a host that tokens don't go to.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// fn configure(call: &Invocation, token: &SystemToken) -> Result<(String, String)> {
    ///     let jira = call.jira().as_app(token);
    ///     Ok((jira.base_url()?.to_owned(), token.expose_secret().to_owned()))
    /// }
    /// ```
    pub fn base_url(&self) -> Result<&str, ClientError> {
        let api = self.place.api;
        let base = self
            .place
            .base
            .as_ref()
            .map_err(|present| ClientError::NotInstalled {
                api,
                present: present.clone(),
            })?;
        self.settings()
            .hosts
            .check(base)
            .map_err(|refused| ClientError::HostRefused {
                call: CallName {
                    api,
                    method: Method::GET,
                    path: "/".to_owned(),
                },
                origin: refused.origin,
                reason: refused.reason,
            })?;
        Ok(base)
    }

    /// `Bearer …`, for the `Authorization` header of another crate's client; marked sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    fn api(&self) -> Api {
        self.place.api
    }

    fn is_user(&self) -> bool {
        self.is_user
    }

    /// The token, to be taken out of what goes into messages.
    fn secret(&self) -> &str {
        let text = self.authorization.to_str().unwrap_or_default();
        text.strip_prefix("Bearer ").unwrap_or(text)
    }

    fn settings(&self) -> Arc<Settings> {
        self.place.atlassian.settings()
    }

    fn manner(&self) -> Manner {
        self.place.atlassian.manner
    }

    fn http(&self, url: &Url) -> Result<&reqwest::Client, String> {
        self.place.atlassian.http(url)
    }

    /// The headers of a call.
    fn headers(&self, given: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let names = ["x-b3-traceid", "x-b3-spanid"].map(HeaderName::from_static);
        for (name, value) in names.into_iter().zip(&self.place.trace) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        for (name, value) in given {
            headers.insert(name, value.clone());
        }
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers
    }
}
