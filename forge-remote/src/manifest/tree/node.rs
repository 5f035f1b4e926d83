//! The nodes of a manifest's tree, and their values.

#[cfg(feature = "cli")]
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde_yaml::{Mapping, Value};

use super::scalar::{Style, is_null, typed_scalar};
use crate::diagnostic::Position;

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

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Node,
    pub value: Node,
}

impl NodeKind {
    /// Returns the number of nodes.
    pub(super) fn count(&self) -> usize {
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
    pub fn replace_texts(&mut self, new: &impl Fn(&str) -> Cow<'_, str>) {
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
