//! The file on disk: read, brought up to date, written whole or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use super::compare::{compare, key, list};
use super::emit::to_yaml;
use super::model::{Entry, Sections};

/// Why a manifest could not be read, compared or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum ManifestError {
    #[error("{} can't be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}{at} is not YAML that Forge would take: {reason}", path.display())]
    Yaml {
        path: PathBuf,
        at: String,
        reason: String,
    },
    #[error("{}: `{place}` is not {expected}; correct it by hand", path.display())]
    Shape {
        path: PathBuf,
        place: String,
        expected: &'static str,
    },
    #[error("{} does not exist, and a new one needs the app's id: run `forge register`, or set \
             FORGE_REMOTE_APP_ID or `App::app_id`", path.display())]
    NoAppId { path: PathBuf },
    #[error("{} has comments or a style that would be lost; it is left as it was. Put the \
             sections that `manifest --stdout` prints into it by hand", path.display())]
    NotPlain { path: PathBuf },
    #[error("{} can't be written, and is as it was: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A manifest file: its path, its text and what the text says.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    path: PathBuf,
    /// `None` when there is no file.
    text: Option<String>,
    value: Value,
}

impl ManifestFile {
    /// Reads a file; one that doesn't exist is empty.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, ManifestError> {
        let path = path.into();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    path,
                    text: None,
                    value: Value::Mapping(Mapping::new()),
                });
            }
            Err(source) => return Err(ManifestError::Read { path, source }),
        };
        let value = match serde_yaml::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
            Ok(Value::Null) => Value::Mapping(Mapping::new()),
            Ok(value @ Value::Mapping(_)) => value,
            Ok(_) => {
                let place = "the document".to_owned();
                return Err(ManifestError::Shape {
                    path,
                    place,
                    expected: "a mapping",
                });
            }
            Err(error) => {
                let at = error
                    .location()
                    .map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
                return Err(ManifestError::Yaml {
                    path,
                    at,
                    reason: error.to_string(),
                });
            }
        };
        let file = Self {
            path,
            text: Some(text),
            value,
        };
        file.check_shape()?;
        Ok(file)
    }

    fn check_shape(&self) -> Result<(), ManifestError> {
        let shape = |place: &str, expected| ManifestError::Shape {
            path: self.path.clone(),
            place: place.to_owned(),
            expected,
        };
        for name in ["app", "modules", "permissions"] {
            if self
                .value
                .get(name)
                .is_some_and(|value| !value.is_mapping() && !value.is_null())
            {
                return Err(shape(name, "a mapping"));
            }
        }
        if self
            .value
            .get("remotes")
            .is_some_and(|value| !value.is_sequence() && !value.is_null())
        {
            return Err(shape("remotes", "a list"));
        }
        for (name, value) in self
            .value
            .get("modules")
            .and_then(Value::as_mapping)
            .into_iter()
            .flatten()
        {
            if !value.is_sequence() && !value.is_null() {
                let place = format!("modules.{}", name.as_str().unwrap_or("?"));
                return Err(shape(&place, "a list"));
            }
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

    /// The text it should have; `app_id` is for a file that doesn't exist yet.
    pub fn updated(
        &self,
        wanted: &Sections,
        app_id: Option<&str>,
    ) -> Result<String, ManifestError> {
        if self.exists() && compare(&self.value, wanted).is_empty() {
            return Ok(self.text().to_owned());
        }
        // Only a file that we could have written ourselves can be written again without loss.
        if self.exists() && !self.text().trim().is_empty() && to_yaml(&self.value) != self.text() {
            return Err(ManifestError::NotPlain {
                path: self.path.clone(),
            });
        }
        let mut document = self.value.as_mapping().cloned().unwrap_or_default();
        if !document.contains_key("app") {
            let app_id = app_id.ok_or_else(|| ManifestError::NoAppId {
                path: self.path.clone(),
            })?;
            document = with_app(app_id, document);
        }
        merge(&self.value, &mut document, wanted);
        Ok(to_yaml(&Value::Mapping(document)))
    }

    /// Writes the text whole or not at all: into a new file beside it, then in its place. A
    /// symbolic link stays one, the file's mode stays.
    pub fn write(&self, text: &str) -> Result<(), ManifestError> {
        let failed = |source| ManifestError::Write {
            path: self.path.clone(),
            source,
        };
        let target = if self.exists() {
            fs::canonicalize(&self.path).map_err(failed)?
        } else {
            self.path.clone()
        };
        let folder = target
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut new = tempfile::Builder::new()
            .prefix(".manifest.yml.")
            .tempfile_in(folder)
            .map_err(failed)?;
        new.write_all(text.as_bytes()).map_err(failed)?;
        match fs::metadata(&target) {
            Ok(metadata) => new
                .as_file()
                .set_permissions(metadata.permissions())
                .map_err(failed)?,
            Err(_) => readable(new.as_file()).map_err(failed)?,
        }
        new.as_file().sync_all().map_err(failed)?;
        new.persist(&target).map_err(|error| failed(error.error))?;
        Ok(())
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

/// A new manifest's `app`; Forge asks for a runtime even where no function runs.
fn with_app(app_id: &str, rest: Mapping) -> Mapping {
    let mut runtime = Mapping::new();
    runtime.insert("name".into(), "nodejs22.x".into());
    let mut app = Mapping::new();
    app.insert("id".into(), app_id.into());
    app.insert("runtime".into(), Value::Mapping(runtime));
    let mut document = Mapping::new();
    document.insert("app".into(), Value::Mapping(app));
    document.extend(rest);
    document
}

fn merge(manifest: &Value, document: &mut Mapping, wanted: &Sections) {
    let stale: BTreeSet<(String, String)> = stale_items(manifest, wanted)
        .into_iter()
        .filter_map(|(path, item)| Some((path, key(item)?.to_owned())))
        .collect();

    let mut modules = taken(document, "modules");
    for (module_type, entries) in &wanted.modules {
        merge_list(&mut modules, module_type, entries, false);
    }
    merge_list(&mut modules, "endpoint", &wanted.endpoints, false);
    for (module_type, items) in &mut modules {
        let path = format!("modules.{}", module_type.as_str().unwrap_or_default());
        if let Value::Sequence(items) = items {
            items.retain(|item| {
                !key(item).is_some_and(|key| stale.contains(&(path.clone(), key.to_owned())))
            });
        }
    }
    // Forge takes no empty list.
    modules.retain(|_, items| items.as_sequence().is_none_or(|items| !items.is_empty()));
    document.insert("modules".into(), Value::Mapping(modules));

    if !wanted.scopes.is_empty() {
        let mut permissions = taken(document, "permissions");
        let scopes = permissions
            .entry("scopes".into())
            .or_insert_with(|| Value::Sequence(Vec::new()));
        for scope in &wanted.scopes {
            let name = Value::from(scope.name.as_str());
            match scopes {
                Value::Mapping(names) if !names.contains_key(&name) => {
                    names.insert(name, Value::Mapping(Mapping::new()));
                }
                Value::Sequence(names) if !names.contains(&name) => names.push(name),
                Value::Null => *scopes = Value::Sequence(vec![name]),
                _ => {}
            }
        }
        document.insert("permissions".into(), Value::Mapping(permissions));
    }
    merge_list(document, "remotes", &wanted.remotes, true);
}

/// The mapping under a key, taken out so that it can be changed; its place is kept.
fn taken(document: &mut Mapping, name: &str) -> Mapping {
    match document.get_mut(name) {
        Some(Value::Mapping(mapping)) => std::mem::take(mapping),
        _ => Mapping::new(),
    }
}

/// Items by key: replaced where they are, else appended. What is `open` keeps what it has more.
fn merge_list(parent: &mut Mapping, name: &str, wanted: &[Entry], open: bool) {
    if wanted.is_empty() {
        return;
    }
    let items = parent
        .entry(name.into())
        .or_insert_with(|| Value::Sequence(Vec::new()));
    if !items.is_sequence() {
        *items = Value::Sequence(Vec::new());
    }
    let Value::Sequence(items) = items else {
        return;
    };
    for entry in wanted {
        match items.iter_mut().find(|item| key(item) == Some(entry.key())) {
            Some(Value::Mapping(found)) if open => found.extend(entry.item.clone()),
            Some(item) => *item = Value::Mapping(entry.item.clone()),
            None => items.push(Value::Mapping(entry.item.clone())),
        }
    }
}

/// What was generated once and is wanted no more. Ownership is read from the file itself: an
/// endpoint of one of our remotes is ours, and so is a module of a generated kind that names
/// nothing but such an endpoint.
pub(super) fn stale_items<'a>(manifest: &'a Value, wanted: &Sections) -> Vec<(String, &'a Value)> {
    let remotes: BTreeSet<&str> = wanted.remotes.iter().map(Entry::key).collect();
    let kept: BTreeSet<&str> = wanted.endpoints.iter().map(Entry::key).collect();
    let endpoints = list(manifest, &["modules", "endpoint"]);
    let gone: BTreeSet<&str> = endpoints
        .iter()
        .filter(|item| {
            item.get("remote")
                .and_then(Value::as_str)
                .is_some_and(|remote| remotes.contains(remote))
        })
        .filter_map(key)
        .filter(|key| !kept.contains(key))
        .collect();

    let mut stale = Vec::new();
    for module_type in crate::kinds::MODULE_TYPES {
        let wanted: BTreeSet<&str> = wanted
            .modules
            .get(*module_type)
            .into_iter()
            .flatten()
            .map(Entry::key)
            .collect();
        for item in list(manifest, &["modules", module_type]) {
            let endpoint = item.get("endpoint").and_then(Value::as_str);
            let ours =
                endpoint.is_some_and(|endpoint| gone.contains(endpoint) || kept.contains(endpoint));
            if ours && !key(item).is_some_and(|key| wanted.contains(key)) {
                stale.push((format!("modules.{module_type}"), item));
            }
        }
    }
    let gone_items = endpoints
        .iter()
        .filter(|item| key(item).is_some_and(|key| gone.contains(key)));
    stale.extend(gone_items.map(|item| ("modules.endpoint".to_owned(), item)));
    stale
}
