//! A product of an installation, and who calls it.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::Url;

use super::atlassian::{Manner, Settings};
use super::error::{CallName, ClientError};
use super::hosts::{self, STAGING};
use super::{Api, Atlassian, IntoPath, Request, Tenant, impersonation};
use crate::credentials::{Owner, SystemToken, UserToken, VerifiedCall};
use crate::fit::{InstallationContext, cloud_id_of};
use crate::http_client::ClientBuildError;
use crate::opaque::Opaque;
use crate::token::Tokens;

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
pub struct Product(pub(super) Opaque<Place>);

pub(super) struct Place {
    pub(super) atlassian: Atlassian,
    pub(super) api: Api,
    pub(super) base: Result<String, Nowhere>,
    pub(super) cloud_id: Option<String>,
    /// Where GraphQL is for this installation.
    platform: Result<String, Nowhere>,
    pub(super) installation_id: String,
    /// The label of the isolated cloud it is in.
    isolated_cloud: Option<String>,
    /// Whether the app supplied the base URL.
    is_supplied: bool,
    trace: [Option<HeaderValue>; 2],
}

/// Why an API can't be called for an installation.
#[derive(Clone, Debug)]
pub(super) enum Nowhere {
    /// The names of the products there are, where this isn't among them.
    NotInstalled(String),
    IsolatedCloud(String, &'static str),
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Product({})", self.0.api)
    }
}

impl Product {
    pub(super) fn new(atlassian: &Atlassian, api: Api, tenant: &impl Tenant) -> Self {
        let settings = atlassian.settings();
        let contexts = tenant.contexts();
        let found = |name: &str| find(name, &contexts, tenant.api_base_url());
        let label = tenant.isolated_cloud_label();
        let cloud = label.map(|label| settings.clouds.get(label).ok_or(label));
        let nowhere =
            |problem| Nowhere::IsolatedCloud(label.unwrap_or_default().to_owned(), problem);
        let platform = match &cloud {
            None => Ok(platform(&settings, &contexts, tenant.api_base_url())),
            Some(Err(_)) => Err(nowhere("the app knows no such cloud")),
            Some(Ok(cloud)) => {
                let given = cloud.platform.clone();
                given.ok_or_else(|| nowhere("it has neither `api_url` nor `platform_url`"))
            }
        };
        let present = || {
            let names: Vec<&str> = contexts.iter().map(|one| one.name.as_str()).collect();
            Nowhere::NotInstalled(if names.is_empty() {
                "none named".to_owned()
            } else {
                names.join(", ")
            })
        };
        let product = |name: &str| {
            let (base, cloud_id) = found(name);
            (base.ok_or_else(present), cloud_id)
        };
        let (base, cloud_id) = match api {
            Api::Jira => product("jira"),
            Api::Confluence => product("confluence"),
            Api::Bitbucket => (product("bitbucket").0, None),
            Api::Storage => {
                let base = match &cloud {
                    Some(Ok(cloud)) => {
                        let given = cloud.storage.clone();
                        given.ok_or_else(|| nowhere("it has neither `api_url` nor `storage_url`"))
                    }
                    _ => platform
                        .clone()
                        .map(|url| format!("{url}/forge/storage/kvs")),
                };
                (base, None)
            }
            Api::Compass => (platform.clone(), found("compass").1.or_else(|| found("").1)),
            Api::GraphQl | Api::Platform => (platform.clone(), found("").1),
        };
        let base = match cloud {
            Some(Err(_)) => Err(nowhere("the app knows no such cloud")),
            _ => base,
        };
        let header = |text: Option<&str>| HeaderValue::from_str(text?).ok();
        Self(Opaque::new(Place {
            atlassian: atlassian.clone(),
            api,
            base,
            cloud_id,
            platform,
            installation_id: tenant.installation_id().to_owned(),
            isolated_cloud: label.map(str::to_owned),
            is_supplied: tenant.is_supplied(),
            trace: tenant.trace().map(header),
        }))
    }

    /// Calls it as the app. A token of another installation is an error when a call is made, before
    /// anything is sent.
    pub fn as_app(&self, token: &SystemToken) -> Client {
        self.client(token.authorization(), false, token.owner())
    }

    /// Calls it as the user whose token this is: the acting one, or one
    /// [impersonated](Self::impersonate) for this product. A token of another installation is an
    /// error when a call is made, before anything is sent.
    pub fn as_user(&self, token: &UserToken) -> Client {
        self.client(token.authorization(), true, token.owner())
    }

    /// The site's id, as far as Forge says it: some paths and GraphQL need it.
    pub fn cloud_id(&self) -> Option<&str> {
        self.0.cloud_id.as_deref()
    }

    /// GraphQL for the same installation.
    pub(super) fn gateway(&self) -> Self {
        self.0.on_platform(Api::GraphQl)
    }

    /// What a user's token is exchanged for: `ari:cloud:jira::site/<cloudId>`.
    pub(super) fn context(&self) -> Option<String> {
        let product = match self.0.api {
            Api::Jira => "jira",
            Api::Confluence => "confluence",
            _ => return None,
        };
        let cloud_id = self.cloud_id()?;
        Some(format!("ari:cloud:{product}::site/{cloud_id}"))
    }

    /// Why a token isn't for this.
    pub(super) fn mismatch(&self, owner: Option<&Owner>) -> Option<&'static str> {
        let owner = owner?;
        if *owner.installation_id != *self.0.installation_id {
            return Some("the token is another installation's");
        }
        if self.0.is_supplied && !self.0.is_on(&owner.cloud_ids()) {
            return Some("the base URL is of another site than the token's installation");
        }
        let exchanged = owner.context.as_deref()?;
        // What else it opens, Atlassian doesn't say.
        let is_product = matches!(self.0.api, Api::Jira | Api::Confluence | Api::Bitbucket);
        (is_product && self.context().as_deref() != Some(exchanged)).then_some(
            "the user's token was obtained for another product or site: \
             call `impersonate` of the product that is called",
        )
    }

    /// Calls it with this text for a token.
    #[cfg(feature = "fuzzing")]
    pub(super) fn with_token(&self, token: &str) -> Client {
        let owner = Owner::of_local(&self.0.installation_id);
        self.as_app(&SystemToken::new(token, owner))
    }

    fn client(&self, authorization: HeaderValue, is_user: bool, owner: Option<&Owner>) -> Client {
        let unproven = owner.and_then(Owner::unproven);
        Client {
            place: self.0.clone(),
            authorization,
            is_user,
            mismatch: self.mismatch(owner),
            unproven: unproven
                .filter(|_| self.0.api.knows_tenant_by_token())
                .cloned(),
            tokens: None,
        }
    }
}

impl Place {
    /// One of the APIs that are where GraphQL is, for the same installation.
    pub(super) fn on_platform(&self, api: Api) -> Product {
        Product(Opaque::new(Place {
            atlassian: self.atlassian.clone(),
            api,
            base: self.platform.clone(),
            cloud_id: self.cloud_id.clone(),
            platform: self.platform.clone(),
            installation_id: self.installation_id.clone(),
            isolated_cloud: self.isolated_cloud.clone(),
            is_supplied: self.is_supplied,
            trace: self.trace.clone(),
        }))
    }

    /// Whether its base URL is of one of these sites. Other APIs than products have no site in
    /// their URLs, and where no site is known none is wrong.
    fn is_on(&self, sites: &[String]) -> bool {
        let names_site = matches!(self.api, Api::Jira | Api::Confluence);
        let Ok(base) = &self.base else {
            return true;
        };
        if !names_site || sites.is_empty() {
            return true;
        }
        match cloud_id_of(base) {
            Some(id) => sites.iter().any(|site| site == id),
            // Only Atlassian's own hosts are known to need one.
            None => self.atlassian.settings().hosts.is_added(base),
        }
    }
}

impl Nowhere {
    pub(super) fn error(&self, api: Api) -> ClientError {
        match self {
            Self::NotInstalled(present) => ClientError::NotInstalled {
                api,
                present: present.clone(),
            },
            Self::IsolatedCloud(label, problem) => ClientError::IsolatedCloud {
                api,
                label: label.clone(),
                problem,
            },
        }
    }
}

/// A product's base URL and site. An empty name takes any site.
fn find(
    name: &str,
    contexts: &[InstallationContext],
    api_base_url: Option<&str>,
) -> (Option<String>, Option<String>) {
    let has_site = |one: &&InstallationContext| {
        let url = one.api_base_url.as_deref();
        one.cloud_id.is_some() || url.and_then(cloud_id_of).is_some()
    };
    let context = if name.is_empty() {
        contexts.iter().find(has_site)
    } else {
        contexts.iter().find(|one| one.name == name)
    };
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
    pub(super) place: Opaque<Place>,
    pub(super) authorization: HeaderValue,
    pub(super) is_user: bool,
    /// Why the token isn't for this place.
    pub(super) mismatch: Option<&'static str>,
    /// The call that brought the token, where the token alone names the tenant and somebody other
    /// than the platform may have chosen it.
    pub(super) unproven: Option<VerifiedCall>,
    /// Where each call takes a new token from.
    pub(super) tokens: Option<Tokens>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.place.api)
    }
}

impl Client {
    /// A `GET`. See [`Path`](super::Path) for what a path can be.
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
    /// app isn't installed in the product, where the token is another installation's or not proven
    /// (see [`SystemToken`]), and where it is a host that tokens don't go to.
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
        if !self.is_proven() {
            let reason = "this client has made no call with it yet, which would prove it";
            return Err(self.unproven(reason, None));
        }
        self.base()
    }

    /// The base URL, for calls that have been proven.
    pub(super) fn base(&self) -> Result<&str, ClientError> {
        let api = self.place.api;
        if let Some(reason) = self.mismatch {
            return Err(ClientError::WrongToken { api, reason });
        }
        let base = self.place.base.as_ref();
        let base = base.map_err(|nowhere| nowhere.error(api))?;
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

    pub(super) fn api(&self) -> Api {
        self.place.api
    }

    pub(super) fn is_user(&self) -> bool {
        self.is_user
    }

    /// The token, to be taken out of what goes into messages.
    pub(super) fn secret(&self) -> &str {
        let text = self.authorization.to_str().unwrap_or_default();
        text.strip_prefix("Bearer ").unwrap_or(text)
    }

    /// As the installation's cloud sees them.
    pub(super) fn settings(&self) -> Arc<Settings> {
        let settings = self.place.atlassian.settings();
        match &self.place.isolated_cloud {
            Some(label) => Arc::new(settings.of_cloud(label)),
            None => settings,
        }
    }

    /// Atlassian answered 401: an impersonated user's token is exchanged again, a kept token gives
    /// way to the next one.
    pub(super) fn token_was_refused(&self) {
        let shared = &self.place.atlassian.shared;
        if self.is_user {
            let now = self.settings().clock.elapsed();
            impersonation::refused(&shared.acting, self.secret(), now);
        } else if let Some(tokens) = self.tokens.as_ref().or(shared.tokens.get()) {
            tokens.was_refused(&self.place.installation_id, self.secret());
        }
    }

    pub(super) fn manner(&self) -> Manner {
        self.place.atlassian.manner
    }

    pub(super) fn http(&self, url: &Url) -> Result<&reqwest::Client, ClientBuildError> {
        self.place.atlassian.http(url)
    }

    /// The headers of a call.
    pub(super) fn headers(&self, given: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let names = ["x-b3-traceid", "x-b3-spanid"].map(HeaderName::from_static);
        for (name, value) in names.into_iter().zip(&self.place.trace) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers.extend(given.clone());
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers
    }
}
