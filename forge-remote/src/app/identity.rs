//! The ids of the apps that a backend serves: the audiences of the FITs it accepts.
//!
//! Launch, `manifest --check` and `dev` use this one code path.

use serde_yaml::Value;

use super::config::{AppSettings, MANIFEST};
use super::drift::unreadable;
use crate::diagnostic::{Diagnostic, Rule};
use crate::fit::{AppId, InvalidAppId};
#[cfg(feature = "cli")]
use crate::manifest::{ManifestFile, ManifestPath};
use crate::manifest::{VariableError, Variables};

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&NO_APP_ID, &BAD_APP_ID];

const NO_APP_ID: Rule = Rule::launch(
    "no-app-id",
    "A Forge Invocation Token is issued for one app, and without the app's id its audience cannot be checked. `forge \
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
    #[error("the app's id is not set, so the audience of tokens cannot be checked")]
    Missing,
    #[error("{0}")]
    UnreadableManifest(String),
    #[error(transparent)]
    Invalid(#[from] InvalidAppId),
    #[error("the manifest's `app.id` is `{id}`, and {source}")]
    Variable { id: String, source: VariableError },
    #[error("the manifest's `app.id` is `{id}`, and {source}")]
    Resolved { id: String, source: InvalidAppId },
}

impl AppIdError {
    /// Returns the problem that keeps the app from starting. The fix is where these settings come from.
    pub(crate) fn to_diagnostic(&self, settings: &AppSettings) -> Diagnostic {
        let message = self.to_string();
        if let Self::UnreadableManifest(_) = self {
            return unreadable(message);
        }
        let manifest = settings.manifest.display();
        let has_configured = !settings.configured_app_ids.is_empty();
        let help = match self {
            Self::Missing if settings.lacks_named_manifest() => format!(
                "correct {MANIFEST}, which names {manifest}: there is no such file; or set FORGE_REMOTE_APP_ID"
            ),
            Self::Missing if settings.manifest.exists() => format!(
                "run `forge register`, which writes `app.id` to {manifest}, or set FORGE_REMOTE_APP_ID or `App::app_id`; \
                 the `dev` command needs no id"
            ),
            Self::Missing => "set FORGE_REMOTE_APP_ID, or `App::app_id`, or put manifest.yml with `app.id` (written by \
                 `forge register`) next to Cargo.toml; the `dev` command needs no id"
                .to_owned(),
            Self::Variable {
                source: VariableError::Undeclared(name),
                ..
            } => format!("declare `{name}` there, or set FORGE_REMOTE_APP_ID"),
            Self::Variable { source, .. } => format!(
                "set {} in the environment, give it a default, or set FORGE_REMOTE_APP_ID",
                source.name()
            ),
            Self::Invalid(_) if settings.has_app_ids_of_environment => {
                "correct FORGE_REMOTE_APP_ID".to_owned()
            }
            Self::Invalid(_) if has_configured => {
                "correct the argument of `App::app_id` or `App::app_ids`".to_owned()
            }
            Self::Invalid(_) => format!("correct `app.id` in {manifest}, or set FORGE_REMOTE_APP_ID"),
            Self::Resolved { .. } | Self::UnreadableManifest(_) => {
                "correct its variables in the environment, or their defaults, or set FORGE_REMOTE_APP_ID".to_owned()
            }
        };
        let rule = match self {
            Self::Missing => &NO_APP_ID,
            _ => &BAD_APP_ID,
        };
        Diagnostic::error(rule, message, help)
    }
}

impl AppSettings {
    /// Returns the ids of the apps, without duplicates and at least one: the configured ones, else the
    /// manifest's.
    pub(crate) fn app_ids(&self) -> Result<Vec<AppId>, AppIdError> {
        let mut ids = self.parsed_app_ids()?;
        if ids.is_empty() {
            let manifest = self.read_manifest();
            let manifest =
                manifest.map_err(|error| AppIdError::UnreadableManifest(error.to_string()))?;
            ids.push(manifest_app_id(manifest.value())?);
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
    /// Adds the problem of the app's ids that aborts the launch, instead of the lints' findings about the same
    /// text.
    pub(crate) fn add_app_id_finding(&self, file: &ManifestFile, findings: &mut Vec<Diagnostic>) {
        let error = match self.parsed_app_ids() {
            Ok(ids) if ids.is_empty() => manifest_app_id(file.value()).err(),
            ids => ids.err(),
        };
        let Some(error) = error else {
            return;
        };
        let mut finding = error.to_diagnostic(self);
        if self.configured_app_ids.is_empty() {
            let place = file.locate(&ManifestPath::of(&["app", "id"]));
            let is_same = |one: &Diagnostic| {
                one.manifest == Some(place.0)
                    && (one.code == "invalid-app-id" || is_missing_id(one))
            };
            findings.retain(|one| !is_same(one));
            finding = finding.in_manifest(place);
        }
        findings.push(finding);
    }
}

/// Returns whether a lint's finding is that the manifest has no `app.id`.
#[cfg(feature = "cli")]
fn is_missing_id(finding: &Diagnostic) -> bool {
    finding.code == "missing-property" && finding.message == "`app` has no `id`"
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
