//! A manifest's text: reading it, and the one parser of all commands and of the launch.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::error::ManifestError;
use super::tree::{self, Node};

/// The byte order mark.
const MARK: char = '\u{feff}';

/// Upper bound on a file's size, in bytes. A device or a pipe may have no end.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Returns the text of a file; `None` if it does not exist.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, ManifestError> {
    match read_bounded(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ManifestError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Returns the bytes of the file at a path; an error if there are too many.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    read_all(&File::open(path)?)
}

/// Returns the bytes of a file; an error if there are too many.
pub(super) fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_BYTES {
        let message = "it has more than 16 MiB";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
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
