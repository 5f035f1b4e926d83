//! The `manifest` command.

use std::collections::BTreeSet;
use std::mem::{self, ManuallyDrop};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use super::output::{FAILED, NEGATIVE, OK, color, flag, print, print_error, print_report};
use super::{adopt, against};
use crate::app::{App, Comparison, LaunchError, ManifestReport, UpdateEnd, Updated};
use crate::diagnostic::Diagnostic;
use crate::manifest::{CheckError, ManifestError, ManifestFile, in_parallel};

pub(super) fn command() -> Command {
    Command::new("manifest")
        .about("Show how manifest.yml differs from the code")
        .arg(flag("write", "Update manifest.yml"))
        .arg(flag(
            "check",
            "Change nothing; exit 1 on a difference or if the app would not start, 2 if the manifest cannot be compared",
        ))
        .arg(flag("stdout", "Print only the generated sections"))
        .arg(
            Arg::new("against")
                .long("against")
                .value_name("FILE|GIT-REF")
                .help(
                    "Compare with the deployed manifest; exit 1 if the change needs a major \
                     version, 2 if the two cannot be compared",
                ),
        )
        .arg(flag(
            "adopt",
            "Print the handlers that serve the manifest's endpoints, as a program for src/main.rs",
        ))
        .group(ArgGroup::new("mode").args(["write", "check", "stdout", "against", "adopt"]))
        // For clap, a required flag that conflicts with a given one counts as given.
        .arg(
            flag(
                "detailed-exit-code",
                "With --against: exit 3 for a minor version, 0 if no new version is needed",
            )
            .requires("against")
            .conflicts_with_all(["write", "check", "stdout", "adopt", "prune"]),
        )
        .arg(
            Arg::new("prune")
                .long("prune")
                .value_name("KEY")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .requires("write")
                .conflicts_with_all(["check", "stdout", "against", "adopt", "json"])
                .help("With `--write`: remove these entries, which no handler declares"),
        )
        .arg(
            flag(
                "json",
                "Print the findings and problems as JSON, for machines",
            )
            .conflicts_with_all(["write", "stdout", "adopt"]),
        )
}

/// The tasks of the command.
enum Mode {
    /// Compares the manifest with the code.
    Compare(CompareMode),
    /// Compares the manifest with this file or git revision.
    Against(String),
    /// Prints the program that serves the manifest's endpoints.
    Adopt,
}

/// The tasks after a comparison.
enum CompareMode {
    Show,
    Check,
    Stdout,
    /// Updates the manifest, without the entries of these keys.
    Write {
        prune: BTreeSet<String>,
    },
}

impl Mode {
    fn of(options: &ArgMatches) -> Self {
        if let Some(deployed) = options.get_one::<String>("against") {
            return Self::Against(deployed.clone());
        }
        if options.get_flag("adopt") {
            return Self::Adopt;
        }
        let prune = options.get_many::<String>("prune").unwrap_or_default();
        Self::Compare(if options.get_flag("write") {
            CompareMode::Write {
                prune: prune.cloned().collect(),
            }
        } else if options.get_flag("stdout") {
            CompareMode::Stdout
        } else if options.get_flag("check") {
            CompareMode::Check
        } else {
            CompareMode::Show
        })
    }
}

/// Runs the command, and returns its exit status.
pub(super) async fn run(app: App, options: &ArgMatches) -> i32 {
    run_on(&app, options)
}

fn run_on(app: &App, options: &ArgMatches) -> i32 {
    let as_json = options.get_flag("json");
    match Mode::of(options) {
        Mode::Against(deployed) => {
            let format = against::Format {
                as_json,
                has_detailed_status: options.get_flag("detailed-exit-code"),
            };
            against::run(app, &deployed, format)
        }
        Mode::Adopt => adopt::run(app),
        Mode::Compare(effect) => compare(app, effect, as_json),
    }
}

/// Compares the manifest with the code, and returns the exit status.
fn compare(app: &App, effect: CompareMode, as_json: bool) -> i32 {
    let settings = app.settings();
    let code = || (app.comparison(), app.code_problems());
    let read = || settings.read_manifest();
    let ((comparison, mut problems), file) = in_parallel(code, read);
    // The process ends after the command: the system frees a large manifest faster than its destructors do.
    let comparison = ManuallyDrop::new(comparison);
    let file = file.unwrap_or_else(read);
    file.iter().for_each(|file| mem::forget(Arc::clone(file)));
    let manifest = file.as_ref().ok().map(|file| file.value());
    problems.extend(app.path_problems(&app.base_paths_in(manifest)));
    if !problems.is_empty() {
        if as_json {
            print_json(&app.settings().manifest, false, &problems, None);
        }
        print_error(&LaunchError::new(problems));
        return FAILED;
    }
    let result = match effect {
        CompareMode::Stdout => {
            print(&comparison.wanted().to_yaml());
            Ok(OK)
        }
        CompareMode::Write { prune } => file.and_then(|file| write(&comparison, &file, prune)),
        CompareMode::Show => show(&comparison, file, as_json, Vec::new()).map(|_| OK),
        CompareMode::Check => {
            let setup = app.setup_problems(&app.settings());
            let agrees = show(&comparison, file, as_json, setup);
            agrees.map(|agrees| if agrees { OK } else { NEGATIVE })
        }
    };
    result.unwrap_or_else(|error| {
        print_error(&format!("error: {error}"));
        FAILED
    })
}

/// The time in which an editor that saves the manifest has written its whole text: `dev --write` runs at each start, also
/// while the file is edited.
#[cfg(feature = "dev")]
const SETTLE: Duration = Duration::from_millis(100);

/// Updates the manifest, unless the code's declarations have problems, which the launch reports, or the file is empty.
/// The report is printed to standard error if `to_stderr`.
#[cfg(feature = "dev")]
pub(super) fn update(app: &App, to_stderr: bool) -> Result<(), ManifestError> {
    if !app.declaration_problems().is_empty() {
        return Ok(());
    }
    let comparison = app.comparison();
    let file = comparison.read()?;
    if file.is_blank() {
        print_error(&format!(
            "note: {} is empty, and stays so: an editor may be saving it; `manifest --write` fills it",
            file.path().display()
        ));
        return Ok(());
    }
    let updated = comparison.update(&file, BTreeSet::new(), SETTLE, color() && !to_stderr)?;
    if to_stderr {
        print_error(&updated.text);
    } else {
        print_report(&updated.text);
    }
    Ok(())
}

/// Updates the manifest, and returns the exit status. `prune` has the keys of entries to remove.
fn write(
    comparison: &Comparison,
    file: &ManifestFile,
    prune: BTreeSet<String>,
) -> Result<i32, ManifestError> {
    let Updated { text, end } = comparison.update(file, prune, Duration::ZERO, color())?;
    if end == UpdateEnd::Rejected {
        print_error(&format!("error: {text}"));
        return Ok(FAILED);
    }
    print_report(&text);
    Ok(if end == UpdateEnd::Complete {
        OK
    } else {
        NEGATIVE
    })
}

/// Prints the comparison and what keeps the app from starting, and returns whether there is no problem.
fn show(
    comparison: &Comparison,
    file: Result<Arc<ManifestFile>, ManifestError>,
    json: bool,
    setup: Vec<Diagnostic>,
) -> Result<bool, ManifestError> {
    let path = comparison.path();
    let starts = setup.is_empty();
    let report = match file.map(|file| comparison.report_on(&file, color())) {
        // With `--json`, errors are printed as JSON too.
        Err(error) if json => {
            print_json(path, false, &setup, Some(&error.to_string()));
            return Err(error);
        }
        Err(error) => {
            if !starts {
                print_error(&LaunchError::new(setup));
            }
            return Err(error);
        }
        Ok(report) => report,
    };
    let agrees = report.agrees && starts;
    if json {
        let findings = [report.findings, setup].concat();
        print_json(path, agrees, &findings, None);
        return Ok(agrees);
    }
    print_report(&report.text);
    if !starts {
        print_error(&LaunchError::new(setup));
    }
    Ok(agrees)
}

/// Prints the report of `manifest --json`: findings, or the problems of the code.
fn print_json(path: &Path, agrees: bool, findings: &[Diagnostic], error: Option<&str>) {
    let manifest = path.display().to_string();
    let mut report =
        serde_json::json!({ "manifest": manifest, "agrees": agrees, "findings": findings });
    if let (Some(error), Some(report)) = (error, report.as_object_mut()) {
        report.insert("error".to_owned(), error.into());
    }
    print(&format!("{report:#}\n"));
}

/// Returns the report of `manifest --check` as an error if there is a problem.
pub(super) fn check_manifest(app: &App) -> Result<(), CheckError> {
    let problems = app.declaration_problems();
    if !problems.is_empty() {
        let report = LaunchError::new(problems.clone()).to_string();
        return Err(CheckError::Findings {
            report,
            findings: problems,
        });
    }
    let compared = app.comparison().report(false);
    let setup = app.setup_problems(&app.settings());
    let (report, mut findings) = match compared {
        Ok(ManifestReport { agrees: true, .. }) => (None, Vec::new()),
        Ok(ManifestReport { text, findings, .. }) => (Some(text), findings),
        Err(error) if setup.is_empty() => return Err(error.into()),
        Err(error) => (Some(error.to_string()), Vec::new()),
    };
    findings.extend(setup.clone());
    let setup = (!setup.is_empty()).then(|| LaunchError::new(setup).to_string());
    let texts: Vec<String> = report.into_iter().chain(setup).collect();
    match texts.is_empty() {
        true => Ok(()),
        false => Err(CheckError::Findings {
            report: texts.join("\n"),
            findings,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::command;

    /// A flag that has no effect with others is rejected, so that no script relies on it.
    #[test]
    fn only_flags_with_an_effect_are_accepted() {
        const FLAGS: [&[&str]; 8] = [
            &["--write"],
            &["--check"],
            &["--stdout"],
            &["--against", "HEAD"],
            &["--adopt"],
            &["--json"],
            &["--prune", "gone"],
            &["--detailed-exit-code"],
        ];
        let mut accepted = BTreeSet::new();
        for bits in 0..1_usize << FLAGS.len() {
            let flags = FLAGS.iter().enumerate();
            let flags = flags.filter(|(at, _)| bits & (1 << at) != 0);
            let flags = Vec::from_iter(flags.flat_map(|(_, flag)| flag.iter().copied()));
            let arguments = ["manifest"].into_iter().chain(flags.iter().copied());
            if command().try_get_matches_from(arguments).is_ok() {
                accepted.insert(flags.join(" "));
            }
        }
        let expected = [
            "",
            "--write",
            "--write --prune gone",
            "--check",
            "--check --json",
            "--stdout",
            "--against HEAD",
            "--against HEAD --json",
            "--against HEAD --detailed-exit-code",
            "--against HEAD --json --detailed-exit-code",
            "--adopt",
            "--json",
        ];
        assert_eq!(accepted, expected.map(str::to_owned).into());
    }
}
