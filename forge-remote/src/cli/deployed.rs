//! The deployed manifest, for `manifest --against`: a file, or the manifest's file in a git revision.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::manifest::{ManifestError, ManifestFile, are_of_different_apps};

/// The error of a manifest that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgainstError {
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
        "the git revision `{revision}` has no file `{path}`{}: if the manifest was elsewhere, name its path from the \
             repository's root, as in `--against {revision}:app/manifest.yml`",
        in_parentheses(git)
    )]
    NotInRevision {
        revision: String,
        path: String,
        git: String,
    },
    #[error(
        "`{path}` in the git revision `{revision}` is a symbolic link that leads to no file of that revision{}: name \
             the file that was deployed",
        in_parentheses(target)
    )]
    Link {
        revision: String,
        path: String,
        /// The target, if it is outside of the repository.
        target: String,
    },
    #[error(
        "`{against}` is not a file, and the program `git` cannot be run to read it as a revision: {source}. \
             Install git, or name a file"
    )]
    NoGit { against: String, source: io::Error },
    #[error(
        "`{against}` is empty, so it is not a deployed manifest: name its file or its git revision"
    )]
    Empty { against: String },
    #[error(
        "`{against}` has no `app.id`, so it is not a deployed manifest: name its file or its git revision"
    )]
    NoApp { against: String },
    #[error(
        "`{against}` is the manifest of another app: its `app.id` is not that of {}, so no installation is upgraded \
             from it. Name the manifest that this app was deployed with",
        path.display()
    )]
    OtherApp { against: String, path: PathBuf },
    #[error("`{against}` in git is not UTF-8: name another revision, or a file")]
    NotText { against: String },
}

/// Returns a message of another program's in parentheses.
fn in_parentheses(message: &str) -> String {
    match message.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => format!(" ({line})"),
        _ => String::new(),
    }
}

/// Reads the manifest that `new` was deployed with.
pub(super) fn read(new: &ManifestFile, against: &str) -> Result<ManifestFile, AgainstError> {
    let file = Path::new(against);
    let deployed = match file.is_file() {
        true => ManifestFile::read(file)?,
        false => in_git(new.path(), against)?,
    };
    let against = against.to_owned();
    if deployed.root().is_none() {
        return Err(AgainstError::Empty { against });
    }
    if deployed.app_id().is_none_or(str::is_empty) {
        return Err(AgainstError::NoApp { against });
    }
    if are_of_different_apps(&deployed, new) {
        let path = new.path().to_owned();
        return Err(AgainstError::OtherApp { against, path });
    }
    Ok(deployed)
}

/// Reads the manifest from a git revision.
fn in_git(manifest: &Path, against: &str) -> Result<ManifestFile, AgainstError> {
    let parent = manifest
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    let git = |arguments: &[&str], input: &str| {
        let output = git(folder, arguments, input);
        output.map_err(|source| AgainstError::NoGit {
            against: against.to_owned(),
            source,
        })
    };
    let (revision, path) = match against.split_once(':') {
        Some((revision, path)) => (revision, path.to_owned()),
        None => {
            let name = manifest.file_name().unwrap_or_default().to_string_lossy();
            // `./` makes git resolve it from the manifest's folder.
            (against, format!("./{name}"))
        }
    };
    let commit = format!("{revision}^{{commit}}");
    let found = git(
        &[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ],
        "",
    )?;
    if !found.status.success() {
        return Err(AgainstError::Unknown {
            against: against.to_owned(),
            git: String::from_utf8_lossy(&found.stderr).into_owned(),
        });
    }
    // The commit's id cannot be mistaken for an option.
    let id = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let file = git(
        &["cat-file", "--batch", "--follow-symlinks"],
        &format!("{id}:{path}\n"),
    )?;
    let shown = path.trim_start_matches("./");
    let bytes = match object(&file.stdout) {
        Object::File(bytes) => bytes,
        Object::Link(target) => {
            return Err(AgainstError::Link {
                revision: revision.to_owned(),
                path: shown.to_owned(),
                target,
            });
        }
        Object::None => {
            return Err(AgainstError::NotInRevision {
                revision: revision.to_owned(),
                path: shown.to_owned(),
                git: String::from_utf8_lossy(&file.stderr).into_owned(),
            });
        }
    };
    let text = std::str::from_utf8(bytes).map_err(|_| AgainstError::NotText {
        against: against.to_owned(),
    })?;
    // Positions in errors are those of the revision's file.
    let name = format!("{revision}:{shown}");
    Ok(ManifestFile::parse(name, Some(text.to_owned()))?)
}

/// Runs git in a folder.
fn git(folder: &Path, arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // If git has ended already, its output has the reason.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}

/// The entry at a path of a revision.
enum Object<'a> {
    File(&'a [u8]),
    /// A link without a file in the revision, with its target if that is outside of the repository.
    Link(String),
    None,
}

/// Reads one response of `git cat-file --batch --follow-symlinks`.
/// Source: <https://git-scm.com/docs/git-cat-file#_batch_output>
fn object(output: &[u8]) -> Object<'_> {
    let Some(end) = output.iter().position(|byte| *byte == b'\n') else {
        return Object::None;
    };
    let (head, rest) = (String::from_utf8_lossy(&output[..end]), &output[end + 1..]);
    let mut words = head.rsplit(' ');
    let (size, kind) = (
        words.next().and_then(|size| size.parse().ok()),
        words.next(),
    );
    let contents = size.and_then(|size: usize| rest.get(..size));
    match (kind, contents) {
        (Some("blob"), Some(contents)) => Object::File(contents),
        (Some("symlink"), Some(target)) => {
            Object::Link(format!("`{}`", String::from_utf8_lossy(target)))
        }
        (Some("dangling" | "loop"), _) => Object::Link(String::new()),
        _ => Object::None,
    }
}
