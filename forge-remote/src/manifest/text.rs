//! A manifest's text: reading it, and the one parser of all commands and of the launch.

use std::fs;
use std::io;
use std::path::Path;

use super::error::ManifestError;
use super::tree::{self, Node};

/// The byte order mark.
const MARK: char = '\u{feff}';

/// Returns the text of a file; `None` if it does not exist.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, ManifestError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ManifestError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Returns a text without its byte order mark.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Parses the text of the manifest at a path.
pub(super) fn parse_tree(path: &Path, text: &str) -> Result<Option<Node>, ManifestError> {
    tree::parse(without_mark(text)).map_err(|error| ManifestError::Yaml {
        path: path.to_owned(),
        at: error.at,
        reason: error.reason,
    })
}
