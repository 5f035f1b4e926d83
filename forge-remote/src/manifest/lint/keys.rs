//! The length of keys.

use forge_remote_schema::rules::MAX_ENDPOINT_KEY;

use super::findings::{Findings, Topic};
use crate::diagnostic::Rule;
use crate::manifest::items::key;
use crate::manifest::path::ManifestPath;
use crate::manifest::values::list;

pub(super) const TOPIC: Topic = Topic {
    rules: &[&KEY_TOO_LONG],
    check: lengths,
};

const KEY_TOO_LONG: Rule = Rule::lint(
    "key-too-long",
    "Forge accepts at most 23 characters for the keys of endpoints, functions and remotes. The validation does not \
    check the keys of endpoints, but the platform does.",
);

fn lengths(findings: &mut Findings<'_>) {
    let lists: [(&str, &[&str]); 3] = [
        ("remote", &["remotes"]),
        ("endpoint", &["modules", "endpoint"]),
        ("function", &["modules", "function"]),
    ];
    for (what, path) in lists {
        for key in list(findings.manifest(), path).iter().filter_map(key) {
            if key.len() > MAX_ENDPOINT_KEY {
                let message = format!(
                    "the {what} key `{key}` has {} characters, and Forge accepts at most {MAX_ENDPOINT_KEY}",
                    key.len()
                );
                let path = ManifestPath::of(path).item(key);
                findings.error(&KEY_TOO_LONG, &path, message, "shorten it");
            }
        }
    }
}
