//! Tables and paragraphs in lines that fit a terminal.

/// The width of output for people, in columns.
pub(super) const WIDTH: usize = 100;
/// The indentation of what belongs to a row.
const INDENT: &str = "    ";
/// A column is not made narrower than this.
const LEAST_WIDTH: usize = 12;
/// The space between two columns.
const GAP: usize = 2;

/// A row, and the lines below it.
pub(super) struct TableRow<const N: usize> {
    pub(super) cells: [String; N],
    pub(super) details: Vec<String>,
}

/// Returns a table with aligned columns. A cell that does not fit is printed below its row.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[TableRow<N>]) -> String {
    let widths = widths(head, rows);
    let mut text = line(&head.map(str::to_owned), widths);
    for row in rows {
        let mut cells = row.cells.clone();
        let mut below = Vec::new();
        for ((cell, name), width) in cells.iter_mut().zip(head).zip(widths) {
            if visible(cell) > width {
                below.push(format!("{}: {cell}", name.to_lowercase()));
                "…".clone_into(cell);
            }
        }
        text.push_str(&line(&cells, widths));
        for detail in below.iter().chain(&row.details) {
            let line = wrapped(&format!("{INDENT}{detail}"), &INDENT.repeat(2));
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Returns the widths of the columns: those of their cells, unless a line would be too long.
fn widths<const N: usize>(head: [&str; N], rows: &[TableRow<N>]) -> [usize; N] {
    let mut widths = head.map(str::len);
    for (column, width) in widths.iter_mut().enumerate() {
        let cells = rows.iter().map(|row| visible(&row.cells[column]));
        *width = cells.max().unwrap_or_default().max(*width);
    }
    while widths.iter().sum::<usize>() + GAP * N.saturating_sub(1) > WIDTH {
        match widths.iter_mut().max() {
            Some(widest) if *widest > LEAST_WIDTH => *widest -= 1,
            _ => break,
        }
    }
    widths
}

fn line<const N: usize>(cells: &[String; N], widths: [usize; N]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{cell:width$}{:GAP$}", ""));
    }
    format!("{}\n", line.trim_end())
}

/// Returns the columns of a text: what colours it takes none.
fn visible(text: &str) -> usize {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().map_or(0, |part| part.chars().count());
    let rest = parts.map(|part| {
        let shown = part.split_once('m').map_or("", |(_, shown)| shown);
        shown.chars().count()
    });
    first + rest.sum::<usize>()
}

/// Returns a line broken at its spaces. A longer word stays whole, so that it can be copied.
pub(super) fn wrapped(line: &str, indent: &str) -> String {
    let body = line.trim_start_matches(' ');
    let mut text = line[..line.len() - body.len()].to_owned();
    let (mut column, mut is_first) = (text.len(), true);
    for word in body.split(' ') {
        let width = visible(word);
        if is_first {
            column += width;
        } else if column + 1 + width > WIDTH {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text.push_str(indent);
            column = visible(indent) + width;
        } else {
            text.push(' ');
            column += 1 + width;
        }
        text.push_str(word);
        is_first = false;
    }
    text
}

/// Returns a report of findings and differences with its long lines broken. Excerpts of files stay as they are.
pub(super) fn fitted(report: &str) -> String {
    let mut text = String::new();
    let mut is_diff = false;
    for line in report.split_inclusive('\n') {
        let (line, end) = line
            .strip_suffix('\n')
            .map_or((line, ""), |line| (line, "\n"));
        is_diff = line.starts_with("--- ") || is_diff && !line.is_empty();
        match continuation(line, is_diff).filter(|_| visible(line) > WIDTH) {
            Some(indent) => text.push_str(&wrapped(line, &indent)),
            None => text.push_str(line),
        }
        text.push_str(end);
    }
    text
}

/// Returns how the continuation of a line begins; `None` for a line that is not broken.
fn continuation(line: &str, is_diff: bool) -> Option<String> {
    let spaces = |text: &str| text.len() - text.trim_start_matches(' ').len();
    if is_diff {
        // The sign, and a deeper indentation than the line's.
        let (sign, rest) = line.split_at_checked(1)?;
        return Some(format!("{sign}{:width$}", "", width = spaces(rest) + 4));
    }
    let plain = without_colours(line);
    let start = plain.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
    if ["|", "-->", ":::", "..."]
        .iter()
        .any(|mark| start.starts_with(mark))
    {
        return None;
    }
    let label = ["= note: ", "= help: "]
        .into_iter()
        .find(|label| start.starts_with(label));
    let indent = spaces(&plain) + label.map_or(INDENT.len(), str::len);
    Some(" ".repeat(indent))
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    plain.extend(parts.filter_map(|part| Some(part.split_once('m')?.1)));
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_does_not_fit_is_below_its_row() {
        let row = |path: &str| TableRow {
            cells: ["endpoint".to_owned(), path.to_owned(), "system".to_owned()],
            details: vec!["A line.".to_owned()],
        };
        let long = format!("/{}", "x".repeat(88));
        let text = table(["KIND", "PATH", "TOKENS"], &[row("/short"), row(&long)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| visible(line) <= WIDTH), "{text}");
        assert_eq!(lines[1].split_whitespace().nth(1), Some("/short"));
        assert_eq!(lines[3].split_whitespace().nth(1), Some("…"));
        assert_eq!(lines[4], format!("    path: {long}"));
        assert_eq!(lines[5], "    A line.");
    }

    #[test]
    fn reports_are_broken_by_what_their_lines_are() {
        let words = "word ".repeat(40);
        let words = words.trim_end();
        for (line, next) in [
            (format!("error[missing]: {words}"), "    word"),
            (
                format!("\u{1b}[1m\u{1b}[91merror[missing]\u{1b}[0m: {words}"),
                "    word",
            ),
            (format!("   = help: {words}"), "           word"),
            (format!("  changed  {words}"), "      word"),
            (
                format!("--- manifest.yml\n+  - key: {words}"),
                "+      word",
            ),
        ] {
            let text = fitted(&line);
            assert!(text.lines().all(|line| visible(line) <= WIDTH), "{text}");
            assert!(text.lines().last().unwrap().starts_with(next), "{text}");
            assert_eq!(text.matches("word").count(), 40, "{text}");
        }
        for line in [format!("12 | {words}"), format!("  --> {words}")] {
            assert_eq!(fitted(&line), line);
        }
        let url = format!("see https://{}", "x".repeat(120));
        assert_eq!(fitted(&url), url.replace(' ', "\n    "));
    }
}
