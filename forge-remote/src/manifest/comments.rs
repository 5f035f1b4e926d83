//! The comments around parts that are removed: an edit that would lose one, or leave it above another part,
//! is not safe.

use std::ops::Range;

use super::edit::{Edited, Editor, Unsafe, entry_end};
use super::lines;
use super::tree::Entry;

impl Editor<'_> {
    /// Checks that each comment of a list that is removed is about the list or one of its items.
    pub(super) fn check_comments(&self, entry: &Entry) -> Edited {
        let node = &entry.value;
        let mut about_items = Vec::new();
        if !node.is_flow() {
            for item in node.items() {
                let dash = self.dash(item)?;
                let start = lines::line_start(self.text, dash);
                let column = lines::column(self.text, dash);
                let end = item.span.end;
                about_items.push(lines::with_comments(self.text, start, end, column));
            }
        }
        if self.has_other_comment(entry, &about_items) {
            let reason =
                "this list would be removed with a comment that is about none of its items";
            return Err(Unsafe::new(node.at, reason));
        }
        Ok(())
    }

    /// Checks that each comment of a mapping of lists that is removed is about the mapping or one of the lists.
    pub(super) fn check_comments_between_lists(&self, entry: &Entry) -> Edited {
        let about_lists = entry.value.entries().iter().map(|list| {
            let start = lines::line_start(self.text, list.key.span.start);
            let column = lines::column(self.text, list.key.span.start);
            lines::with_comments(self.text, start, entry_end(list), column)
        });
        if self.has_other_comment(entry, &about_lists.collect::<Vec<_>>()) {
            let reason =
                "this section would be removed with a comment that is about none of its lists";
            return Err(Unsafe::new(entry.key.at, reason));
        }
        Ok(())
    }

    /// Returns whether the lines of an entry below its key have a comment that is in none of these parts.
    fn has_other_comment(&self, entry: &Entry, parts: &[Range<usize>]) -> bool {
        let is_flow = entry.value.is_flow();
        let mut at = if is_flow {
            lines::line_start(self.text, entry.value.span.start)
        } else {
            lines::line_end_after(self.text, entry.key.span.end)
        };
        let column = lines::column(self.text, entry.key.span.start);
        let end = lines::after(self.text, entry_end(entry), column);
        while at < end {
            let line_end = lines::line_end(self.text, at).min(end);
            let line = &self.text[at..line_end];
            let is_comment = match is_flow {
                true => line.contains('#'),
                false => line.trim_start().starts_with('#'),
            };
            if is_comment && !parts.iter().any(|part| part.contains(&at)) {
                return true;
            }
            at = line_end.max(at + 1);
        }
        false
    }
}
