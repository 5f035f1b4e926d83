//! The manifest file: reading, merging with the code, and writing it atomically.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_yaml::{Mapping, Value};

use super::desired::DesiredManifest;
use super::edit::{EditedText, Unsafe};
use super::emit::to_yaml;
use super::error::ManifestError;
use super::parallel::in_parallel;
use super::path::{ManifestPath, Step};
use super::plan::Plan;
use super::tree::{self, Node};
use super::variables::{Variables, has_reference};
use crate::diagnostic::Position;
use crate::fit::AppId;

const BOM: char = '\u{feff}';

/// A manifest file: its path, its text and its value.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    path: PathBuf,
    /// `None` if the file does not exist.
    text: Option<String>,
    root: Option<Node>,
    value: Value,
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
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::parse(path, None),
            Err(source) => Err(ManifestError::Read { path, source }),
        }
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
        let body = text.as_deref().unwrap_or_default();
        let body = body.strip_prefix(BOM).unwrap_or(body);
        let root = tree::parse(body).map_err(|error| ManifestError::Yaml {
            path: path.clone(),
            at: error.at,
            reason: error.reason,
        })?;
        let value = match root.as_ref().map(Node::to_value) {
            None | Some(Value::Null) => Value::Mapping(Mapping::new()),
            Some(value) => value,
        };
        let file = Self {
            path,
            text,
            root,
            value,
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

    /// Returns the text; empty if the file does not exist.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Returns the file with each variable replaced by its declared default; the text is the same.
    pub(crate) fn with_defaults(&self) -> Cow<'_, Self> {
        if !has_reference(&self.value) {
            return Cow::Borrowed(self);
        }
        let variables = Variables::of(&self.value);
        let mut file = self.clone();
        file.value = variables.with_defaults(&self.value);
        file.indices = OnceLock::new();
        if let Some(root) = &mut file.root {
            root.replace_texts(&|text| variables.with_default(text));
        }
        Cow::Owned(file)
    }

    /// Returns the value.
    #[doc(hidden)]
    pub fn value(&self) -> &Value {
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
        serde_json::to_value(&self.value).unwrap_or_default()
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
    fn misplaced_section(&self, wanted: &DesiredManifest) -> Option<&Node> {
        let entries = self.root.as_ref().map(Node::entries).unwrap_or_default();
        let mut names = entries.iter().map(|entry| &entry.key);
        names.find(|name| {
            let name = name.scalar().unwrap_or_default();
            let is_endpoint = name == "endpoint" && !wanted.endpoints.is_empty();
            is_endpoint || wanted.modules.contains_key(name)
        })
    }

    /// Returns the text without its byte order mark.
    fn body(&self) -> &str {
        self.text().strip_prefix(BOM).unwrap_or(self.text())
    }

    /// Returns the text, updated to the code's declarations; every other byte is preserved.
    ///
    /// `app_id` is used if the file does not exist or is empty. Without one, the new file has no `app.id`:
    /// `forge register` writes it.
    ///
    /// # Errors
    ///
    /// A hand-written item has the key of a generated one, the edit is not safe, or the id of a new file is
    /// not valid.
    pub fn merged_with(
        &self,
        wanted: &DesiredManifest,
        app_id: Option<&str>,
    ) -> Result<String, ManifestError> {
        let merged = self.merge(wanted, app_id)?;
        Ok(merged.as_ref().unwrap_or(self).text().to_owned())
    }

    /// Returns the file, updated to the code's declarations; `None` if it does not change.
    pub(crate) fn merge(
        &self,
        wanted: &DesiredManifest,
        app_id: Option<&str>,
    ) -> Result<Option<Self>, ManifestError> {
        if let Some(section) = self.misplaced_section(wanted) {
            return Err(ManifestError::Misplaced {
                path: self.path.clone(),
                at: section.at,
                section: section.scalar().unwrap_or_default().to_owned(),
            });
        }
        let plan = Plan::new(&self.value, wanted).map_err(|taken| ManifestError::Taken {
            path: self.path.clone(),
            at: self.position(&taken.path),
            key: taken.key,
            place: taken.path.to_string(),
        })?;
        let mark = if self.text().starts_with(BOM) {
            "\u{feff}"
        } else {
            ""
        };
        // A file with only comments counts as empty; the comments are preserved.
        let new = match &self.root {
            Some(root) if !root.is_null() => Mapping::new(),
            _ => self.new_app(app_id)?,
        };
        let apply = |value: &Value| {
            let mut document = new.clone();
            document.extend(value.as_mapping().cloned().unwrap_or_default());
            plan.apply_to_value(&mut document);
            Value::Mapping(document)
        };
        if self.body().trim().is_empty() {
            let text = format!("{mark}{}", to_yaml(&apply(&Value::Null)));
            return Self::parse(&self.path, Some(text)).map(Some);
        }
        let expected = apply(&self.value);
        if expected == self.value {
            return Ok(None);
        }

        let EditedText {
            text: edited,
            mark: marked,
        } = self.edited(&plan, new.clone())?;
        let edited = edited.as_str();

        // Two parsers, this one and serde's, must read the expected value from the new text.
        let guard = || {
            let path = self.path.clone();
            match marked {
                Some(at) => {
                    let reason = "the change in this part, which has an anchor or an alias, would change another part too";
                    let reason = reason.to_owned();
                    ManifestError::Unsafe { path, at, reason }
                }
                None => ManifestError::Guard { path },
            }
        };
        let (root, after) = parse_twice(edited);
        let root = root.ok_or_else(guard)?;
        if !root.as_ref().is_some_and(|root| root.has_value(&expected)) {
            return Err(guard());
        }
        let after = after.ok_or_else(guard)?;
        if after != expected {
            // They may read a scalar differently: then serde's result must differ before the edit too.
            let before: Value = serde_yaml::from_str(self.body()).map_err(|_| guard())?;
            if after != apply(&before) {
                return Err(guard());
            }
        }
        Ok(Some(Self {
            path: self.path.clone(),
            text: Some(format!("{mark}{edited}")),
            root,
            value: expected,
            indices: OnceLock::new(),
        }))
    }

    /// Returns the text with a plan's changes, with the line ends that it had.
    fn edited(&self, plan: &Plan<'_>, new: Mapping) -> Result<EditedText, ManifestError> {
        let failure = |Unsafe { at, reason }| ManifestError::Unsafe {
            path: self.path.clone(),
            at,
            reason,
        };
        let body = self.body();
        if let Some(at) = lone_return(body) {
            let reason = "a carriage return without a line feed is a line end only for YAML".into();
            return Err(failure(Unsafe { at, reason }));
        }
        let root = self.root.as_ref();
        if body.ends_with('\n') {
            return plan.apply_to_text(body, root, new).map_err(failure);
        }
        let line_end = if body.contains("\r\n") { "\r\n" } else { "\n" };
        let ended = format!("{body}{line_end}");
        let mut edited = plan.apply_to_text(&ended, root, new).map_err(failure)?;
        if edited.text.ends_with(line_end) {
            edited.text.truncate(edited.text.len() - line_end.len());
        }
        Ok(edited)
    }

    /// Returns the first section of a new file.
    fn new_app(&self, app_id: Option<&str>) -> Result<Mapping, ManifestError> {
        let parsed = app_id.map(str::parse::<AppId>).transpose();
        let app_id = parsed.map_err(|source| ManifestError::BadAppId {
            path: self.path.clone(),
            source,
        })?;
        Ok(new_app(app_id.as_ref().map(AppId::as_str)))
    }
}

/// Parses a text with this crate's parser and with serde's, each in its own thread; `None` where it
/// is not valid.
fn parse_twice(text: &str) -> (Option<Option<Node>>, Option<Value>) {
    let own = || tree::parse(text).ok();
    let (tree, value) = in_parallel(own, || serde_yaml::from_str(text).ok());
    (tree, value.flatten())
}

/// Returns the position of the first carriage return without a line feed.
fn lone_return(text: &str) -> Option<Position> {
    let at = text
        .match_indices('\r')
        .map(|(at, _)| at)
        .find(|at| !text[at + 1..].starts_with('\n'))?;
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    Some(Position {
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
    })
}

/// Returns a new manifest's `app`. Forge requires a runtime even without functions.
fn new_app(app_id: Option<&str>) -> Mapping {
    let mut runtime = Mapping::new();
    runtime.insert("name".into(), "nodejs22.x".into());
    let mut app = Mapping::new();
    if let Some(app_id) = app_id {
        app.insert("id".into(), app_id.into());
    }
    app.insert("runtime".into(), Value::Mapping(runtime));
    let mut document = Mapping::new();
    document.insert("app".into(), Value::Mapping(app));
    document
}
