//! The length of keys.

use forge_remote_schema::rules::MAX_ENDPOINT_KEY;

use super::findings::{Findings, Topic};
use crate::diagnostic::Rule;
use crate::manifest::items::key;
use crate::manifest::path::ManifestPath;
use crate::manifest::values::list;
use crate::manifest::variables::is_variable;

pub(super) const TOPIC: Topic = Topic {
    rules: &[&KEY_TOO_LONG],
    check: lengths,
};

const KEY_TOO_LONG: Rule = Rule::lint(
    "key-too-long",
    "Forge accepts at most 23 characters for the keys of functions and remotes. Atlassian documents the same limit for \
    the keys of endpoints, but its validation accepts longer ones and deployed apps have them: that is a warning. In the \
    code, the option `long_key` accepts such a key.",
);

fn lengths(findings: &mut Findings<'_>) {
    let lists: [(&str, &[&str]); 3] = [
        ("remote", &["remotes"]),
        ("endpoint", &["modules", "endpoint"]),
        ("function", &["modules", "function"]),
    ];
    for (what, path) in lists {
        for key in list(findings.manifest(), path).iter().filter_map(key) {
            let length = key.len();
            if length <= MAX_ENDPOINT_KEY || is_variable(key) {
                continue;
            }
            let place = ManifestPath::of(path).item(key);
            if what == "endpoint" {
                let message = format!(
                    "the endpoint key `{key}` has {length} characters, and Atlassian documents at most {MAX_ENDPOINT_KEY}"
                );
                let help = "shorten it, unless the app is deployed with it: a renamed endpoint is a new major version";
                findings.warning(&KEY_TOO_LONG, &place, message, help);
            } else {
                let message = format!(
                    "the {what} key `{key}` has {length} characters, and Forge accepts at most {MAX_ENDPOINT_KEY}"
                );
                findings.error(&KEY_TOO_LONG, &place, message, "shorten it");
            }
        }
    }
}
