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
    let mut out = (String::new(), BTreeMap::new());
    block(value, 0, "", &mut out);
    out
}

fn block(value: &Value, indent: usize, path: &str, out: &mut (String, BTreeMap<String, usize>)) {
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
            out.0.push_str(&format!("{scalar}\n"));
            return;
        }
    };
    for (mark, step, value) in entries {
        let path = format!("{path}/{}", step.replace('~', "~0").replace('/', "~1"));
        out.1.insert(path.clone(), out.0.lines().count() + 1);
        out.0.push_str(&format!("{}{mark}", " ".repeat(indent)));
        if !is_block(value) {
            out.0.push_str(&format!(" {value}\n"));
        } else if mark == "-" && value.is_object() {
            // The first property is next to the dash.
            let mut inner = (String::new(), BTreeMap::new());
            block(value, indent + 2, &path, &mut inner);
            let first = out.0.lines().count();
            out.0.push_str(&inner.0[indent + 1..]);
            out.1.extend(
                inner
                    .1
                    .into_iter()
                    .map(|(path, line)| (path, line + first - 1)),
            );
        } else {
            out.0.push('\n');
            block(value, indent + 2, &path, out);
        }
    }
}
