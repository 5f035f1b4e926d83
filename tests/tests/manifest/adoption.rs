//! An existing app's manifest: code that means the same yields no difference, and an update removes
//! nothing that it cannot prove to be its own.

use std::collections::BTreeSet;

use forge_remote::handler;
use forge_remote::manifest::{ManifestFile, Severity, check, render};
use forge_remote::prelude::*;
use forge_remote::registry::{Registration, Registry};
use forge_remote::testing::{Fit, Harness};

const HEAD: &str = "app:\n  runtime:\n    name: nodejs22.x\n  id: ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001\nremotes:\n  - key: backend\n    baseUrl: https://backend.example.com\n";

/// Compares the handlers with a manifest that has these sections, and tries to update it.
#[track_caller]
fn adopts(sections: &str, handlers: impl IntoIterator<Item = Registration>) {
    let text = format!("{HEAD}{sections}");
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let registry = Registry::from_registrations(handlers);
    assert_eq!(registry.problems(), []);
    let wanted = registry.desired_manifest(&[remote]);
    let file = ManifestFile::parse("manifest.yml", Some(text.clone())).unwrap();
    assert_eq!(file.differences(&wanted), [""; 0]);
    assert_eq!(file.merged_with(&wanted, None).unwrap(), text);
    let mut findings = check(&file, &wanted, &BTreeSet::new());
    findings.retain(|one| one.severity == Severity::Error);
    assert!(findings.is_empty(), "{}", render(&file, &findings, false));
}

#[endpoint(key = "remote-qrcode", path = "/qr")]
async fn qr_code() -> Result<()> {
    Ok(())
}

#[endpoint(key = "an-endpoint-of-thirty-three-chars", path = "/long", long_key)]
async fn long() -> Result<()> {
    Ok(())
}

#[trigger(
    key = "follow",
    endpoint = "an-endpoint-of-thirty-four-chars-x",
    path = "/follow",
    events = ["avi:forge:installed:app"],
    long_key
)]
async fn follow() -> Result<()> {
    Ok(())
}

#[test]
fn a_pages_endpoint_may_lack_its_route() {
    const PAGE: &str = "modules:\n  jira:issuePanel:\n    - key: panel\n      title: Panel\n      icon: https://example.com/icon.svg\n      resource: main\n      resolver:\n        endpoint: remote-qrcode\n  endpoint:\n    - key: remote-qrcode\n      remote: backend\nresources:\n  - key: main\n    path: static\n";
    adopts(PAGE, [handler!(qr_code)]);
    let with_route = PAGE.replace(
        "      remote: backend\n",
        "      remote: backend\n      route:\n        path: /qr\n",
    );
    adopts(&with_route, [handler!(qr_code)]);
    // The route that is there must be the code's.
    let other = ManifestFile::parse(
        "manifest.yml",
        Some(format!("{HEAD}{}", with_route.replace("/qr", "/other"))),
    );
    let wanted = Registry::from_registrations([handler!(qr_code)])
        .desired_manifest(&[Remote::new("backend")]);
    assert_eq!(other.unwrap().differences(&wanted).len(), 1);
}

#[test]
fn long_endpoint_keys_of_a_deployed_app_are_accepted() {
    let sections = "modules:\n  jira:issuePanel:\n    - key: panel\n      title: Panel\n      icon: https://example.com/icon.svg\n      resource: main\n      resolver:\n        endpoint: an-endpoint-of-thirty-three-chars\n  trigger:\n    - key: follow\n      endpoint: an-endpoint-of-thirty-four-chars-x\n      events:\n        - avi:forge:installed:app\n  endpoint:\n    - key: an-endpoint-of-thirty-three-chars\n      remote: backend\n    - key: an-endpoint-of-thirty-four-chars-x\n      remote: backend\n      route:\n        path: /follow\nresources:\n  - key: main\n    path: static\n";
    adopts(sections, [handler!(long), handler!(follow)]);
    let file = ManifestFile::parse("manifest.yml", Some(format!("{HEAD}{sections}"))).unwrap();
    let wanted = Registry::from_registrations([handler!(long), handler!(follow)])
        .desired_manifest(&[Remote::new("backend")]);
    let findings = check(&file, &wanted, &BTreeSet::new());
    let long = findings.iter().filter(|one| one.code == "key-too-long");
    let severities: Vec<Severity> = long.map(|one| one.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Warning]);
}

#[agent_connector(
    name = "Triage",
    products = ["jira"],
    key = "triage",
    endpoint = "triage-calls",
    path = "/triage"
)]
async fn triage() -> Result<()> {
    Ok(())
}

/// Sorts.
#[agent_connector(
    name = "Triage",
    products = ["jira"],
    key = "triage",
    endpoint = "triage-calls",
    path = "/triage"
)]
async fn sorter() -> Result<()> {
    Ok(())
}

/// Atlassian's schema requires no description of an agent.
#[test]
fn an_agent_may_lack_its_description() {
    let sections = "modules:\n  rovo:agentConnector:\n    - key: triage\n      name: Triage\n      productContexts: [jira]\n      protocols:\n        agent2Agent:\n          version: \"1.0\"\n          jsonRpcTransport:\n            endpoint: triage-calls\n  endpoint:\n    - key: triage-calls\n      remote: backend\n      route:\n        path: /triage\npermissions:\n  scopes: [read:jira-work]\n";
    adopts(sections, [handler!(triage)]);
    // The properties of the agent that the code has are written.
    let file = ManifestFile::parse("manifest.yml", Some(format!("{HEAD}{sections}"))).unwrap();
    let wanted = Registry::from_registrations([handler!(sorter)])
        .desired_manifest(&[Remote::new("backend")]);
    let merged = file.merged_with(&wanted, None).unwrap();
    assert!(merged.contains("      description: Sorts.\n"), "{merged}");
}

#[endpoint(key = "log-time", path = "/log-time")]
async fn log_time() -> Result<()> {
    Ok(())
}

/// Forge accepts such a route, and an edit of a deployed endpoint is a new major version.
#[test]
fn a_route_may_lack_its_slash() {
    let sections = "modules:\n  endpoint:\n    - key: log-time\n      remote: backend\n      route: { path: log-time }\n";
    adopts(sections, [handler!(log_time)]);
    let file = ManifestFile::parse("manifest.yml", Some(format!("{HEAD}{sections}"))).unwrap();
    let findings = check(&file, &Default::default(), &BTreeSet::new());
    let slash = findings
        .iter()
        .find(|one| one.code == "route-without-slash");
    assert_eq!(slash.unwrap().severity, Severity::Warning);
}

#[scheduled_trigger(interval = "hour", key = "nightly", endpoint = "nightly-calls", auth = system)]
async fn nightly() -> Result<()> {
    Ok(())
}

/// Atlassian's validation does not require the scopes that are named after tokens.
#[test]
fn tokens_may_be_requested_without_their_scopes() {
    let sections = "modules:\n  scheduledTrigger:\n    - key: nightly\n      endpoint: nightly-calls\n      interval: hour\n  endpoint:\n    - key: nightly-calls\n      remote: backend\n      route:\n        path: /nightly-calls\n      auth:\n        appSystemToken:\n          enabled: true\npermissions:\n  scopes: [read:jira-work]\n";
    let app = || {
        App::empty()
            .handler(handler!(nightly))
            .app_id("ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001")
            .scopes(["read:jira-work"])
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
    };
    let text = format!("{HEAD}{sections}");
    let file = ManifestFile::parse("manifest.yml", Some(text.clone())).unwrap();
    let of = |app: App| app.build().unwrap().desired_manifest();
    let wanted = of(app());
    let findings = check(&file, &wanted, &BTreeSet::new());
    let report = render(&file, &findings, false);
    assert!(report.contains("App::without_token_scopes"), "{report}");
    let without = of(app()
        .without_token_scopes()
        .impersonation_scopes(["read:me"]));
    let scopes: Vec<&str> = without.scopes.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(scopes, ["read:jira-work", "read:me"]);
    let without = of(app().without_token_scopes());
    assert_eq!(file.differences(&without), [""; 0]);
    assert_eq!(file.merged_with(&without, None).unwrap(), text);
    // A scope that is listed is needed.
    let listed = of(app()
        .without_token_scopes()
        .scopes(["read:app-system-token"]));
    assert_eq!(file.differences(&listed).len(), 1);
}

#[web_trigger(key = "hook", endpoint = "hook-endpoint", path = "/hook")]
async fn hook() -> Result<()> {
    Ok(())
}

#[test]
fn a_web_trigger_may_lack_its_response() {
    let sections = "modules:\n  webtrigger:\n    - key: hook\n      endpoint: hook-endpoint\n  endpoint:\n    - key: hook-endpoint\n      remote: backend\n      route:\n        path: /hook\n";
    adopts(sections, [handler!(hook)]);
    let explicit = sections.replace(
        "endpoint: hook-endpoint\n",
        "endpoint: hook-endpoint\n      response:\n        type: dynamic\n",
    );
    adopts(&explicit, [handler!(hook)]);
}

#[scheduled_trigger(
    interval = "hour",
    key = "token-sync",
    endpoint = "system-token-sync",
    path = "/system/sync",
    auth = system,
    scopes = ["read:jira-work"]
)]
#[trigger(
    events = ["avi:forge:installed:app", "avi:forge:upgraded:app"],
    key = "event-install",
    endpoint = "system-token-sync",
    path = "/system/sync",
    auth = system
)]
async fn sync(call: Invocation, _token: SystemToken) -> String {
    call.claims().module_key().unwrap_or_default().to_owned()
}

const SHARED: &str = "modules:\n  scheduledTrigger:\n    - key: token-sync\n      endpoint: system-token-sync\n      interval: hour\n  trigger:\n    - key: event-install\n      endpoint: system-token-sync\n      events:\n        - avi:forge:installed:app\n        - avi:forge:upgraded:app\n  endpoint:\n    - key: system-token-sync\n      remote: backend\n      route:\n        path: /system/sync\n      auth:\n        appSystemToken:\n          enabled: true\npermissions:\n  scopes:\n    - read:app-system-token\n    - read:jira-work\n";

#[test]
fn two_modules_share_an_endpoint() {
    adopts(SHARED, [handler!(sync)]);
}

#[tokio::test]
async fn a_shared_endpoint_serves_its_modules_and_no_others() {
    let app = App::empty()
        .handler(handler!(sync))
        .handler(handler!(qr_code))
        .app_id("ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000001")
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let harness = Harness::new(app).unwrap();
    for (key, status) in [
        ("system-token-sync", 200),
        ("token-sync", 200),
        ("event-install", 200),
        ("remote-qrcode", 401),
        ("another", 401),
        ("", 401),
    ] {
        for called in ["token-sync", "event-install"] {
            let fit = |fit: Fit| fit.module("core:endpoint", key);
            let response = harness.call(called).fit(fit).send().await;
            assert_eq!(response.status(), status, "{called} {key}");
        }
    }
    // A page's FIT is rejected by both modules.
    let page = |fit: Fit| fit.module("jira:issuePanel", "token-sync");
    let response = harness.call("token-sync").fit(page).send().await;
    assert_eq!(response.status(), 401);
}

#[scheduled_trigger(interval = "hour", key = "a", endpoint = "one", path = "/one", auth = system)]
#[trigger(events = ["avi:forge:installed:app"], key = "b", endpoint = "one", path = "/one")]
async fn other_auth() -> Result<()> {
    Ok(())
}

#[scheduled_trigger(interval = "hour", key = "a", endpoint = "one", path = "/one")]
#[trigger(events = ["avi:forge:installed:app"], key = "b", endpoint = "one", path = "/two")]
async fn other_path() -> Result<()> {
    Ok(())
}

#[scheduled_trigger(interval = "hour")]
#[trigger(events = ["avi:forge:installed:app"])]
async fn same_key() -> Result<()> {
    Ok(())
}

#[scheduled_trigger(interval = "hour", key = "a", endpoint = "one", path = "/one")]
async fn first_function() -> Result<()> {
    Ok(())
}

#[trigger(events = ["avi:forge:installed:app"], key = "b", endpoint = "one", path = "/one")]
async fn second_function() -> Result<()> {
    Ok(())
}

mod settings {
    #[forge_remote::endpoint]
    pub(crate) async fn save() {}
}

mod profile {
    #[forge_remote::endpoint(path = "/profile/save")]
    pub(crate) async fn save() {}

    #[forge_remote::endpoint(key = "save", path = "/profile/keep")]
    pub(crate) async fn keep() {}
}

#[test]
fn an_endpoint_is_shared_only_by_attributes_that_agree() {
    let codes = |handlers: Vec<Registration>| -> Vec<&'static str> {
        let problems = Registry::from_registrations(handlers).problems();
        problems.iter().map(|problem| problem.code).collect()
    };
    assert_eq!(codes(vec![handler!(other_auth)]), ["duplicate-key"]);
    assert_eq!(codes(vec![handler!(other_path)]), ["duplicate-key"]);
    assert_eq!(codes(vec![handler!(same_key)]), ["duplicate-key"]);
    // Two functions with the same name are not the paths of one page, except with a written key.
    assert_eq!(
        codes(vec![handler!(settings::save), handler!(profile::save)]),
        ["duplicate-key"]
    );
    assert_eq!(
        codes(vec![handler!(settings::save), handler!(profile::keep)]),
        [""; 0]
    );
    assert_eq!(
        codes(vec![handler!(first_function), handler!(second_function)]),
        ["duplicate-key", "duplicate-path"]
    );
}

// The module keeps its key, and the endpoint gets another one.
#[trigger(
    events = ["avi:forge:installed:app"],
    key = "on-change-trigger",
    endpoint = "changed",
    also_key = "on-change"
)]
async fn renamed() -> Result<()> {
    Ok(())
}

#[scheduled_trigger(
    interval = "hour",
    key = "a",
    endpoint = "sync",
    path = "/sync",
    also_key = "old"
)]
#[trigger(
    events = ["avi:forge:installed:app"],
    key = "b",
    endpoint = "sync",
    path = "/sync",
    also_key = "old"
)]
async fn shared_and_renamed() -> Result<()> {
    Ok(())
}

#[trigger(events = ["avi:forge:installed:app"], also_key = "tick")]
async fn takes_a_key() -> Result<()> {
    Ok(())
}

#[test]
fn a_former_key_may_be_the_handlers_own() {
    assert_eq!(
        Registry::from_registrations([handler!(renamed)]).problems(),
        []
    );
    assert_eq!(
        Registry::from_registrations([handler!(shared_and_renamed)]).problems(),
        []
    );
    let taken = Registry::from_registrations([handler!(takes_a_key), handler!(tick)]).problems();
    let codes: Vec<&str> = taken.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["former-key"]);
}

#[scheduled_trigger(interval = "hour")]
async fn tick() -> Result<()> {
    Ok(())
}

#[test]
fn another_services_endpoint_is_not_removed() {
    let theirs = "modules:\n  trigger:\n    - key: other-trigger\n      endpoint: other-service\n      events:\n        - avi:jira:updated:issue\n  endpoint:\n    # served by the Node service behind the same gateway\n    - key: other-service\n      remote: backend\n      route:\n        path: /node/events\n";
    let scopes = "permissions:\n  scopes:\n    - read:jira-work\n";
    let text = format!("{HEAD}{theirs}{scopes}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let remote = Remote::new("backend").base_url("https://backend.example.com");
    let mut wanted = Registry::from_registrations([handler!(tick)]).desired_manifest(&[remote]);

    // Unless it is declared as foreign, it is reported, with what to do, and kept.
    let merged = file.merged_with(&wanted, None).unwrap();
    assert!(
        merged.starts_with(&format!("{HEAD}{theirs}    - key: tick\n")),
        "{merged}"
    );
    let updated = ManifestFile::parse("manifest.yml", Some(merged.clone())).unwrap();
    let findings = check(&updated, &wanted, &BTreeSet::new());
    let report = render(&updated, &findings, false);
    assert_eq!(findings.len(), 2, "{report}");
    assert!(report.contains("App::foreign_endpoints"), "{report}");
    assert!(report.contains("--prune other-service"), "{report}");

    wanted.foreign.insert("other-service".to_owned());
    assert_eq!(file.merged_with(&wanted, None).unwrap(), merged);
    assert_eq!(updated.differences(&wanted), [""; 0]);

    // Removed by name, with its comment: not while a module names it.
    wanted.foreign.clear();
    wanted.removable.insert("other-service".to_owned());
    assert_eq!(updated.merged_with(&wanted, None).unwrap(), merged);
    wanted.removable.insert("other-trigger".to_owned());
    let pruned = updated.merged_with(&wanted, None).unwrap();
    assert!(!pruned.contains("other"), "{pruned}");
    assert!(!pruned.contains("Node service"), "{pruned}");
}

#[test]
fn a_foreign_endpoint_has_no_handler() {
    let app = App::empty()
        .handler(handler!(tick))
        .remote(Remote::new("backend"))
        .foreign_endpoints(["tick"]);
    let report = app.build().unwrap_err().to_string();
    assert!(report.contains("error[foreign-handler]"), "{report}");
}
