//! The indentation of a manifest's text.

use super::tree::{Node, NodeKind};

/// A file's indentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The blanks for each level.
    pub(super) step: usize,
    /// Whether a list is indented deeper than its key.
    pub(super) indented_sequences: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            step: 2,
            indented_sequences: true,
        }
    }
}

impl Layout {
    /// Returns the layout of a text, with defaults where the text does not show it.
    pub(super) fn of(text: &str, root: &Node) -> Self {
        let (step, indented) = observed(text, root);
        let default = Self::default();
        Self {
            step: step.unwrap_or(default.step),
            indented_sequences: indented.unwrap_or(default.indented_sequences),
        }
    }
}

/// Returns the file's step of indentation, and whether its lists are indented; `None` if the file does
/// not show it.
fn observed(text: &str, node: &Node) -> (Option<usize>, Option<bool>) {
    let column = |at: usize| at - text[..at].rfind('\n').map_or(0, |end| end + 1);
    let (mut step, mut indented) = (None, None);
    for entry in node.entries() {
        if entry.value.is_flow() || node.is_flow() {
            continue;
        }
        let own = column(entry.key.span.start);
        match &entry.value.kind {
            NodeKind::Mapping { entries, .. } => {
                let inner = entries.first().map(|inner| column(inner.key.span.start));
                step = step.or(inner
                    .and_then(|inner| inner.checked_sub(own))
                    .filter(|step| *step > 0));
            }
            NodeKind::Sequence { items, .. } => {
                let line = items.first().map(|item| {
                    let start = text[..item.span.start].rfind('\n').map_or(0, |end| end + 1);
                    text[start..].len() - text[start..].trim_start_matches(' ').len()
                });
                indented = indented.or(line.map(|dash| dash > own));
            }
            NodeKind::Scalar { .. } => {}
        }
        let inner = match &entry.value.kind {
            NodeKind::Sequence { items, .. } => items
                .iter()
                .map(|item| observed(text, item))
                .reduce(|a, b| (a.0.or(b.0), a.1.or(b.1)))
                .unwrap_or_default(),
            _ => observed(text, &entry.value),
        };
        step = step.or(inner.0);
        indented = indented.or(inner.1);
    }
    (step, indented)
}
