//! The lines around a position in a text.

use std::ops::Range;

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Returns the position behind the line end of the line that holds the last byte before `at`.
pub(super) fn line_end_after(text: &str, at: usize) -> usize {
    if at > 0 && text[..at].ends_with('\n') {
        return at;
    }
    line_end(text, at)
}

/// Returns the position behind the line end of the line at `at`.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

/// Returns the position for new lines after content that ends at `end`: behind comments that are
/// indented deeper than `column`, because they belong to that content, also below empty lines.
pub(super) fn after(text: &str, end: usize, column: usize) -> usize {
    let mut at = line_end_after(text, end);
    let mut next = at;
    while next < text.len() {
        let line = next..line_end(text, next);
        match comment_column(&text[line.clone()]) {
            Some(indent) if indent > column => at = line.end,
            None if text[line.clone()].trim().is_empty() => {}
            _ => break,
        }
        next = line.end;
    }
    at
}

/// Returns the column of a line that is a comment.
fn comment_column(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start_matches(' ').len();
    line.trim_start().starts_with('#').then_some(indent)
}

/// Returns the lines of a part that starts in the line at `start`, with the comments that describe
/// it: those directly above it in its column, and deeper ones below it.
pub(super) fn with_comments(text: &str, start: usize, end: usize, column: usize) -> Range<usize> {
    own_comments(text, start, column)..after(text, end, column)
}

/// Returns the start of the comments directly above the line at `start`, in the same column.
fn own_comments(text: &str, start: usize, column: usize) -> usize {
    let mut first = start;
    while first > 0 {
        let above = line_start(text, first - 1);
        if comment_column(&text[above..first]) != Some(column) {
            break;
        }
        first = above;
    }
    first
}

/// Returns whether a comment above the part in the line at `start` may be about that part or about the
/// next one: it is in another column, or an empty line is between. A part with a separate comment has no
/// other one, and deeper comments below the part before are about that part.
pub(super) fn has_unclear_comment(text: &str, start: usize, column: usize, is_first: bool) -> bool {
    if own_comments(text, start, column) < start {
        return false;
    }
    let mut above = Vec::new();
    for line in text[..start].split_inclusive('\n').rev() {
        match comment_column(line) {
            Some(indent) => above.push(indent),
            None if line.trim().is_empty() => {}
            None => break,
        }
    }
    while !is_first && above.last().is_some_and(|indent| *indent > column) {
        above.pop();
    }
    !above.is_empty()
}

pub(super) fn column(text: &str, at: usize) -> usize {
    text[line_start(text, at)..at].chars().count()
}
