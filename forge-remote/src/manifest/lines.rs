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
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

/// Returns the position for new lines after content that ends at `end`: behind comments that are
/// indented deeper than `column`, because they belong to that content.
pub(super) fn after(text: &str, end: usize, column: usize) -> usize {
    let mut at = line_end_after(text, end);
    let mut next = at;
    loop {
        let line_end = text[next..]
            .find('\n')
            .map_or(text.len(), |end| next + end + 1);
        let line = &text[next..line_end];
        let indent = line.len() - line.trim_start_matches(' ').len();
        let comment = line.trim_start().starts_with('#');
        if comment && indent > column {
            at = line_end;
            next = line_end;
        } else {
            return at;
        }
        if next >= text.len() {
            return at;
        }
    }
}

/// Returns the lines of a part that starts in the line at `start`, with the comments that describe
/// it: those directly above it in its column, and deeper ones below it.
pub(super) fn with_comments(text: &str, start: usize, end: usize, column: usize) -> Range<usize> {
    let mut first = start;
    while first > 0 {
        let above = line_start(text, first - 1);
        let line = &text[above..first];
        let indent = line.len() - line.trim_start_matches(' ').len();
        if indent != column || !line[indent..].starts_with('#') {
            break;
        }
        first = above;
    }
    first..after(text, end, column)
}

pub(super) fn column(text: &str, at: usize) -> usize {
    text[line_start(text, at)..at].chars().count()
}
