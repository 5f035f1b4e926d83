//! An update of a manifest's text, which two parsers must read as expected before it is written.

use std::sync::Arc;

use serde_yaml::{Mapping, Value};

use super::desired::DesiredManifest;
use super::edit::{EditedText, Unsafe};
use super::emit::to_yaml;
use super::error::ManifestError;
use super::file::ManifestFile;
use super::parallel::in_parallel;
use super::plan::Plan;
use super::text::without_mark;
use super::tree;
use crate::diagnostic::Position;
use crate::fit::AppId;

/// A manifest's new text, before a parser has read it.
pub(crate) struct Draft<'a> {
    file: &'a ManifestFile,
    plan: Plan<'a>,
    /// The first section of a new file.
    new: Mapping,
    text: String,
    /// The first anchor or alias in a part that changes.
    anchor: Option<Position>,
    expected: Arc<Value>,
}

impl Draft<'_> {
    /// Returns the whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the updated file, after both parsers have read it.
    pub(crate) fn confirmed(&self) -> Result<ManifestFile, ManifestError> {
        let (merged, confirmed) = in_parallel(|| self.read(), || self.confirm());
        confirmed.unwrap_or_else(|| Err(self.guard()))?;
        merged
    }

    /// Reads the text with this crate's parser, which must find the expected value.
    pub(crate) fn read(&self) -> Result<ManifestFile, ManifestError> {
        let root = tree::parse(without_mark(&self.text)).map_err(|_| self.guard())?;
        match &root {
            Some(root) if root.has_value(&self.expected) => {}
            _ => return Err(self.guard()),
        }
        let (text, value) = (self.text.clone(), Arc::clone(&self.expected));
        Ok(self.file.with_text(text, root, value))
    }

    /// Reads the text with serde's parser, which must find the expected value too.
    pub(crate) fn confirm(&self) -> Result<(), ManifestError> {
        let after = serde_yaml::from_str::<Value>(without_mark(&self.text)).ok();
        if after.as_ref() == Some(&*self.expected) {
            return Ok(());
        }
        // It rejects some files that Forge accepts: then this crate's parser alone decides.
        let Ok(before) = serde_yaml::from_str::<Value>(self.file.body()) else {
            return Ok(());
        };
        // They may read a scalar differently: then serde's result must differ before the edit too.
        match after == Some(applied(&self.plan, &self.new, &before)) {
            true => Ok(()),
            false => Err(self.guard()),
        }
    }

    /// Returns the error of a text that a parser reads differently.
    pub(crate) fn guard(&self) -> ManifestError {
        let path = self.file.path().to_owned();
        match self.anchor {
            Some(at) => {
                let reason = "the change in this part, which has an anchor or an alias, would change another part too";
                let reason = reason.to_owned();
                ManifestError::Unsafe { path, at, reason }
            }
            None => ManifestError::Guard { path },
        }
    }
}

/// Returns a manifest's value with a plan's changes.
fn applied(plan: &Plan<'_>, new: &Mapping, value: &Value) -> Value {
    let mut document = new.clone();
    document.extend(value.as_mapping().cloned().unwrap_or_default());
    plan.apply_to_value(&mut document);
    Value::Mapping(document)
}

impl ManifestFile {
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
        let draft = self.draft(wanted, app_id)?;
        draft.map(|draft| draft.confirmed()).transpose()
    }

    /// Returns the text, updated to the code's declarations; `None` if it does not change.
    pub(crate) fn draft<'a>(
        &'a self,
        wanted: &'a DesiredManifest,
        app_id: Option<&str>,
    ) -> Result<Option<Draft<'a>>, ManifestError> {
        if let Some(section) = self.misplaced_section(wanted) {
            return Err(ManifestError::Misplaced {
                path: self.path().to_owned(),
                at: section.at,
                section: section.scalar().unwrap_or_default().to_owned(),
            });
        }
        let plan = Plan::new(self, wanted).map_err(|taken| taken.error(self))?;
        // A file with only comments counts as empty; the comments are preserved.
        let new = match self.root() {
            Some(root) if !root.is_null() => Mapping::new(),
            _ => self.new_app(app_id)?,
        };
        let byte_order_mark = &self.text()[..self.text().len() - self.body().len()];
        if self.body().trim().is_empty() {
            let expected = applied(&plan, &new, &Value::Null);
            return Ok(Some(Draft {
                file: self,
                text: format!("{byte_order_mark}{}", to_yaml(&expected)),
                anchor: None,
                expected: Arc::new(expected),
                plan,
                new,
            }));
        }
        let expected = || {
            let expected = applied(&plan, &new, self.value());
            let changes = expected != *self.value();
            (expected, changes)
        };
        let edited = || self.edited(&plan, new.clone());
        let ((expected, changes), edit) = in_parallel(expected, edited);
        if !changes {
            return Ok(None);
        }
        let EditedText { text, mark } = edit.unwrap_or_else(edited)?;
        Ok(Some(Draft {
            file: self,
            text: format!("{byte_order_mark}{text}"),
            anchor: mark,
            expected: Arc::new(expected),
            plan,
            new,
        }))
    }

    /// Returns the text with a plan's changes, with the line ends that it had.
    fn edited(&self, plan: &Plan<'_>, new: Mapping) -> Result<EditedText, ManifestError> {
        let failure = |Unsafe { at, reason }| ManifestError::Unsafe {
            path: self.path().to_owned(),
            at,
            reason,
        };
        let body = self.body();
        if let Some(at) = lone_return(body) {
            let reason = "a carriage return without a line feed is a line end only for YAML".into();
            return Err(failure(Unsafe { at, reason }));
        }
        let root = self.root();
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
            path: self.path().to_owned(),
            source,
        })?;
        Ok(new_app(app_id.as_ref().map(AppId::as_str)))
    }
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
