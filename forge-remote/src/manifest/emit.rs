//! Values as YAML: block style, two spaces, keys in the order given, quotes where needed.
//!
//! Serde's serializers have a fixed style. Forge reads YAML 1.2, other tools read 1.1: a text that
//! either would read as another type is quoted.

use std::fmt::Write as _;

use serde_yaml::Value;

use super::layout::Layout;

/// Returns a value as a document in block style.
pub(super) fn to_yaml(value: &Value) -> String {
    if is_block(value) {
        block(value, 0, Layout::default())
    } else {
        format!("{}\n", inline(value))
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Mapping(mapping) => !mapping.is_empty(),
        Value::Sequence(items) => !items.is_empty(),
        _ => false,
    }
}

/// Returns a non-empty mapping or sequence in block style, each line indented by `indent`.
pub(super) fn block(value: &Value, indent: usize, layout: Layout) -> String {
    let mut out = String::new();
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                let value = after_key(value, indent, layout);
                let _ = write!(out, "{:indent$}{}{value}", "", inline(key));
            }
        }
        Value::Sequence(items) => {
            for item in items {
                let _ = write!(out, "{:indent$}- ", "");
                if is_block(item) {
                    // The first line shares its line with the dash.
                    let lines = block(item, indent + 2, layout);
                    out.push_str(lines.get(indent + 2..).unwrap_or_default());
                } else {
                    let _ = writeln!(out, "{}", inline(item));
                }
            }
        }
        _ => {}
    }
    out
}

/// Returns the colon and the value behind a key that is indented by `indent`, with the line end.
pub(super) fn after_key(value: &Value, indent: usize, layout: Layout) -> String {
    if is_block(value) {
        format!(":\n{}", nested_block(value, indent, layout))
    } else {
        format!(": {}\n", inline(value))
    }
}

/// Returns the value of a key that is indented by `indent`, in block style.
pub(super) fn nested_block(value: &Value, indent: usize, layout: Layout) -> String {
    let deeper = !value.is_sequence() || layout.indented_sequences;
    block(
        value,
        if deeper { indent + layout.step } else { indent },
        layout,
    )
}

pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => scalar(text),
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Mapping(mapping) => {
            let entries: Vec<String> = mapping
                .iter()
                .map(|(key, value)| format!("{}: {}", inline(key), inline(value)))
                .collect();
            if entries.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", entries.join(", "))
            }
        }
        Value::Tagged(tagged) => inline(&tagged.value),
    }
}

/// Returns a string as a scalar: plain if every YAML reader reads it as that string, else quoted.
pub(super) fn scalar(text: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    if text.contains(odd) {
        double_quoted(text)
    } else if is_plain(text) {
        text.to_owned()
    } else {
        single_quoted(text)
    }
}

pub(super) fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a text in double quotes. JSON's escapes are valid there; a character that does not print
/// is written as `\u`.
pub(super) fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_plain(text: &str) -> bool {
    const INDICATORS: &[char] = &[
        '-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@',
        '`', '=', '<',
    ];
    const WORDS: [&str; 12] = [
        "null", "~", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf",
    ];
    !text.is_empty()
        && !text.starts_with(INDICATORS)
        && text.trim() == text
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains([',', '[', ']', '{', '}'])
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && !looks_like_a_number(text)
}

/// Returns whether a text could be a number, a date, a version, a sexagesimal, hexadecimal or octal
/// number in any of YAML's versions.
fn looks_like_a_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '.'))
        && text.chars().any(|c| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_hexdigit() || "+-._:xXoOtTzZ ".contains(c))
}
