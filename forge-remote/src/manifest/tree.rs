//! A manifest's text as a tree whose nodes know their positions, for edits that preserve the rest of
//! the text and for messages with line and column.

#[cfg(feature = "cli")]
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};
use serde_yaml::{Mapping, Value};

use crate::diagnostic::Position;

/// Upper bound on the nesting depth; deeper documents are rejected.
const MAX_DEPTH: usize = 64;
/// Upper bound on the nodes that aliases expand to: more is an attack or a mistake.
const MAX_ALIASED: usize = 100_000;

/// The reason why a text is not a valid manifest document, and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeError {
    pub at: Position,
    pub reason: String,
}

/// A node of the document.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node's bytes. For a block collection: from its first to its last content.
    pub span: Range<usize>,
    pub at: Position,
    /// Whether it has an anchor, an alias or a tag: editing it could change another part.
    pub marked: bool,
    pub kind: NodeKind,
}

#[derive(Clone, Debug)]
pub enum NodeKind {
    /// A scalar. Plain scalars are resolved by YAML 1.2's core schema.
    Scalar {
        text: String,
        style: Style,
    },
    Sequence {
        flow: bool,
        items: Vec<Node>,
    },
    Mapping {
        flow: bool,
        entries: Vec<Entry>,
    },
}

/// The style of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Single,
    Double,
    /// `|` or `>`.
    Block,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Node,
    pub value: Node,
}

/// Parses the single document of a text; `None` for an empty text.
pub fn parse(text: &str) -> Result<Option<Node>, TreeError> {
    let mut builder = Builder {
        text,
        open: Vec::new(),
        root: None,
        documents: 0,
        anchors: Vec::new(),
        aliased: 0,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| TreeError {
            at: position(error.marker().line(), error.marker().col()),
            reason: error.info(),
        })?;
        builder.take(event, span)?;
    }
    Ok(builder.root)
}

/// Returns the number of spaces that a text starts with.
fn indentation(text: &str) -> usize {
    text.len() - text.trim_start_matches(' ').len()
}

fn position(line: usize, column: usize) -> Position {
    Position {
        line: line.max(1),
        column: column + 1,
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        _ => Style::Block,
    }
}

struct Builder<'t> {
    text: &'t str,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    /// The values by anchor, for aliases.
    anchors: Vec<(usize, NodeKind)>,
    aliased: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    /// A mapping's key whose value has not been parsed yet.
    key: Option<Node>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), TreeError> {
        let range = span.byte_range().unwrap_or(0..0);
        let at = position(span.start.line(), span.start.col());
        let node = |kind, marked| Node {
            span: range.clone(),
            at,
            marked,
            kind,
        };
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let reason = "a second document starts here, and a manifest has one".to_owned();
                    return Err(TreeError { at, reason });
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = style_of(style);
                let mut text = text.into_owned();
                if range.is_empty() && style == Style::Plain {
                    // An absent value has the empty text, not the `~` it stands for.
                    text.clear();
                }
                let marked = anchor != 0 || tag.is_some();
                let mut scalar = node(NodeKind::Scalar { text, style }, marked);
                if style == Style::Block {
                    self.check_tabs(&scalar)?;
                    scalar.span.end = self.block_scalar_end(&scalar);
                }
                self.add(scalar, anchor)?;
            }
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(id, _)| *id == anchor);
                let Some((_, kind)) = known else {
                    let reason = "this alias refers to a node that it is part of".to_owned();
                    return Err(TreeError { at, reason });
                };
                self.aliased += kind.count();
                if self.aliased > MAX_ALIASED {
                    let reason = format!("aliases expand to more than {MAX_ALIASED} nodes");
                    return Err(TreeError { at, reason });
                }
                let alias = node(kind.clone(), true);
                self.add(alias, 0)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                let flow = style == StructureStyle::Flow;
                let items = Vec::new();
                let marked = anchor != 0 || tag.is_some();
                self.open(node(NodeKind::Sequence { flow, items }, marked), anchor)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let flow = style == StructureStyle::Flow;
                let entries = Vec::new();
                let marked = anchor != 0 || tag.is_some();
                self.open(node(NodeKind::Mapping { flow, entries }, marked), anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end)?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), TreeError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(TreeError {
                at: node.at,
                reason: format!("nested more than {MAX_DEPTH} levels deep"),
            });
        }
        self.open.push(Open {
            node,
            anchor,
            key: None,
        });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), TreeError> {
        let Some(Open {
            mut node, anchor, ..
        }) = self.open.pop()
        else {
            return Ok(());
        };
        if node.is_flow() {
            self.check_indentation(node.span.start..end)?;
        }
        node.span.end = match &node.kind {
            NodeKind::Sequence { flow: false, items } => {
                items.last().map_or(node.span.end, |item| item.span.end)
            }
            NodeKind::Mapping {
                flow: false,
                entries,
            } => entries
                .last()
                .map_or(node.span.end, |entry| entry.value.span.end),
            _ => end,
        };
        self.add(node, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), TreeError> {
        if anchor != 0 {
            self.anchors.push((anchor, node.kind.clone()));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.node.kind {
            NodeKind::Sequence { items, .. } => items.push(node),
            NodeKind::Mapping { entries, .. } => match parent.key.take() {
                None => parent.key = Some(node),
                Some(key) => {
                    let twice = key.scalar().and_then(|name| {
                        entries
                            .iter()
                            .find(|entry| entry.key.scalar() == Some(name))
                    });
                    if let Some(first) = twice {
                        let name = key.scalar().unwrap_or_default();
                        let reason = format!(
                            "the key `{name}` is written twice, first in line {}",
                            first.key.at.line
                        );
                        return Err(TreeError { at: key.at, reason });
                    }
                    let mut value = node;
                    if value.span.is_empty() {
                        // An absent value is placed directly behind its colon, before a comment.
                        let rest = self.text.get(key.span.end..).unwrap_or_default();
                        if let Some(colon) = rest.find(':') {
                            let at = key.span.end + colon + 1;
                            value.span = at..at;
                        }
                    }
                    entries.push(Entry { key, value });
                }
            },
            NodeKind::Scalar { .. } => {}
        }
        Ok(())
    }

    /// Rejects a line of `{…}` or `[…]` that is not indented deeper than the block collection around it, as YAML 1.2 and
    /// Forge do. A closing bracket may be in the column of its key.
    fn check_indentation(&self, span: Range<usize>) -> Result<(), TreeError> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let outer = self.open.last().map(|open| (&open.node.kind, &open.key));
        if !text.contains('\n') {
            return Ok(());
        }
        let column = match outer {
            Some((NodeKind::Mapping { flow: false, .. }, Some(key))) => key.at.column,
            Some((NodeKind::Sequence { flow: false, .. }, _)) => {
                let line = self.text[..span.start].rfind('\n').map_or(0, |end| end + 1);
                indentation(&self.text[line..]) + 1
            }
            _ => return Ok(()),
        };
        let first = self.text[..span.start].matches('\n').count() + 1;
        let mut start = span.start;
        for (at, line) in text.split_inclusive('\n').enumerate() {
            let indentation = indentation(line);
            let content = line.trim();
            let closes = start + indentation + 1 == span.end;
            start += line.len();
            let is_deeper = indentation + 1 > column || closes && indentation + 1 == column;
            if at > 0 && !is_deeper && !content.is_empty() && !content.starts_with('#') {
                return Err(TreeError {
                    at: position(first + at, indentation),
                    reason: "this line is part of `{…}` or `[…]`, and must be indented deeper than the key before it"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Rejects a tab in the indentation of a block scalar, as YAML 1.2 and Forge do.
    fn check_tabs(&self, scalar: &Node) -> Result<(), TreeError> {
        let is_header = |c: char| matches!(c, '|' | '>');
        let start = scalar.span.start;
        let at_header = self.text[start..].starts_with(is_header);
        let header = self.text[..start + usize::from(at_header)].rfind(is_header);
        let (Some(header), Some(parent)) = (header, self.open.last()) else {
            return Ok(());
        };
        let mut lines = self.text[header..].split_inclusive('\n');
        let header_line = lines.next().unwrap_or_default();
        if header_line.contains(|c: char| c.is_ascii_digit()) {
            // It states the indentation.
            return Ok(());
        }
        let outer = parent.key.as_ref().unwrap_or(&parent.node).at.column - 1;
        // The indentation of the first line with content.
        let mut inner = None;
        let mut at = header + header_line.len();
        for line in lines {
            let own = indentation(line);
            let is_outside = own <= outer || inner.is_some_and(|inner| own < inner);
            if is_outside && line[own..].starts_with('\t') {
                return Err(TreeError {
                    at: position(self.text[..at].matches('\n').count() + 1, own),
                    reason: "a tab is in the indentation of a text after `|` or `>`: write spaces"
                        .to_owned(),
                });
            }
            at += line.len();
            match line.trim().is_empty() {
                true => {}
                false if is_outside => break,
                false => inner = inner.or(Some(own)),
            }
        }
        Ok(())
    }

    /// Returns the end of a block scalar without the blank lines after it, which the parser includes.
    /// A scalar that keeps them (`|+`) includes them.
    fn block_scalar_end(&self, scalar: &Node) -> usize {
        let body = self.text.get(scalar.span.clone()).unwrap_or_default();
        let keeps = scalar
            .scalar()
            .is_some_and(|text| text.ends_with("\n\n") || text == "\n");
        if keeps {
            // Up to the start of the next token's line.
            return scalar.span.start + body.rfind('\n').map_or(body.len(), |at| at + 1);
        }
        scalar.span.start + body.trim_end().len()
    }
}

impl NodeKind {
    fn count(&self) -> usize {
        1 + match self {
            Self::Scalar { .. } => 0,
            Self::Sequence { items, .. } => items.iter().map(|item| item.kind.count()).sum(),
            Self::Mapping { entries, .. } => entries
                .iter()
                .map(|entry| entry.key.kind.count() + entry.value.kind.count())
                .sum(),
        }
    }
}

impl Node {
    /// Replaces the texts that change. A replaced text is always a text, as in quotes.
    #[cfg(feature = "cli")]
    pub(super) fn replace_texts(&mut self, new: &impl Fn(&str) -> Cow<'_, str>) {
        match &mut self.kind {
            NodeKind::Scalar { text, style } => {
                let replaced = match new(text) {
                    Cow::Borrowed(_) => return,
                    Cow::Owned(replaced) => replaced,
                };
                *text = replaced;
                *style = Style::Double;
            }
            NodeKind::Sequence { items, .. } => {
                items.iter_mut().for_each(|item| item.replace_texts(new));
            }
            NodeKind::Mapping { entries, .. } => {
                for entry in entries {
                    entry.value.replace_texts(new);
                }
            }
        }
    }

    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.kind, NodeKind::Mapping { .. })
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            NodeKind::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.kind {
            NodeKind::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries()
            .iter()
            .find(|entry| entry.key.scalar() == Some(name))
    }

    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// Returns whether the value is absent, `null` or `~`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, style: Style::Plain } if is_null(text))
    }

    pub fn is_flow(&self) -> bool {
        matches!(
            &self.kind,
            NodeKind::Sequence { flow: true, .. } | NodeKind::Mapping { flow: true, .. }
        )
    }

    /// Returns the position of the first anchor, alias, tag or merge key: an edit inside could change
    /// another part.
    pub fn first_mark(&self) -> Option<Position> {
        if self.marked {
            return Some(self.at);
        }
        match &self.kind {
            NodeKind::Scalar { .. } => None,
            NodeKind::Sequence { items, .. } => items.iter().find_map(Self::first_mark),
            NodeKind::Mapping { entries, .. } => entries.iter().find_map(|entry| {
                let merge = entry.key.scalar() == Some("<<");
                if merge {
                    Some(entry.key.at)
                } else {
                    entry.key.first_mark().or_else(|| entry.value.first_mark())
                }
            }),
        }
    }

    /// Returns whether the value is a text by YAML 1.2's core schema.
    pub fn is_text(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, style } if typed_scalar(text, *style).is_none())
    }

    /// Returns the value by YAML 1.2's core schema, as Forge reads it.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Scalar { text, style } => {
                typed_scalar(text, *style).unwrap_or_else(|| text.as_str().into())
            }
            NodeKind::Sequence { items, .. } => {
                Value::Sequence(items.iter().map(Self::to_value).collect())
            }
            NodeKind::Mapping { entries, .. } => Value::Mapping(
                entries
                    .iter()
                    .map(|entry| (entry.key.to_value(), entry.value.to_value()))
                    .collect::<Mapping>(),
            ),
        }
    }

    /// Returns whether [`to_value`](Self::to_value) would return this value, without creating it.
    pub fn has_value(&self, value: &Value) -> bool {
        match (&self.kind, value) {
            (NodeKind::Scalar { text, style }, value) => match typed_scalar(text, *style) {
                Some(typed) => typed == *value,
                None => matches!(value, Value::String(string) if string == text),
            },
            (NodeKind::Sequence { items, .. }, Value::Sequence(values)) => {
                items.len() == values.len()
                    && items
                        .iter()
                        .zip(values)
                        .all(|(item, value)| item.has_value(value))
            }
            (NodeKind::Mapping { entries, .. }, Value::Mapping(values)) => {
                let pairs = || entries.iter().zip(values);
                if entries.len() != values.len() {
                    // Two keys may have the same value.
                    return self.to_value() == *value;
                }
                // The order of a mapping's entries is usually the same, but does not count. The keys alone decide which
                // values are compared, so that each one is compared once.
                match pairs().all(|(entry, (key, _))| entry.key.has_value(key)) {
                    true => pairs().all(|(entry, (_, value))| entry.value.has_value(value)),
                    false => has_entries(entries, values),
                }
            }
            _ => false,
        }
    }
}

/// Returns whether a mapping's entries have these values, in any order.
fn has_entries(entries: &[Entry], values: &Mapping) -> bool {
    let mut found = HashSet::new();
    entries.len() == values.len()
        && entries.iter().all(|entry| {
            let key = entry.key.to_value();
            let value = values.get(&key);
            value.is_some_and(|value| entry.value.has_value(value)) && found.insert(key)
        })
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Returns the value of a scalar that is not a string, by YAML 1.2.2, §10.3.2.
fn typed_scalar(text: &str, style: Style) -> Option<Value> {
    if style != Style::Plain {
        return None;
    }
    if is_null(text) {
        return Some(Value::Null);
    }
    match text {
        "true" | "True" | "TRUE" => return Some(true.into()),
        "false" | "False" | "FALSE" => return Some(false.into()),
        _ => {}
    }
    // Most scalars are texts, and every number starts with one of these.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(number) = text.parse::<i64>() {
            return Some(number.into());
        }
        if let Ok(number) = text.parse::<u64>() {
            return Some(number.into());
        }
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(number) = text
            .strip_prefix(prefix)
            .and_then(|rest| u64::from_str_radix(rest, radix).ok())
        {
            return Some(number.into());
        }
    }
    let float = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let number = text.parse::<f64>().ok().filter(|_| float);
    number.map(Value::from)
}
