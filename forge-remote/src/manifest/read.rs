//! Reading an app's manifest, for all commands and the launch.

use std::fs;
use std::path::Path;
#[cfg(not(feature = "cli"))]
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(not(feature = "cli"))]
use serde_yaml::Value;

use super::error::ManifestError;
#[cfg(feature = "cli")]
use super::file::ManifestFile;
#[cfg(not(feature = "cli"))]
use super::text::parse_tree;
use super::text::read_text;
#[cfg(not(feature = "cli"))]
use super::tree::Node;

/// Reads an app's manifest, which several steps of a launch need. It is parsed again only if the file's text has
/// changed: parsing a large one takes long.
#[derive(Clone, Default)]
pub(crate) struct ManifestReader(Arc<Mutex<Option<Arc<ManifestFile>>>>);

impl ManifestReader {
    /// Reads a manifest. A file that does not exist counts as empty.
    pub(crate) fn read(&self, path: &Path) -> Result<Arc<ManifestFile>, ManifestError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A pipe has its text once.
        let is_pipe = || fs::metadata(path).is_ok_and(|path| !path.is_file());
        let of_pipe = last
            .as_ref()
            .filter(|file| file.path() == path && is_pipe());
        if let Some(file) = of_pipe {
            return Ok(Arc::clone(file));
        }
        let text = read_text(path)?;
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

    pub(crate) fn exists(&self) -> bool {
        self.text.is_some()
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }
}
