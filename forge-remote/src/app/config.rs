//! The settings from the environment, the code and the manifest, and the manifest's sections that follow from them.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::builder::App;
use crate::environment::variable;
use crate::manifest::{DesiredManifest, ManifestError, ManifestFile, ManifestReader};

/// The variable that names the manifest.
pub(super) const MANIFEST: &str = "FORGE_REMOTE_MANIFEST";

/// The effective settings: the environment overrides the code.
pub(crate) struct AppSettings {
    /// Set by the environment or the code; see [`app_ids`](Self::app_ids).
    pub(crate) configured_app_ids: Vec<String>,
    /// Whether the environment sets the ids.
    pub(crate) has_app_ids_of_environment: bool,
    pub(crate) manifest: PathBuf,
    /// Whether the environment names the manifest.
    is_manifest_named: bool,
    /// The manifest that was read last. It is large, so what serves must not hold these settings.
    manifest_reader: ManifestReader,
    pub(crate) bind: String,
    pub(crate) jwks_url: Option<String>,
}

impl App {
    pub(crate) fn settings(&self) -> AppSettings {
        let named = variable(MANIFEST).map(PathBuf::from);
        let is_manifest_named = named.is_some();
        let manifest = named
            .or_else(|| self.manifest_path.clone())
            .unwrap_or_else(find_manifest);
        let app_ids = variable("FORGE_REMOTE_APP_ID");
        let has_app_ids_of_environment = app_ids.is_some();
        let configured_app_ids = match app_ids {
            Some(text) => {
                let ids = text.split(',').map(str::trim);
                let ids: Vec<String> = ids.filter(|id| !id.is_empty()).map(str::to_owned).collect();
                // A list without an id is invalid, and does not stand for the code's or the manifest's.
                if ids.is_empty() { vec![text] } else { ids }
            }
            None => self.app_ids.clone(),
        };
        let bind = variable("FORGE_REMOTE_BIND")
            .or_else(|| variable("PORT").map(|port| format!("0.0.0.0:{port}")))
            .or_else(|| self.bind.clone())
            .unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let jwks_url = variable("FORGE_REMOTE_JWKS_URL").or_else(|| self.jwks_url.clone());
        AppSettings {
            configured_app_ids,
            has_app_ids_of_environment,
            manifest,
            is_manifest_named,
            manifest_reader: self.manifest_reader.clone(),
            bind,
            jwks_url,
        }
    }

    /// Returns the manifest sections that the code declares.
    pub(crate) fn desired_manifest(&self) -> DesiredManifest {
        let mut desired = self.registry.desired_manifest(&self.remotes);
        desired.app_ids = self.settings().configured_app_ids;
        desired.needs_pre_uninstall = self.acts_on_removals();
        if desired.needs_pre_uninstall {
            desired.uninstallations_without_tokens = self.uninstallations_without_tokens();
        }
        desired.granular = self.prefer_granular_scopes;
        desired.app_managed = self.app_managed;
        desired.foreign.clone_from(&self.foreign_endpoints);
        desired.foreign_modules.clone_from(&self.foreign_modules);
        if self.without_token_scopes {
            self.remove_token_scopes(&mut desired);
        }
        desired.add_scopes(&self.scopes);
        desired.impersonate(&self.impersonation_scopes);
        desired
    }
}

impl App {
    /// Returns whether the removal of an installation starts callbacks of the app, or ends its jobs.
    fn acts_on_removals(&self) -> bool {
        let ends_jobs = || {
            let jobs = self.jobs.as_ref();
            jobs.is_some_and(|jobs| jobs.engine.guarantees().ends_installations)
        };
        let tokens = self.token_store.as_ref();
        tokens.is_some_and(|tokens| tokens.has_removal_callbacks() || ends_jobs())
    }
}

impl AppSettings {
    /// Returns whether the environment names a manifest that does not exist.
    pub(crate) fn lacks_named_manifest(&self) -> bool {
        self.is_manifest_named && !self.manifest.exists()
    }

    /// Reads the manifest. A file that does not exist counts as empty.
    pub(crate) fn read_manifest(&self) -> Result<Arc<ManifestFile>, ManifestError> {
        self.manifest_reader.read(&self.manifest)
    }

    /// Returns the id for a new manifest: the first configured one.
    #[cfg(feature = "cli")]
    pub(crate) fn new_manifest_id(&self) -> Option<&str> {
        self.configured_app_ids.first().map(String::as_str)
    }
}

/// Returns the manifest's path: in the working directory, else next to Cargo.toml when cargo runs
/// the app.
fn find_manifest() -> PathBuf {
    let here = PathBuf::from("manifest.yml");
    let Some(package) = variable("CARGO_MANIFEST_DIR") else {
        return here;
    };
    if here.exists() {
        here
    } else {
        relative(&Path::new(&package).join("manifest.yml"))
    }
}

/// Returns the path relative to the working directory, so that messages are the same on every machine.
fn relative(path: &Path) -> PathBuf {
    let here = env::current_dir().ok();
    let inside = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    inside.unwrap_or_else(|| path.to_owned())
}
