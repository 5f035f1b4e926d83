//! The look-up of installations by site.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::Entry;
use super::error::TokenError;
use super::handle::{AppScope, Tokens};
use super::installation::Installation;
use super::keeper::Keeper;
use super::lookup::{ended, installation};
use super::records::{Found, Opened};
use super::store::StoreError;
use crate::credentials::SystemToken;
use crate::fit::Environment;

/// A site and a selection of the app's installations on it.
///
/// It is an argument of [`Tokens::system_for_site`] and [`Tokens::find_by_site`]. The cloud id alone is
/// enough for a site with one installation.
///
/// ```
/// use forge_remote::fit::Environment;
/// use forge_remote::token::Site;
///
/// let site = Site::new("11111111-2222-3333-4444-555555555555")
///     .environment(Environment::Production)
///     .product("jira");
/// # let _ = site;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    cloud_id: String,
    environment: Option<Environment>,
    product: Option<String>,
}

impl Site {
    /// Selects the site with this cloud id.
    pub fn new(cloud_id: impl Into<String>) -> Self {
        Self {
            cloud_id: cloud_id.into(),
            environment: None,
            product: None,
        }
    }

    /// Selects the installation of this environment of the app.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Selects the installation in this product, by its name in the claims: `jira`, `confluence`.
    #[must_use]
    pub fn product(mut self, name: impl Into<String>) -> Self {
        self.product = Some(name.into());
        self
    }

    /// Returns whether an entry is on the site, by its sealed data: the store's index is not sealed.
    fn has(&self, entry: &Entry) -> bool {
        entry.about.cloud_ids().contains(&self.cloud_id)
    }

    fn names(&self, entry: &Entry) -> bool {
        let environment = entry.about.environment_type.as_deref();
        let product = |name: &String| entry.about.contexts().iter().any(|one| one.name == *name);
        self.environment
            .is_none_or(|one| environment == Some(one.as_str()))
            && self.product.as_ref().is_none_or(product)
    }
}

impl From<&str> for Site {
    fn from(cloud_id: &str) -> Self {
        Self::new(cloud_id)
    }
}

impl From<&String> for Site {
    fn from(cloud_id: &String) -> Self {
        Self::new(cloud_id)
    }
}

impl From<String> for Site {
    fn from(cloud_id: String) -> Self {
        Self::new(cloud_id)
    }
}

/// The records of a site.
struct Records {
    /// The readable ones, expired or not, by id.
    entries: Vec<Entry>,
    /// The unreadable ones: id and reason.
    shut: Vec<(String, String)>,
}

impl Tokens {
    /// Returns the system token of the only installation on this site, or of the only one that the
    /// [`Site`] selects.
    ///
    /// If several installations match, the error lists them. That holds even if the token of one has expired
    /// or cannot be opened, because another installation's token must not be used instead. With an
    /// [`environment`](Site::environment), unreadable records are ignored if a readable one matches;
    /// with a [`product`](Site::product) as well, expired tokens are ignored if another is valid.
    pub async fn system_for_site(&self, site: impl Into<Site>) -> Result<SystemToken, TokenError> {
        let site = site.into();
        let keeper = self.keeper().await?;
        let Records {
            mut entries,
            mut shut,
        } = records(keeper, &site, &self.1).await?;
        let now = keeper.clock.now();
        let is_usable = |entry: &Entry| entry.expires_at > now + keeper.margin;
        entries.retain(|entry| site.names(entry));
        if site.environment.is_some() && !entries.is_empty() {
            shut.clear();
            if site.product.is_some() && entries.iter().any(is_usable) {
                entries.retain(is_usable);
            }
        }
        match (entries.as_slice(), shut.as_slice()) {
            ([], []) => Err(TokenError::NeverSeen {
                subject: format!("the site {}", site.cloud_id),
            }),
            ([only], []) if is_usable(only) => self.system(only.id()).await,
            ([], [(installation_id, reason)]) => Err(TokenError::Sealed {
                installation_id: installation_id.clone(),
                reason: reason.clone(),
            }),
            (all @ [first, ..], []) if !all.iter().any(is_usable) => {
                let last = all.iter().max_by_key(|entry| entry.expires_at);
                Err(ended(last.unwrap_or(first), now))
            }
            (all, shut) => Err(TokenError::Ambiguous {
                cloud_id: site.cloud_id.clone(),
                installation_ids: all
                    .iter()
                    .map(Entry::id)
                    .chain(shut.iter().map(|(id, _)| id.as_str()))
                    .map(str::to_owned)
                    .collect(),
            }),
        }
    }

    /// Returns the installations on this site that have a token now: one for each environment of the
    /// app, and possibly one for each product.
    pub async fn find_by_site(
        &self,
        site: impl Into<Site>,
    ) -> Result<Vec<Installation>, TokenError> {
        let site = site.into();
        let keeper = self.keeper().await?;
        let found = records(keeper, &site, &self.1).await?;
        let now = keeper.clock.now();
        let enough = now + keeper.margin;
        let entries = found.entries.iter();
        Ok(entries
            .filter(|entry| entry.expires_at > enough && site.names(entry))
            .map(|entry| installation(entry, now))
            .collect())
    }
}

/// Returns every record of a site, in the store and in memory, of any environment and product.
async fn records(
    keeper: &Arc<Keeper>,
    site: &Site,
    scope: &AppScope,
) -> Result<Records, StoreError> {
    let mut cached: BTreeMap<String, Entry> = keeper
        .remembered_on_site(&site.cloud_id)
        .into_iter()
        .filter(|entry| site.has(entry) && scope.has(&entry.about))
        .map(|entry| (entry.id().to_owned(), entry))
        .collect();
    let sealed = match keeper
        .read(keeper.store().find_by_site(&site.cloud_id))
        .await
    {
        Ok(sealed) => sealed,
        Err(error) if cached.is_empty() => return Err(error),
        Err(_) => {
            tracing::warn!(
                "the token store is down: only a site's installations in memory are found"
            );
            return Ok(Records {
                entries: cached.into_values().collect(),
                shut: Vec::new(),
            });
        }
    };
    let mut entries = BTreeMap::new();
    let mut shut = Vec::new();
    for token in &sealed {
        let id = &token.installation_id;
        match (keeper.open_record(token, true), cached.remove(id)) {
            (Opened::Entry(entry), _) | (Opened::Shut(_), Some(entry)) => {
                entries.insert(id.clone(), entry);
            }
            (Opened::Shut(reason), None) => shut.push((id.clone(), reason)),
            (Opened::Removed | Opened::Foreign, _) => {}
        }
    }
    let (now, elapsed) = (keeper.clock.now(), keeper.clock.elapsed());
    for (id, entry) in cached {
        let entry = if entry.unwritten || entry.is_trusted(now, elapsed) {
            keeper.remembered(&id)
        } else {
            // The installation moved or was removed, or the store lost it.
            match keeper.look_up(&id).await {
                Ok(Found::Entry(entry)) => Some(entry),
                Ok(Found::Nothing) => None,
                Ok(Found::Shut(_)) | Err(_) => Some(entry),
            }
        };
        if let Some(entry) = entry {
            entries.insert(id, entry);
        }
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.retain(|entry| site.has(entry) && scope.has(&entry.about));
    Ok(Records { entries, shut })
}
