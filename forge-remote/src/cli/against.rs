//! `manifest --against`: the version that deploying the manifest creates.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use super::output::{FAILED, NEGATIVE, OK, print, print_error, print_report};
use crate::app::{App, BasePaths};
use crate::diagnostic::Diagnostic;
use crate::manifest::{
    Former, ManifestError, ManifestFile, VersionChange, VersionLevel, are_of_different_apps, check,
    is_app_managed, version_changes,
};
use crate::registry::{Handler, Registry};

/// The command that deploys a major version.
/// Source: <https://developer.atlassian.com/platform/forge/cli-reference/deploy/#pre-approval>
const APPROVE: &str = "forge deploy --approve MAJOR_VERSION_RULE";

/// The error of a deployed manifest that can't be found.
#[derive(Debug, thiserror::Error)]
enum AgainstError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{} does not exist, so there is nothing to deploy: write it with `manifest --write`", path.display())]
    NoManifest { path: PathBuf },
    #[error(
        "`{against}` is not a file, and git does not know it as a revision{}: name the deployed manifest's \
             file, or a branch, tag or commit that is in this clone (a shallow clone lacks most: \
             `git fetch --tags --unshallow`)",
        in_parentheses(git)
    )]
    Unknown { against: String, git: String },
    #[error(
        "the git revision `{revision}` has no `{path}`{}: if the manifest was elsewhere, name its path from the \
             repository's root, as in `--against {revision}:app/manifest.yml`",
        in_parentheses(git)
    )]
    NotInRevision {
        revision: String,
        path: String,
        git: String,
    },
    #[error(
        "`{against}` is not a file, and the program `git` can't be run to read it as a revision: {source}. \
             Install git, or name a file"
    )]
    NoGit { against: String, source: io::Error },
    #[error(
        "`{against}` is empty, so it is not a deployed manifest: name its file or its git revision"
    )]
    Empty { against: String },
    #[error(
        "`{against}` is the manifest of another app: its `app.id` is not that of {}, so no installation is upgraded \
             from it. Name the manifest that this app was deployed with",
        path.display()
    )]
    OtherApp { against: String, path: PathBuf },
    #[error("`{against}` in git is not UTF-8: name another revision, or a file")]
    NotText { against: String },
}

/// Returns git's message in parentheses.
fn in_parentheses(git: &str) -> String {
    match git.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => format!(" ({line})"),
        _ => String::new(),
    }
}

/// Compares the manifest with the deployed one, and returns the exit status: 0 unless the change needs
/// a major version.
pub(super) fn run(app: &App, against: &str, as_json: bool) -> i32 {
    let path = app.settings().manifest;
    match compare(app, &path, against) {
        Ok(report) => {
            match as_json {
                true => print(&report.json(&path, against)),
                false => print_report(&report.text(&path, against)),
            }
            match report.level() {
                Some(VersionLevel::Major) => NEGATIVE,
                Some(VersionLevel::Minor) | None => OK,
            }
        }
        Err(error) => {
            if as_json {
                let (manifest, error) = (path.display().to_string(), error.to_string());
                let report = json!({ "manifest": manifest, "against": against, "error": error });
                print(&format!("{report:#}\n"));
            }
            print_error(&format!("error: {error}"));
            FAILED
        }
    }
}

struct Report {
    changes: Vec<VersionChange>,
    is_app_managed: bool,
    /// Whether the file differs from the code.
    differs_from_code: bool,
}

fn compare(app: &App, path: &Path, against: &str) -> Result<Report, AgainstError> {
    let new = ManifestFile::read(path)?;
    if !new.exists() {
        let path = path.to_owned();
        return Err(AgainstError::NoManifest { path });
    }
    let deployed = deployed(path, against)?;
    if deployed.root().is_none() {
        let against = against.to_owned();
        return Err(AgainstError::Empty { against });
    }
    if are_of_different_apps(&deployed, &new) {
        let (against, path) = (against.to_owned(), path.to_owned());
        return Err(AgainstError::OtherApp { against, path });
    }
    let is_app_managed = is_app_managed(&new);
    let base_paths = app.base_paths();
    let mut changes = version_changes(&deployed, &new);
    for change in &mut changes {
        let advice = former_help(&change.former, &app.registry, &base_paths, is_app_managed);
        change.help = advice.or(change.help.take());
    }
    let differs_from_code = app.declaration_problems().is_empty() && {
        let findings = check(&new, &app.desired_manifest(), &app.allowed);
        findings.iter().any(Diagnostic::is_difference)
    };
    Ok(Report {
        changes,
        is_app_managed,
        differs_from_code,
    })
}

/// Returns how to keep serving the installations that stay on the older version.
fn former_help(
    former: &Former,
    registry: &Registry,
    base_paths: &BasePaths,
    is_app_managed: bool,
) -> Option<String> {
    let handlers = registry.handlers();
    let path = former.path.as_deref().filter(|path| {
        let mut handlers = handlers.iter();
        !handlers.any(|one| base_paths.reaches(one, path))
    });
    let key = former.key.as_deref().filter(|key| {
        let accepts = |one: &Handler| {
            one.endpoint() == *key || one.former_keys().iter().any(|former| former == key)
        };
        !handlers.iter().any(accepts)
    });
    let options: Vec<String> = [("also_at", path), ("also_key", key)]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("`{name} = \"{}\"`", value?)))
        .collect();
    let who = match is_app_managed {
        true => "installations that Forge has not upgraded yet",
        false => "installations on the older major version",
    };
    (!options.is_empty()).then(|| {
        format!(
            "{who} keep calling it: write {} at the handler that replaces it",
            options.join(" and ")
        )
    })
}

impl Report {
    fn level(&self) -> Option<VersionLevel> {
        self.changes.iter().map(|change| change.level).max()
    }

    fn text(&self, path: &Path, against: &str) -> String {
        let name = path.display();
        let mut text = String::new();
        for change in &self.changes {
            let VersionChange {
                manifest: at,
                reason,
                source,
                ..
            } = change;
            let _ = write!(
                text,
                "{change}\n  --> {name}:{}:{}\n  = reason: {reason}\n  = source: {source}\n",
                at.line, at.column
            );
            if let Some(help) = &change.help {
                let _ = writeln!(text, "  = help: {help}");
            }
            text.push('\n');
        }
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
            "changes": self.changes,
        });
        format!("{report:#}\n")
    }
}

/// Reads the deployed manifest: a file, or the manifest's file in a git revision.
fn deployed(manifest: &Path, against: &str) -> Result<ManifestFile, AgainstError> {
    let file = Path::new(against);
    if file.is_file() {
        return Ok(ManifestFile::read(file)?);
    }
    let parent = manifest
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    let git = |arguments: &[&str]| -> Result<Output, AgainstError> {
        let mut command = Command::new("git");
        let output = command.arg("-C").arg(folder).args(arguments).output();
        output.map_err(|source| AgainstError::NoGit {
            against: against.to_owned(),
            source,
        })
    };
    let message = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let (revision, path) = match against.split_once(':') {
        Some((revision, path)) => (revision, path.to_owned()),
        None => {
            let name = manifest.file_name().unwrap_or_default().to_string_lossy();
            // `./` makes git resolve it from the manifest's folder.
            (against, format!("./{name}"))
        }
    };
    let commit = format!("{revision}^{{commit}}");
    let found = git(&[
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &commit,
    ])?;
    if !found.status.success() {
        return Err(AgainstError::Unknown {
            against: against.to_owned(),
            git: message(&found),
        });
    }
    // The commit's id can't be mistaken for an option.
    let id = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let blob = git(&["cat-file", "blob", &format!("{id}:{path}")])?;
    if !blob.status.success() {
        return Err(AgainstError::NotInRevision {
            revision: revision.to_owned(),
            path: path.trim_start_matches("./").to_owned(),
            git: message(&blob),
        });
    }
    let text = String::from_utf8(blob.stdout).map_err(|_| AgainstError::NotText {
        against: against.to_owned(),
    })?;
    // Positions in errors are those of the revision's file.
    let name = format!("{revision}:{}", path.trim_start_matches("./"));
    Ok(ManifestFile::parse(name, Some(text))?)
}
