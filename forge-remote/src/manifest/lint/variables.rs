//! Variables: undeclared ones, and those whose values only `forge deploy` knows.

use std::collections::BTreeSet;

use super::findings::{Findings, Topic};
use crate::diagnostic::Rule;
use crate::manifest::compare::unknown_values;
use crate::manifest::emit;
use crate::manifest::variables::{Variables, references};

pub(super) const TOPIC: Topic = Topic {
    rules: &[&UNDECLARED_VARIABLE, &UNCOMPARED_VARIABLE],
    check: |findings| {
        undeclared(findings);
        uncompared(findings);
    },
};

const UNDECLARED_VARIABLE: Rule = Rule::lint(
    "undeclared-variable",
    "Forge replaces `${NAME}` only if `environment.variables` lists NAME; otherwise the text is used unchanged, without \
    a warning. \
    Declare the variable there.",
);

/// Checks every text of the file, not only addresses: Forge replaces variables everywhere.
fn undeclared(findings: &mut Findings<'_>) {
    let variables = Variables::of(findings.written.value());
    let mut reported = BTreeSet::new();
    for node in findings.written.scalars() {
        let text = node.scalar().unwrap_or_default();
        // An expression may have `${value}` too: addresses and keys have no white space and no backquotes.
        let may_be_code = || text.contains(|c: char| c.is_whitespace() || c == '`');
        let is_code = |name: &str| name.contains(|c: char| c.is_ascii_lowercase()) && may_be_code();
        let names = references(text).filter(|name| !variables.is_declared(name) && !is_code(name));
        for name in names {
            // An alias repeats the position of its anchor.
            if !reported.insert((node.at, name)) {
                continue;
            }
            let message = format!("`${{{name}}}` is not declared, so Forge does not replace it");
            let help = format!("add `{name}` to `environment.variables`");
            findings.error_at(&UNDECLARED_VARIABLE, node, message, help);
        }
    }
}

const UNCOMPARED_VARIABLE: Rule = Rule::lint(
    "uncompared-variable",
    "The code decides the value of this property, and the manifest has a variable without a default in its place: only \
    `forge deploy` knows the value, so it is not compared. Declare a default in `environment.variables`, or make sure that \
    each environment has the code's value.",
);

fn uncompared(findings: &mut Findings<'_>) {
    for (path, text, code) in unknown_values(findings.written.value(), findings.wanted) {
        let code = emit::inline(&code);
        let message = format!(
            "{path} is `{text}`, whose value only `forge deploy` knows, and `{code}` in the code"
        );
        let help = "declare a default in `environment.variables`, which is compared then";
        findings.note(&UNCOMPARED_VARIABLE, &path, message, help);
    }
}
