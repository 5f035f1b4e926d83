//! Schedules that keep tokens fresh: `App::keep_tokens_fresh`, and a schedule of the app's own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use forge_remote::handler;
use forge_remote::jobs::MemoryJobs;
use forge_remote::manifest::{ManifestFile, check};
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TEST_APP_ID};
use forge_remote::token::MemoryTokens;
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::token_app::{HOUR, ONE, TokenApp, ari, renewing_app, tokens_in};

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

/// An app that is deployed with its own schedule keeps it, and is called at installations and uninstallations.
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
        let keys = |harness: &Harness| -> BTreeSet<String> {
            let handlers = harness.app().registry().handlers().iter();
            handlers.map(|one| one.key().to_owned()).collect()
        };
        let without = Harness::new(with_tokens()).unwrap();
        // `sync_token` is called at installations.
        let added = &keys(&harness) - &keys(&without);
        assert_eq!(added, ["tokens-goodbye-pre-uninstall".to_owned()].into());
        let response = harness.call("token-sync").send().await;
        assert_eq!(response.status(), 200, "{}", response.text());
        tokens.flush().await.unwrap();
        assert_eq!(tokens.installations().await.unwrap().len(), 1);
    }
    let twice = with_tokens()
        .keep_tokens_fresh_by("token-sync")
        .keep_tokens_fresh_by("token-sync-trigger")
        .keep_tokens_fresh();
    assert!(twice.build().is_ok());

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

/// The app's own handlers for installations and uninstallations replace the built-in ones, in any order.
#[test]
fn a_manifest_with_its_own_handlers_stays_as_it_is() {
    #[trigger(events = ["avi:forge:installed:app"])]
    async fn without_token() {}

    #[trigger(events = ["avi:forge:installed:app"], licensed_only, auth = system)]
    async fn only_licensed() {}

    #[trigger(
        filtered_events = [(event = "avi:forge:installed:app", licensed_only)],
        auth = system
    )]
    async fn filtered() {}

    #[pre_uninstall]
    async fn ends(call: Invocation, tokens: Tokens) -> Result<()> {
        Ok(tokens.remove(call.installation_id()).await?)
    }

    let yaml = |app: App| {
        let app = app.app_id(TEST_APP_ID).token_store(MemoryTokens::new());
        app.build().unwrap().desired_manifest().to_yaml()
    };
    let kept = |app: App| app.keep_tokens_fresh_by("renew");
    let synced = |app: App| app.handler(handler!(sync_token));
    let ended = |app: App| app.handler(handler!(ends));
    let deployed = yaml(ended(synced(renewing_app())));
    for app in [
        kept(ended(synced(renewing_app()))),
        ended(kept(synced(renewing_app()))),
        ended(synced(kept(renewing_app()))),
    ] {
        assert_eq!(yaml(app), deployed);
    }
    // An app without one of them gets it.
    let (life, goodbye) = ("tokens-life-trigger", "tokens-goodbye-pre-uninstall");
    for (app, is_added) in [
        (kept(renewing_app()), [true, true]),
        (synced(kept(renewing_app())), [false, true]),
        (ended(kept(renewing_app())), [true, false]),
        (
            kept(renewing_app()).handler(handler!(without_token)),
            [true, true],
        ),
        (
            kept(renewing_app()).handler(handler!(only_licensed)),
            [true, true],
        ),
        (
            kept(renewing_app()).handler(handler!(filtered)),
            [true, true],
        ),
        (
            ended(synced(kept(renewing_app()).keep_tokens_fresh())),
            [true, true],
        ),
    ] {
        let yaml = yaml(app);
        let added = [life, goodbye].map(|key| yaml.contains(&format!("key: {key}\n")));
        assert_eq!(added, is_added, "{yaml}");
    }
}

/// A schedule that keeps tokens fresh does not hide the uninstallation from the callbacks, which delete the data.
#[tokio::test]
async fn an_app_with_its_own_schedule_is_called_when_it_is_uninstalled() {
    let tokens = tokens_in(&FlakyStore::default());
    let deleted = Arc::new(Mutex::new(Vec::new()));
    let deleting = Arc::clone(&deleted);
    tokens.on_removed(move |id| {
        deleting.lock().unwrap().push(id);
        async {}
    });
    let app = renewing_app().keep_tokens_fresh_by("renew");
    let app = TokenApp::new(app, tokens).await;
    app.deliver(ONE, &app.token(2 * HOUR, "")).await;
    let goodbye = app.harness.call("tokens-goodbye");
    let response = goodbye.fit(|fit| fit.installation(ONE)).send().await;
    assert_eq!(response.status(), 200, "{response:?}");
    assert!(app.listed().await.is_empty());
    // The installation is in several products.
    app.minutes(80).await;
    assert_eq!(*deleted.lock().unwrap(), [ari(ONE)]);
}

/// An app that acts on uninstallations, and is never called for one, is warned.
#[test]
fn an_app_that_no_uninstallation_reaches_is_warned() {
    #[pre_uninstall]
    async fn ends(call: Invocation, tokens: Tokens) -> Result<()> {
        Ok(tokens.remove(call.installation_id()).await?)
    }

    #[pre_uninstall(key = "audit")]
    async fn audits(_call: Invocation) {}

    let with = |app: App, acts: bool| {
        let tokens = Tokens::new(MemoryTokens::new());
        if acts {
            tokens.on_removed(|_| async {});
        }
        app.token_store(tokens)
    };
    let warned = |app: App| {
        let wanted = app.app_id(TEST_APP_ID).build().unwrap().desired_manifest();
        let file = ManifestFile::parse("manifest.yml", None).unwrap();
        let text = file.merged_with(&wanted, Some(TEST_APP_ID)).unwrap();
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        let findings = check(&file, &wanted, &BTreeSet::new());
        findings.iter().any(|one| one.code == "no-pre-uninstall")
    };
    assert!(warned(with(renewing_app(), true)));
    let jobs = || MemoryJobs::new();
    assert!(warned(with(renewing_app().jobs(jobs()), false)));
    assert!(!warned(renewing_app().jobs(jobs())));
    assert!(!warned(with(renewing_app(), false)));
    for called in [
        renewing_app().keep_tokens_fresh(),
        renewing_app().keep_tokens_fresh_by("renew"),
        renewing_app().handler(handler!(ends)),
    ] {
        assert!(!warned(with(called, true)));
    }
    // One that cannot remove the token does not count.
    let audited = || renewing_app().handler(handler!(audits));
    assert!(warned(with(audited(), true)));
    assert!(warned(with(audited().keep_tokens_fresh_by("renew"), true)));
    assert!(warned(with(audited().jobs(jobs()), false)));
    assert!(!warned(with(audited(), false)));
    assert!(!warned(with(audited().keep_tokens_fresh(), true)));
    assert!(!warned(with(audited().handler(handler!(ends)), true)));
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
