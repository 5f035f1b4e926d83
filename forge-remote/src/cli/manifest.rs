//! The `manifest` command.

use std::collections::BTreeSet;

use clap::{Arg, ArgAction, ArgMatches, Command};
use similar::TextDiff;

use super::output::{FAILED, NEGATIVE, OK, color, flag, print, print_error};
use super::{adopt, against, explain};
use crate::app::{App, LaunchError};
use crate::diagnostic::{Diagnostic, Severity};
use crate::manifest::{
    DesiredManifest, ManifestError, ManifestFile, bindings, changes, check, render,
    stale_keys, to_yaml,
};

pub(super) fn command() -> Command {
    Command::new("manifest")
        .about("Show how manifest.yml differs from the code")
        .arg(flag("write", "Update manifest.yml"))
        .arg(
            flag(
                "check",
                "Change nothing; exit 1 on a difference, 2 if the manifest can't be compared",
            )
            .conflicts_with("write"),
        )
        .arg(
            flag("stdout", "Print only the generated sections")
                .conflicts_with_all(["write", "check"]),
        )
        .arg(
            Arg::new("explain")
                .long("explain")
                .value_name("CODE")
                .help("Explain a code, as `explain` does")
                .exclusive(true),
        )
        .arg(
            Arg::new("against")
                .long("against")
                .value_name("FILE|GIT-REF")
                .help(
                    "Compare with the deployed manifest: is it a major version? Exit 1 if so, 2 if \
                     the two can't be compared",
                )
                .conflicts_with_all(["write", "check", "stdout"]),
        )
        .arg(
            flag(
                "adopt",
                "Print the handlers that serve the manifest's endpoints, as a program for src/main.rs",
            )
            .conflicts_with_all(["write", "check", "stdout", "against", "json", "prune"]),
        )
        .arg(
            Arg::new("prune")
                .long("prune")
                .value_name("KEY")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .requires("write")
                .help("Remove the entries with these keys, which no handler declares"),
        )
        .arg(
            flag(
                "json",
                "Print the findings and problems as JSON, for machines",
            )
            .conflicts_with_all(["write", "stdout"]),
        )
}

/// Runs the command, and returns its exit status.
pub(super) async fn run(app: App, options: &ArgMatches) -> i32 {
    run_on(&app, options)
}

fn run_on(app: &App, options: &ArgMatches) -> i32 {
    if let Some(code) = options.get_one::<String>("explain") {
        return explain::print_explanation(Some(code));
    }
    if let Some(deployed) = options.get_one::<String>("against") {
        return against::run(app, deployed, options.get_flag("json"));
    }
    if options.get_flag("adopt") {
        return adopt::run(app);
    }
    let problems = app.declaration_problems();
    if !problems.is_empty() {
        if options.get_flag("json") {
            print_report(app, false, &problems, None);
        }
        print_error(&LaunchError::new(problems));
        return FAILED;
    }
    let wanted = app.desired_manifest();
    if options.get_flag("stdout") {
        print(&to_yaml(&wanted.to_value()));
        return OK;
    }
    let result = if options.get_flag("write") {
        let prune = options.get_many::<String>("prune").unwrap_or_default();
        write(app, wanted, prune.cloned().collect())
    } else {
        show(app, &wanted, options.get_flag("json")).map(|same| {
            if same || !options.get_flag("check") {
                OK
            } else {
                NEGATIVE
            }
        })
    };
    result.unwrap_or_else(|error| {
        print_error(&format!("error: {error}"));
        FAILED
    })
}

/// Updates the manifest, unless the code's declarations have problems, which the launch reports.
#[cfg(feature = "dev")]
pub(super) fn update(app: &App) -> Result<(), ManifestError> {
    if app.declaration_problems().is_empty() {
        write(app, app.desired_manifest(), BTreeSet::new())?;
    }
    Ok(())
}

/// Updates the manifest. `prune` has the keys of entries to remove.
fn write(
    app: &App,
    mut wanted: DesiredManifest,
    prune: BTreeSet<String>,
) -> Result<i32, ManifestError> {
    let settings = app.settings();
    let file = ManifestFile::read(&settings.manifest)?;
    let name = file.path().display();
    let stale = stale_keys(&file, &wanted);
    if let Some(key) = prune.iter().find(|key| !stale.contains(key)) {
        print_error(&format!(
            "error: `--prune {key}`: {name} has no entry of this key without a handler; nothing was written"
        ));
        return Ok(FAILED);
    }
    wanted.removable.extend(prune);
    let merged = file.merge(&wanted, settings.new_manifest_id())?;
    if let Some(merged) = &merged {
        file.write(merged.text())?;
    }
    let current = merged.as_ref().unwrap_or(&file);
    let left = stale_keys(current, &wanted);
    if merged.is_some() || !left.is_empty() {
        print(&render(
            current,
            &check(current, &wanted, &app.allowed),
            color(),
        ));
    }
    let Some(merged) = merged else {
        let end = if left.is_empty() { "matches the code; nothing was written" } else { "was not changed" };
        print(&format!("{name} {end}\n"));
        return Ok(status_of(&left));
    };
    if file.exists() {
        print(&format!("{name} is updated:\n{}", changes(&file, &merged, &wanted)));
    } else {
        print(&format!("{name} is written\n"));
    }
    Ok(status_of(&left))
}

/// Prints the entries without a handler that an update leaves, and returns the exit status.
fn status_of(left: &[String]) -> i32 {
    if left.is_empty() {
        return OK;
    }
    print(&format!(
        "not removed, because they may be another service's: {}. Remove them with `--prune {}`, or list the endpoints \
         in `App::foreign_endpoints`\n",
        left.join(", "),
        left.join(",")
    ));
    NEGATIVE
}

/// The result of comparing a manifest with the code.
struct Report {
    agrees: bool,
    findings: Vec<Diagnostic>,
    text: String,
}

fn report(app: &App, wanted: &DesiredManifest, color: bool) -> Result<Report, ManifestError> {
    let settings = app.settings();
    let file = ManifestFile::read(&settings.manifest)?;
    let name = file.path().display();
    let mut findings = check(&file, wanted, &app.allowed);
    // What would end the launch is a finding too.
    findings.extend(settings.app_id_finding(&file));
    if !file.exists() {
        let sections = to_yaml(&wanted.to_value());
        let text = format!("{name} does not exist; `manifest --write` writes it:\n\n{sections}");
        return Ok(Report {
            agrees: false,
            findings,
            text,
        });
    }
    let errors = findings
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .count();
    let mut text = render(&file, &findings, color);
    text.push_str(&bindings(&file, wanted));
    if errors == 0 {
        text.push_str(&format!("{name} matches the code\n"));
        return Ok(Report {
            agrees: true,
            findings,
            text,
        });
    }
    let problems = if errors == 1 {
        "1 problem".to_owned()
    } else {
        format!("{errors} problems")
    };
    if !findings.iter().any(Diagnostic::is_difference) {
        text.push_str(&format!(
            "{name} matches the code, but has {problems} that only you can correct, in the file or in the code\n"
        ));
        return Ok(Report {
            agrees: false,
            findings,
            text,
        });
    }
    match file.merged_with(wanted, settings.new_manifest_id()) {
        Ok(updated) => {
            let diff = TextDiff::from_lines(file.text(), &updated);
            let mut diff = diff.unified_diff();
            text.push_str(
                &diff
                    .context_radius(3)
                    .header("manifest.yml", "the code")
                    .to_string(),
            );
        }
        Err(error) => text.push_str(&format!("{error}\n")),
    }
    text.push_str(&format!(
        "\n{name} differs from the code: {problems}. Update it with `manifest --write` (with cargo: \
         `cargo run -- manifest --write`)\n"
    ));
    Ok(Report {
        agrees: false,
        findings,
        text,
    })
}

/// Prints the comparison, and returns whether there is no problem.
fn show(app: &App, wanted: &DesiredManifest, json: bool) -> Result<bool, ManifestError> {
    let Report {
        agrees,
        findings,
        text,
    } = match report(app, wanted, color()) {
        // With `--json`, errors are printed as JSON too.
        Err(error) if json => {
            print_report(app, false, &[], Some(&error.to_string()));
            return Err(error);
        }
        report => report?,
    };
    if json {
        print_report(app, agrees, &findings, None);
    } else {
        print(&text);
    }
    Ok(agrees)
}

/// Prints the report of `manifest --json`: findings, or the problems of the code.
fn print_report(app: &App, agrees: bool, findings: &[Diagnostic], error: Option<&str>) {
    let manifest = app.settings().manifest.display().to_string();
    let mut report =
        serde_json::json!({ "manifest": manifest, "agrees": agrees, "findings": findings });
    if let (Some(error), Some(report)) = (error, report.as_object_mut()) {
        report.insert("error".to_owned(), error.into());
    }
    print(&format!("{report:#}\n"));
}

/// Returns the report of `manifest --check` as an error if there is a problem.
pub(super) fn check_manifest(app: &App) -> Result<(), String> {
    let problems = app.declaration_problems();
    if !problems.is_empty() {
        return Err(LaunchError::new(problems).to_string());
    }
    let wanted = app.desired_manifest();
    match report(app, &wanted, false) {
        Ok(Report { agrees: true, .. }) => Ok(()),
        Ok(Report { text, .. }) => Err(text),
        Err(error) => Err(error.to_string()),
    }
}
