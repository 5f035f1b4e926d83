//! Edits of lists and mappings in flow style: `[…]` and `{…}`.
//!
//! Between two items are only blanks, one comma and comments. An item on separate lines is edited as an
//! item in block style: its comments go with it, and the comments of its neighbours stay.

use std::ops::Range;

use super::lines;

/// A replacement of a part of the text.
pub(super) type Splice = (Range<usize>, String);

/// Removes items by index, sorted, and adds items at the end.
///
/// The error is the index of an item to remove that shares a line, and a comment, with another one or with the
/// list itself.
pub(super) fn edit(
    text: &str,
    collection: &Range<usize>,
    items: &[Range<usize>],
    remove: &[usize],
    add: &[String],
) -> Result<Vec<Splice>, usize> {
    let list = FlowList {
        text,
        inside: collection.start + 1..collection.end.saturating_sub(1),
        items,
    };
    let Some(last) = (0..items.len()).rev().find(|at| !remove.contains(at)) else {
        return list.replace_all(add).map(|splice| vec![splice]);
    };
    let mut splices = Vec::new();
    for run in remove.chunk_by(|one, next| one + 1 == *next) {
        if let (Some(&first), Some(&last)) = (run.first(), run.last()) {
            list.remove(first, last, add.is_empty(), &mut splices)?;
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

    /// Returns whether no other item is in the lines of these neighbours.
    fn have_own_lines(&self, first: usize, last: usize) -> bool {
        self.starts_line(&self.items[first]) && self.ends_line(&self.gap_before(last + 1))
    }

    /// Replaces all items. The comments of the list itself stay: the ones behind the opening bracket, and below
    /// the last item's line.
    fn replace_all(&self, add: &[String]) -> Result<Splice, usize> {
        let mut gaps = (0..=self.items.len()).map(|at| self.gap_before(at));
        if !gaps.any(|gap| self.text[gap].contains('#')) {
            return Ok((self.inside.clone(), add.join(", ")));
        }
        let (Some(first), Some(last)) = (self.items.first(), self.items.last()) else {
            return Err(0);
        };
        if !self.have_own_lines(0, self.items.len() - 1) {
            return Err(0);
        }
        let line = lines::line_start(self.text, first.start);
        let column = lines::column(self.text, first.start);
        let old = lines::with_comments(self.text, line, last.end, column);
        let indent = &self.text[line..first.start];
        let has_comma = comma(self.text, &self.gap_before(self.items.len())).is_some();
        let mut new = Vec::new();
        for (at, item) in add.iter().enumerate() {
            let comma = if has_comma || at + 1 < add.len() {
                ","
            } else {
                ""
            };
            new.push(format!("{indent}{item}{comma}\n"));
        }
        Ok((old, new.concat()))
    }

    /// Removes neighbouring items, but not all items. `ends_list`: no item is added behind them.
    fn remove(
        &self,
        first: usize,
        last: usize,
        ends_list: bool,
        splices: &mut Vec<Splice>,
    ) -> Result<(), usize> {
        let (start, end) = (self.items[first].start, self.items[last].end);
        let (before, after) = (self.gap_before(first), self.gap_before(last + 1));
        let is_tail = last + 1 == self.items.len();
        if self.have_own_lines(first, last) {
            let line = lines::line_start(self.text, start);
            let column = lines::column(self.text, start);
            let lines = lines::with_comments(self.text, line, end, column);
            splices.push((lines, String::new()));
            // The last item has a comma if that is the file's style.
            let comma = comma(self.text, &before).filter(|_| comma(self.text, &after).is_none());
            if let Some(comma) = comma.filter(|_| is_tail && ends_list) {
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

    /// Adds items behind the last one that is kept, whose successors are removed.
    fn add(&self, last: usize, add: &[String], splices: &mut Vec<Splice>) {
        let item = &self.items[last];
        let gap = self.gap_before(last + 1);
        let line = lines::line_start(self.text, item.start);
        let line_end = lines::line_end_after(self.text, item.end).min(gap.end);
        // In the item's line, a comment would be about the new item.
        let is_commented = self.text[item.end..line_end].contains('#');
        let is_whole_line = (self.starts_line(item) || is_commented) && self.ends_line(&gap);
        let tail = self.items.len() - 1;
        if !is_whole_line || (last < tail && !self.have_own_lines(last + 1, tail)) {
            splices.push((item.end..item.end, format!(", {}", add.join(", "))));
            return;
        }
        let indent = if self.starts_line(item) {
            self.text[line..item.start].to_owned()
        } else {
            let width = self.text[line..].len() - self.text[line..].trim_start_matches(' ').len();
            " ".repeat(width + 2)
        };
        if comma(self.text, &gap).is_none() {
            splices.push((item.end..item.end, ",".to_owned()));
        }
        let mut new = add
            .iter()
            .map(|item| format!("{indent}{item}"))
            .collect::<Vec<_>>()
            .join(",\n");
        // The last item has a comma if that is the file's style.
        let has_comma = comma(self.text, &self.gap_before(tail + 1)).is_some();
        new.push_str(if has_comma { ",\n" } else { "\n" });
        let at = lines::after(self.text, item.end, indent.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts between two items.
    const SEPARATORS: [&str; 4] = [", ", ",\n  ", ", # tail\n  ", ",\n  # head\n  "];
    const ENDS: [&str; 6] = ["", "\n", ",\n", " # tail\n", ", # tail\n", "\n  # deep\n"];

    struct Layout {
        text: String,
        spans: Vec<Range<usize>>,
    }

    /// Writes a list whose comments are `# tail X` behind an item and `# head X` above it.
    fn layout(names: &[&str], start: &str, separators: &[&str], end: &str) -> Layout {
        let mut text = format!("[{start}");
        let mut spans = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let from = text.len();
            text.push_str(name);
            spans.push(from..text.len());
            let part = separators.get(index).unwrap_or(&end);
            let next = names.get(index + 1).unwrap_or(name);
            let part = part.replace("tail", &format!("tail {name}"));
            text.push_str(&part.replace("head", &format!("head {next}")));
        }
        text.push_str("]\n");
        Layout { text, spans }
    }

    fn applied(text: &str, mut splices: Vec<Splice>) -> String {
        splices.sort_by_key(|(span, _)| (span.start, span.end));
        let mut edited = text.to_owned();
        for (span, new) in splices.into_iter().rev() {
            edited.replace_range(span, &new);
        }
        edited
    }

    /// Returns the fault of an edited list.
    fn mistake(edited: &str, expected: &[&str]) -> Option<String> {
        let value: Result<Vec<String>, _> = serde_yaml::from_str(edited);
        if !value.as_ref().is_ok_and(|found| found == expected) {
            return Some(format!("{value:?}"));
        }
        let lines: Vec<&str> = edited.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((before, comment)) = line.split_once("# ") else {
                continue;
            };
            let is_right = match comment.split_once(' ') {
                Some(("tail", name)) => before.trim().trim_end_matches(',').ends_with(name),
                Some(("head", name)) => lines.get(at + 1)?.trim().starts_with(name),
                _ => true,
            };
            if !is_right {
                return Some(format!("`{line}` is about another item"));
            }
        }
        None
    }

    #[test]
    fn comments_stay_with_their_items() {
        let names = ["a", "b", "c"];
        let mut edits = 0;
        for (first, second) in SEPARATORS
            .iter()
            .flat_map(|one| SEPARATORS.iter().map(move |two| (*one, *two)))
        {
            for (start, end) in ["", "\n  "]
                .into_iter()
                .flat_map(|start| ENDS.iter().map(move |end| (start, *end)))
            {
                let Layout { text, spans } = layout(&names, start, &[first, second], end);
                for bits in 0..8_usize {
                    for add in [
                        &[][..],
                        &["x".to_owned()],
                        &["x".to_owned(), "y".to_owned()],
                    ] {
                        let remove: Vec<usize> =
                            (0..3).filter(|at| bits & (1 << at) != 0).collect();
                        let list = 0..text.len() - 1;
                        let Ok(splices) = edit(&text, &list, &spans, &remove, add) else {
                            continue;
                        };
                        edits += 1;
                        let kept = names.iter().enumerate();
                        let kept = kept.filter(|(at, _)| !remove.contains(at));
                        let expected: Vec<&str> = kept
                            .map(|(_, name)| *name)
                            .chain(add.iter().map(String::as_str))
                            .collect();
                        let edited = applied(&text, splices);
                        assert_eq!(
                            mistake(&edited, &expected),
                            None,
                            "{text}without {remove:?}, with {add:?}:\n{edited}"
                        );
                    }
                }
            }
        }
        assert!(edits > 2000, "{edits}");
    }
}
