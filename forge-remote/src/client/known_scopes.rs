//! The scopes of installations that are known without a request, and how Atlassian's details of an
//! installation are read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::error::ClientError;
use super::path::Path;
use super::permission_cache::{KnownScopes, PermissionCache};
use super::product_client::ProductClient;
use super::response::Response;
use super::single_flight::{Now, Timed};

/// The request for an installation's details: the app, the environment and the installation.
pub(super) const DETAILS: &str = "/forge/installation/v1/{}/{}/installation/{}";
/// Lifetime of the scopes of an installation that lacks one of the app's scopes. An approval is seen
/// after this time. Atlassian allows one request in 5 minutes for each installation, and a few a
/// minute for the app, and recommends far fewer.
/// Source: <https://developer.atlassian.com/platform/forge/apis-reference/installation-details-api/#rate-limit>
const INCOMPLETE_LIFE: Duration = Duration::from_secs(10 * 60);
/// Lifetime of the scopes of an installation that has all of the app's scopes.
const COMPLETE_LIFE: Duration = Duration::from_secs(60 * 60);

impl ProductClient {
    /// Returns the installation's scopes if they are known, without a request.
    pub(super) fn known_scopes(&self) -> Option<Arc<BTreeSet<String>>> {
        let key = (self.target.installation_id.clone(), false);
        self.permissions().known.peek(&key, self.moment())?.ok()
    }

    /// Keeps the scopes in a response with the installation's details.
    pub(super) fn learn_scopes(&self, details: &Response) {
        if let Ok(scopes) = scopes_in(details) {
            let key = (self.target.installation_id.clone(), false);
            let known = self.timed(scopes, self.moment());
            self.permissions().known.insert(key, known, self.moment());
        }
    }

    /// Returns scopes with their lifetime.
    pub(super) fn timed(&self, scopes: BTreeSet<String>, started: Now) -> Timed<KnownScopes> {
        let settings = self.settings();
        let required = &settings.scopes.required;
        let is_complete = !required.is_empty() && required.is_subset(&scopes);
        let life = match is_complete {
            true => COMPLETE_LIFE,
            false => INCOMPLETE_LIFE,
        };
        Timed::new(Ok(Arc::new(scopes)), started, life)
    }

    pub(super) fn permissions(&self) -> &PermissionCache {
        &self.target.atlassian.shared.permissions
    }

    pub(super) fn moment(&self) -> Now {
        Now::of(&*self.settings().clock)
    }
}

/// Returns the path of an installation's details. Each part is an ARI, or its last part.
pub(super) fn details_path(app: &str, environment: &str, installation: &str) -> Path {
    let parts = [app, environment, installation].map(|ari| ari.rsplit('/').next().unwrap_or(ari));
    Path::__fill(DETAILS, &[&parts[0], &parts[1], &parts[2]])
}

/// Returns the scopes in an installation's details.
pub(super) fn scopes_in(details: &Response) -> Result<BTreeSet<String>, ClientError> {
    #[derive(Deserialize)]
    struct Details {
        permissions: Permissions,
    }
    #[derive(Deserialize)]
    struct Permissions {
        scopes: BTreeSet<String>,
    }
    let details: Details = details.json()?;
    Ok(details.permissions.scopes)
}
