//! Schedules: their number, their restarts, and the tokens they deliver.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::findings::{Findings, Topic};
use crate::diagnostic::{Diagnostic, Rule, Severity};
use crate::manifest::items::{key, text};
use crate::manifest::path::ManifestPath;
use crate::manifest::values::{at, list};

pub(super) const TOPIC: Topic = Topic {
    rules: &[&TOO_MANY_SCHEDULES, &TOKEN_GAP, &SCHEDULES_RESET],
    check: |findings| {
        number(findings);
        token_gap(findings);
        reset(findings);
    },
};

const LIST: [&str; 2] = ["modules", "scheduledTrigger"];

/// The maximum of scheduled triggers of an app.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
const MAX_SCHEDULES: usize = 5;

const TOO_MANY_SCHEDULES: Rule = Rule::lint(
    "too-many-schedules",
    "Forge publishes a limit of five scheduled triggers per app, one of them every five minutes. The validation does not \
    count them. Write `cron` instead of `interval`, such as `cron = \"@hourly\"`: one trigger serves all handlers with `cron`.",
);

fn number(findings: &mut Findings<'_>) {
    let schedules = list(findings.manifest(), &LIST);
    let five_minute = schedules
        .iter()
        .filter(|item| text(item, "interval") == Some("fiveMinute"))
        .count();
    let message = if schedules.len() > MAX_SCHEDULES {
        let number = schedules.len();
        format!("there are {number} scheduled triggers, and Forge's limit is {MAX_SCHEDULES}")
    } else if five_minute > 1 {
        format!(
            "{five_minute} scheduled triggers fire every five minutes, and Forge's limit is one"
        )
    } else {
        return;
    };
    let path = ManifestPath::of(&LIST);
    let help = "write `cron = \"@hourly\"` instead of `interval`: one trigger serves all handlers with `cron`";
    findings.warning(&TOO_MANY_SCHEDULES, &path, message, help);
}

const TOKEN_GAP: Rule = Rule::lint(
    "token-gap",
    "With the intervals `day` and `week`, the system token expires (after at most four hours) before the next call \
    delivers a new one. Use `interval: hour` to keep tokens fresh.",
);

fn token_gap(findings: &mut Findings<'_>) {
    let with_token: BTreeSet<&str> = list(findings.manifest(), &["modules", "endpoint"])
        .iter()
        .filter(|endpoint| {
            let enabled = at(endpoint, &["auth", "appSystemToken", "enabled"]);
            enabled.and_then(Value::as_bool).unwrap_or_default()
        })
        .filter_map(key)
        .collect();
    let mut schedules = list(findings.manifest(), &LIST)
        .iter()
        .filter(|item| text(item, "endpoint").is_some_and(|key| with_token.contains(key)))
        .peekable();
    if let Some(first) = schedules.peek().copied()
        && schedules.all(|item| matches!(text(item, "interval"), Some("day" | "week")))
    {
        findings.warning(
            &TOKEN_GAP,
            &ManifestPath::of_module("scheduledTrigger", first).name("interval"),
            "only day or week triggers request the system token: it will expire well before the next invocation, and \
             your remote will be left without a valid token in between",
            "the `hour` interval is a good default; if nothing needs a token between two calls, allow this",
        );
    }
}

const SCHEDULES_RESET: Rule = Rule::lint(
    "schedules-reset",
    "After any change to any scheduledTrigger, Forge restarts all of them, about five minutes after the deployment, \
    regardless of the time left in their intervals. Deploy such a change when an early run is harmless.",
);

fn reset(findings: &mut Findings<'_>) {
    let found = list(findings.manifest(), &LIST);
    let wanted = findings.wanted.modules.get("scheduledTrigger");
    let mut by_key: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for item in found {
        let key = key(item).unwrap_or_default();
        by_key.entry(key).or_default().push(item);
    }
    let changes = wanted.into_iter().flatten().any(|entry| {
        let mut same_key = by_key.get(entry.key()).into_iter().flatten();
        !same_key.any(|item| item.as_mapping() == Some(&entry.item))
    });
    if changes && !found.is_empty() {
        let message =
            "this changes the scheduled triggers, so the next deployment restarts all of them";
        let finding = Diagnostic::new(&SCHEDULES_RESET, Severity::Note, message)
            .in_manifest(findings.file.locate(&ManifestPath::of(&LIST)));
        findings.found.push(finding);
    }
}
