//! Edits of a manifest's text: properties are added, changed or removed, and every other byte is preserved.
//!
//! An edit is a list of splices at positions from the tree. New text follows the file's own
//! indentation, line ends and quotes.

use std::ops::Range;

use serde_yaml::{Mapping, Value};

use super::emit;
use super::flow_style;
use super::layout::Layout;
use super::lines;
use super::tree::{Entry, Node, NodeKind, Style};
use crate::diagnostic::Position;

/// A position where an edit is not safe, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unsafe {
    pub(super) at: Position,
    pub(super) reason: String,
}

impl Unsafe {
    pub(super) fn new(at: Position, reason: impl Into<String>) -> Self {
        Self {
            at,
            reason: reason.into(),
        }
    }
}

pub(super) type Edited = Result<(), Unsafe>;

pub(super) struct Editor<'t> {
    pub(super) text: &'t str,
    line_end: &'static str,
    pub(super) layout: Layout,
    pub(super) splices: Vec<(Range<usize>, String)>,
    /// The first part with an anchor or an alias that an edit is inside of.
    edited_mark: Option<Position>,
}

/// An edited text.
pub(super) struct EditedText {
    pub(super) text: String,
    /// The first part with an anchor or an alias that an edit is inside of: it may be a part of others too.
    pub(super) mark: Option<Position>,
}

impl<'t> Editor<'t> {
    /// Creates an editor of a text that ends with a line end.
    pub(super) fn new(text: &'t str, root: Option<&Node>) -> Self {
        let first_line = text.split_inclusive('\n').next().unwrap_or_default();
        let line_end = match first_line.ends_with("\r\n") {
            true => "\r\n",
            false => "\n",
        };
        Self {
            text,
            line_end,
            layout: root.map(|root| Layout::of(text, root)).unwrap_or_default(),
            splices: Vec::new(),
            edited_mark: None,
        }
    }

    /// Edits parts of a node, and records whether other parts, which refer to its anchor, may change too.
    pub(super) fn edit_inside(
        &mut self,
        node: &Node,
        edit: impl FnOnce(&mut Self) -> Edited,
    ) -> Edited {
        let before = self.splices.len();
        edit(self)?;
        if node.marked && self.splices.len() > before {
            self.edited_mark.get_or_insert(node.at);
        }
        Ok(())
    }

    /// Returns the edited text.
    pub(super) fn finish(mut self) -> EditedText {
        // A stable sort: splices at one position keep their order.
        self.splices.sort_by_key(|(range, _)| range.start);
        let mut out = String::with_capacity(self.text.len() + 256);
        let mut at = 0;
        for (range, with) in &self.splices {
            // Removals may overlap.
            if range.start > at {
                out.push_str(&self.text[at..range.start]);
            }
            out.push_str(with);
            at = at.max(range.end);
        }
        out.push_str(&self.text[at..]);
        EditedText {
            text: out,
            mark: self.edited_mark,
        }
    }

    /// Removes entries by index, and adds entries at the end.
    pub(super) fn edit_entries(
        &mut self,
        node: &Node,
        remove: &[usize],
        add: Vec<(String, Value)>,
    ) -> Edited {
        if remove.is_empty() && add.is_empty() {
            return Ok(());
        }
        self.reject_marked(node)?;
        let entries = node.entries();
        if node.is_flow() {
            let quoted = entries.iter().any(|entry| is_double_quoted(&entry.key));
            let spans = entries
                .iter()
                .map(|entry| (entry.key.at, entry.key.span.start..entry_end(entry)));
            let add = add.into_iter().map(|(name, value)| {
                format!("{}: {}", flow(&name.into(), quoted), flow(&value, quoted))
            });
            return self.edit_flow(node, spans.unzip(), remove, add.collect());
        }
        let Some(last) = entries.last() else {
            return Err(Unsafe::new(node.at, "there is no item to add to"));
        };
        let column = lines::column(self.text, entries[0].key.span.start);
        for at in remove {
            self.remove_entry(entries, *at, remove)?;
        }
        if !add.is_empty() {
            let mapping: Mapping = add
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect();
            let lines = emit::block(&Value::Mapping(mapping), column, self.layout);
            let at = lines::after(self.text, entry_end(last), column);
            self.insert_lines(at, &lines);
        }
        Ok(())
    }

    /// Removes one of several entries to remove.
    fn remove_entry(&mut self, entries: &[Entry], at: usize, remove: &[usize]) -> Edited {
        let entry = &entries[at];
        let start = lines::line_start(self.text, entry.key.span.start);
        let alone = self.text[start..entry.key.span.start].trim().is_empty();
        let column = lines::column(self.text, entry.key.span.start);
        if alone {
            self.reject_unclear_comment(entry.key.at, start, column, at == 0)?;
            let lines = lines::with_comments(self.text, start, entry_end(entry), column);
            self.splices.push((lines, String::new()));
            return Ok(());
        }
        // The first entry shares its line with a dash: the next one that is kept moves up to the dash, with
        // the comments above it.
        let Some(next) = (at + 1..entries.len()).find(|next| !remove.contains(next)) else {
            return Err(Unsafe::new(
                entry.key.at,
                "this entry shares its line with an entry that is kept",
            ));
        };
        let end = lines::after(self.text, entry_end(&entries[next - 1]), column);
        let blank = self.text[end..].len() - self.text[end..].trim_start().len();
        self.splices
            .push((entry.key.span.start..end + blank, String::new()));
        Ok(())
    }

    /// Removes items by index, and adds items at the end.
    pub(super) fn edit_items(&mut self, node: &Node, remove: &[usize], add: &[Value]) -> Edited {
        if remove.is_empty() && add.is_empty() {
            return Ok(());
        }
        self.reject_marked(node)?;
        let items = node.items();
        if node.is_flow() {
            let quoted = items.iter().any(is_double_quoted);
            let spans = items.iter().map(|item| (item.at, item.span.clone()));
            let add = add.iter().map(|value| flow(value, quoted));
            return self.edit_flow(node, spans.unzip(), remove, add.collect());
        }
        let (Some(first), Some(last)) = (items.first(), items.last()) else {
            return Err(Unsafe::new(node.at, "there is no item to add to"));
        };
        for at in remove {
            let item = &items[*at];
            if let Some(mark) = item.first_mark() {
                return Err(Unsafe::new(
                    mark,
                    "the part to remove has an anchor, alias, tag or merge key",
                ));
            }
            let lines = self.item_lines(item, *at == 0)?;
            self.splices.push((lines, String::new()));
        }
        if !add.is_empty() {
            let dash = self.dash(first)?;
            let column = lines::column(self.text, dash);
            // The gap behind the dash (`-   key`) is preserved.
            let gap = if self.text[dash..first.span.start].contains('\n') {
                2
            } else {
                first.span.start - dash
            };
            let mut lines = String::new();
            for value in add {
                let inner = if matches!(value, Value::Mapping(mapping) if !mapping.is_empty()) {
                    emit::block(value, column + gap, self.layout)
                } else {
                    format!(
                        "{:width$}{}\n",
                        "",
                        emit::inline(value),
                        width = column + gap
                    )
                };
                lines.push_str(&format!("{:column$}-{:width$}", "", "", width = gap - 1));
                lines.push_str(&inner[column + gap..]);
            }
            let at = lines::after(self.text, last.span.end, column);
            self.insert_lines(at, &lines);
        }
        Ok(())
    }

    /// Returns the lines that are removed with an item of a block sequence: from its dash, with the comments about it.
    pub(super) fn item_lines(&self, item: &Node, is_first: bool) -> Result<Range<usize>, Unsafe> {
        let (start, column) = self.item_start(item)?;
        self.reject_unclear_comment(item.at, start, column, is_first)?;
        Ok(lines::with_comments(
            self.text,
            start,
            item.span.end,
            column,
        ))
    }

    /// Returns the start of an item's line in a block sequence, and the column of its dash.
    pub(super) fn item_start(&self, item: &Node) -> Result<(usize, usize), Unsafe> {
        let dash = self.dash(item)?;
        let start = lines::line_start(self.text, dash);
        if !self.text[start..dash].trim().is_empty() {
            return Err(Unsafe::new(
                item.at,
                "this item shares its line with another list",
            ));
        }
        Ok((start, lines::column(self.text, dash)))
    }

    /// Replaces the value of an entry, which is absent, a scalar, `[]` or `{}`, by a list or a mapping.
    pub(super) fn fill(&mut self, parent: &Node, entry: &Entry, value: &Value) -> Edited {
        self.reject_marked(&entry.value)?;
        let node = &entry.value;
        let is_scalar = matches!(node.kind, NodeKind::Scalar { .. });
        if !is_scalar && self.text[node.span.clone()].contains('#') {
            return Err(Unsafe::new(node.at, "this empty value has a comment in it"));
        }
        if parent.is_flow() {
            let quoted = matches!(
                entry.key.kind,
                NodeKind::Scalar {
                    style: Style::Double,
                    ..
                }
            );
            let gap = if node.span.is_empty() { " " } else { "" };
            self.splices
                .push((node.span.clone(), format!("{gap}{}", flow(value, quoted))));
            return Ok(());
        }
        let end = entry_end(entry);
        if !node.span.is_empty() {
            let written = &self.text[entry.key.span.end..node.span.start];
            if written.contains('#') {
                let reason = "the comment between this name and its value would be lost";
                return Err(Unsafe::new(node.at, reason));
            }
            // Including the blanks before it, so that the line ends without blanks.
            let start = entry.key.span.end + written.trim_end().len();
            self.splices.push((start..node.span.end, String::new()));
        }
        let column = lines::column(self.text, entry.key.span.start);
        let lines = emit::nested_block(value, column, self.layout);
        self.insert_lines(lines::line_end_after(self.text, end), &lines);
        Ok(())
    }

    /// Rejects to remove a part whose comment may be about the next one: it would stay above that one.
    fn reject_unclear_comment(
        &self,
        part: Position,
        start: usize,
        column: usize,
        is_first: bool,
    ) -> Edited {
        if lines::has_unclear_comment(self.text, start, column, is_first) {
            let reason = "the comment above this part may be about it or about the next one (directly above a \
                          part, in its column, it would be removed with it)";
            return Err(Unsafe::new(part, reason));
        }
        Ok(())
    }

    /// Turns a list of names into a mapping from each name to a value, and adds entries at the end.
    pub(super) fn list_to_mapping(
        &mut self,
        entry: &Entry,
        value: impl Fn(&str) -> Value,
        add: Vec<(String, Value)>,
    ) -> Edited {
        let node = &entry.value;
        let (Some(first), Some(last)) = (node.items().first(), node.items().last()) else {
            return Err(Unsafe::new(node.at, "there is nothing here to rewrite"));
        };
        if let Some(at) = node.first_mark() {
            return Err(Unsafe::new(
                at,
                "the part to rewrite has an anchor, alias or tag",
            ));
        }
        let quoted = node.items().iter().any(is_double_quoted);
        for item in node.items() {
            let Some(name) = item.scalar().filter(|_| is_line_scalar(item)) else {
                return Err(Unsafe::new(item.at, "a name is expected here"));
            };
            let value = flow(&value(name), quoted && node.is_flow());
            self.splices
                .push((item.span.end..item.span.end, format!(": {value}")));
        }
        if node.is_flow() {
            let (open, close) = (node.span.start, node.span.end.saturating_sub(1));
            let mut more = String::new();
            for (name, value) in add {
                more.push_str(&format!(
                    ", {}: {}",
                    flow(&name.into(), quoted),
                    flow(&value, quoted)
                ));
            }
            self.splices.push((open..open + 1, "{".to_owned()));
            self.splices.push((last.span.end..last.span.end, more));
            self.splices.push((close..close + 1, "}".to_owned()));
            return Ok(());
        }
        let key = lines::column(self.text, entry.key.span.start);
        let dash = lines::column(self.text, self.dash(first)?);
        // A list may be indented like its key, a mapping may not.
        let column = if dash > key {
            dash
        } else {
            key + self.layout.step
        };
        for item in node.items() {
            let dash = self.dash(item)?;
            if self.text[dash..item.span.start].contains('\n') {
                return Err(Unsafe::new(
                    item.at,
                    "this name is not on the line of its dash",
                ));
            }
            let blank = " ".repeat(column - lines::column(self.text, dash).min(column));
            self.splices.push((dash..item.span.start, blank));
        }
        if !add.is_empty() {
            let lines: String = add
                .iter()
                .map(|(name, value)| {
                    let name = emit::inline(&name.as_str().into());
                    format!("{:column$}{name}: {}\n", "", flow(value, false))
                })
                .collect();
            let at = lines::after(
                self.text,
                last.span.end,
                lines::column(self.text, self.dash(first)?),
            );
            self.insert_lines(at, &lines);
        }
        Ok(())
    }

    /// Adds lines at the end of the text, before an end marker.
    pub(super) fn append_document(&mut self, value: &Value) {
        let end = self
            .text
            .rfind("\n...")
            .map_or(self.text.len(), |at| at + 1);
        let lines = emit::block(value, 0, self.layout);
        self.insert_lines(end, &lines);
    }

    /// Edits the items or entries of `[…]` or `{…}`, given their positions and spans.
    fn edit_flow(
        &mut self,
        node: &Node,
        (positions, spans): (Vec<Position>, Vec<Range<usize>>),
        remove: &[usize],
        add: Vec<String>,
    ) -> Edited {
        let splices = flow_style::edit(self.text, &node.span, &spans, remove, &add);
        let splices = splices.map_err(|at| {
            let reason = "a comment in the line of this part may be about another one";
            Unsafe::new(positions[at], reason)
        })?;
        for (span, text) in splices {
            self.splices.push((span, self.with_line_ends(&text)));
        }
        Ok(())
    }

    fn reject_marked(&self, node: &Node) -> Edited {
        let merge = node
            .entries()
            .iter()
            .find(|entry| entry.key.scalar() == Some("<<"));
        match merge {
            _ if node.marked => Err(Unsafe::new(
                node.at,
                "the part to edit has an anchor, alias or tag",
            )),
            Some(merge) => Err(Unsafe::new(
                merge.key.at,
                "the part to edit has a merge key, which Forge does not merge",
            )),
            None => Ok(()),
        }
    }

    fn insert_lines(&mut self, at: usize, lines: &str) {
        self.splices.push((at..at, self.with_line_ends(lines)));
    }

    pub(super) fn with_line_ends(&self, lines: &str) -> String {
        lines.replace('\n', self.line_end)
    }

    /// Returns the position of the dash of a block sequence's item.
    pub(super) fn dash(&self, item: &Node) -> Result<usize, Unsafe> {
        let mut line = lines::line_start(self.text, item.span.start);
        let before = &self.text[line..item.span.start];
        if let Some(at) = before
            .rfind('-')
            .filter(|at| before[at + 1..].trim().is_empty())
        {
            return Ok(line + at);
        }
        // The dash is on a separate line above.
        while line > 0 {
            let above = lines::line_start(self.text, line - 1);
            let written = self.text[above..line].trim();
            if written == "-" || written.starts_with("- ") {
                let blank =
                    self.text[above..line].len() - self.text[above..line].trim_start().len();
                return Ok(above + blank);
            }
            if !written.is_empty() && !written.starts_with('#') {
                break;
            }
            line = above;
        }
        Err(Unsafe::new(item.at, "this item's dash cannot be found"))
    }
}

/// Returns the end of an entry's last content.
pub(super) fn entry_end(entry: &Entry) -> usize {
    entry.value.span.end.max(entry.key.span.end)
}

pub(super) fn is_line_scalar(node: &Node) -> bool {
    matches!(
        node.kind,
        NodeKind::Scalar {
            style: Style::Plain | Style::Single | Style::Double,
            ..
        }
    )
}

pub(super) fn is_double_quoted(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Scalar { style, .. } => *style == Style::Double,
        NodeKind::Mapping { entries, .. } => {
            entries.iter().any(|entry| is_double_quoted(&entry.key))
        }
        NodeKind::Sequence { items, .. } => items.iter().any(is_double_quoted),
    }
}

/// Returns a value in flow style, or as JSON if its neighbours are JSON.
pub(super) fn flow(value: &Value, quoted: bool) -> String {
    if quoted {
        serde_json::to_string(value).unwrap_or_else(|_| emit::inline(value))
    } else {
        emit::inline(value)
    }
}
