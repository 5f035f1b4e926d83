//! Scalars and documents, read back by another YAML parser.

use serde_yaml::Value;

use super::emit::{scalar, to_yaml};

#[test]
fn ambiguous_texts_are_quoted() {
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
fn unambiguous_texts_are_not_quoted() {
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
