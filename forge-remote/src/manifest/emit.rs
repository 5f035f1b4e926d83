//! YAML out of values: block style, two spaces, keys in the order given, quotes where needed.
//!
//! Our own, because the style of serde's serializers can't be chosen, and Forge's parser reads
//! YAML 1.2 while other tools read 1.1: what either takes for something else than text is quoted.

use std::fmt::Write as _;

use serde_yaml::Value;

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Blanks for each level.
    pub(super) step: usize,
    /// Whether a list stands deeper than the key it belongs to.
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

/// A document in block style.
///
/// ```
/// let value: serde_json::Value = serde_json::json!({ "scopes": ["read:jira-work", "on"] });
/// let value = forge_remote::serde_yaml::to_value(value).unwrap();
/// assert_eq!(forge_remote::manifest::to_yaml(&value), "scopes:\n  - read:jira-work\n  - 'on'\n");
/// ```
pub fn to_yaml(value: &Value) -> String {
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

/// A non-empty mapping or sequence, each line indented by `indent`.
pub(super) fn block(value: &Value, indent: usize, layout: Layout) -> String {
    let mut out = String::new();
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                let _ = write!(out, "{:indent$}{}:", "", inline(key));
                if is_block(value) {
                    let _ = write!(out, "\n{}", nested_block(value, indent, layout));
                } else {
                    let _ = writeln!(out, " {}", inline(value));
                }
            }
        }
        Value::Sequence(items) => {
            for item in items {
                let _ = write!(out, "{:indent$}- ", "");
                if is_block(item) {
                    // The first line stands beside the dash.
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

/// The value of a key that stands at `indent`.
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

/// A string: plain where every YAML reader takes it for that string, else quoted.
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

/// YAML's double-quoted style takes JSON's escapes; what doesn't print goes by `\u`.
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

/// Numbers, dates, versions, sexagesimals, hex and octal in any of YAML's versions.
fn looks_like_a_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '.'))
        && text.chars().any(|c| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_hexdigit() || "+-._:xXoOtTzZ ".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_would_misread_is_quoted() {
        for text in [
            "123",
            "null",
            "true",
            "1e3",
            "on",
            "0x1f",
            "~",
            "No",
            "1_000",
            "12:30",
            "2026-11-23",
            "",
            " a",
            "a: b",
            "a #b",
            "- a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "a:",
            ".5",
            ".inf",
            "it's",
            "{a}",
            "[a]",
            "a, b",
            "'",
            "\"",
            "=",
            "<<",
        ] {
            let yaml = scalar(text);
            assert!(
                yaml.starts_with(['\'', '"']) || text == "it's",
                "{text:?} became {yaml}"
            );
            let back: Value = serde_yaml::from_str(&yaml).unwrap();
            assert_eq!(back, Value::from(text), "{yaml}");
        }
    }

    #[test]
    fn what_needs_no_quotes_gets_none() {
        for text in [
            "read:jira-work",
            "/frc-trigger",
            "https://a.example.com",
            "ari:cloud:ecosystem::app/8db33809",
            "hour",
            "größe",
            "a b",
        ] {
            assert_eq!(scalar(text), text);
        }
    }

    #[test]
    fn control_characters_survive() {
        for text in [
            "a\nb",
            "tab\t",
            "\u{85}",
            "bell\u{7}",
            "\u{2028}",
            "q\"\\\n",
            "\u{feff}x",
        ] {
            let back: Value = serde_yaml::from_str(&scalar(text)).unwrap();
            assert_eq!(back, Value::from(text));
        }
    }

    #[test]
    fn nesting_reads_back() {
        let yaml = "a:\n  - key: x\n    list:\n      - 1\n      - [] \n    map: {}\n  -\n    - y\n    - - z\nb: null\n";
        let value: Value = serde_yaml::from_str(yaml).unwrap();
        let back: Value = serde_yaml::from_str(&to_yaml(&value)).unwrap();
        assert_eq!(back, value);
    }
}
