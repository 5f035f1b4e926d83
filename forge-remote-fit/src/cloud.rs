//! Which of Atlassian's clouds an installation is in, and on which sites.

use super::claims::{Claims, InstallationContext, is_staging};

/// One of Atlassian's clouds, each with a separate key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud<'a> {
    /// Atlassian's commercial cloud.
    Commercial,
    /// Atlassian's staging cloud.
    Staging,
    /// An isolated cloud, by its label.
    Isolated(&'a str),
}

impl<'a> Cloud<'a> {
    /// Returns the cloud of this label and API base URL, which also select the key set.
    pub fn of(isolated_cloud_label: Option<&'a str>, api_base_url: Option<&str>) -> Self {
        match isolated_cloud_label {
            Some(label) => Self::Isolated(label),
            None if api_base_url.is_some_and(is_staging) => Self::Staging,
            None => Self::Commercial,
        }
    }
}

impl Claims {
    /// Returns the cloud whose keys signed these claims.
    #[doc(hidden)]
    pub fn cloud(&self) -> Cloud<'_> {
        Cloud::of(self.isolated_cloud_label(), self.api_base_url())
    }

    /// Returns the ids of the sites that the installation is on (`cloudId`), sorted.
    pub fn cloud_ids(&self) -> Vec<String> {
        cloud_ids(&self.installation_contexts(), self.api_base_url())
    }
}

/// Returns the ids of the sites of these contexts and base URL. Before mid-2026 contexts had no `cloudId`:
/// then the base URLs have it.
pub fn cloud_ids(contexts: &[InstallationContext], api_base_url: Option<&str>) -> Vec<String> {
    let named = contexts
        .iter()
        .filter_map(|context| context.cloud_id.as_deref());
    let urls = contexts
        .iter()
        .map(|context| context.api_base_url.as_deref())
        .chain([api_base_url]);
    let from_urls = urls.flatten().filter_map(cloud_id_of);
    let mut ids: Vec<String> = named.chain(from_urls).map(str::to_owned).collect();
    ids.retain(|id| is_cloud_id(id));
    ids.sort();
    ids.dedup();
    ids
}

/// Returns the id in `https://api.atlassian.com/ex/jira/<cloudId>`; `None` if it is not one, for
/// example an ARI.
pub fn cloud_id_of(url: &str) -> Option<&str> {
    let (_, path) = url.split_once("/ex/")?;
    path.split('/').nth(1).filter(|id| is_cloud_id(id))
}

/// Returns whether a cloud id has only letters, digits and `-`: the SQLite store joins cloud ids with commas.
fn is_cloud_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
