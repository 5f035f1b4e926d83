//! A product of an installation, and who calls it.

use std::fmt;

use axum::http::HeaderValue;
use reqwest::Url;

use super::api::Api;
use super::atlassian::{AtlassianClient, Settings};
use super::error::ClientError;
use super::hosts::{self, STAGING};
use super::tenant::Tenant;
use crate::credentials::Owner;
use crate::fit::{InstallationContext, cloud_id_of};
use crate::opaque::Opaque;

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
pub struct ProductApi(pub(super) Opaque<Place>);

pub(super) struct Place {
    pub(super) atlassian: AtlassianClient,
    pub(super) api: Api,
    pub(super) base: Result<String, Nowhere>,
    pub(super) cloud_id: Option<String>,
    /// Where GraphQL is for this installation.
    platform: Result<String, Nowhere>,
    pub(super) installation_id: String,
    /// The label of the isolated cloud it is in.
    pub(super) isolated_cloud: Option<String>,
    /// Whether the app supplied the base URL.
    is_supplied: bool,
    pub(super) trace: [Option<HeaderValue>; 2],
}

/// Why an API can't be called for an installation.
#[derive(Clone, Debug)]
pub(super) enum Nowhere {
    /// The names of the products there are, where this isn't among them.
    NotInstalled(String),
    IsolatedCloud(String, &'static str),
}

impl fmt::Debug for ProductApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Product({})", self.0.api)
    }
}

impl ProductApi {
    pub(super) fn new(atlassian: &AtlassianClient, api: Api, tenant: &impl Tenant) -> Self {
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
}

impl Place {
    /// One of the APIs that are where GraphQL is, for the same installation.
    pub(super) fn on_platform(&self, api: Api) -> ProductApi {
        ProductApi(Opaque::new(Place {
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
        // As it is called: a URL's parser resolves dots and drops line ends.
        let Ok(url) = Url::parse(base) else {
            return true;
        };
        match cloud_id_of(url.path()) {
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

/// What can be called for an installation.
impl AtlassianClient {
    /// Jira (and Jira Service Management), at the installation's base URL. Paths begin with
    /// `/rest/`.
    pub fn jira(&self, tenant: &impl Tenant) -> ProductApi {
        ProductApi::new(self, Api::Jira, tenant)
    }

    /// Confluence, at the installation's base URL. Paths begin with `/wiki/`.
    pub fn confluence(&self, tenant: &impl Tenant) -> ProductApi {
        ProductApi::new(self, Api::Confluence, tenant)
    }

    /// Bitbucket, where the installation has it. Paths begin with `/2.0/`. Elsewhere
    /// [`InstallationUrls`](super::InstallationUrls) can say where it is.
    pub fn bitbucket(&self, tenant: &impl Tenant) -> ProductApi {
        ProductApi::new(self, Api::Bitbucket, tenant)
    }

    /// Forge's own REST APIs, at `https://api.atlassian.com`: `/forge/app/v1/license`.
    pub fn platform(&self, tenant: &impl Tenant) -> ProductApi {
        ProductApi::new(self, Api::Platform, tenant)
    }
}
