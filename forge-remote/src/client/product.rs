//! A product of an installation.

use std::fmt;

use axum::http::HeaderValue;
use reqwest::Url;

use super::api::Api;
use super::atlassian::{AtlassianClient, ClientSettings};
use super::error::ClientError;
use super::hosts::{self, STAGING};
use super::installation_ref::InstallationRef;
use crate::credentials::Owner;
use crate::fit::{InstallationContext, cloud_id_of};
use crate::opaque::Opaque;

/// A product of an installation. Choose who calls it with [`as_app`](Self::as_app) or
/// [`as_user`](Self::as_user).
///
/// Calls as a user need the user's token:
///
/// ```compile_fail
/// # use forge_remote::prelude::*;
/// fn does_not_compile(call: &Invocation, token: &SystemToken) {
///     call.jira().as_user(token);
/// }
/// ```
#[derive(Clone)]
pub struct ProductApi(pub(super) Opaque<ApiTarget>);

/// An API of an installation and its URLs.
pub(super) struct ApiTarget {
    pub(super) atlassian: AtlassianClient,
    pub(super) api: Api,
    pub(super) base: Result<String, MissingUrl>,
    pub(super) cloud_id: Option<String>,
    /// The base URL of GraphQL for this installation.
    platform: Result<String, MissingUrl>,
    pub(super) installation_id: String,
    pub(super) app_id: Option<String>,
    pub(super) environment_id: Option<String>,
    /// The label of the installation's isolated cloud.
    pub(super) isolated_cloud: Option<String>,
    /// Whether the app supplied the base URL.
    is_supplied: bool,
    pub(super) trace: [Option<HeaderValue>; 2],
}

/// The reason why an API has no URL for an installation.
#[derive(Clone, Debug)]
pub(super) enum MissingUrl {
    /// The app is not installed in the product; the names of the other products.
    NotInstalled(String),
    IsolatedCloud(String, &'static str),
}

impl fmt::Debug for ProductApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProductApi({})", self.0.api)
    }
}

impl ProductApi {
    pub(super) fn new(
        atlassian: &AtlassianClient,
        api: Api,
        installation: &impl InstallationRef,
    ) -> Self {
        let settings = atlassian.settings();
        let contexts = installation.contexts();
        let found = |name: &str| find(name, &contexts, installation.api_base_url());
        let label = installation.isolated_cloud_label();
        let cloud = label.map(|label| settings.clouds.get(label).ok_or(label));
        let missing =
            |problem| MissingUrl::IsolatedCloud(label.unwrap_or_default().to_owned(), problem);
        let platform = match &cloud {
            None => Ok(platform(&settings, &contexts, installation.api_base_url())),
            Some(Err(_)) => Err(missing("this cloud is not configured")),
            Some(Ok(cloud)) => {
                let url = cloud.platform.clone();
                url.ok_or_else(|| missing("it has neither `api_url` nor `platform_url`"))
            }
        };
        let present = || {
            let names: Vec<&str> = contexts.iter().map(|one| one.name.as_str()).collect();
            MissingUrl::NotInstalled(if names.is_empty() {
                "none".to_owned()
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
                        let url = cloud.storage.clone();
                        url.ok_or_else(|| missing("it has neither `api_url` nor `storage_url`"))
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
            Some(Err(_)) => Err(missing("this cloud is not configured")),
            _ => base,
        };
        let header = |text: Option<&str>| HeaderValue::from_str(text?).ok();
        Self(Opaque::new(ApiTarget {
            atlassian: atlassian.clone(),
            api,
            base,
            cloud_id,
            platform,
            installation_id: installation.installation_id().to_owned(),
            app_id: installation.app_id().map(str::to_owned),
            environment_id: installation.environment_id().map(str::to_owned),
            isolated_cloud: label.map(str::to_owned),
            is_supplied: installation.is_supplied(),
            trace: installation.trace().map(header),
        }))
    }

    /// Returns the site's cloud id, if Forge sent it. Some paths and GraphQL operations need it.
    pub fn cloud_id(&self) -> Option<&str> {
        self.0.cloud_id.as_deref()
    }

    /// Returns GraphQL for the same installation.
    pub(super) fn gateway(&self) -> Self {
        self.0.on_platform(Api::GraphQl)
    }

    /// Returns the context of a user's token: `ari:cloud:jira::site/<cloudId>`.
    pub(super) fn context(&self) -> Option<String> {
        let product = match self.0.api {
            Api::Jira => "jira",
            Api::Confluence => "confluence",
            _ => return None,
        };
        let cloud_id = self.cloud_id()?;
        Some(format!("ari:cloud:{product}::site/{cloud_id}"))
    }

    /// Returns the reason why a token cannot be used for this API.
    pub(super) fn mismatch(&self, owner: Option<&Owner>) -> Option<&'static str> {
        if self.0.is_supplied && self.0.lacks_site() {
            return Some(
                "the base URL has no site's cloud id: expected `https://api.atlassian.com/ex/jira/<cloudId>`",
            );
        }
        let owner = owner?;
        if *owner.installation_id() != *self.0.installation_id {
            return Some("the token belongs to another installation");
        }
        if self.0.is_supplied && !self.0.is_on(&owner.cloud_ids()) {
            return Some("the base URL belongs to a site that is not the token's installation's");
        }
        let exchanged = owner.context.as_deref()?;
        // Atlassian does not document whether the token is valid for other APIs, so those are allowed.
        let is_product = matches!(self.0.api, Api::Jira | Api::Confluence | Api::Bitbucket);
        (is_product && self.context().as_deref() != Some(exchanged)).then_some(
            "the user's token was exchanged for another product or site: \
             call `impersonate` on the product that you call",
        )
    }
}

impl ApiTarget {
    /// Returns another API with GraphQL's base URL, for the same installation.
    pub(super) fn on_platform(&self, api: Api) -> ProductApi {
        ProductApi(Opaque::new(ApiTarget {
            atlassian: self.atlassian.clone(),
            api,
            base: self.platform.clone(),
            cloud_id: self.cloud_id.clone(),
            platform: self.platform.clone(),
            installation_id: self.installation_id.clone(),
            app_id: self.app_id.clone(),
            environment_id: self.environment_id.clone(),
            isolated_cloud: self.isolated_cloud.clone(),
            is_supplied: self.is_supplied,
            trace: self.trace.clone(),
        }))
    }

    /// Returns whether the base URL of a site's API has no cloud id. URLs on hosts that the app allows may lack it.
    fn lacks_site(&self) -> bool {
        let names_site = matches!(self.api, Api::Jira | Api::Confluence);
        let Ok(base) = &self.base else {
            return false;
        };
        names_site && cloud_id_of(base).is_none() && !self.atlassian.settings().hosts.is_added(base)
    }

    /// Returns whether the base URL belongs to one of these sites. URLs without a site always do, and so does any URL
    /// if no site is known.
    fn is_on(&self, sites: &[String]) -> bool {
        let names_site = matches!(self.api, Api::Jira | Api::Confluence);
        let Ok(base) = &self.base else {
            return true;
        };
        if !names_site || sites.is_empty() {
            return true;
        }
        // As it is called: a URL's parser resolves dots and drops line ends.
        let Ok(url) = Url::parse(base) else {
            return true;
        };
        let path = url.path().strip_prefix("/ex/");
        let id = path.and_then(|path| path.split('/').nth(1));
        match id.filter(|id| !id.is_empty()) {
            Some(id) => sites.iter().any(|site| site == id),
            // Only URLs on hosts that the app allows may lack a site.
            None => self.atlassian.settings().hosts.is_added(base),
        }
    }
}

impl MissingUrl {
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

/// Returns a product's base URL and cloud id. An empty name matches any site.
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

/// Returns the base URL of Forge's own APIs for an installation, which may be in the staging cloud.
fn platform(
    settings: &ClientSettings,
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

/// The APIs of an installation.
impl AtlassianClient {
    /// Returns Jira (and Jira Service Management), at the installation's base URL. Paths begin with
    /// `/rest/`.
    pub fn jira(&self, installation: &impl InstallationRef) -> ProductApi {
        ProductApi::new(self, Api::Jira, installation)
    }

    /// Returns Confluence, at the installation's base URL. Paths begin with `/wiki/`.
    pub fn confluence(&self, installation: &impl InstallationRef) -> ProductApi {
        ProductApi::new(self, Api::Confluence, installation)
    }

    /// Returns Bitbucket, if the installation has it. Paths begin with `/2.0/`.
    ///
    /// Otherwise set its base URL with [`InstallationUrls`](super::InstallationUrls).
    pub fn bitbucket(&self, installation: &impl InstallationRef) -> ProductApi {
        ProductApi::new(self, Api::Bitbucket, installation)
    }

    /// Returns Forge's own REST APIs, at `https://api.atlassian.com`: `/forge/app/v1/license`.
    pub fn platform(&self, installation: &impl InstallationRef) -> ProductApi {
        ProductApi::new(self, Api::Platform, installation)
    }
}
