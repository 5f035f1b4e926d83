//! Errors of reading and writing a manifest.

use std::io;
use std::path::PathBuf;

#[cfg(feature = "cli")]
use crate::diagnostic::Diagnostic;
use crate::diagnostic::Position;
use crate::fit::InvalidAppId;

/// The error of a manifest that cannot be read, compared or written. The file is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum ManifestError {
    #[error("{} cannot be read: {source}{}", path.display(), read_help(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{}:{}: not YAML that Forge accepts: {reason}", path.display(), at.line, at.column)]
    Yaml {
        path: PathBuf,
        at: Position,
        reason: String,
    },
    #[error("{}:{}:{}: `{place}` is not {expected}; correct it by hand", path.display(), at.line, at.column)]
    Shape {
        path: PathBuf,
        at: Position,
        place: String,
        expected: &'static str,
    },
    #[error("{} does not exist or is empty, and the configured id of the app cannot be written to it: {source}",
            path.display())]
    BadAppId { path: PathBuf, source: InvalidAppId },
    #[error("{}:{}:{}: the key `{key}` is taken by `{place}`, which is hand-written or another service's; give the \
             handler another key with `key = \"…\"` (or `endpoint = \"…\"`), or remove that module{removal}",
            path.display(), at.line, at.column)]
    Taken {
        path: PathBuf,
        at: Position,
        key: String,
        place: String,
        /// How to remove the module, if a command can, or what prevents it.
        removal: String,
    },
    #[error("{}:{}:{}: `{section}` belongs under `modules`, where Forge reads it; nothing was written: move it there \
             and run the command again", path.display(), at.line, at.column)]
    Misplaced {
        path: PathBuf,
        at: Position,
        section: String,
    },
    #[error("{}:{}:{}: {reason}; nothing was written: make the change that `manifest` shows by hand",
            path.display(), at.line, at.column)]
    Unsafe {
        path: PathBuf,
        at: Position,
        reason: String,
    },
    #[error("{}: the edit would change unrelated parts, so nothing was written: copy the sections that `manifest \
             --stdout` prints into the file, and report its layout as a bug",
            path.display())]
    Guard { path: PathBuf },
    #[error("{} was changed by another program since it was read; nothing was written: run the command again",
            path.display())]
    Changed { path: PathBuf },
    #[error("{} was saved by other programs while it was written: it has one of their texts, and {} has another one: \
            compare the two, then run the command again", path.display(), kept.display())]
    SavedTwice { path: PathBuf, kept: PathBuf },
    #[error("{} was saved by another program while it was written, and the saved text cannot be put back: {source}; it \
             is in {}: move it to that path, then run the command again", path.display(), kept.display())]
    NotRestored {
        path: PathBuf,
        kept: PathBuf,
        source: io::Error,
    },
    #[error("{} cannot be written, and is unchanged: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Why the manifest does not agree with the code: the error of
/// [`App::check_manifest`](crate::App::check_manifest).
#[cfg(feature = "cli")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The manifest cannot be compared.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The two differ, a lint reports an error, or the code itself has problems.
    #[error("{report}")]
    #[allow(missing_docs)]
    Findings {
        report: String,
        findings: Vec<Diagnostic>,
    },
}

/// Returns the fix for a file that cannot be read, if its error shows it.
fn read_help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::IsADirectory => ": name the file in it, such as manifest.yml",
        io::ErrorKind::InvalidData => ": save it as UTF-8",
        io::ErrorKind::FileTooLarge => ": name a manifest",
        io::ErrorKind::PermissionDenied => ": let the user of this process read it",
        _ => "",
    }
}
