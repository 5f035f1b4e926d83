//! Layouts that YAML 1.2 forbids, and npm's `yaml` with which Forge reads a manifest.

#![allow(clippy::panic)]

use forge_remote::manifest::{ManifestError, ManifestFile};

/// Texts, and the line of the mistake that npm's `yaml` 2 finds.
const LAYOUTS: &[(&str, Option<usize>)] = &[
    // A line of `{…}` is deeper than its key, and the closing bracket may be in its column.
    ("a:\n  b: {x: 1,\n}\nc: 1\n", Some(3)),
    ("a:\n  b: {x: 1,\n }\nc: 1\n", Some(3)),
    ("a:\n  b: {x: 1,\n  }\nc: 1\n", None),
    ("a:\r\n  b: {x: 1,\r\n  }\r\nc: 1\r\n", None),
    ("a:\n  b: {x: 1,\n  y: 2}\nc: 1\n", Some(3)),
    ("a: {\n}\n", None),
    ("a: {\nx: 1\n}\n", Some(2)),
    ("a:\n  - {x: 1,\n  y: 2}\n", Some(3)),
    ("a:\n  - {x: 1,\n  }\n", None),
    ("a:\n  - {x: [1,\n  ]}\n", Some(3)),
    ("a:\n  - x: {y: 1,\n    }\n", None),
    ("a:\n  - x: {y: 1,\n   }\n", Some(3)),
    ("a:\n- {x: 1,\n}\n", None),
    ("a:\n  b: {x: 1,\n# c\n    y: 1}\n", None),
    ("a:\n  b: {x: 1,\n\n    y: 1}\n", None),
    ("{a: 1,\nb: 2\n}\n", None),
    ("a:\n  b: {x: [1,\n    2], y: {\n    }}\n", None),
    // A tab is no indentation of a text.
    ("a: |-\n  x\n\t\nb: 1\n", Some(3)),
    ("a: |-\n  x\n\n\t\nb: 1\n", Some(4)),
    ("a: >\n  x\n\t\nb: 1\n", Some(3)),
    ("a: |-\n  x\n\t# c\nb: 1\n", Some(3)),
    ("a:\n  b: |-\n    x\n \t\n    y\nc: 1\n", Some(4)),
    ("a:\n  b: |-\n    x\n    \t\n    y\nc: 1\n", None),
    ("a: |-\n  x\n  \t\n  y\nb: 1\n", None),
    ("a: |-\n  x\nb: 1\n\t\nc: 1\n", None),
    ("a: x\n\t\nb: 1\n", None),
];

#[test]
fn layouts_that_forge_rejects_are_found_with_their_line() {
    for (text, mistake) in LAYOUTS {
        let found = match ManifestFile::parse("manifest.yml", Some((*text).to_owned())) {
            Ok(_) => None,
            Err(ManifestError::Yaml { at, .. }) => Some(at.line),
            Err(error) => panic!("{text:?}: {error}"),
        };
        assert_eq!(found, *mistake, "{text:?}");
    }
}
