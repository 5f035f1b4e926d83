//! Edits of lists and mappings in flow style: `[…]` and `{…}`.
//!
//! Between two items are only blanks, one comma and comments. An item on lines of its own is edited as an
//! item in block style: its comments go with it, and the comments of its neighbours stay.

use std::ops::Range;

use super::lines;

/// A replacement of a part of the text.
pub(super) type Splice = (Range<usize>, String);

/// Removes items by index, sorted, and adds items at the end.
///
/// The error is the index of an item to remove that shares a line, and a comment, with another one.
pub(super) fn edit(
    text: &str,
    collection: &Range<usize>,
    items: &[Range<usize>],
    remove: &[usize],
    add: &[String],
) -> Result<Vec<Splice>, usize> {
    let inside = collection.start + 1..collection.end.saturating_sub(1);
    let Some(last) = (0..items.len()).rev().find(|at| !remove.contains(at)) else {
        return Ok(vec![(inside, add.join(", "))]);
    };
    let list = FlowList {
        text,
        inside,
        items,
    };
    let mut splices = Vec::new();
    for run in remove.chunk_by(|one, next| one + 1 == *next) {
        if let (Some(&first), Some(&last)) = (run.first(), run.last()) {
            list.remove(first, last, &mut splices)?;
        }
    }
    if !add.is_empty() {
        list.add(last, add, &mut splices);
    }
    Ok(splices)
}

struct FlowList<'t> {
    text: &'t str,
    /// Between the brackets.
    inside: Range<usize>,
    items: &'t [Range<usize>],
}

impl FlowList<'_> {
    /// Returns the part between an item, or the opening bracket, and the next item, or the closing one.
    fn gap_before(&self, index: usize) -> Range<usize> {
        let before = index.checked_sub(1).map(|before| self.items[before].end);
        let next = self.items.get(index).map(|next| next.start);
        before.unwrap_or(self.inside.start)..next.unwrap_or(self.inside.end)
    }

    fn starts_line(&self, item: &Range<usize>) -> bool {
        let line = lines::line_start(self.text, item.start);
        self.text[line..item.start].trim().is_empty()
    }

    /// Returns whether a line ends behind an item and its comma.
    fn ends_line(&self, gap: &Range<usize>) -> bool {
        let end = self.text[gap.clone()].find('\n');
        end.is_some_and(|end| comma(self.text, gap).is_none_or(|comma| comma < gap.start + end))
    }

    /// Removes neighbouring items, but not all items.
    fn remove(&self, first: usize, last: usize, splices: &mut Vec<Splice>) -> Result<(), usize> {
        let (start, end) = (self.items[first].start, self.items[last].end);
        let (before, after) = (self.gap_before(first), self.gap_before(last + 1));
        let is_tail = last + 1 == self.items.len();
        if self.starts_line(&self.items[first]) && self.ends_line(&after) {
            let line = lines::line_start(self.text, start);
            let column = lines::column(self.text, start);
            let lines = lines::with_comments(self.text, line, end, column);
            splices.push((lines, String::new()));
            // The last item has a comma if that is the file's style.
            let comma = comma(self.text, &before).filter(|_| comma(self.text, &after).is_none());
            if let Some(comma) = comma.filter(|_| is_tail) {
                splices.push((comma..comma + 1, String::new()));
            }
            return Ok(());
        }
        let cut = if is_tail {
            before.start..end
        } else {
            start..after.end
        };
        // A comment in the line of the item before is about that one.
        let line_end = self.text[before.clone()].find('\n');
        let line_end = line_end.map_or(before.end, |end| before.start + end);
        let above = if is_tail {
            before
        } else {
            line_end..before.end
        };
        let gaps = (first..last).map(|at| self.gap_before(at + 1));
        let mut gaps = gaps.chain([above, after]);
        if gaps.any(|gap| self.text[gap].contains('#')) {
            return Err(first);
        }
        splices.push((cut, String::new()));
        Ok(())
    }

    /// Adds items behind the last one that is kept.
    fn add(&self, last: usize, add: &[String], splices: &mut Vec<Splice>) {
        let item = &self.items[last];
        let gap = self.gap_before(last + 1);
        let is_last = last + 1 == self.items.len();
        if !(is_last && self.starts_line(item) && self.ends_line(&gap)) {
            splices.push((item.end..item.end, format!(", {}", add.join(", "))));
            return;
        }
        let indent = &self.text[lines::line_start(self.text, item.start)..item.start];
        let has_comma = comma(self.text, &gap).is_some();
        if !has_comma {
            splices.push((item.end..item.end, ",".to_owned()));
        }
        let mut new = add
            .iter()
            .map(|item| format!("{indent}{item}"))
            .collect::<Vec<_>>()
            .join(",\n");
        new.push_str(if has_comma { ",\n" } else { "\n" });
        let at = lines::after(self.text, item.end, lines::column(self.text, item.start));
        splices.push((at..at, new));
    }
}

/// Returns the position of the comma in a gap; a comment may have others.
fn comma(text: &str, gap: &Range<usize>) -> Option<usize> {
    let mut is_comment = false;
    let found = text[gap.clone()].find(|c| {
        is_comment = c == '#' || (is_comment && c != '\n');
        c == ',' && !is_comment
    });
    found.map(|at| gap.start + at)
}
