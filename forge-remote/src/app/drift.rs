//! The check that the manifest agrees with the code before an app serves.

use super::builder::App;
use super::config::MANIFEST;
use crate::diagnostic::{Diagnostic, Position, Rule, Severity};
use crate::manifest::{ManifestFile, check};

/// The rules of this file.
pub(crate) const RULES: &[&Rule] = &[&BAD_MANIFEST, &MANIFEST_DRIFT];

const BAD_MANIFEST: Rule = Rule::launch(
    "bad-manifest",
    "The manifest cannot be read, or FORGE_REMOTE_MANIFEST names a file that does not exist, so it cannot be compared with \
    the code. Correct the file, or the variable.",
);

const MANIFEST_DRIFT: Rule = Rule::launch(
    "manifest-drift",
    "The manifest and the code differ. Forge uses the deployed manifest, so handlers would not be called, or with \
    other paths or tokens. `manifest` shows the differences, `manifest --write` resolves them.",
);

/// Returns the problem that keeps the app from starting if its manifest differs from the code.
pub(crate) fn drift(app: &App) -> Option<Diagnostic> {
    let settings = app.settings();
    if settings.lacks_named_manifest() {
        let path = settings.manifest.display();
        let message = format!("the manifest that {MANIFEST} names does not exist: {path}");
        let help = format!(
            "correct {MANIFEST}, or remove it: a file that is not named may be absent, if FORGE_REMOTE_APP_ID is set"
        );
        return Some(Diagnostic::error(&BAD_MANIFEST, message, help));
    }
    let file = match ManifestFile::read(settings.manifest) {
        Ok(file) if file.exists() => file,
        Ok(_) => return None,
        Err(error) => {
            let help = "correct the file, or set another with FORGE_REMOTE_MANIFEST";
            return Some(Diagnostic::error(&BAD_MANIFEST, error.to_string(), help));
        }
    };
    let wanted = app.desired_manifest();
    let mut findings = check(&file, &wanted, &app.allowed);
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
    let help = "run the `manifest --write` command (with cargo: `cargo run -- manifest --write`), then `forge deploy`";
    Some(Diagnostic::error(&MANIFEST_DRIFT, message, help).notes(notes))
}
