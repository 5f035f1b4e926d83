//! The manifest file: its text, its value, and the positions of its parts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_yaml::{Mapping, Value};

use super::desired::DesiredManifest;
use super::error::ManifestError;
use super::path::{ManifestPath, Step};
use super::text::{parse_tree, read_text, without_mark};
use super::tree::Node;
use super::variables::{Variables, has_reference};
use crate::diagnostic::Position;

/// A manifest file: its path, its text and its value.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    path: PathBuf,
    /// `None` if the file does not exist.
    text: Option<String>,
    root: Option<Node>,
    value: Arc<Value>,
    indices: OnceLock<Indices>,
}

/// The index of each keyed item in its list, by the list's path and by the key.
type Indices = BTreeMap<String, BTreeMap<String, usize>>;

impl ManifestFile {
    /// Reads a file. A file that does not exist counts as empty.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not a valid manifest document.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, ManifestError> {
        let path = path.into();
        let text = read_text(&path)?;
        Self::parse(path, text)
    }

    /// Parses a manifest's text; `None` for a file that does not exist.
    ///
    /// ```
    /// use forge_remote::manifest::ManifestFile;
    ///
    /// let text = "app:\n  id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107\n";
    /// let file = ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap();
    /// assert!(file.app_id().unwrap().ends_with("dab48107"));
    /// ```
    ///
    /// # Errors
    ///
    /// The text is not a valid manifest document.
    pub fn parse(path: impl Into<PathBuf>, text: Option<String>) -> Result<Self, ManifestError> {
        let path = path.into();
        let root = parse_tree(&path, text.as_deref().unwrap_or_default())?;
        let value = match root.as_ref().map(Node::to_value) {
            None | Some(Value::Null) => Value::Mapping(Mapping::new()),
            Some(value) => value,
        };
        let file = Self {
            path,
            text,
            root,
            value: Arc::new(value),
            indices: OnceLock::new(),
        };
        file.check_shape()?;
        Ok(file)
    }

    fn check_shape(&self) -> Result<(), ManifestError> {
        let shape_error = |place: ManifestPath, expected| {
            let at = self.position(&place);
            Err(ManifestError::Shape {
                path: self.path.clone(),
                at,
                place: place.to_string(),
                expected,
            })
        };
        if !self.value.is_mapping() {
            let at = Position { line: 1, column: 1 };
            let place = "the document".to_owned();
            return Err(ManifestError::Shape {
                path: self.path.clone(),
                at,
                place,
                expected: "a mapping",
            });
        }
        for name in ["app", "modules", "permissions"] {
            if self
                .value
                .get(name)
                .is_some_and(|value| !value.is_mapping() && !value.is_null())
            {
                return shape_error(ManifestPath::of(&[name]), "a mapping");
            }
        }
        if self
            .value
            .get("remotes")
            .is_some_and(|value| !value.is_sequence() && !value.is_null())
        {
            return shape_error(ManifestPath::of(&["remotes"]), "a list");
        }
        for (name, value) in self
            .value
            .get("modules")
            .and_then(Value::as_mapping)
            .into_iter()
            .flatten()
        {
            if !value.is_sequence() && !value.is_null() {
                return shape_error(
                    ManifestPath::of(&["modules", name.as_str().unwrap_or("?")]),
                    "a list",
                );
            }
        }
        let scopes = self
            .value
            .get("permissions")
            .and_then(|permissions| permissions.get("scopes"));
        if scopes
            .is_some_and(|value| !value.is_sequence() && !value.is_mapping() && !value.is_null())
        {
            return shape_error(
                ManifestPath::of(&["permissions", "scopes"]),
                "a list, or a mapping of scopes",
            );
        }
        Ok(())
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the file exists.
    pub fn exists(&self) -> bool {
        self.text.is_some()
    }

    /// Returns whether the file exists and is empty: an editor that saves in place may not have written its text yet.
    #[cfg(feature = "dev")]
    pub(crate) fn is_blank(&self) -> bool {
        self.exists() && self.body().trim().is_empty()
    }

    /// Returns the text; empty if the file does not exist.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Returns the file with each variable replaced by its declared default; the text is the same.
    pub(crate) fn with_defaults(&self) -> Cow<'_, Self> {
        if !self.has_reference() {
            return Cow::Borrowed(self);
        }
        let variables = Variables::of(&self.value);
        let mut file = self.clone();
        file.value = Arc::new(variables.with_defaults(&self.value));
        file.indices = OnceLock::new();
        if let Some(root) = &mut file.root {
            root.replace_texts(&|text| variables.with_default(text));
        }
        Cow::Owned(file)
    }

    /// Returns whether a text of the value has a variable.
    pub(super) fn has_reference(&self) -> bool {
        // A `$` that is not in the text can only be an escape.
        self.text().contains(['$', '\\']) && has_reference(&self.value)
    }

    /// Returns the value.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the whole manifest as JSON; `null` where it has a key that JSON cannot have.
    ///
    /// ```
    /// use forge_remote::manifest::ManifestFile;
    ///
    /// let file = ManifestFile::parse("manifest.yml", Some("modules: {}".to_owned())).unwrap();
    /// assert!(file.to_json()["modules"].is_object());
    /// ```
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&*self.value).unwrap_or_default()
    }

    /// Returns `app.id`.
    pub fn app_id(&self) -> Option<&str> {
        self.value.get("app")?.get("id")?.as_str()
    }

    /// Returns the position of a path, or of its closest existing ancestor.
    pub fn position(&self, place: &ManifestPath) -> Position {
        self.locate(place).0
    }

    /// Returns the position of a path, and the bytes to underline in [`text`](Self::text).
    pub(crate) fn locate(&self, place: &ManifestPath) -> (Position, Range<usize>) {
        let offset = self.text().len() - self.body().len();
        let start = (Position { line: 1, column: 1 }, 0..0);
        let Some(mut node) = self.root.as_ref() else {
            return start;
        };
        let mut found = start;
        for (depth, step) in place.steps().iter().enumerate() {
            let next = match step {
                Step::Name(name) => node.entry(name).map(|entry| {
                    let shown = if entry.value.scalar().is_some() && !entry.value.span.is_empty() {
                        &entry.value
                    } else {
                        &entry.key
                    };
                    found = (shown.at, shown.span.start + offset..shown.span.end + offset);
                    &entry.value
                }),
                Step::Value(name) => {
                    // An event has a name, or an object form with `eventType`.
                    let names = node
                        .items()
                        .iter()
                        .map(|item| item.get("eventType").unwrap_or(item));
                    let named = names.into_iter().find(|item| item.scalar() == Some(name));
                    named
                        .or_else(|| node.entry(name).map(|entry| &entry.key))
                        .inspect(|shown| {
                            found = (shown.at, shown.span.start + offset..shown.span.end + offset);
                        })
                }
                Step::Item(key) => self
                    .item(node, &place.steps()[..depth], key)
                    .inspect(|item| {
                        let shown = item.get("key").unwrap_or(item);
                        found = (shown.at, shown.span.start + offset..shown.span.end + offset);
                    }),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        found
    }

    /// Returns every scalar of the document, keys included.
    pub(crate) fn scalars(&self) -> Vec<&Node> {
        let mut scalars = Vec::new();
        let mut open: Vec<&Node> = self.root.iter().collect();
        while let Some(node) = open.pop() {
            if node.scalar().is_some() {
                scalars.push(node);
            }
            open.extend(node.items());
            let entries = node.entries().iter();
            open.extend(entries.flat_map(|entry| [&entry.key, &entry.value]));
        }
        scalars
    }

    /// Returns the document's tree; `None` if the file has no content.
    pub(crate) fn root(&self) -> Option<&Node> {
        self.root.as_ref()
    }

    /// Returns the position of a node, and the bytes to underline in [`text`](Self::text).
    pub(crate) fn locate_node(&self, node: &Node) -> (Position, Range<usize>) {
        let offset = self.text().len() - self.body().len();
        (node.at, node.span.start + offset..node.span.end + offset)
    }

    /// Returns the item of the list at a path that has this key: the first of several.
    fn item<'a>(&self, list: &'a Node, path: &[Step], key: &str) -> Option<&'a Node> {
        let names = match path {
            [Step::Name(remotes)] => ["", remotes.as_str()],
            [Step::Name(modules), Step::Name(module_type)] => {
                [modules.as_str(), module_type.as_str()]
            }
            _ => return None,
        };
        let index = *self.indices().get(&names.join("."))?.get(key)?;
        list.items().get(index)
    }

    /// Returns the indices of the keyed items of `remotes` and of every list of modules.
    fn indices(&self) -> &Indices {
        self.indices.get_or_init(|| {
            let root = self.root.as_ref();
            let modules = root.and_then(|root| root.get("modules"));
            let modules = modules.map(Node::entries).unwrap_or_default();
            let modules = modules.iter().map(|entry| ("modules", entry));
            let remotes = root.and_then(|root| root.entry("remotes"));
            let mut indices = Indices::new();
            for (parent, entry) in modules.chain(remotes.map(|entry| ("", entry))) {
                let name = [parent, entry.key.scalar().unwrap_or_default()].join(".");
                let keys = indices.entry(name).or_default();
                for (index, item) in entry.value.items().iter().enumerate() {
                    if let Some(key) = item.get("key").and_then(Node::scalar) {
                        keys.entry(key.to_owned()).or_insert(index);
                    }
                }
            }
            indices
        })
    }

    /// Returns the name of a section of modules at the root, if the code has modules of that type: a
    /// merge would add a second section.
    pub(super) fn misplaced_section(&self, wanted: &DesiredManifest) -> Option<&Node> {
        let entries = self.root.as_ref().map(Node::entries).unwrap_or_default();
        let mut names = entries.iter().map(|entry| &entry.key);
        names.find(|name| {
            let name = name.scalar().unwrap_or_default();
            let is_endpoint = name == "endpoint" && !wanted.endpoints.is_empty();
            is_endpoint || wanted.modules.contains_key(name)
        })
    }

    /// Returns the text without its byte order mark.
    pub(super) fn body(&self) -> &str {
        without_mark(self.text())
    }

    /// Returns the file with another text, whose tree and value these are.
    pub(super) fn with_text(&self, text: String, root: Option<Node>, value: Arc<Value>) -> Self {
        Self {
            path: self.path.clone(),
            text: Some(text),
            root,
            value,
            indices: OnceLock::new(),
        }
    }
}
