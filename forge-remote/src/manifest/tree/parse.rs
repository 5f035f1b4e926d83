//! The parser of a manifest's text, with the corrections of the layouts that the YAML crate accepts and Forge rejects.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use super::node::{Entry, Node, NodeKind};
use super::scalar::Style;
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
