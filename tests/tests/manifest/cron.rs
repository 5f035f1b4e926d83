//! Handlers with `cron` share one scheduled trigger: the app's clock.

use forge_remote::manifest::ManifestFile;
use forge_remote::prelude::*;
use forge_remote::schedules::Occurrence;
use forge_remote::token::MemoryTokens;
use serde_json::{Value, json};

const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";

#[scheduled_trigger(cron = "30 2 * * 1-5", tz = "Europe/Berlin")]
async fn report() {}

#[scheduled_trigger(cron = "@hourly", auth = system, scopes = ["read:jira-work"])]
async fn refresh(_token: SystemToken) {}

fn app() -> App {
    App::empty()
        .app_id(APP_ID)
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .handler(forge_remote::handler!(report))
}

fn json(app: App) -> Value {
    app.build().unwrap().desired_manifest().to_json()
}

#[test]
fn one_trigger_serves_all_handlers_with_cron() {
    let manifest = json(app());
    assert_eq!(
        manifest["modules"],
        json!({
            "scheduledTrigger": [
                { "key": "cron-clock-trigger", "endpoint": "cron-clock", "interval": "hour" },
            ],
            "endpoint": [
                { "key": "cron-clock", "remote": "backend", "route": { "path": "/cron-clock" } },
            ],
        })
    );
    assert_eq!(manifest.get("permissions"), None);
    // The clock requests the token that one of the handlers takes.
    let manifest = json(app().handler(forge_remote::handler!(refresh)));
    let modules = &manifest["modules"];
    assert_eq!(modules["scheduledTrigger"].as_array().unwrap().len(), 1);
    assert_eq!(modules["endpoint"].as_array().unwrap().len(), 1);
    let token = json!({ "appSystemToken": { "enabled": true } });
    assert_eq!(modules["endpoint"][0]["auth"], token);
    let scopes = json!(["read:app-system-token", "read:jira-work"]);
    assert_eq!(manifest["permissions"]["scopes"], scopes);
    // The order of the builder's methods does not count.
    let five = || {
        app()
            .five_minute_cron()
            .handler(forge_remote::handler!(refresh))
    };
    for app in [
        five(),
        app()
            .handler(forge_remote::handler!(refresh))
            .five_minute_cron(),
    ] {
        let manifest = json(app);
        let trigger = &manifest["modules"]["scheduledTrigger"];
        assert_eq!(trigger[0]["interval"], "fiveMinute");
        assert_eq!(trigger.as_array().unwrap().len(), 1);
    }
    // Without such a handler there is no clock.
    let bare = App::empty()
        .remote(Remote::new("backend"))
        .five_minute_cron();
    assert!(bare.registry().handlers().is_empty());
}

#[test]
fn the_clock_can_keep_the_tokens_fresh() {
    let fresh = app()
        .token_store(MemoryTokens::new())
        .keep_tokens_fresh_by("cron-clock");
    let manifest = json(fresh);
    let token = json!({ "appSystemToken": { "enabled": true } });
    assert_eq!(manifest["modules"]["endpoint"][0]["auth"], token);
}

/// The entries that a handler had with `interval` are the code's own.
#[test]
fn the_entries_of_an_interval_are_replaced() {
    #[scheduled_trigger(interval = "day", key = "report-trigger", endpoint = "report")]
    async fn with_interval() {}

    let before = App::empty()
        .app_id(APP_ID)
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .handler(forge_remote::handler!(with_interval));
    let file = ManifestFile::parse("manifest.yml", None).unwrap();
    let before = before.build().unwrap().desired_manifest();
    let text = file.merged_with(&before, Some(APP_ID)).unwrap();
    assert!(text.contains("key: report-trigger"), "{text}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let wanted = app().build().unwrap().desired_manifest();
    let text = file.merged_with(&wanted, Some(APP_ID)).unwrap();
    assert!(
        !text.contains("report") && text.contains("key: cron-clock-trigger"),
        "{text}"
    );
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    assert_eq!(file.differences(&wanted), [""; 0]);
}

#[test]
fn constants_are_checked_at_launch() {
    #[scheduled_trigger(cron = "61 2 * * *")]
    async fn minutes() {}

    #[scheduled_trigger(cron = "0 0 30 2 *")]
    async fn never() {}

    #[scheduled_trigger(cron = "@daily", tz = "Europe/Berln")]
    async fn nowhere() {}

    #[scheduled_trigger(interval = "day")]
    async fn no_cron(_occurrence: Occurrence) {}

    #[scheduled_trigger(cron = "@daily", key = "report-trigger")]
    async fn same_key() {}

    let with = |handler| format!("{:?}", app().handler(handler).build().unwrap_err());
    for (handler, code, text) in [
        (forge_remote::handler!(minutes), "bad-cron", "61 2 * * *"),
        (forge_remote::handler!(never), "bad-cron", "0 0 30 2 *"),
        (
            forge_remote::handler!(nowhere),
            "bad-cron",
            "`Europe/Berlin`",
        ),
        (
            forge_remote::handler!(no_cron),
            "no-occurrence",
            "`no_cron`",
        ),
        (
            forge_remote::handler!(same_key),
            "duplicate-key",
            "report-trigger",
        ),
    ] {
        let report = with(handler);
        assert!(report.contains(code) && report.contains(text), "{report}");
        assert!(report.contains("cron.rs:"), "{report}");
    }
}
