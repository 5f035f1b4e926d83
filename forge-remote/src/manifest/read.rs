//! Reading an app's manifest: the one parser of all commands and of the launch.

use std::fs;
use std::io;
use std::path::Path;
#[cfg(not(feature = "cli"))]
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(not(feature = "cli"))]
use serde_yaml::Value;

use super::error::ManifestError;
#[cfg(feature = "cli")]
use super::file::ManifestFile;
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

/// Reads an app's manifest, which several steps of a launch need. It is parsed again only if the file's text has
/// changed: parsing a large one takes long.
#[derive(Clone, Default)]
pub(crate) struct ManifestReader(Arc<Mutex<Option<Arc<ManifestFile>>>>);

impl ManifestReader {
    /// Reads a manifest. A file that does not exist counts as empty.
    pub(crate) fn read(&self, path: &Path) -> Result<Arc<ManifestFile>, ManifestError> {
        let text = read_text(path)?;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |file: &&Arc<ManifestFile>| {
            file.path() == path
                && file.exists() == text.is_some()
                && file.text() == text.as_deref().unwrap_or_default()
        };
        if let Some(file) = last.as_ref().filter(is_same) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(ManifestFile::parse(path, text)?);
        *last = Some(Arc::clone(&file));
        Ok(file)
    }
}

/// A manifest file. Without the feature `cli`, an app needs only its value.
#[cfg(not(feature = "cli"))]
pub(crate) struct ManifestFile {
    path: PathBuf,
    text: Option<String>,
    value: Value,
}

#[cfg(not(feature = "cli"))]
impl ManifestFile {
    fn parse(path: &Path, text: Option<String>) -> Result<Self, ManifestError> {
        let root = parse_tree(path, text.as_deref().unwrap_or_default())?;
        Ok(Self {
            path: path.to_owned(),
            text,
            value: root.as_ref().map(Node::to_value).unwrap_or_default(),
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn exists(&self) -> bool {
        self.text.is_some()
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }
}
