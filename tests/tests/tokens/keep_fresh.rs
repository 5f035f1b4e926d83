//! Schedules that keep tokens fresh: `App::keep_tokens_fresh`, and a schedule of the app's own.

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote::token::MemoryTokens;

#[scheduled_trigger(interval = "hour", auth = system, endpoint = "token-sync", path = "/sync")]
#[trigger(
    events = ["avi:forge:installed:app"],
    auth = system,
    key = "token-sync-life",
    endpoint = "token-sync",
    path = "/sync"
)]
async fn sync_token() {}

#[scheduled_trigger(interval = "day", auth = system)]
async fn daily() {}

#[scheduled_trigger(interval = "fiveMinute")]
async fn bare() {}

#[scheduled_trigger(interval = "hour", licensed_only, auth = system)]
async fn licensed() {}

/// An app that is deployed with its own schedule keeps it.
#[tokio::test]
async fn a_deployed_schedule_keeps_tokens_fresh() {
    let builder = || {
        App::empty()
            .handler(handler!(sync_token))
            .handler(handler!(daily))
            .handler(handler!(bare))
            .handler(handler!(licensed))
            .handler(handler!(crate::keeper::life))
            .app_id(forge_remote::testing::TEST_APP_ID)
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
    };
    let with_tokens = || builder().token_store(MemoryTokens::new());
    for key in ["token-sync", "token-sync-trigger"] {
        let tokens = Tokens::new(MemoryTokens::new());
        let app = builder().token_store(tokens.clone());
        let harness = Harness::new(app.keep_tokens_fresh_by(key)).unwrap();
        let yaml = |harness: &Harness| harness.app().desired_manifest().to_yaml();
        let without = Harness::new(with_tokens()).unwrap();
        assert_eq!(yaml(&harness), yaml(&without), "no new entry");
        let response = harness.call("token-sync").send().await;
        assert_eq!(response.status(), 200, "{}", response.text());
        tokens.flush().await.unwrap();
        assert_eq!(tokens.installations().await.unwrap().len(), 1);
    }

    let text = |app: App| app.build().map(drop).unwrap_err().to_string();
    for (key, problem, fix) in [
        (
            "token-syncs",
            "no handler has this key",
            "did you mean `token-sync`",
        ),
        (
            "life",
            "`life` is not a scheduled trigger",
            "name a scheduled trigger",
        ),
        ("daily", "longer than an hour", "interval = \"hour\""),
        (
            "licensed",
            "`licensed` is not called on sites without a licence",
            "remove `licensed_only`",
        ),
        (
            "bare",
            "`bare` does not request the system token",
            "auth = system",
        ),
    ] {
        let text = text(with_tokens().keep_tokens_fresh_by(key));
        let call = format!("`App::keep_tokens_fresh_by(\"{key}\")`");
        for part in [
            "error[no-token-source]",
            &call,
            problem,
            fix,
            "keep_fresh.rs:",
        ] {
            assert!(text.contains(part), "{key}: {part}: {text}");
        }
    }
    let text = text(builder().keep_tokens_fresh_by("token-sync"));
    assert!(
        text.contains("`App::keep_tokens_fresh_by` takes `Tokens`"),
        "{text}"
    );
}

/// One line in the app adds the calls that deliver tokens, their modules, and the removal.
#[tokio::test]
async fn keep_tokens_fresh_receives_tokens_and_removes_them_with_the_installation() {
    let tokens = Tokens::new(MemoryTokens::new());
    let builder = App::empty()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .token_store(tokens.clone())
        .keep_tokens_fresh();
    let harness = Harness::new(builder).unwrap();
    let yaml = harness.app().desired_manifest().to_yaml();
    for part in [
        "interval: hour",
        "avi:forge:installed:app",
        "tokens-goodbye-pre-uninstall",
        "appSystemToken",
    ] {
        assert!(yaml.contains(part), "{part} is not in\n{yaml}");
    }

    for key in ["tokens-life", "tokens-hourly"] {
        let response = harness.call(key).send().await;
        assert_eq!(response.status(), 200, "{}", response.text());
        tokens.flush().await.unwrap();
        assert_eq!(tokens.installations().await.unwrap().len(), 1);
    }
    let response = harness.call("tokens-goodbye").send().await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(tokens.installations().await.unwrap().len(), 0);
}
