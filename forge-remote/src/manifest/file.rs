//! The file on disk: read, brought up to date, written whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use super::compare::{Place, Step};
use super::edit::Unsafe;
use super::emit::to_yaml;
use super::merge::Plan;
use super::model::Sections;
use super::tree::{self, Node, Position};
use crate::fit::{AppId, InvalidAppId};

const BOM: char = '\u{feff}';

/// Why a manifest could not be read, compared or written. The file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum ManifestError {
    #[error("{} can't be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{}:{}: not YAML that Forge would take: {reason}", path.display(), at.line, at.column)]
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
    #[error("{} does not exist or is empty, and a new one needs the app's id: run `forge register`, or set \
             FORGE_REMOTE_APP_ID or `App::app_id`", path.display())]
    NoAppId { path: PathBuf },
    #[error("{} does not exist or is empty, and a new one needs the app's id: {source}", path.display())]
    BadAppId { path: PathBuf, source: InvalidAppId },
    #[error("{}:{}:{}: the key `{key}` is taken by `{place}`, which is hand-written; give the handler another \
             with `key = \"…\"` (or `endpoint = \"…\"`), or remove that module", path.display(), at.line, at.column)]
    Taken {
        path: PathBuf,
        at: Position,
        key: String,
        place: String,
    },
    #[error("{}:{}:{}: {reason}; nothing was written: make this change by hand, as `manifest` shows it",
            path.display(), at.line, at.column)]
    Unsafe {
        path: PathBuf,
        at: Position,
        reason: String,
    },
    #[error("{}: the change can't be made without touching more than it should; nothing was written. Put the \
             sections that `manifest --stdout` prints into it by hand, and please report the file's shape",
            path.display())]
    Guard { path: PathBuf },
    #[error("{} was changed by another program since it was read; nothing was written: run the command again",
            path.display())]
    Changed { path: PathBuf },
    #[error("{} can't be written, and is as it was: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A manifest file: its path, its text and what the text says.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    path: PathBuf,
    /// `None` when there is no file.
    text: Option<String>,
    root: Option<Node>,
    value: Value,
}

impl ManifestFile {
    /// Reads a file; one that doesn't exist is empty.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, ManifestError> {
        let path = path.into();
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::parse(path, None),
            Err(source) => Err(ManifestError::Read { path, source }),
        }
    }

    /// Takes a text as the file's; `None` for a file that doesn't exist.
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
        };
        file.check_shape()?;
        Ok(file)
    }

    fn check_shape(&self) -> Result<(), ManifestError> {
        let wrong = |place: Place, expected| {
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
                return wrong(Place::of(&[name]), "a mapping");
            }
        }
        if self
            .value
            .get("remotes")
            .is_some_and(|value| !value.is_sequence() && !value.is_null())
        {
            return wrong(Place::of(&["remotes"]), "a list");
        }
        for (name, value) in self
            .value
            .get("modules")
            .and_then(Value::as_mapping)
            .into_iter()
            .flatten()
        {
            if !value.is_sequence() && !value.is_null() {
                return wrong(
                    Place::of(&["modules", name.as_str().unwrap_or("?")]),
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
            return wrong(
                Place::of(&["permissions", "scopes"]),
                "a list, or a mapping of scopes",
            );
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a file.
    pub fn exists(&self) -> bool {
        self.text.is_some()
    }

    /// Its text; empty when there is no file.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// What it says.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// `app.id`.
    pub fn app_id(&self) -> Option<&str> {
        self.value.get("app")?.get("id")?.as_str()
    }

    /// Where a place is, or where what would hold it is.
    pub fn position(&self, place: &Place) -> Position {
        self.locate(place).0
    }

    /// The same, with the bytes to point at in [`text`](Self::text).
    pub(crate) fn locate(&self, place: &Place) -> (Position, Range<usize>) {
        let offset = self.text().len() - self.body().len();
        let start = (Position { line: 1, column: 1 }, 0..0);
        let Some(mut node) = self.root.as_ref() else {
            return start;
        };
        let mut found = start;
        for step in &place.0 {
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
                    let named = node.items().iter().find(|item| item.scalar() == Some(name));
                    named
                        .or_else(|| node.entry(name).map(|entry| &entry.key))
                        .inspect(|shown| {
                            found = (shown.at, shown.span.start + offset..shown.span.end + offset);
                        })
                }
                Step::Item(key) => node.keyed(key).inspect(|item| {
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

    /// The text without its byte order mark.
    fn body(&self) -> &str {
        self.text().strip_prefix(BOM).unwrap_or(self.text())
    }

    /// The text it should have; `app_id` is for a file that doesn't exist yet, or says nothing.
    pub fn updated(
        &self,
        wanted: &Sections,
        app_id: Option<&str>,
    ) -> Result<String, ManifestError> {
        let plan = Plan::new(&self.value, wanted).map_err(|taken| ManifestError::Taken {
            path: self.path.clone(),
            at: self.position(&taken.place),
            key: taken.key,
            place: taken.place.to_string(),
        })?;
        let mark = if self.text().starts_with(BOM) {
            "\u{feff}"
        } else {
            ""
        };
        // Nothing but comments is nothing as well; they stay.
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
            return Ok(format!("{mark}{}", to_yaml(&apply(&Value::Null))));
        }
        let expected = apply(&self.value);
        if expected == self.value {
            return Ok(self.text().to_owned());
        }

        let body = self.body();
        if let Some(at) = lone_return(body) {
            return Err(ManifestError::Unsafe {
                path: self.path.clone(),
                at,
                reason: "a carriage return without a line feed ends a line for YAML and for nothing else".into(),
            });
        }
        let line_end = if body.contains("\r\n") { "\r\n" } else { "\n" };
        let ended = if body.ends_with('\n') {
            body.to_owned()
        } else {
            format!("{body}{line_end}")
        };
        let edited = plan
            .apply_to_text(&ended, self.root.as_ref(), new.clone())
            .map_err(|Unsafe { at, reason }| ManifestError::Unsafe {
                path: self.path.clone(),
                at,
                reason,
            })?;
        let edited = if body.ends_with('\n') {
            &edited
        } else {
            edited.strip_suffix(line_end).unwrap_or(&edited)
        };

        // Two readers have to agree that the text says what it should, ours and serde's.
        let says = |text: &str| tree::parse(text).ok().flatten().map(|root| root.to_value());
        let guard = || ManifestError::Guard {
            path: self.path.clone(),
        };
        if says(edited).as_ref() != Some(&expected) {
            return Err(guard());
        }
        let after: Value = serde_yaml::from_str(edited).map_err(|_| guard())?;
        if after != expected {
            // The two may read an odd scalar differently: then serde's has to be as odd before.
            let before: Value = serde_yaml::from_str(body).map_err(|_| guard())?;
            if after != apply(&before) {
                return Err(guard());
            }
        }
        Ok(format!("{mark}{edited}"))
    }

    /// What a file that says nothing yet begins with.
    fn new_app(&self, app_id: Option<&str>) -> Result<Mapping, ManifestError> {
        let app_id = app_id.ok_or_else(|| ManifestError::NoAppId {
            path: self.path.clone(),
        })?;
        let app_id: AppId = app_id.parse().map_err(|source| ManifestError::BadAppId {
            path: self.path.clone(),
            source,
        })?;
        Ok(new_app(app_id.as_str()))
    }

    /// Writes the text whole or not at all: into a new file beside it, then in its place. What
    /// another program has saved since the file was [read](Self::read) is not overwritten: that is
    /// [`ManifestError::Changed`].
    ///
    /// A symbolic link stays one, the file's mode stays, and its owner where the process may set it;
    /// a read-only file is left alone. The file is a new one, though: hard links keep the old text,
    /// and access control lists are not copied.
    pub fn write(&self, text: &str) -> Result<(), ManifestError> {
        let failed = |source| ManifestError::Write {
            path: self.path.clone(),
            source,
        };
        let target = if self.exists() {
            fs::canonicalize(&self.path).map_err(failed)?
        } else {
            link_target(&self.path)
        };
        let metadata = fs::metadata(&target).ok();
        if metadata
            .as_ref()
            .is_some_and(|metadata| metadata.permissions().readonly())
        {
            let reason = "it is marked read-only";
            return Err(failed(io::Error::new(
                io::ErrorKind::PermissionDenied,
                reason,
            )));
        }
        let folder = target
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut new = tempfile::Builder::new()
            .prefix(".manifest.yml.")
            .tempfile_in(folder)
            .map_err(failed)?;
        new.write_all(text.as_bytes()).map_err(failed)?;
        match metadata {
            Some(metadata) => {
                // The owner first: changing it may clear bits of the mode.
                keep_owner(new.as_file(), &metadata);
                new.as_file()
                    .set_permissions(metadata.permissions())
                    .map_err(failed)?;
            }
            None => readable(new.as_file()).map_err(failed)?,
        }
        new.as_file().sync_all().map_err(failed)?;
        let changed = || ManifestError::Changed {
            path: self.path.clone(),
        };
        match &self.text {
            Some(text) => {
                if fs::read(&target).ok().as_deref() != Some(text.as_bytes()) {
                    return Err(changed());
                }
                new.persist(&target).map_err(|error| failed(error.error))?;
            }
            None => {
                new.persist_noclobber(&target)
                    .map_err(|error| match error.error.kind() {
                        io::ErrorKind::AlreadyExists => changed(),
                        _ => failed(error.error),
                    })?;
            }
        }
        // The file is written; this is for it to outlast a power cut.
        sync_folder(folder);
        Ok(())
    }
}

#[cfg(unix)]
fn keep_owner(file: &fs::File, metadata: &fs::Metadata) {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    // Only root may give a file away, and a group the process is not in is refused as well.
    let _ = fchown(file, Some(metadata.uid()), Some(metadata.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &fs::File, _: &fs::Metadata) {}

/// Some file systems can't, and nothing is lost by it but that.
#[cfg(unix)]
fn sync_folder(folder: &Path) {
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) {}

/// Where a link leads whose file doesn't exist yet.
fn link_target(path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(target) => path
            .parent()
            .map_or_else(|| target.clone(), |folder| folder.join(&target)),
        Err(_) => path.to_owned(),
    }
}

/// Temporary files are the owner's alone; a new manifest is like any other new file.
#[cfg(unix)]
fn readable(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &fs::File) -> io::Result<()> {
    Ok(())
}

/// The first carriage return that no line feed follows.
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

/// A new manifest's `app`; Forge asks for a runtime even where no function runs.
fn new_app(app_id: &str) -> Mapping {
    let mut runtime = Mapping::new();
    runtime.insert("name".into(), "nodejs22.x".into());
    let mut app = Mapping::new();
    app.insert("id".into(), app_id.into());
    app.insert("runtime".into(), Value::Mapping(runtime));
    let mut document = Mapping::new();
    document.insert("app".into(), Value::Mapping(app));
    document
}
