//! Entries with a former key (`also_key`): an update gives them the new key in their place.

use std::collections::BTreeSet;

use forge_remote::handler;
use forge_remote::manifest::{DesiredManifest, ManifestFile, check};
use forge_remote::prelude::*;

use crate::uses::{HEAD, parse, wanted};

/// Logs time.
#[action(
    verb = "CREATE",
    name = "Log",
    key = "log-time-action",
    endpoint = "log-time",
    path = "/log-time",
    also_key = "log"
)]
async fn log_time() {}

/// Notes the transition.
#[workflow_post_function(
    name = "Seen",
    key = "seen-v2",
    endpoint = "seen-v2-calls",
    path = "/seen",
    also_key = "seen"
)]
async fn seen() {}

#[endpoint(key = "settings-v2", path = "/settings", also_key = "settings")]
async fn settings() -> Result<()> {
    Ok(())
}

/// Updates a manifest with these modules, and returns the modules.
fn updated(modules: &str, wanted: &DesiredManifest) -> String {
    let merged = parse(modules).merged_with(wanted, None).unwrap();
    // The scopes of the new entries are below them.
    let merged = merged.split("permissions:").next().unwrap();
    merged.strip_prefix(HEAD).unwrap_or(merged).to_owned()
}

/// An action with hand-written parts, and its endpoint.
fn action(key: &str, endpoint: &str, path: &str) -> String {
    format!(
        "  action:\n    # agents log time with it\n    - key: {key} # the action\n      name: Log\n      endpoint: {endpoint}\n      actionVerb: CREATE\n      description: Logs time.\n      icon: https://cdn.example.com/log.svg\n      # the page of the settings\n      config:\n        resource: main\n        resolver:\n          endpoint: config\n  endpoint:\n    # calls of agents\n    - key: {endpoint}\n      # our only remote\n      remote: backend\n      route:\n        path: {path}\n    - key: config\n      remote: backend\n      route:\n        path: /config\n"
    )
}

#[test]
fn the_hand_written_parts_of_a_renamed_entry_stay() {
    let mut wanted = wanted([handler!(log_time)]);
    wanted.foreign.insert("config".to_owned());
    let before = action("log-action", "log", "/log");
    let after = updated(&before, &wanted);
    assert_eq!(after, action("log-time-action", "log-time", "/log-time"));
    assert_eq!(updated(&after, &wanted), after);

    let post_function = |key: &str, endpoint: &str| {
        format!(
            "  jira:workflowPostFunction:\n    - key: {key}\n      endpoint: {endpoint}\n      name: Seen\n      description: By hand\n      view: {{resource: view}} # the summary\n      create: {{resource: edit}}\n      edit: {{resource: edit}}\n  endpoint:\n    - key: {endpoint}\n      remote: backend\n      route:\n        path: /seen\n"
        )
    };
    let wanted = self::wanted([handler!(seen)]);
    let after = updated(&post_function("seen", "seen"), &wanted);
    for part in [
        "- key: seen-v2\n      endpoint: seen-v2-calls\n",
        "      view: {resource: view} # the summary\n      create: {resource: edit}\n      edit: {resource: edit}\n",
    ] {
        assert!(after.contains(part), "{after}");
    }
    assert_eq!(after.matches("- key:").count(), 2, "{after}");
}

/// The renamed action still names the endpoint of its settings, which was renamed too.
#[test]
fn what_a_renamed_entry_names_is_kept() {
    let mut wanted = wanted([handler!(log_time), handler!(settings)]);
    let before = action("log-action", "log", "/log").replace("config\n", "settings\n");
    let after = updated(&before, &wanted);
    assert!(after.contains("          endpoint: settings\n"), "{after}");
    assert!(after.contains("    - key: settings\n"), "{after}");
    assert!(after.contains("    - key: settings-v2\n"), "{after}");
    let findings = check(&parse(&after), &wanted, &BTreeSet::new());
    let codes: Vec<&str> = findings.iter().map(|one| one.code).collect();
    assert!(!codes.contains(&"dangling-endpoint"), "{codes:?}");
    // `--prune` names the old entry, so it is removed.
    wanted.removable.insert("log-action".to_owned());
    let after = updated(&before, &wanted);
    assert!(!after.contains("icon:"), "{after}");
}

/// The code's entry is there already, so only the user knows what becomes of the parts of the old one.
#[test]
fn an_entry_with_hand_written_parts_is_not_removed() {
    let mut wanted = wanted([handler!(log_time)]);
    wanted.foreign.insert("config".to_owned());
    let old = action("log-action", "log", "/log");
    let new = "    - key: log-time-action\n      name: Log\n      endpoint: log-time\n      actionVerb: CREATE\n      description: Logs time.\n";
    let new_endpoint =
        "    - key: log-time\n      remote: backend\n      route:\n        path: /log-time\n";
    let (action_list, endpoints) = old.split_once("  endpoint:\n    #").unwrap();
    let both = format!("{action_list}{new}  endpoint:\n    #{endpoints}{new_endpoint}");
    assert_eq!(updated(&both, &wanted), both);
    let variable = old.replace("key: log-action", "key: ${ACTION}");
    let variables = "environment:\n  variables:\n    - key: ACTION\n      default: log-action\n";
    let text = format!("{variables}{HEAD}{variable}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let merged = file.merged_with(&wanted, None).unwrap();
    assert!(merged.contains("key: ${ACTION} # the action\n"), "{merged}");
    assert!(merged.contains("icon:"), "{merged}");
    // Without such parts, the old one is removed.
    let plain: String = both
        .lines()
        .filter(|line| {
            let parts = [
                "icon:",
                "# the page",
                "config:",
                "resource:",
                "resolver:",
                "endpoint: config",
            ];
            !parts.iter().any(|part| line.contains(part))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let after = updated(&plain, &wanted);
    assert!(!after.contains("key: log-action"), "{after}");
    assert!(!after.contains("key: log\n"), "{after}");
}
