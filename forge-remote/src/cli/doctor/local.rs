//! The checks of `doctor` that run on the deployment's own machine.

use std::time::Duration;

use super::keys::KeySets;
use super::line::Line;
use super::stored::Stored;
use crate::app::App;
use crate::diagnostic::counted;

/// The fewest open files: each connection is one, and half of them are left for everything else.
const FEW_FILES: u64 = 1024;

/// Runs every check. `timeout` is that of each key set and each store.
pub(super) async fn checked(mut app: App, timeout: Duration) -> Vec<Line> {
    let mut lines = vec![code(&app), manifest(&app), app_id(&app)];
    let stored = Stored::of(&app);
    let keys = KeySets::of(&mut app);
    drop(app);
    lines.extend(keys.checked(timeout).await);
    lines.push(files());
    lines.extend(stored.checked(timeout).await);
    lines
}

/// Does the checks of a launch on the code.
fn code(app: &App) -> Line {
    let problems = app.declaration_problems();
    let Some(first) = problems.first() else {
        let count = app.registry().handlers().len();
        return Line::passed("handlers", counted(count, "handler", "handlers"));
    };
    let detail = format!(
        "{} (and {} more problems)",
        first.message,
        problems.len() - 1
    );
    let detail = detail.replace(" (and 0 more problems)", "");
    Line::failed(
        "handlers",
        detail,
        "`routes` lists every problem with its position",
    )
}

fn manifest(app: &App) -> Line {
    let comparison = app.comparison();
    let path = comparison.path().display().to_string();
    if app.settings().lacks_named_manifest() {
        let detail = format!(
            "{path} does not exist, and FORGE_REMOTE_MANIFEST names it: the app does not start"
        );
        return Line::failed(
            "manifest",
            detail,
            "correct FORGE_REMOTE_MANIFEST, or remove it",
        );
    }
    if !comparison.path().exists() {
        let detail = format!("{path} does not exist, so it is not compared with the code");
        let fix = "deploy the manifest with the app, or name it with FORGE_REMOTE_MANIFEST";
        return Line::warning("manifest", detail, fix);
    }
    match comparison.report(false) {
        Ok(report) if report.agrees => Line::passed("manifest", format!("{path} matches the code")),
        Ok(_) => {
            let detail = format!("{path} differs from the code, or has errors");
            Line::failed(
                "manifest",
                detail,
                "`manifest --check` shows each one with its fix",
            )
        }
        Err(error) => Line::failed("manifest", error.to_string(), "correct the file"),
    }
}

fn app_id(app: &App) -> Line {
    let settings = app.settings();
    match settings.app_ids() {
        Ok(ids) => {
            let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
            Line::passed("app id", ids.join(", "))
        }
        Err(error) => {
            let problem = error.to_diagnostic(&settings);
            Line::failed("app id", problem.message, problem.help.unwrap_or_default())
        }
    }
}

/// Checks how many files the process may open.
fn files() -> Line {
    match crate::app::open_files() {
        None => Line::passed("open files", "no limit is known"),
        Some(limit) if limit >= FEW_FILES => Line::passed("open files", limit.to_string()),
        Some(limit) => {
            let detail = format!("the process may open {limit} files, and each connection is one");
            let fix = format!(
                "raise the hard limit to {FEW_FILES} or more (`ulimit -Hn`, `LimitNOFILE=` of systemd)"
            );
            Line::warning("open files", detail, fix)
        }
    }
}
