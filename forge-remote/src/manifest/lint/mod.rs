//! Rules about manifests: the mistakes that Atlassian's own validation rejects, in the parts that a remote
//! depends on, and mistakes that it accepts and that fail at run time.
//!
//! Each file is a topic: its rules, each as a `const` next to its check, and one `TOPIC` that lists
//! them. The rules look at the whole file, hand-written parts included. To add a rule, write it and
//! its check in a topic's file and list it there; a new topic is a new file and a line in [`TOPICS`].

mod document;
mod egress;
mod endpoints;
mod findings;
mod keys;
mod modules;
mod pages;
mod place;
mod references;
mod remotes;
mod schedules;
mod scopes;
mod structure;
mod triggers;
mod validator;
mod variables;

use super::desired::DesiredManifest;
use super::file::ManifestFile;
use crate::diagnostic::{Diagnostic, Rule};
use findings::{Findings, Topic};

const TOPICS: &[Topic] = &[
    document::TOPIC,
    structure::TOPIC,
    remotes::TOPIC,
    keys::TOPIC,
    egress::TOPIC,
    endpoints::TOPIC,
    scopes::TOPIC,
    schedules::TOPIC,
    references::TOPIC,
    pages::TOPIC,
    modules::TOPIC,
    triggers::TOPIC,
    validator::TOPIC,
    variables::TOPIC,
];

/// Returns the rules of every topic.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    TOPICS.iter().flat_map(|topic| topic.rules).copied()
}

/// Returns the findings of every rule.
pub(super) fn lint(file: &ManifestFile, wanted: &DesiredManifest) -> Vec<Diagnostic> {
    let filled = file.with_defaults();
    let mut findings = Findings {
        file: &filled,
        written: file,
        wanted,
        found: Vec::new(),
    };
    for topic in TOPICS {
        (topic.check)(&mut findings);
    }
    findings.found
}
