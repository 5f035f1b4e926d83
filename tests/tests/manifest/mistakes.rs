//! Mistakes in a manifest: its text with the line of each value, and its findings.

use std::collections::{BTreeMap, BTreeSet};

use forge_remote::manifest::{DesiredManifest, ManifestFile, Severity, check};
use serde_json::{Value, json};

/// A finding above a note.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) line: usize,
    /// Empty for a file that cannot be read.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Returns the findings above a note.
pub(crate) fn findings(text: &str) -> Vec<Found> {
    let file = ManifestFile::parse("manifest.yml", Some(text.to_owned()));
    let file = match file {
        Ok(file) => file,
        // A value that cannot be read at all is an error with its position.
        Err(error) => {
            let message = error.to_string();
            let line = message.split(':').nth(1).and_then(|line| line.parse().ok());
            return vec![Found {
                line: line.unwrap_or_default(),
                code: "",
                message,
            }];
        }
    };
    let found = check(&file, &DesiredManifest::default(), &BTreeSet::new());
    let found = found
        .into_iter()
        .filter(|one| one.severity > Severity::Note);
    let rows = found.map(|one| Found {
        line: one.manifest.unwrap().line,
        code: one.code,
        message: one.message,
    });
    rows.collect()
}

/// Writes a manifest as YAML, and returns the line of each path.
pub(crate) fn emit(value: &Value) -> (String, BTreeMap<String, usize>) {
    let mut out = Emitted {
        text: String::new(),
        line: 1,
        lines: BTreeMap::new(),
    };
    block(value, 0, "", &mut out);
    (out.text, out.lines)
}

struct Emitted {
    text: String,
    /// The line that comes next.
    line: usize,
    lines: BTreeMap<String, usize>,
}

impl Emitted {
    /// Ends a line with this text.
    fn end_line(&mut self, text: &str) {
        assert!(!text.contains('\n'), "JSON of one line");
        self.text.push_str(text);
        self.text.push('\n');
        self.line += 1;
    }
}

fn block(value: &Value, indent: usize, path: &str, out: &mut Emitted) {
    let is_block = |value: &Value| match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    let entries: Vec<(String, String, &Value)> = match value {
        Value::Object(map) => {
            let named = map
                .iter()
                .map(|(name, value)| (format!("{}:", json!(name)), name.clone(), value));
            named.collect()
        }
        Value::Array(items) => {
            let indexed = items.iter().enumerate();
            indexed
                .map(|(index, item)| ("-".to_owned(), index.to_string(), item))
                .collect()
        }
        scalar => {
            out.end_line(&scalar.to_string());
            return;
        }
    };
    for (mark, step, value) in entries {
        let path = format!("{path}/{}", step.replace('~', "~0").replace('/', "~1"));
        out.lines.insert(path.clone(), out.line);
        // The first property is next to the dash.
        if !out.text.ends_with("- ") {
            out.text.push_str(&" ".repeat(indent));
        }
        out.text.push_str(&mark);
        if !is_block(value) {
            out.end_line(&format!(" {value}"));
        } else if mark == "-" && value.is_object() {
            out.text.push(' ');
            block(value, indent + 2, &path, out);
        } else {
            out.end_line("");
            block(value, indent + 2, &path, out);
        }
    }
}
