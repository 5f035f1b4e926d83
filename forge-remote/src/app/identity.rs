//! The ids of the apps that a backend serves: the audiences of the FITs it accepts.
//!
//! Launch, `manifest --check` and `dev` use this one code path.

use serde_yaml::Value;

use super::config::AppSettings;
use crate::diagnostic::{Diagnostic, Rule};
use crate::fit::{AppId, InvalidAppId};
#[cfg(feature = "cli")]
use crate::manifest::{ManifestFile, ManifestPath};
use crate::manifest::{VariableError, Variables, read_value};

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&NO_APP_ID, &BAD_APP_ID];

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
                            `forge register`) next to Cargo.toml";
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

impl AppSettings {
    /// Returns the ids of the apps, without duplicates and at least one: the configured ones, else the
    /// manifest's.
    pub(crate) fn app_ids(&self) -> Result<Vec<AppId>, AppIdError> {
        let mut ids = self.parsed_app_ids()?;
        if ids.is_empty() {
            let manifest = read_value(&self.manifest).unwrap_or_default();
            ids.push(manifest_app_id(&manifest)?);
        }
        Ok(ids)
    }

    /// Returns the configured ids, without duplicates.
    fn parsed_app_ids(&self) -> Result<Vec<AppId>, AppIdError> {
        let mut ids: Vec<AppId> = Vec::new();
        for text in &self.configured_app_ids {
            let id = text.parse()?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

#[cfg(feature = "cli")]
impl AppSettings {
    /// Returns the problem of the app's ids that aborts the launch.
    pub(crate) fn app_id_finding(&self, file: &ManifestFile) -> Option<Diagnostic> {
        let error = match self.parsed_app_ids() {
            Ok(ids) if ids.is_empty() => manifest_app_id(file.value()).err()?,
            ids => ids.err()?,
        };
        let of_manifest = self.configured_app_ids.is_empty();
        let finding = error.to_diagnostic();
        Some(match of_manifest {
            true => finding.in_manifest(file.locate(&ManifestPath::of(&["app", "id"]))),
            false => finding,
        })
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
