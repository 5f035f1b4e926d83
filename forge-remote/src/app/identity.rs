//! The ids of the apps that a backend serves: the audiences of the tokens it accepts.
//!
//! Launch, `manifest --check` and `dev` use this one code path.

use serde_yaml::Value;

use super::config::Settings;
#[cfg(feature = "cli")]
use crate::diagnostic::Severity;
use crate::diagnostic::{Diagnostic, Rule};
use crate::fit::{AppId, InvalidAppId};
#[cfg(feature = "cli")]
use crate::manifest::{ManifestFile, ManifestPath};
use crate::manifest::{VariableError, Variables, read_value};

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&NO_APP_ID, &BAD_APP_ID, &OTHER_APP_ID];

const NO_APP_ID: Rule = Rule::launch(
    "no-app-id",
    "A Forge Invocation Token is issued for one app, and without the app's id its audience can't be checked. `forge \
    register` writes the id into manifest.yml; FORGE_REMOTE_APP_ID, `App::app_id` and `App::app_ids` set it too.",
);

const BAD_APP_ID: Rule = Rule::launch(
    "bad-app-id",
    "The configured app id is not valid. It has the form `ari:cloud:ecosystem::app/` and a UUID. The manifest's `app.id` \
    may have variables that `environment.variables` declares: they are read from the environment, else their default.",
);

#[cfg(feature = "cli")]
const OTHER_APP_ID: Rule = Rule::launch(
    "other-app-id",
    "FORGE_REMOTE_APP_ID or the code names the accepted apps, and the manifest's `app.id` is not one of them: once that \
    manifest is deployed, each of its calls is rejected with 401. Add its id, or name the manifest of the configured app \
    with FORGE_REMOTE_MANIFEST.",
);

/// The reason why the app's ids are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppIdError {
    #[error("the app's id is not set, so the audience of tokens can't be checked")]
    Missing,
    #[error(transparent)]
    Invalid(#[from] InvalidAppId),
    #[error("the manifest's `app.id` is `{id}`, and {source}")]
    Variable { id: String, source: VariableError },
    #[error("the manifest's `app.id` is `{id}`, and {source}")]
    Resolved { id: String, source: InvalidAppId },
}

impl AppIdError {
    /// Returns the problem that keeps the app from starting.
    pub(crate) fn to_diagnostic(&self) -> Diagnostic {
        const HELP: &str = "set FORGE_REMOTE_APP_ID, or `App::app_id`, or put manifest.yml with `app.id` (written by \
                            `forge register`) beside Cargo.toml";
        let message = self.to_string();
        match self {
            Self::Missing => Diagnostic::error(&NO_APP_ID, message, HELP),
            Self::Variable {
                source: VariableError::Undeclared(name),
                ..
            } => {
                let help = format!("declare `{name}` there, or set FORGE_REMOTE_APP_ID");
                Diagnostic::error(&BAD_APP_ID, message, help)
            }
            Self::Variable { source, .. } => {
                let help = format!(
                    "set {} in the environment, give it a default, or set FORGE_REMOTE_APP_ID",
                    source.name()
                );
                Diagnostic::error(&BAD_APP_ID, message, help)
            }
            Self::Invalid(_) | Self::Resolved { .. } => {
                Diagnostic::error(&BAD_APP_ID, message, HELP)
            }
        }
    }
}

impl Settings {
    /// Returns the ids of the apps, without duplicates and at least one: the configured ones, else the
    /// manifest's.
    pub(crate) fn app_ids(&self) -> Result<Vec<AppId>, AppIdError> {
        let mut ids: Vec<AppId> = Vec::new();
        for text in &self.configured_app_ids {
            let id = text.parse()?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            let manifest = read_value(&self.manifest).unwrap_or_default();
            ids.push(manifest_app_id(&manifest)?);
        }
        Ok(ids)
    }
}

#[cfg(feature = "cli")]
impl Settings {
    /// Returns what is wrong with the app's ids: the problem that ends the launch, or a warning if the manifest is
    /// of another app.
    pub(crate) fn app_id_finding(&self, file: &ManifestFile) -> Option<Diagnostic> {
        let at = || file.locate(&ManifestPath::of(&["app", "id"]));
        let ids = match self.app_ids() {
            Ok(ids) => ids,
            Err(error) if self.configured_app_ids.is_empty() => {
                return Some(error.to_diagnostic().in_manifest(at()));
            }
            Err(error) => return Some(error.to_diagnostic()),
        };
        let own = manifest_app_id(file.value()).ok()?;
        if ids.contains(&own) {
            return None;
        }
        let message = format!("the manifest is of the app `{own}`, whose tokens are not accepted");
        let help =
            "add its id to FORGE_REMOTE_APP_ID or to `App::app_ids`, or use that app's manifest";
        let warning = Diagnostic::new(&OTHER_APP_ID, Severity::Warning, message);
        Some(warning.help(help).in_manifest(at()))
    }
}

/// Returns the app's id in a manifest, with its variables replaced.
fn manifest_app_id(manifest: &Value) -> Result<AppId, AppIdError> {
    let id = manifest.get("app").and_then(|app| app.get("id"));
    let id = id.and_then(Value::as_str).ok_or(AppIdError::Missing)?;
    let resolved = Variables::of(manifest).resolve(id).map_err(|source| {
        let id = id.to_owned();
        AppIdError::Variable { id, source }
    })?;
    resolved.parse().map_err(|source| {
        if resolved == id {
            AppIdError::Invalid(source)
        } else {
            let id = id.to_owned();
            AppIdError::Resolved { id, source }
        }
    })
}
