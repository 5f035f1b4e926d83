//! A manifest with the declared defaults of its variables, and as it is written.

use std::borrow::Cow;

use serde_yaml::Value;

use super::edit::Editor;
use super::file::ManifestFile;
use super::flow_style;
use super::items::key;
use super::lines;
use super::reconcile::has_comment_around;
use super::tree::Node;
use super::values::list;
use super::variables::{Variables, has_reference};

/// A manifest as it is written, and with each variable replaced by its declared default. A variable without a
/// default stays.
pub(super) struct FilledManifest<'a> {
    pub(super) written: &'a Value,
    pub(super) value: Cow<'a, Value>,
    pub(super) variables: Variables<'a>,
    /// The text and its tree, which have the comments; `None` for a value alone.
    source: Option<(&'a str, &'a Node)>,
}

/// A part of a manifest as it is written, and with the defaults of variables.
#[derive(Clone, Copy)]
pub(super) struct FilledPart<'a> {
    pub(super) written: &'a Value,
    pub(super) value: &'a Value,
}

impl<'a> FilledManifest<'a> {
    pub(super) fn new(written: &'a Value) -> Self {
        let variables = Variables::of(written);
        let value = match has_reference(written) {
            true => Cow::Owned(variables.with_defaults(written)),
            false => Cow::Borrowed(written),
        };
        Self {
            written,
            value,
            variables,
            source: None,
        }
    }

    pub(super) fn of(file: &'a ManifestFile) -> Self {
        Self {
            source: file.root().map(|root| (file.body(), root)),
            ..Self::new(file.value())
        }
    }

    /// Returns the items of the list at a path of names.
    pub(super) fn items(&self, path: &[&str]) -> impl Iterator<Item = FilledPart<'_>> {
        let items = list(self.written, path).iter().zip(list(&self.value, path));
        items.map(|(written, value)| FilledPart { written, value })
    }

    /// Returns one item of the list at a path of names.
    pub(super) fn item(&self, path: &[&str], index: usize) -> Option<FilledPart<'_>> {
        let written = list(self.written, path).get(index)?;
        let value = list(&self.value, path).get(index)?;
        Some(FilledPart { written, value })
    }

    /// Returns the part of an item of the list at a path of names that its removal would delete in addition to its values,
    /// or because of which the removal is not safe: a comment that may be about the item, an anchor, or a line that the
    /// item shares.
    pub(super) fn attachment(&self, path: &[&str], index: usize) -> Option<&'static str> {
        let (text, root) = self.source?;
        let list = path.iter().try_fold(root, |node, name| node.get(name))?;
        let item = list.items().get(index)?;
        if list.marked || item.first_mark().is_some() {
            return Some("the anchor, alias or tag");
        }
        let lines = if list.is_flow() {
            let items = list.items().iter().map(|item| item.span.clone());
            let is_safe = flow_style::edit(text, &list.span, &Vec::from_iter(items), &[index], &[]);
            let start = lines::line_start(text, item.span.start);
            let indentation = text[start..].len() - text[start..].trim_start().len();
            let column = lines::column(text, start + indentation);
            let lines = lines::with_comments(text, start, item.span.end, column);
            is_safe.ok().map(|_| lines)
        } else {
            let editor = Editor::new(text, None);
            if editor.item_start(item).is_err() {
                return Some("its layout");
            }
            editor.item_lines(item, index == 0).ok()
        };
        let is_bare = lines.is_some_and(|lines| !has_comment_around(text, lines, item));
        (!is_bare).then_some("comments")
    }
}

impl<'a> FilledPart<'a> {
    pub(super) fn key(self) -> Option<&'a str> {
        key(self.value)
    }

    pub(super) fn get(self, name: &Value) -> Option<Self> {
        Some(Self {
            written: self.written.get(name)?,
            value: self.value.get(name)?,
        })
    }
}
