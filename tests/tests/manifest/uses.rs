//! The entries that an update keeps because other parts name them, and the entries that `--prune` removes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use forge_remote::handler;
use forge_remote::manifest::{DesiredManifest, ManifestFile, check};
use forge_remote::prelude::*;
use forge_remote::registry::{Registration, Registry};
use forge_remote_tests::stores::Folder;

pub(crate) const HEAD: &str = "app:\n  runtime:\n    name: nodejs22.x\n  id: ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001\nremotes:\n  - key: backend\n    baseUrl: https://backend.example.com\nresources:\n  - key: main\n    path: static\nmodules:\n";

#[scheduled_trigger(
    interval = "hour",
    key = "tick-trigger",
    endpoint = "tick",
    path = "/tick"
)]
pub(crate) async fn tick() {}

#[web_trigger(key = "hook", endpoint = "hook-calls", path = "/hook")]
async fn hook() {}

#[scheduled_trigger(cron = "@hourly")]
async fn report() {}

#[scheduled_trigger(
    interval = "hour",
    key = "nightly",
    endpoint = "system",
    path = "/system",
    also_key = "system-calls"
)]
async fn nightly() {}

#[endpoint(key = "votes-v2", path = "/votes", also_key = "votes")]
pub(crate) async fn votes() -> Result<()> {
    Ok(())
}

#[trigger(events = ["avi:jira:created:issue"], key = "changes", endpoint = "changes-calls", path = "/changes", also_key = "on-change")]
async fn changes() {}

#[consumer(
    queue = "calls",
    key = "logging",
    endpoint = "logging-calls",
    path = "/logging",
    also_key = "log"
)]
async fn logging() {}

#[endpoint(key = "preferences", path = "/preferences", also_key = "settings")]
async fn preferences() -> Result<()> {
    Ok(())
}

pub(crate) fn wanted(handlers: impl IntoIterator<Item = Registration>) -> DesiredManifest {
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    Registry::from_registrations(handlers).desired_manifest(&[remote])
}

pub(crate) fn parse(modules: &str) -> ManifestFile {
    ManifestFile::parse("manifest.yml", Some(format!("{HEAD}{modules}"))).unwrap()
}

/// Updates a manifest with these modules, and returns the modules or the error.
pub(crate) fn updated(
    modules: &str,
    handlers: impl IntoIterator<Item = Registration>,
) -> Result<String, String> {
    let merged = parse(modules).merged_with(&wanted(handlers), None);
    let merged = merged.map_err(|error| error.to_string())?;
    Ok(merged.strip_prefix(HEAD).unwrap_or(&merged).to_owned())
}

pub(crate) fn endpoint(key: &str, path: &str) -> String {
    format!("    - key: {key}\n      remote: backend\n      route:\n        path: {path}\n")
}

pub(crate) fn panel(endpoint: &str) -> String {
    format!(
        "  jira:issuePanel:\n    - key: panel\n      title: Panel\n      icon: https://cdn.example.com/icon.svg\n      resource: main\n      resolver:\n        endpoint: {endpoint}\n"
    )
}

pub(crate) fn trigger(key: &str, endpoint: &str) -> String {
    format!(
        "    # The Java service's: sends bills\n    - key: {key}\n      endpoint: {endpoint}\n      events: [avi:jira:created:issue]\n"
    )
}

pub(crate) fn schedule(key: &str, endpoint: &str) -> String {
    format!("    - key: {key}\n      endpoint: {endpoint}\n      interval: hour\n")
}

fn stale(modules: &str, handlers: impl IntoIterator<Item = Registration>) -> Vec<String> {
    let file = parse(modules);
    let differences = file.differences(&wanted(handlers));
    let stale = differences
        .iter()
        .filter(|one| one.ends_with("has no handler in this binary"));
    let places = stale.filter_map(|one| one.split(' ').next());
    places.map(str::to_owned).collect()
}

/// A handler with cron was called at an endpoint that another service's trigger still names.
#[test]
fn the_proof_of_an_endpoint_is_no_proof_of_its_callers() {
    let billing = format!("  trigger:\n{}", trigger("billing", "report"));
    let endpoints = format!("  endpoint:\n{}", endpoint("report", "/java/billing"));
    let former = format!(
        "  scheduledTrigger:\n{}",
        schedule("report-trigger", "report")
    );
    let kept = format!("{billing}{endpoints}");
    let after = updated(&format!("{former}{kept}"), [handler!(report)]).unwrap();
    assert_eq!(after, kept);
    assert_eq!(
        stale(&after, [handler!(report)]),
        ["modules.trigger[billing]", "modules.endpoint[report]"]
    );
}

/// One endpoint may have several modules; only one of them has a handler in this code.
#[test]
fn a_shared_endpoint_stays_while_another_module_names_it() {
    let installed = format!("  trigger:\n{}", trigger("installed", "system-calls"));
    let nightly = |endpoint| format!("  scheduledTrigger:\n{}", schedule("nightly", endpoint));
    let former = endpoint("system-calls", "/system-calls");
    let before = format!(
        "{installed}{}  endpoint:\n{former}",
        nightly("system-calls")
    );
    let new = endpoint("system", "/system");
    assert_eq!(
        updated(&before, [handler!(nightly)]).unwrap(),
        format!("{installed}{}  endpoint:\n{former}{new}", nightly("system"))
    );
    // Its own module names the new one, so the former one is free.
    let alone = before.replace(&installed, "");
    assert_eq!(
        updated(&alone, [handler!(nightly)]).unwrap(),
        format!("{}  endpoint:\n{new}", nightly("system"))
    );
}

#[test]
fn a_former_endpoint_stays_while_a_hand_written_module_names_it() {
    let endpoints = format!("  endpoint:\n{}", endpoint("votes", "/votes"));
    let action = "  action:\n    # hand-written\n    - key: search\n      name: Search\n      endpoint: votes\n      actionVerb: GET\n      description: Finds votes\n";
    for module in [panel("votes"), action.to_owned()] {
        let before = format!("{module}{endpoints}");
        let after = updated(&before, [handler!(votes)]).unwrap();
        assert_eq!(after, format!("{before}{}", endpoint("votes-v2", "/votes")));
        assert_eq!(
            stale(&after, [handler!(votes)]),
            ["modules.endpoint[votes]"],
            "{module}"
        );
        let findings = check(&parse(&after), &wanted([handler!(votes)]), &BTreeSet::new());
        let one = findings.iter().find(|one| one.code == "stale").unwrap();
        let text = format!("{one}");
        assert!(
            text.contains("names it, so `manifest --write` keeps it"),
            "{text}"
        );
        assert!(!text.contains("--prune"), "{text}");
    }
    let after = updated(&endpoints, [handler!(votes)]).unwrap();
    assert_eq!(
        after,
        format!("  endpoint:\n{}", endpoint("votes-v2", "/votes"))
    );
}

/// `also_key` is a key of the handler's own lists.
#[test]
fn a_former_key_is_no_proof_in_another_list() {
    let theirs = format!(
        "  consumer:\n    - key: on-change\n      queue: calls\n      endpoint: on-change-trigger\n  endpoint:\n{}",
        endpoint("on-change-trigger", "/java")
    );
    let after = updated(&theirs, [handler!(changes)]).unwrap();
    assert!(after.starts_with(&theirs), "{after}");
    for key in ["on-change", "on-change-trigger"] {
        let ours = format!(
            "  trigger:\n{}  endpoint:\n{}",
            trigger(key, "on-change"),
            endpoint("on-change", "/on-change")
        );
        let after = updated(&ours, [handler!(changes)]).unwrap();
        assert!(!after.contains("on-change"), "{key}: {after}");
    }
    // The generated key of another service's module.
    let theirs = format!(
        "  trigger:\n{}  endpoint:\n{}",
        trigger("on-change-trigger", "java"),
        endpoint("java", "/java")
    );
    let after = updated(&theirs, [handler!(changes)]).unwrap();
    let (module, endpoints) = theirs.split_once("  endpoint:\n").unwrap();
    assert!(
        after.starts_with(module) && after.contains(endpoints),
        "{after}"
    );
    // It calls the current endpoint.
    let ours = theirs.replace("endpoint: java", "endpoint: changes-calls");
    let after = updated(&ours, [handler!(changes)]).unwrap();
    assert!(!after.contains("on-change"), "{after}");
    // `also_key` may be the module's alone.
    let ours = theirs.replace("on-change-trigger", "on-change");
    let after = updated(&ours, [handler!(changes)]).unwrap();
    assert!(!after.contains("on-change"), "{after}");
}

/// The code has the key in another list, so the update is impossible.
#[test]
fn the_key_of_an_entry_that_is_still_used_is_not_free() {
    let endpoints = |more: &str| format!("  endpoint:\n{}{more}", endpoint("tick", "/tick"));
    let page = endpoint("tick-trigger", "/tick");
    let error = updated(
        &format!("{}{}", panel("tick-trigger"), endpoints(&page)),
        [handler!(tick)],
    )
    .unwrap_err();
    for part in [
        "`tick-trigger` is taken by `modules.endpoint[tick-trigger]`",
        "; `modules.jira:issuePanel[panel]` (manifest.yml:13:12) names it: change that first",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("--prune"), "{error}");
    assert!(updated(&endpoints(&page), [handler!(tick)]).is_ok());

    let action = "  action:\n    - key: tick-trigger\n      name: Search\n      endpoint: tick\n      actionVerb: GET\n      description: Finds votes\n";
    let agent = "  rovo:agent:\n    - key: agent\n      name: Agent\n      prompt: Count the votes\n      actions: [tick-trigger]\n";
    let error = updated(
        &format!("{agent}{action}{}", endpoints("")),
        [handler!(tick)],
    );
    let error = error.unwrap_err();
    assert!(error.contains("`modules.rovo:agent[agent]`"), "{error}");
    assert!(updated(&format!("{action}{}", endpoints("")), [handler!(tick)]).is_ok());

    // A function has no handler to be one of another kind.
    let function = "  function:\n    - key: tick\n      handler: index.run\n";
    let error = updated(function, [handler!(tick)]).unwrap_err();
    assert!(error.contains("`modules.function[tick]`"), "{error}");
    assert!(!error.contains("--prune"), "{error}");
}

/// After each update, a name refers to nothing only if it did so before.
#[test]
fn no_update_leaves_a_name_without_its_entry() {
    type Make = fn() -> Registration;
    let handlers: [Make; 5] = [
        || handler!(tick),
        || handler!(hook),
        || handler!(report),
        || handler!(nightly),
        || handler!(votes),
    ];
    let dangling = |file: &ManifestFile, wanted: &DesiredManifest| -> BTreeSet<String> {
        let findings = check(file, wanted, &BTreeSet::new());
        let is_dangling = |code| matches!(code, "dangling-endpoint" | "dangling-reference");
        let dangling = findings.into_iter().filter(|one| is_dangling(one.code));
        dangling.map(|one| one.message).collect()
    };
    let (mut edits, mut removals) = (0, 0);
    for handler in handlers {
        for key in [
            "tick-trigger",
            "hook",
            "report",
            "system-calls",
            "votes",
            "java",
        ] {
            let modules = [
                String::new(),
                format!("  trigger:\n{}", trigger("theirs", key)),
                format!("  trigger:\n{}", trigger(&format!("{key}-trigger"), key)),
                format!(
                    "  scheduledTrigger:\n{}",
                    schedule(&format!("{key}-trigger"), key)
                ),
                format!("  scheduledTrigger:\n{}", schedule("nightly", key)),
                format!(
                    "  action:\n    - key: search\n      name: Search\n      endpoint: {key}\n      actionVerb: GET\n      description: Finds\n  rovo:agent:\n    - key: agent\n      name: Agent\n      prompt: Count\n      actions: [search]\n"
                ),
            ];
            for module in &modules {
                for page in [String::new(), panel(key)] {
                    for path in ["/tick", "/hook", "/java"] {
                        for prune in [false, true] {
                            let text =
                                format!("{page}{module}  endpoint:\n{}", endpoint(key, path));
                            let mut wanted = wanted([handler()]);
                            if prune {
                                wanted.removable.insert(key.to_owned());
                            }
                            let file = parse(&text);
                            let Ok(merged) = file.merged_with(&wanted, None) else {
                                continue;
                            };
                            let after =
                                ManifestFile::parse("manifest.yml", Some(merged.clone())).unwrap();
                            let (before, now) =
                                (dangling(&file, &wanted), dangling(&after, &wanted));
                            assert!(now.is_subset(&before), "{text}\n{merged}\n{now:?}");
                            edits += 1;
                            removals += usize::from(!merged.contains(&format!("key: {key}\n")));
                        }
                    }
                }
            }
        }
    }
    assert!(edits > 500 && removals > 50, "{edits} {removals}");
}

/// Runs `manifest` with these arguments, and returns the exit status and the output.
/// The same, of [`PLAIN`] with the handler of an action that has a former key.
pub(crate) fn with_action(file: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    run(Command::new(PLAIN).env("ACTION", "1"), file, arguments)
}

pub(crate) fn manifest(program: &str, file: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    run(&mut Command::new(program), file, arguments)
}

fn run(command: &mut Command, file: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    command.arg("manifest").args(arguments);
    command.env("FORGE_REMOTE_MANIFEST", file);
    let output = command.env_remove("FORGE_REMOTE_APP_ID").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

pub(crate) const PLAIN: &str = env!("CARGO_BIN_EXE_plain_app");

const SEARCH: &str = "  action:\n    # hand-written\n    - key: search\n      name: Search\n      endpoint: gone\n      actionVerb: GET\n      description: x\n";

#[test]
fn a_module_that_is_not_named_is_not_pruned_with_its_endpoint() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let before = format!(
        "{HEAD}  scheduledTrigger:\n{}{}  endpoint:\n{}{}{SEARCH}",
        schedule("tick-trigger", "tick"),
        schedule("gone-trigger", "gone"),
        endpoint("tick", "/tick"),
        endpoint("gone", "/gone")
    );
    fs::write(&file, &before).unwrap();
    let (_, text) = manifest(PLAIN, &file, &["--check"]);
    for advice in [
        "--prune gone,search`",
        "--prune search`",
        "--prune gone-trigger`",
    ] {
        assert!(text.contains(advice), "{advice}: {text}");
    }
    let (status, text) = manifest(PLAIN, &file, &["--write", "--prune", "gone"]);
    assert_eq!(status, Some(2), "{text}");
    for part in [
        "`modules.endpoint[gone]` is still used: `modules.action[search]` (",
        "`manifest --write --prune gone,search`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    // The schedule's key is generated from the endpoint's.
    let (status, text) = manifest(PLAIN, &file, &["--write", "--prune", "gone,search"]);
    assert_eq!(status, Some(0), "{text}");
    let after = fs::read_to_string(&file).unwrap();
    for part in ["gone", "search", "hand-written"] {
        assert!(!after.contains(part), "{part}: {after}");
    }
}

/// A module that is kept with its endpoint may name other entries.
#[test]
fn what_a_kept_module_names_is_kept() {
    let before = format!(
        "  action:\n    - key: log-action\n      name: Log\n      endpoint: log\n      actionVerb: GET\n      description: Logs\n      resolver:\n        endpoint: settings\n  macro:\n    - key: notes\n      title: Notes\n      resource: main\n      static:\n        endpoint: log\n  endpoint:\n{}{}",
        endpoint("log", "/log"),
        endpoint("settings", "/settings")
    );
    let after = updated(&before, [handler!(logging), handler!(preferences)]).unwrap();
    assert!(after.starts_with(&before), "{after}");
    assert_eq!(
        stale(&after, [handler!(logging), handler!(preferences)]),
        [
            "modules.action[log-action]",
            "modules.endpoint[log]",
            "modules.endpoint[settings]"
        ]
    );
}

/// The update that the removal makes possible has other mistakes.
#[test]
fn a_mistake_of_the_update_does_not_prevent_a_prune() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let taken = format!("{HEAD}  endpoint:\n{}", endpoint("tick-trigger", "/old"));
    fs::write(&file, &taken).unwrap();
    let program = env!("CARGO_BIN_EXE_tokens_app");
    let (status, text) = manifest(program, &file, &["--write"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(
        text.contains("`manifest --write --prune tick-trigger` removes it"),
        "{text}"
    );
    let (status, text) = manifest(program, &file, &["--write", "--prune", "tick-trigger"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("removed  modules.endpoint[tick-trigger]"),
        "{text}"
    );
}

/// A variable stays where the code has another value.
#[test]
fn the_report_of_an_update_has_the_value_that_was_written() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let program = env!("CARGO_BIN_EXE_life_app");
    let (_, text) = manifest(program, &file, &["--write"]);
    let written = fs::read_to_string(&file).unwrap();
    let events = "        - avi:forge:upgraded:app\n        - avi:forge:installed:app\n";
    assert!(written.contains(events), "{text}{written}");
    let other = "        - ${EV}\n        - avi:forge:uninstalled:app\n";
    let variables =
        "environment:\n  variables:\n    - key: EV\n      default: avi:jira:created:issue\n";
    fs::write(
        &file,
        format!("{variables}{}", written.replace(events, other)),
    )
    .unwrap();
    let (_, text) = manifest(program, &file, &["--write"]);
    let after = fs::read_to_string(&file).unwrap();
    assert!(
        after.contains("        - ${EV}\n        - avi:forge:installed:app\n"),
        "{after}"
    );
    let line = text
        .lines()
        .find(|line| line.starts_with("  changed"))
        .unwrap();
    assert!(
        line.ends_with("→ ['${EV}', avi:forge:installed:app]"),
        "{text}"
    );
}
