//! The edits that make a mapping of the file equal to the code's.

use std::ops::Range;

use serde_yaml::{Mapping, Value};

use super::edit::{Edited, Editor, Unsafe, entry_end, flow, is_double_quoted, is_line_scalar};
use super::emit;
use super::items::{is_empty_auth, same};
use super::lines;
use super::owned::OwnedProperties;
use super::tree::{Entry, Node, NodeKind, Style};

/// The entries of a mapping to remove, by index, and to add.
#[derive(Default)]
struct Changes {
    remove: Vec<usize>,
    add: Vec<(String, Value)>,
}

impl Editor<'_> {
    /// Makes a mapping equal to the wanted one, entry by entry. Comments and order are preserved.
    /// Properties the code does not own are left alone.
    pub(super) fn reconcile(
        &mut self,
        node: &Node,
        wanted: &Mapping,
        owned: OwnedProperties,
    ) -> Edited {
        self.edit_inside(node, |editor| editor.reconcile_entries(node, wanted, owned))
    }

    fn reconcile_entries(
        &mut self,
        node: &Node,
        wanted: &Mapping,
        owned: OwnedProperties,
    ) -> Edited {
        let mut changes = Changes::default();
        for (at, entry) in node.entries().iter().enumerate() {
            let name = entry.key.scalar().unwrap_or_default();
            let found = entry.value.to_value();
            match wanted.get(name) {
                None if !owned.has(name) || is_empty_auth(&name.into(), &found) => continue,
                Some(value) if same(&found, value) => continue,
                Some(Value::Mapping(value)) if !entry.value.entries().is_empty() => {
                    self.reconcile(&entry.value, value, owned.inside(name))?;
                    continue;
                }
                _ => {}
            }
            // The anchor of another part would go with it.
            let mark = entry.key.first_mark().or_else(|| entry.value.first_mark());
            if let Some(at) = mark {
                let reason = "the part to edit has an anchor, alias, tag or merge key";
                return Err(Unsafe::new(at, reason));
            }
            match wanted.get(name) {
                None => changes.remove.push(at),
                Some(Value::Sequence(value)) if !entry.value.items().is_empty() => {
                    self.reconcile_items(node, at, value)?;
                }
                Some(value)
                    if is_line_scalar(&entry.value)
                        && !value.is_mapping()
                        && !value.is_sequence() =>
                {
                    self.set_scalar(&entry.value, value);
                }
                Some(value) => self.replace(node, at, value)?,
            }
        }
        for (name, value) in wanted {
            let name = name.as_str().unwrap_or_default();
            if node.entry(name).is_none() {
                changes.add.push((name.to_owned(), value.clone()));
            }
        }
        self.edit_entries(node, &changes.remove, changes.add)
    }

    /// Sets one entry of a mapping's value; the value may be absent or empty.
    pub(super) fn set_option(
        &mut self,
        parent: &Node,
        entry: &Entry,
        name: &str,
        value: &Value,
    ) -> Edited {
        let wanted = Mapping::from_iter([(name.into(), value.clone())]);
        if !entry.value.entries().is_empty() {
            return self.reconcile(&entry.value, &wanted, OwnedProperties::Present);
        }
        let wanted = Value::Mapping(wanted);
        if is_line_scalar(&entry.value) && !entry.value.is_null() {
            return Err(Unsafe::new(entry.value.at, "a mapping is expected here"));
        }
        if entry.value.span.is_empty() || entry.value.marked {
            return self.fill(parent, entry, &wanted);
        }
        if self.text[entry.value.span.clone()].contains(['#', '\n']) {
            return Err(Unsafe::new(
                entry.value.at,
                "the empty mapping has a comment or a line end in it",
            ));
        }
        // `{}` stays on its line.
        self.splices
            .push((entry.value.span.clone(), flow(&wanted, false)));
        Ok(())
    }

    /// Makes a list of values equal to the wanted one. Values that stay keep their places, with their
    /// comments; if the order differs, the whole list is replaced.
    fn reconcile_items(&mut self, node: &Node, at: usize, wanted: &[Value]) -> Edited {
        let entry = &node.entries()[at];
        let found = entry.value.items().iter().map(Node::to_value);
        let (kept, removed): (Vec<_>, Vec<_>) = found
            .enumerate()
            .partition(|(_, value)| wanted.contains(value));
        let is_prefix = kept.len() <= wanted.len()
            && kept
                .iter()
                .zip(wanted)
                .all(|((_, kept), wanted)| kept == wanted);
        if !is_prefix {
            return self.replace(node, at, &Value::Sequence(wanted.to_vec()));
        }
        let removed: Vec<usize> = removed.into_iter().map(|(at, _)| at).collect();
        self.edit_items(&entry.value, &removed, &wanted[kept.len()..])
    }

    /// Replaces the value of an entry in its place, unless its comments would be lost.
    fn replace(&mut self, node: &Node, at: usize, value: &Value) -> Edited {
        let entry = &node.entries()[at];
        if is_line_scalar(&entry.value) && !node.is_flow() {
            // A comment behind the old value stays behind the name.
            return self.fill(node, entry, value);
        }
        let end = entry_end(entry);
        let line_end = lines::line_end_after(self.text, end);
        let old = entry.key.span.end..if node.is_flow() { end } else { line_end };
        if has_comment_around(self.text, old.clone(), &entry.value) {
            let reason = "the comments of the value that is replaced would be lost";
            return Err(Unsafe::new(entry.key.at, reason));
        }
        if node.is_flow() {
            self.replace_in_flow(entry, value);
        } else {
            let column = lines::column(self.text, entry.key.span.start);
            let new = self.with_line_ends(&emit::after_key(value, column, self.layout));
            self.splices.push((old, new));
        }
        Ok(())
    }

    /// Replaces the value of an entry of `{…}`.
    fn replace_in_flow(&mut self, entry: &Entry, value: &Value) {
        let gap = if entry.value.span.is_empty() { " " } else { "" };
        let text = flow(value, is_double_quoted(&entry.key));
        self.splices
            .push((entry.value.span.clone(), format!("{gap}{text}")));
    }

    /// Replaces a scalar; its quotes are preserved.
    fn set_scalar(&mut self, node: &Node, value: &Value) {
        let style = match node.kind {
            NodeKind::Scalar { style, .. } => style,
            _ => Style::Plain,
        };
        let text = match (value, style) {
            (Value::String(text), Style::Double) => emit::double_quoted(text),
            (Value::String(text), Style::Single) if !text.contains(char::is_control) => {
                emit::single_quoted(text)
            }
            _ => emit::inline(value),
        };
        // An absent value is placed directly behind its colon.
        let gap = if node.span.is_empty() { " " } else { "" };
        self.splices
            .push((node.span.clone(), format!("{gap}{text}")));
    }
}

/// Returns whether a part of the text has a comment outside of the scalars of a node in it.
pub(super) fn has_comment_around(text: &str, part: Range<usize>, node: &Node) -> bool {
    let mut scalars = Vec::new();
    add_scalars(text, node, &mut scalars);
    let mut at = part.start;
    for scalar in scalars {
        if at < scalar.start && has_comment(&text[at..scalar.start]) {
            return true;
        }
        at = at.max(scalar.end);
    }
    at < part.end && has_comment(&text[at..part.end])
}

/// Adds the spans of a node's scalars. The first line of a block scalar is left out, because it may have a comment.
fn add_scalars(text: &str, node: &Node, scalars: &mut Vec<Range<usize>>) {
    match &node.kind {
        NodeKind::Scalar { style, .. } => {
            let Range { start, end } = node.span;
            let start = match style {
                Style::Block if text[start..end].starts_with(['|', '>']) => {
                    lines::line_end(text, start).min(end)
                }
                _ => start,
            };
            scalars.push(start..end);
        }
        NodeKind::Sequence { items, .. } => {
            for item in items {
                add_scalars(text, item, scalars);
            }
        }
        NodeKind::Mapping { entries, .. } => {
            for entry in entries {
                add_scalars(text, &entry.key, scalars);
                add_scalars(text, &entry.value, scalars);
            }
        }
    }
}

/// Returns whether a part of the text has a comment: `#` at its start or behind a blank.
fn has_comment(text: &str) -> bool {
    let mut before = ' ';
    text.chars().any(|c| {
        let starts = c == '#' && before.is_whitespace();
        before = c;
        starts
    })
}
