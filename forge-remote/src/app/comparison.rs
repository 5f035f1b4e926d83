//! The manifest compared with the code, and its update.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use similar::TextDiff;

use super::builder::App;
use super::config::AppSettings;
use crate::diagnostic::{Diagnostic, Severity};
use crate::manifest::{
    DesiredManifest, Difference, Draft, Left, ManifestError, ManifestFile, bindings, changes,
    check_compared, compare, in_parallel, prune_problem, render,
};

/// The code's side of the comparison, which outlives the app.
pub(crate) struct Comparison {
    settings: AppSettings,
    wanted: DesiredManifest,
    allowed: BTreeSet<String>,
}

/// The result of a comparison.
pub(crate) struct ManifestReport {
    /// Whether there is no difference and no error.
    pub(crate) agrees: bool,
    pub(crate) findings: Vec<Diagnostic>,
    /// The findings and the differences, for people.
    pub(crate) text: String,
}

/// The result of an update.
pub(crate) struct Updated {
    /// A message about the changes, or the reason why there are none.
    pub(crate) text: String,
    pub(crate) end: UpdateEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateEnd {
    /// The file agrees with the code, and has no mistakes.
    Complete,
    /// Entries without a handler or mistakes are left.
    Incomplete,
    /// A key to remove is unknown or still used, and nothing was written.
    Rejected,
}

impl App {
    pub(crate) fn comparison(&self) -> Comparison {
        Comparison {
            settings: self.settings(),
            wanted: self.desired_manifest(),
            allowed: self.allowed_lints.clone(),
        }
    }
}

impl Comparison {
    pub(crate) fn path(&self) -> &Path {
        &self.settings.manifest
    }

    pub(crate) fn wanted(&self) -> &DesiredManifest {
        &self.wanted
    }

    /// Reads the file.
    pub(crate) fn read(&self) -> Result<Arc<ManifestFile>, ManifestError> {
        self.settings.read_manifest()
    }

    /// Reads the file, and compares it with the code.
    pub(crate) fn report(&self, color: bool) -> Result<ManifestReport, ManifestError> {
        let file = self.read()?;
        Ok(self.report_on(&file, color))
    }

    /// Compares the file with the code.
    pub(crate) fn report_on(&self, file: &ManifestFile, color: bool) -> ManifestReport {
        let Self {
            settings, wanted, ..
        } = self;
        let name = file.path().display();
        let findings = self.findings(file);
        if !file.exists() {
            let sections = wanted.to_yaml();
            let text =
                format!("{name} does not exist; `manifest --write` writes it:\n\n{sections}");
            return ManifestReport {
                agrees: false,
                findings,
                text,
            };
        }
        let errors = errors(&findings).count();
        let mut text = render(file, &findings, color);
        text.push_str(&bindings(file, wanted));
        if errors == 0 {
            text.push_str(&format!("{name} matches the code\n"));
            return ManifestReport {
                agrees: true,
                findings,
                text,
            };
        }
        let problems = problems(errors);
        if !findings.iter().any(Diagnostic::is_difference) {
            text.push_str(&format!(
            "{name} matches the code, but has {problems} that only you can correct, in the file or in the code\n"
        ));
            return ManifestReport {
                agrees: false,
                findings,
                text,
            };
        }
        let differs = format!("\n{name} differs from the code: {problems}");
        match file.merge(wanted, settings.new_manifest_id()) {
            Ok(Some(updated)) => {
                text.push_str(&unified_diff(file.text(), updated.text()));
                text.push_str(&format!(
                    "{differs}. Update it with `manifest --write` (with cargo: `cargo run -- manifest --write`)\n"
                ));
            }
            Ok(None) => {
                let left = Left::of(&compare(file, wanted)).text();
                text.push_str(&format!("{differs} that `manifest --write` leaves\n{left}"));
            }
            Err(error) => text.push_str(&format!("{error}\n{differs}\n")),
        }
        ManifestReport {
            agrees: false,
            findings,
            text,
        }
    }

    /// Returns what `--check` reports.
    fn findings(&self, file: &ManifestFile) -> Vec<Diagnostic> {
        self.findings_of(file, &compare(file, &self.wanted))
    }

    /// Returns the same, for a file whose differences from the code are known.
    fn findings_of(&self, file: &ManifestFile, differences: &[Difference]) -> Vec<Diagnostic> {
        let mut findings = check_compared(file, &self.wanted, &self.allowed, differences);
        // A problem that would end the launch is a finding too.
        self.settings.add_app_id_finding(file, &mut findings);
        findings
    }

    /// Returns the differences as a unified diff: empty without differences, and if they cannot be written to
    /// the file.
    #[cfg(feature = "dev")]
    pub(crate) fn diff(&self) -> Result<String, ManifestError> {
        let file = self.read()?;
        if !file.exists() {
            let sections = self.wanted.to_yaml();
            return Ok(unified_diff("", &sections));
        }
        let updated = file.merged_with(&self.wanted, self.settings.new_manifest_id());
        let updated = updated.ok().filter(|updated| updated != file.text());
        Ok(updated.map_or_else(String::new, |updated| unified_diff(file.text(), &updated)))
    }

    /// Updates the file. `prune` has the keys of entries to remove, and `settle` is the time in which another program may
    /// still save the file.
    pub(crate) fn update(
        &self,
        file: &ManifestFile,
        prune: BTreeSet<String>,
        settle: Duration,
        color: bool,
    ) -> Result<Updated, ManifestError> {
        let name = file.path().display();
        let mut wanted = Cow::Borrowed(&self.wanted);
        if !prune.is_empty() {
            if let Some(text) = prune_problem(file, &self.wanted, &prune) {
                let end = UpdateEnd::Rejected;
                return Ok(Updated { text, end });
            }
            wanted.to_mut().removable.extend(prune);
        }
        let report = match file.draft(&wanted, self.settings.new_manifest_id())? {
            Some(draft) => self.write(file, &draft, &wanted, settle, color)?,
            None => {
                let differences = compare(file, &wanted);
                let mut report = self.report_after(file, false, &differences, color);
                let end = if report.left.len() == 0 && report.mistakes == 0 {
                    "matches the code; nothing was written"
                } else {
                    "was not changed"
                };
                report.text.push_str(&format!("{name} {end}\n"));
                report
            }
        };
        let UpdateReport {
            mut text,
            left,
            mistakes,
        } = report;
        if mistakes > 0 {
            text.push_str(&format!(
                "{name} has {} that only you can correct, in the file or in the code\n",
                problems(mistakes)
            ));
        }
        text.push_str(&left.text());
        let end = match left.len() + mistakes {
            0 => UpdateEnd::Complete,
            _ => UpdateEnd::Incomplete,
        };
        Ok(Updated { text, end })
    }

    /// Returns the report on a file after an update, given its differences from the code.
    fn report_after(
        &self,
        file: &ManifestFile,
        is_new: bool,
        differences: &[Difference],
        color: bool,
    ) -> UpdateReport {
        let left = Left::of(differences);
        let mut findings = self.findings_of(file, differences);
        // An app that is not registered yet has no id.
        findings.retain(|one| one.code != "no-app-id");
        let mistakes = errors(&findings).count().saturating_sub(left.len());
        let text = if is_new || left.len() + mistakes > 0 {
            render(file, &findings, color)
        } else {
            String::new()
        };
        UpdateReport {
            text,
            left,
            mistakes,
        }
    }

    /// Writes a draft to the file.
    fn write(
        &self,
        file: &ManifestFile,
        draft: &Draft<'_>,
        wanted: &DesiredManifest,
        settle: Duration,
        color: bool,
    ) -> Result<UpdateReport, ManifestError> {
        let name = file.path().display();
        let report = || {
            let merged = draft.read()?;
            let differences = compare(&merged, wanted);
            let changes = || changes(file, &merged, wanted, &differences);
            let report = || self.report_after(&merged, true, &differences, color);
            let (mut report, listed) = in_parallel(report, changes);
            let written = match (file.exists(), merged.app_id()) {
                (true, _) => {
                    let listed = listed.unwrap_or_else(changes);
                    format!("{name} is updated:\n{listed}")
                }
                (false, None) => format!(
                    "{name} is written, without `app.id`: `forge register` writes it before the first `forge deploy`\n"
                ),
                (false, Some(_)) => format!("{name} is written\n"),
            };
            report.text.push_str(&written);
            Ok(report)
        };
        // The report does not wait for the second parser. The file is replaced only after both have read the text.
        let confirmed = || draft.confirm().and_then(|()| file.prepare(draft.text()));
        let (report, prepared) = in_parallel(report, confirmed);
        let report = report?;
        prepared
            .unwrap_or_else(|| Err(draft.guard()))?
            .replace(file, settle)?;
        Ok(report)
    }
}

/// The outcome of an update.
struct UpdateReport {
    text: String,
    /// The entries without a handler.
    left: Left,
    /// The number of other errors.
    mistakes: usize,
}

/// Returns the findings that are errors.
fn errors(findings: &[Diagnostic]) -> impl Iterator<Item = &Diagnostic> {
    findings
        .iter()
        .filter(|one| one.severity == Severity::Error)
}

fn problems(count: usize) -> String {
    match count {
        1 => "1 problem".to_owned(),
        _ => format!("{count} problems"),
    }
}

fn unified_diff(file: &str, code: &str) -> String {
    let diff = TextDiff::from_lines(file, code);
    let mut diff = diff.unified_diff();
    diff.context_radius(3)
        .header("manifest.yml", "the code")
        .to_string()
}
