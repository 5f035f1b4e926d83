//! The entries that an update removes: those of this code's past, and no other service's.

use std::fs;
use std::process::{Command, Output};

use forge_remote::handler;
use forge_remote::manifest::ManifestFile;
use forge_remote::prelude::*;
use forge_remote::registry::{Registration, Registry};
use forge_remote_tests::stores::Folder;

const HEAD: &str = "app:\n  runtime:\n    name: nodejs22.x\n  id: ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001\nremotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n";

#[scheduled_trigger(
    interval = "hour",
    key = "tick-trigger",
    endpoint = "tick",
    path = "/tick"
)]
async fn tick() {}

#[web_trigger(key = "hook", endpoint = "hook-calls", path = "/hook")]
async fn hook() {}

#[scheduled_trigger(cron = "@hourly")]
async fn report() {}

/// Updates a manifest with these modules, and returns the modules or the error.
fn updated(
    modules: &str,
    handlers: impl IntoIterator<Item = Registration>,
) -> Result<String, String> {
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let wanted = Registry::from_registrations(handlers).desired_manifest(&[remote]);
    let text = format!("{HEAD}modules:\n{modules}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let merged = file.merged_with(&wanted, None);
    let merged = merged.map_err(|error| error.to_string())?;
    let modules = merged
        .strip_prefix(HEAD)
        .and_then(|rest| rest.strip_prefix("modules:\n"));
    Ok(modules.unwrap_or(&merged).to_owned())
}

const JAVA: &str = "  endpoint:\n    # Served by the Java service\n    - key: java\n      remote: backend\n      route:\n        path: /java\n";

/// Another service may use a key that the code has in another list.
#[test]
fn a_key_of_another_list_is_no_proof() {
    let trigger = "  trigger:\n    # The Java service's\n    - key: tick\n      endpoint: java\n      events: [avi:jira:created:issue]\n";
    let error = updated(&format!("{JAVA}{trigger}"), [handler!(tick)]).unwrap_err();
    for part in [
        "`tick` is taken by `modules.trigger[tick]`",
        "another service's",
        "--prune tick",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let endpoint = JAVA.replace("key: java", "key: tick-trigger");
    let calls = "  trigger:\n    - key: theirs\n      endpoint: tick-trigger\n      events: [avi:jira:created:issue]\n";
    let error = updated(&format!("{endpoint}{calls}"), [handler!(tick)]).unwrap_err();
    assert!(
        error.contains("`tick-trigger` is taken by `modules.endpoint[tick-trigger]`"),
        "{error}"
    );
}

#[test]
fn the_keys_of_a_handler_with_cron_are_no_proof() {
    let endpoint =
        "    - key: report-trigger\n      remote: backend\n      route:\n        path: /other\n";
    let trigger = "  trigger:\n    # The Java service's\n    - key: report\n      endpoint: java\n      events: [avi:jira:created:issue]\n";
    let theirs = format!("{JAVA}{endpoint}{trigger}");
    assert_eq!(
        updated(&theirs, [handler!(report)]).as_deref(),
        Ok(theirs.as_str())
    );
}

/// A handler that becomes one of another kind takes its entries along.
#[test]
fn an_entry_that_calls_this_codes_handler_is_replaced() {
    let endpoint =
        "  endpoint:\n    - key: tick\n      remote: backend\n      route:\n        path: /tick\n";
    let trigger = "  trigger:\n    # was an event\n    - key: tick-trigger\n      endpoint: tick\n      events: [avi:forge:installed:app]\n";
    let schedule = "  scheduledTrigger:\n    - key: tick-trigger\n      endpoint: tick\n      interval: hour\n";
    assert_eq!(
        updated(&format!("{trigger}{endpoint}"), [handler!(tick)]).unwrap(),
        format!("{endpoint}{schedule}")
    );
    // The endpoint's key is the module's now, at the same path.
    let page = "  endpoint:\n    # was a page's\n    - key: hook\n      remote: backend\n      route:\n        path: /hook\n";
    let after = updated(page, [handler!(hook)]).unwrap();
    assert!(
        !after.contains("page's") && after.contains("key: hook-calls"),
        "{after}"
    );
    let error = updated(&page.replace("/hook", "/other"), [handler!(hook)]).unwrap_err();
    assert!(
        error.contains("`hook` is taken by `modules.endpoint[hook]`"),
        "{error}"
    );
    // The clock calls it now.
    let former = "  scheduledTrigger:\n    - key: report-trigger\n      endpoint: report\n      interval: hour\n  endpoint:\n    - key: report\n      remote: backend\n      route:\n        path: /any\n";
    let after = updated(former, [handler!(report)]).unwrap();
    assert!(!after.contains("report"), "{after}");
}

fn write(manifest: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command.args(["manifest", "--write"]).args(arguments);
    command.env("FORGE_REMOTE_MANIFEST", manifest);
    command.env_remove("FORGE_REMOTE_APP_ID").output().unwrap()
}

const OWN: &str = "modules:\n  scheduledTrigger:\n    - key: tick-trigger\n      endpoint: tick\n      interval: hour\n  endpoint:\n    - key: tick\n      remote: backend\n      route:\n        path: /tick\n";
const PANEL: &str = "  jira:issuePanel:\n    - key: panel\n      title: Panel\n      icon: https://cdn.example.com/icon.svg\n      resource: main\n      resolver:\n        endpoint: gone\nresources:\n  - key: main\n    path: static\n";

#[test]
fn an_entry_that_is_still_used_is_not_pruned() {
    let folder = Folder::default();
    let manifest = folder.file("manifest.yml");
    let gone = "    - key: gone\n      remote: backend\n      route:\n        path: /gone\n";
    let before = format!("{HEAD}{OWN}{gone}{PANEL}");
    fs::write(&manifest, &before).unwrap();
    let output = write(&manifest, &["--prune", "gone"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    for part in [
        "`modules.endpoint[gone]` is still used: `modules.jira:issuePanel[panel]` (",
        "nothing was written: change that first",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(fs::read_to_string(&manifest).unwrap(), before);

    // Mistakes that were there before do not prevent it.
    let unused = format!(
        "{HEAD}{OWN}{gone}{}",
        PANEL.replace("endpoint: gone", "endpoint: lost")
    );
    fs::write(&manifest, unused).unwrap();
    let output = write(&manifest, &["--prune", "gone"]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(
        report.contains("removed  modules.endpoint[gone]"),
        "{report}"
    );
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(!text.contains("gone"), "{text}");
}

/// The exit status is that of `--check`.
#[test]
fn mistakes_that_are_left_are_reported() {
    let folder = Folder::default();
    let manifest = folder.file("manifest.yml");
    for own in [OWN, &OWN.replace("hour", "day")] {
        fs::write(&manifest, format!("{HEAD}{own}{PANEL}")).unwrap();
        let output = write(&manifest, &[]);
        let report = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{report}");
        for part in [
            "error[dangling-endpoint]",
            "1 problem that only you can correct",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
    }
    fs::write(&manifest, format!("{HEAD}{OWN}")).unwrap();
    let output = write(&manifest, &[]);
    assert_eq!(output.status.code(), Some(0));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.ends_with("matches the code; nothing was written\n"),
        "{report}"
    );
}

/// `--prune` could not name it.
#[test]
fn an_entry_with_an_empty_key_is_a_mistake() {
    let folder = Folder::default();
    let manifest = folder.file("manifest.yml");
    let nameless =
        "    - key: \"\"\n      remote: backend\n      route:\n        path: /nameless\n";
    fs::write(&manifest, format!("{HEAD}{OWN}{nameless}")).unwrap();
    let output = write(&manifest, &[]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("that only you can correct"), "{report}");
    assert!(!report.contains("not removed, because"), "{report}");
}

/// Both readings of a manifest are the same.
#[test]
fn a_removable_entry_is_a_difference_until_it_is_removed() {
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let wanted = Registry::from_registrations([handler!(hook)]).desired_manifest(&[remote]);
    let page = "modules:\n  endpoint:\n    - key: hook\n      remote: backend\n      route:\n        path: /hook\n";
    let file = ManifestFile::parse("manifest.yml", Some(format!("{HEAD}{page}"))).unwrap();
    let differences = file.differences(&wanted);
    let paths = differences.iter().filter_map(|one| one.split(' ').next());
    let paths: Vec<&str> = paths.collect();
    assert_eq!(
        paths,
        [
            "modules.webtrigger[hook]",
            "modules.endpoint[hook-calls]",
            "modules.endpoint[hook]"
        ]
    );
}
