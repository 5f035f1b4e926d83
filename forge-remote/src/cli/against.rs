//! `manifest --against`: the version that deploying the manifest creates.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::deployed::{self, AgainstError};
use super::output::{FAILED, NEGATIVE, OK, color, print, print_error, print_report};
use crate::app::{App, BasePaths};
use crate::diagnostic::Diagnostic;
use crate::manifest::{
    Former, FormerPath, ManifestFile, VersionChange, VersionLevel, check, is_app_managed, render,
    variables_without_default, version_changes,
};
use crate::registry::{Handler, Registry};

/// The command that deploys a major version.
/// Source: <https://developer.atlassian.com/platform/forge/cli-reference/deploy/#pre-approval>
const APPROVE: &str = "forge deploy --approve MAJOR_VERSION_RULE";

/// The exit status for a minor version, where each version has its own.
const MINOR: i32 = 3;

/// The form of the report.
#[derive(Clone, Copy)]
pub(super) struct Format {
    pub(super) as_json: bool,
    /// Whether a minor version has a separate exit status.
    pub(super) has_detailed_status: bool,
}

/// Compares the manifest with the deployed one, and returns the exit status: 0 unless the change needs
/// a major version.
pub(super) fn run(app: &App, against: &str, format: Format) -> i32 {
    let path = app.settings().manifest;
    match compare(app, &path, against) {
        Ok(report) => {
            match format.as_json {
                true => print(&report.json(&path, against)),
                false => print_report(&report.text(&path, against)),
            }
            match report.level() {
                Some(VersionLevel::Major) => NEGATIVE,
                Some(VersionLevel::Minor) if format.has_detailed_status => MINOR,
                Some(VersionLevel::Minor) | None => OK,
            }
        }
        Err(error) => {
            if format.as_json {
                let (manifest, error) = (path.display().to_string(), error.to_string());
                let report = json!({ "manifest": manifest, "against": against, "error": error });
                print(&format!("{report:#}\n"));
            }
            print_error(&format!("error: {error}"));
            FAILED
        }
    }
}

struct VersionReport {
    file: Arc<ManifestFile>,
    changes: Vec<VersionChange>,
    is_app_managed: bool,
    /// Whether the file differs from the code.
    differs_from_code: bool,
    /// The variables whose values are not known.
    uncompared_variables: BTreeSet<String>,
}

fn compare(app: &App, path: &Path, against: &str) -> Result<VersionReport, AgainstError> {
    let new = app.settings().read_manifest()?;
    if !new.exists() {
        let path = path.to_owned();
        return Err(AgainstError::NoManifest { path });
    }
    let deployed = deployed::read(&new, against)?;
    let is_app_managed = is_app_managed(&new);
    let service = ServedNames {
        registry: &app.registry,
        base_paths: &app.base_paths(),
    };
    let mut changes = version_changes(&deployed, &new);
    for change in &mut changes {
        let advice = service.advice(&change.former, is_app_managed);
        change.help = advice.or(change.help.take());
    }
    let differs_from_code = app.declaration_problems().is_empty() && {
        let findings = check(&new, &app.desired_manifest(), &app.allowed_lints);
        findings.iter().any(Diagnostic::is_difference)
    };
    Ok(VersionReport {
        uncompared_variables: variables_without_default(&deployed, &new),
        file: new,
        changes,
        is_app_managed,
        differs_from_code,
    })
}

/// The keys and paths of this build's handlers.
struct ServedNames<'a> {
    registry: &'a Registry,
    base_paths: &'a BasePaths,
}

impl ServedNames<'_> {
    /// Returns how to keep serving the installations that stay on the older version.
    fn advice(&self, former: &Former, is_app_managed: bool) -> Option<String> {
        let who = match is_app_managed {
            true => "installations that Forge has not upgraded yet",
            false => "installations on the older major version",
        };
        let (what, steps) = match former {
            Former::Nothing => return None,
            Former::Item { key, paths } => {
                let mut options: Vec<String> = self.also_at(paths).into_values().collect();
                let key = key.as_deref().filter(|key| !self.accepts(key));
                options.extend(key.map(|key| format!("`also_key = \"{key}\"`")));
                if options.is_empty() {
                    return None;
                }
                let options = options.join(" and ");
                let write = format!("write {options} at the handler that replaces it");
                ("it", vec![write])
            }
            Former::BaseUrls { paths, origins } => {
                let keep = origins.iter();
                let mut steps: Vec<String> =
                    keep.map(|one| format!("keep `{one}` in service")).collect();
                let options = self.also_at(paths).into_iter();
                steps
                    .extend(options.map(|(item, option)| {
                        format!("write {option} at the handler of `{item}`")
                    }));
                ("the former address", steps)
            }
        };
        let steps = steps.join(", and ");
        (!steps.is_empty()).then(|| format!("{who} keep calling {what}: {steps}"))
    }

    /// Returns the option for the paths that no handler has, by the endpoint or module that had them.
    fn also_at<'p>(&self, paths: &'p [FormerPath]) -> BTreeMap<&'p str, String> {
        let mut missing: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for path in paths.iter().filter(|path| !self.reaches(&path.called())) {
            // A former path is served beneath the base URLs too.
            let is_base = self.base_paths.has(&path.remote, &path.base);
            let option = match is_base && !self.reaches(&path.called_route()) {
                true => path.route.clone(),
                false => format!("{}{}", path.base, path.route),
            };
            missing.entry(&path.item).or_default().insert(option);
        }
        let options = missing.into_iter().map(|(item, paths)| {
            let paths: Vec<String> = paths.iter().map(|path| format!("\"{path}\"")).collect();
            let value = match paths.as_slice() {
                [path] => path.clone(),
                paths => format!("[{}]", paths.join(", ")),
            };
            (item, format!("`also_at = {value}`"))
        });
        options.collect()
    }

    fn reaches(&self, path: &str) -> bool {
        let mut handlers = self.registry.handlers().iter();
        handlers.any(|one| self.base_paths.reaches(one, path))
    }

    /// Returns whether a handler accepts tokens that name this key of an endpoint or a module.
    fn accepts(&self, key: &str) -> bool {
        let accepts = |one: &Handler| {
            let mut former = one.former_keys().iter();
            one.endpoint() == key || one.key() == key || former.any(|former| former == key)
        };
        self.registry.handlers().iter().any(accepts)
    }
}

impl VersionReport {
    fn level(&self) -> Option<VersionLevel> {
        self.changes.iter().map(|change| change.level).max()
    }

    fn text(&self, path: &Path, against: &str) -> String {
        let name = path.display();
        let changes = self.changes.iter().map(VersionChange::diagnostic);
        let mut text = render(&self.file, &Vec::from_iter(changes), color());
        if self.differs_from_code {
            let _ = writeln!(
                text,
                "note: {name} also differs from the code: run `manifest --write` first to see the version that the code needs\n"
            );
        }
        let count = |level| self.changes.iter().filter(|one| one.level == level).count();
        let (major, minor) = (count(VersionLevel::Major), count(VersionLevel::Minor));
        let level = self.level();
        let meaning = level.map(|level| level.consequence(self.is_app_managed));
        let meaning = meaning.unwrap_or_default();
        let _ = match level {
            None => writeln!(
                text,
                "no new version needed: {name} means the same as in {against}"
            ),
            Some(VersionLevel::Minor) => writeln!(
                text,
                "minor version ({minor} minor): {meaning}; deploy with `forge deploy`"
            ),
            Some(VersionLevel::Major) => writeln!(
                text,
                "major version ({major} major, {minor} minor): {meaning}; deploy with `{APPROVE}` (Forge CLI 13.3 or \
                 later)"
            ),
        };
        let variables = &self.uncompared_variables;
        if !variables.is_empty() {
            let names: Vec<String> = variables.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(
                text,
                "note: not compared: {} without a default in `environment.variables`: {}. A value that is not the \
                 deployed one may need a major version",
                match names.len() {
                    1 => "1 variable".to_owned(),
                    count => format!("{count} variables"),
                },
                names.join(", ")
            );
        }
        text
    }

    fn json(&self, path: &Path, against: &str) -> String {
        let level = self.level();
        let deploy = level.map(|level| match level {
            VersionLevel::Minor => "forge deploy",
            VersionLevel::Major => APPROVE,
        });
        let report = json!({
            "manifest": path.display().to_string(),
            "against": against,
            "version": level.map_or("none".to_owned(), |level| level.to_string()),
            "deploy": deploy,
            "differs_from_code": self.differs_from_code,
            "uncompared_variables": self.uncompared_variables,
            "changes": self.changes,
        });
        format!("{report:#}\n")
    }
}
