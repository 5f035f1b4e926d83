//! A handler of modules that are registered at run time accepts generated keys, and nothing else that
//! other handlers do not accept; no other handler accepts a generated key.

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{Fit, Harness, HarnessCall};
use forge_remote_tests::report::Report;
use serde_json::json;

const PLATFORM: &str = "core:endpoint";
/// A key as Forge generates it.
const GENERATED: &str = "5f0c2f0e-9f0f-4b1e-8a53-3a5d2f7c9b11";
/// The key of a handler, which has the form of a generated one.
const OWN_UUID: &str = "0a3a7799-0000-4000-a000-000000000001";

#[trigger(dynamic)]
async fn chosen() -> Result<()> {
    Ok(())
}

#[trigger(events = ["avi:jira:created:issue"], also_key = "hello")]
async fn welcome() -> Result<()> {
    Ok(())
}

#[scheduled_trigger(interval = "hour", endpoint = "tick", key = "tick-hourly")]
async fn tick() {}

#[consumer(queue = "work")]
async fn work() -> Result<()> {
    Ok(())
}

#[pre_uninstall]
async fn goodbye() {}

#[endpoint]
async fn page() -> Json<bool> {
    Json(true)
}

fn harness() -> Harness {
    let app = App::empty().remote(Remote::new("backend").base_url("https://backend.example.com"));
    let handlers = [
        handler!(chosen),
        handler!(welcome),
        handler!(tick),
        handler!(work),
        handler!(goodbye),
        handler!(page),
    ];
    Harness::new(handlers.into_iter().fold(app, App::handler)).unwrap()
}

async fn status(call: HarnessCall, change: impl FnOnce(Fit) -> Fit) -> u16 {
    call.fit(change).send().await.status()
}

/// Records whether the call's status is this.
fn expect(report: &mut Report, name: String, status: u16, expected: u16) {
    report.holds(name, status == expected, format!("{status}"));
}

#[tokio::test]
async fn a_dynamic_handler_takes_generated_keys_only() {
    let harness = harness();
    let mut report = Report::new("keys at a dynamic handler");
    let mut keys: Vec<(String, u16)> = vec![
        (GENERATED.to_owned(), 200),
        (GENERATED.to_uppercase(), 200),
        ("chosen".to_owned(), 200),
        // Nearly a UUID.
        (GENERATED.replace('-', ""), 401),
        (format!("{{{GENERATED}}}"), 401),
        (format!("urn:uuid:{GENERATED}"), 401),
        (format!("{GENERATED}-trigger"), 401),
        (format!("{GENERATED} "), 401),
        (format!("{GENERATED}\0"), 401),
        (GENERATED[1..].to_owned(), 401),
        (GENERATED.replace('f', "g"), 401),
        (GENERATED.replacen('5', "５", 1), 401),
        (format!("ari:cloud:ecosystem::module/{GENERATED}"), 401),
        ("----".to_owned(), 401),
        (String::new(), 401),
        ("unknown".to_owned(), 401),
    ];
    // Every key of the other handlers: of modules and endpoints, and former ones.
    for handler in harness.app().registry().handlers() {
        if handler.endpoint() != "chosen" {
            let former = handler.former_keys().iter().map(String::as_str);
            let theirs = [handler.key(), handler.endpoint()]
                .into_iter()
                .chain(former);
            keys.extend(theirs.map(|key| (key.to_owned(), 401)));
        }
    }
    assert!(keys.len() >= 24, "{keys:?}");
    for (key, expected) in keys {
        for module_type in [PLATFORM, "trigger"] {
            let call = harness.call("chosen");
            let status = status(call, |fit| fit.module(module_type, &key)).await;
            expect(
                &mut report,
                format!("{module_type} {key:?}"),
                status,
                expected,
            );
        }
    }
    report.finish();
}

#[tokio::test]
async fn no_other_handler_takes_a_generated_key() {
    let harness = harness();
    let mut report = Report::new("generated keys at other handlers");
    for (handler, module_type) in [
        ("welcome", "trigger"),
        ("tick", "scheduledTrigger"),
        ("work", "consumer"),
        ("goodbye", "preUninstall"),
    ] {
        for module_type in [PLATFORM, module_type] {
            let call = harness.call(handler);
            let status = status(call, |fit| fit.module(module_type, GENERATED)).await;
            expect(&mut report, format!("{handler} {module_type}"), status, 401);
        }
    }
    report.finish();
}

/// The key changes nothing about the other rules of a handler that only the platform calls.
#[tokio::test]
async fn a_generated_key_replaces_no_other_check() {
    let harness = harness();
    let mut report = Report::new("other claims with a generated key");
    type Change = fn(Fit) -> Fit;
    let changes: [(&str, Change); 8] = [
        ("a user", |fit| fit.as_user("557058:someone")),
        ("a page's type", |fit| fit.module("xen:macro", GENERATED)),
        ("another kind's type", |fit| {
            fit.module("scheduledTrigger", GENERATED)
        }),
        ("no type", |fit| fit.without("/app/module/type")),
        ("no key", |fit| fit.without("/app/module/key")),
        ("a key that is no text", |fit| {
            fit.set("/app/module/key", json!([GENERATED]))
        }),
        ("expired", |fit| fit.set("/exp", json!(1))),
        ("another app", |fit| {
            fit.set(
                "/aud",
                json!("ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555"),
            )
        }),
    ];
    for (name, change) in changes {
        let call = harness.call("chosen");
        let status = status(call, |fit| change(fit.module(PLATFORM, GENERATED))).await;
        expect(&mut report, name.to_owned(), status, 401);
    }
    report.finish();
}

#[trigger(
    events = ["avi:jira:created:issue"],
    endpoint = "disguised",
    key = "0a3a7799-0000-4000-a000-000000000001"
)]
async fn disguised() -> Result<()> {
    Ok(())
}

/// A key of the code that has the form of a generated one is still its handler's alone.
#[tokio::test]
async fn a_handlers_own_key_is_never_taken_for_a_generated_one() {
    let app = App::empty()
        .handler(handler!(chosen))
        .handler(handler!(disguised))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let harness = Harness::new(app).unwrap();
    let call = |key| harness.call(key);
    let own = |fit: Fit| fit.module("trigger", OWN_UUID);
    assert_eq!(status(call("disguised"), own).await, 200);
    assert_eq!(status(call("chosen"), own).await, 401);
    let own = |fit: Fit| fit.module(PLATFORM, OWN_UUID);
    assert_eq!(status(call("chosen"), own).await, 401);
}
