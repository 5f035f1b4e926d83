//! The check that the manifest can be read, and agrees with the code, before an app serves.

use super::builder::App;
use super::config::{AppSettings, MANIFEST};
use crate::diagnostic::{Diagnostic, Rule};
#[cfg(feature = "cli")]
use crate::diagnostic::{Position, Severity};
#[cfg(feature = "cli")]
use crate::manifest::{DesiredManifest, Left, ManifestFile, check, compare};

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&BAD_MANIFEST, &MANIFEST_DRIFT];

const BAD_MANIFEST: Rule = Rule::launch(
    "bad-manifest",
    "The manifest cannot be read, or FORGE_REMOTE_MANIFEST names a file that does not exist, so it cannot be compared with \
    the code, and the app's id and the paths of its base URLs are unknown. Correct the file, or the variable.",
);

#[cfg(feature = "cli")]
const MANIFEST_DRIFT: Rule = Rule::launch(
    "manifest-drift",
    "The manifest and the code differ. Forge uses the deployed manifest, so handlers would not be called, or with \
    other paths or tokens. `manifest` shows the differences, `manifest --write` resolves the ones that need no decision.",
);

/// The fix of differences that an update resolves.
#[cfg(feature = "cli")]
pub(crate) const UPDATE_HELP: &str = "run the `manifest --write` command (with cargo: `cargo run -- manifest --write`), then `forge deploy`";

/// Returns the problem that keeps the app from starting if its manifest cannot be read or, with the feature `cli`,
/// differs from the code.
pub(crate) fn drift(app: &App) -> Option<Diagnostic> {
    let settings = app.settings();
    if let Some(problem) = missing_named_manifest(&settings) {
        return Some(problem);
    }
    match settings.read_manifest() {
        #[cfg(feature = "cli")]
        Ok(file) if file.exists() => differences(app, &file),
        Ok(_) => None,
        Err(error) => Some(unreadable(error.to_string())),
    }
}

/// Returns the problem that the environment names a manifest that does not exist.
fn missing_named_manifest(settings: &AppSettings) -> Option<Diagnostic> {
    let path = settings.manifest.display();
    settings.lacks_named_manifest().then(|| {
        let message = format!("the manifest that {MANIFEST} names does not exist: {path}");
        let help = format!(
            "correct {MANIFEST}, or remove it: a file that is not named may be absent, if FORGE_REMOTE_APP_ID is set"
        );
        Diagnostic::error(&BAD_MANIFEST, message, help)
    })
}

/// Returns the problem of a manifest that cannot be read.
pub(super) fn unreadable(message: String) -> Diagnostic {
    let help = "correct the file, or set another with FORGE_REMOTE_MANIFEST";
    Diagnostic::error(&BAD_MANIFEST, message, help)
}

#[cfg(feature = "cli")]
fn differences(app: &App, file: &ManifestFile) -> Option<Diagnostic> {
    let wanted = app.desired_manifest();
    let mut findings = check(file, &wanted, &app.allowed_lints);
    let path = file.path().display();
    let line = |at: Position| format!("{path}:{}:{}", at.line, at.column);
    // Lint findings are only logged: an app that agrees with its deployed manifest starts.
    for rule in findings
        .iter()
        .filter(|one| !one.is_difference() && one.severity > Severity::Note)
    {
        let at = rule.manifest.map(line).unwrap_or_default();
        tracing::warn!(code = rule.code, at, "{}", rule.message);
    }
    findings.retain(Diagnostic::is_difference);
    if findings.is_empty() {
        return None;
    }
    let notes = findings.iter().map(|one| {
        let at = one.manifest.map(line).unwrap_or_default();
        format!("{at}: {}", one.message)
    });
    let message = format!("{path} differs from the code");
    let help = help(file, &wanted, app.settings().new_manifest_id());
    Some(Diagnostic::error(&MANIFEST_DRIFT, message, help).notes(notes))
}

/// Returns the fix. An update may change nothing, because only the user knows what to do with an entry.
#[cfg(feature = "cli")]
fn help(file: &ManifestFile, wanted: &DesiredManifest, app_id: Option<&str>) -> String {
    if !matches!(file.merge(wanted, app_id), Ok(None)) {
        return UPDATE_HELP.to_owned();
    }
    let left = Left::of(&compare(file, wanted)).text();
    let mut help =
        "`manifest --write` leaves this; `manifest --check` shows how to resolve it".to_owned();
    for reason in left.lines() {
        help.push_str("; ");
        help.push_str(reason);
    }
    help
}
