//! What an app does with the tokens that requests bring: in process, with a clock that stands still.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::{MemoryTokens, OpenError, SqliteTokens, TokenError, TokenStore as _};
use forge_remote_tests::rig::until;
use forge_remote_tests::stores::{Flaky, Folder, KEYS, oauth, places};
use serde_json::json;

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

#[scheduled_trigger(interval = "hour")]
async fn asks_for_none() {}

#[endpoint(auth = system)]
async fn page() {}

#[endpoint(method = "GET")]
async fn life(call: Invocation, tokens: Tokens) -> Result<Json<u64>> {
    let kept = tokens.installation(call.installation_id()).await?;
    Ok(Json(kept.remaining().as_secs()))
}

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const ONE: &str = "0a3a7799-0000-4000-a000-000000000001";
const OTHER: &str = "0a3a7799-0000-4000-a000-000000000002";

fn ari(uuid: &str) -> String {
    format!("ari:cloud:ecosystem::installation/{uuid}")
}

fn app() -> App {
    App::empty()
        .handler(handler!(renew))
        .handler(handler!(asks_for_none))
        .handler(handler!(page))
        .handler(handler!(life))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// An app with its tokens, and a hand on its clock.
struct Kept {
    harness: Harness,
    tokens: Tokens,
    clock: TestClock,
}

impl Kept {
    async fn new(tokens: Tokens) -> Self {
        let clock = TestClock::new();
        let app = app().clock(clock.clone()).tokens(tokens.clone());
        let harness = Harness::new(app.connect().await.unwrap()).unwrap();
        Self {
            harness,
            tokens,
            clock,
        }
    }

    async fn on(store: &Flaky) -> Self {
        Self::new(Tokens::new(store.clone()).keys(KEYS[0])).await
    }

    fn token(&self, life: Duration, mark: &str) -> String {
        oauth(self.clock.now() + life, mark)
    }

    async fn deliver(&self, uuid: &str, token: &str) {
        let call = self.harness.call("renew").fit(|fit| fit.installation(uuid));
        let answer = call.header("x-forge-oauth-system", token).send().await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }

    async fn system(&self, uuid: &str) -> Result<String, TokenError> {
        let token = self.tokens.system(&ari(uuid)).await;
        token.map(|token| token.expose_secret().to_owned())
    }
}

#[tokio::test]
async fn the_token_that_ends_later_wins_and_none_erases_none() {
    for place in places().await {
        let kept = Kept::new(Tokens::new(place.connect()).keys(KEYS[0])).await;
        assert!(matches!(
            kept.system(ONE).await,
            Err(TokenError::NeverSeen { .. })
        ));
        let (early, late) = (kept.token(2 * HOUR, "early"), kept.token(3 * HOUR, "late"));
        for token in [&early, &late, &early] {
            kept.deliver(ONE, token).await;
        }
        assert_eq!(kept.system(ONE).await.unwrap(), late, "{place:?}");
        let bare = kept.harness.call("renew").fit(|fit| fit.installation(ONE));
        assert_eq!(bare.tokens(Auth::NONE).send().await.status(), 200);
        assert_eq!(kept.system(ONE).await.unwrap(), late, "{place:?}");
        kept.deliver(OTHER, &early).await;
        kept.tokens.flush().await.unwrap();

        // As another instance sees it.
        let other = place.tokens().await;
        let seen = other.system(&ari(ONE)).await.unwrap();
        assert_eq!(seen.expose_secret(), late, "{place:?}");
        let ids: Vec<_> = other.installations().await.unwrap();
        let ids: Vec<_> = ids.iter().map(|one| one.installation_id()).collect();
        assert_eq!(ids, [ari(ONE), ari(OTHER)], "{place:?}");

        kept.tokens.remove(&ari(ONE)).await.unwrap();
        assert!(kept.system(ONE).await.is_err(), "{place:?}");
        assert!(
            place.tokens().await.system(&ari(ONE)).await.is_err(),
            "{place:?}"
        );
        assert_eq!(kept.system(OTHER).await.unwrap(), early, "{place:?}");
    }
}

#[tokio::test]
async fn handlers_take_kept_tokens() {
    let kept = Kept::on(&Flaky::default()).await;
    let call = || kept.harness.call("life").fit(|fit| fit.installation(ONE));
    assert_eq!(call().send().await.status(), 500);
    kept.deliver(ONE, &kept.token(2 * HOUR, "")).await;
    let left = call().send().await.json().as_u64().unwrap();
    // Written in whole seconds.
    assert!((7198..=7200).contains(&left), "{left}");
    kept.clock.advance(MINUTE);
    assert!(call().send().await.json().as_u64().unwrap() <= left - 60);
}

#[tokio::test]
async fn what_belongs_to_an_installation_is_kept_with_it() {
    let store = Flaky::default();
    let kept = Kept::on(&store).await;
    let deliver = |uuid, contexts: serde_json::Value, environment, api: String| {
        let call = kept.harness.call("renew").fit(|fit| {
            fit.installation(uuid)
                .set("/app/installation/contexts", contexts)
                .set("/app/apiBaseUrl", api.into())
                .environment(environment)
        });
        call.header("x-forge-oauth-system", &kept.token(2 * HOUR, uuid))
            .send()
    };
    let jira = "https://api.atlassian.com/ex/jira/site-1";
    let contexts = json!([
        { "name": "jira", "apiBaseUrl": jira, "cloudId": "site-1" },
        { "name": "bitbucket", "workspaceId": "space" },
    ]);
    deliver(ONE, contexts, "PRODUCTION", jira.to_owned()).await;
    // Contexts had no `cloudId` before mid-2026: the base URL tells.
    let site_2 = "https://api.atlassian.com/ex/confluence/site-2";
    deliver(
        OTHER,
        json!([{ "name": "confluence" }]),
        "STAGING",
        site_2.to_owned(),
    )
    .await;

    for tokens in [kept.tokens.clone(), {
        kept.tokens.flush().await.unwrap();
        let other = Tokens::new(store.clone()).keys(KEYS[0]);
        other.open().await.unwrap();
        other
    }] {
        let one = tokens.installation(&ari(ONE)).await.unwrap();
        assert_eq!(one.environment_type(), Some("PRODUCTION"));
        assert_eq!(one.api_base_url(), Some(jira));
        assert_eq!(one.app_id(), forge_remote::testing::TEST_APP_ID);
        assert_eq!(one.product("jira").unwrap().cloud_id.unwrap(), "site-1");
        assert_eq!(
            one.product("bitbucket").unwrap().workspace_id.unwrap(),
            "space"
        );
        assert_eq!(one.installation_contexts().len(), 2);
        let expected = kept.system(ONE).await.unwrap();
        let found = tokens.system_for_cloud("site-1").await.unwrap();
        assert_eq!(found.expose_secret(), expected);
        let found = tokens.system_for_cloud("site-2").await.unwrap();
        assert_eq!(found.expose_secret(), kept.system(OTHER).await.unwrap());
        assert!(matches!(
            tokens.system_for_cloud("site-3").await,
            Err(TokenError::NeverSeen { .. })
        ));
    }

    // Moved onto the other's site, with the same token.
    deliver(
        OTHER,
        json!([{ "name": "jira", "cloudId": "site-1" }]),
        "STAGING",
        jira.to_owned(),
    )
    .await;
    kept.tokens.flush().await.unwrap();
    let error = kept.tokens.system_for_cloud("site-1").await.err().unwrap();
    assert!(
        matches!(&error, TokenError::Ambiguous { installation_ids, .. } if installation_ids.len() == 2),
        "{error}"
    );
    assert_eq!(kept.tokens.on_site("site-2").await.unwrap().len(), 0);
}

#[tokio::test]
async fn no_token_is_handed_out_near_its_end() {
    let store = Flaky::default();
    let tokens = Tokens::new(store.clone()).keys(KEYS[0]).margin(2 * MINUTE);
    let kept = Kept::new(tokens).await;
    kept.deliver(ONE, &kept.token(HOUR, "")).await;
    kept.clock.advance(57 * MINUTE);
    assert!(kept.system(ONE).await.is_ok());
    kept.clock.advance(MINUTE);
    let error = kept.system(ONE).await.unwrap_err();
    assert!(
        matches!(error, TokenError::Ended { since, .. } if since == Duration::ZERO),
        "{error}"
    );
    assert!(kept.tokens.installations().await.unwrap().is_empty());
    kept.clock.advance(12 * MINUTE);
    let error = kept.system(ONE).await.unwrap_err();
    assert!(
        error.to_string().contains("ended 10 minutes ago"),
        "{error}"
    );
    // Purged after a day, with the next token that is written.
    kept.clock.advance(25 * HOUR);
    kept.deliver(OTHER, &kept.token(HOUR, "")).await;
    kept.tokens.flush().await.unwrap();
    assert!(matches!(
        kept.system(ONE).await,
        Err(TokenError::NeverSeen { .. })
    ));
    assert!(store.get(&ari(ONE)).await.unwrap().is_none());
    assert_eq!(kept.tokens.counts().purged, 1);
}

#[tokio::test]
async fn a_token_that_does_not_tell_its_end_counts_for_two_hours() {
    let kept = Kept::on(&Flaky::default()).await;
    kept.deliver(ONE, "opaque").await;
    let life = kept
        .tokens
        .installation(&ari(ONE))
        .await
        .unwrap()
        .remaining();
    assert!(life > 2 * HOUR - MINUTE && life <= 2 * HOUR, "{life:?}");
    // Delivered again, it is good for 2 hours again.
    kept.clock.advance(90 * MINUTE);
    kept.deliver(ONE, "opaque").await;
    kept.clock.advance(90 * MINUTE);
    assert_eq!(kept.system(ONE).await.unwrap(), "opaque");
    // An end that can't be doesn't keep newer tokens out for ever.
    kept.deliver(ONE, &kept.token(1000 * HOUR, "wrong")).await;
    let life = kept
        .tokens
        .installation(&ari(ONE))
        .await
        .unwrap()
        .remaining();
    assert!(life <= 24 * HOUR, "{life:?}");
    // One that has ended isn't kept at all.
    let ended = oauth(kept.clock.now() - MINUTE, "ended");
    kept.deliver(OTHER, &ended).await;
    assert!(matches!(
        kept.system(OTHER).await,
        Err(TokenError::NeverSeen { .. })
    ));
}

#[tokio::test]
async fn only_the_platforms_own_calls_bring_tokens() {
    let from_pages = |tokens: Tokens| async {
        let kept = Kept::new(tokens).await;
        let planted = kept.token(3 * HOUR, "planted");
        let call = kept.harness.call("page").fit(|fit| fit.installation(ONE));
        call.header("x-forge-oauth-system", &planted).send().await;
        let call = kept.harness.call("page").fit(|fit| {
            // The platform calls an endpoint that pages call too.
            fit.installation(OTHER)
                .module("core:endpoint", "page")
                .without("/principal")
        });
        call.header("x-forge-oauth-system", &planted).send().await;
        (
            kept.system(ONE).await.is_ok(),
            kept.system(OTHER).await.is_ok(),
        )
    };
    let store = || Tokens::new(Flaky::default()).keys(KEYS[0]);
    assert_eq!(from_pages(store()).await, (false, true));
    assert_eq!(from_pages(store().from_pages()).await, (true, true));

    // Forge sends none where none is asked for: such a header is somebody else's.
    let kept = Kept::on(&Flaky::default()).await;
    let call = kept
        .harness
        .call("asks-for-none")
        .fit(|fit| fit.installation(ONE));
    let planted = kept.token(3 * HOUR, "planted");
    assert_eq!(
        call.header("x-forge-oauth-system", &planted)
            .send()
            .await
            .status(),
        200
    );
    assert!(kept.system(ONE).await.is_err());
    // Nor with a Forge Invocation Token that is refused.
    let call = kept
        .harness
        .call("renew")
        .fit(|fit| fit.set("/aud", "x".into()).installation(ONE));
    assert_eq!(
        call.header("x-forge-oauth-system", &planted)
            .send()
            .await
            .status(),
        401
    );
    assert!(kept.system(ONE).await.is_err());
}

#[tokio::test]
async fn a_store_that_is_down_costs_no_request_and_no_token() {
    let store = Flaky::default();
    let kept = Kept::on(&store).await;
    kept.deliver(ONE, &kept.token(2 * HOUR, "old")).await;
    kept.tokens.flush().await.unwrap();
    store.down(true);

    let newest = kept.token(3 * HOUR, "newest");
    kept.deliver(ONE, &newest).await;
    kept.deliver(OTHER, &newest).await;
    assert!(kept.tokens.flush().await.is_err());
    assert_eq!(kept.system(ONE).await.unwrap(), newest);
    assert_eq!(kept.tokens.counts().pending, 2);
    assert!(kept.tokens.counts().store_failures > 0);
    // Tried again, with pauses: by the clock, not in a busy loop.
    let tried = store.puts().len();
    kept.clock.advance(MINUTE);
    assert!(until(|| store.puts().len() == tried + 1).await);
    // Memory serves even when the store should be asked again.
    kept.clock.advance(10 * MINUTE);
    assert_eq!(kept.system(ONE).await.unwrap(), newest);
    assert!(matches!(
        kept.system("0a3a7799-0000-4000-a000-000000000009").await,
        Err(TokenError::Store(_))
    ));
    // A removal waits too.
    assert!(kept.tokens.remove(&ari(OTHER)).await.is_err());
    assert!(matches!(
        kept.system(OTHER).await,
        Err(TokenError::NeverSeen { .. })
    ));

    store.down(false);
    kept.clock.advance(MINUTE);
    assert!(until(|| kept.tokens.counts().pending == 0).await);
    let other = Tokens::new(store.clone()).keys(KEYS[0]);
    other.open().await.unwrap();
    assert_eq!(
        other.system(&ari(ONE)).await.unwrap().expose_secret(),
        newest
    );
    assert!(other.system(&ari(OTHER)).await.is_err());
}

#[tokio::test]
async fn the_same_token_is_written_once_and_read_from_memory() {
    let store = Flaky::default();
    let kept = Kept::on(&store).await;
    let token = kept.token(3 * HOUR, "");
    for _ in 0..20 {
        kept.deliver(ONE, &token).await;
        kept.system(ONE).await.unwrap();
    }
    kept.tokens.flush().await.unwrap();
    assert_eq!((store.puts(), store.gets()), (vec![1], 0));
    assert_eq!(kept.tokens.counts().seen, 1);
    // Now and then it is compared with the store's.
    kept.clock.advance(MINUTE);
    for _ in 0..20 {
        kept.system(ONE).await.unwrap();
    }
    assert_eq!(store.gets(), 1);
}

#[tokio::test]
async fn other_instances_renew_and_remove() {
    let store = Flaky::default();
    let (one, other) = (Kept::on(&store).await, Kept::on(&store).await);
    one.deliver(ONE, &one.token(HOUR, "first")).await;
    one.tokens.flush().await.unwrap();
    let renewed = other.token(3 * HOUR, "renewed");
    other.deliver(ONE, &renewed).await;
    other.tokens.flush().await.unwrap();
    one.clock.advance(MINUTE);
    assert_eq!(one.system(ONE).await.unwrap(), renewed);
    other.tokens.remove(&ari(ONE)).await.unwrap();
    one.clock.advance(MINUTE);
    assert!(matches!(
        one.system(ONE).await,
        Err(TokenError::NeverSeen { .. })
    ));
}

#[tokio::test]
async fn memory_is_bounded() {
    let store = Flaky::default();
    let tokens = Tokens::new(store.clone()).keys(KEYS[0]).memory_limit(10);
    let kept = Kept::new(tokens).await;
    let uuid = |at: usize| format!("0a3a7799-0000-4000-a000-{at:012}");
    let token = kept.token(2 * HOUR, "");
    for at in 0..50 {
        kept.deliver(&uuid(at), &token).await;
        kept.tokens.flush().await.unwrap();
    }
    // Forgotten here, and read again.
    for at in 0..50 {
        assert_eq!(kept.system(&uuid(at)).await.unwrap(), token);
    }
    assert!(store.gets() >= 40, "{}", store.gets());
    store.down(true);
    for at in 50..80 {
        kept.deliver(&uuid(at), &token).await;
    }
    let counts = kept.tokens.counts();
    assert_eq!((counts.pending, counts.dropped), (10, 20));
}

#[tokio::test]
async fn one_is_told_before_a_token_runs_out() {
    let store = Flaky::default();
    let tokens = Tokens::new(store).keys(KEYS[0]);
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let telling = Arc::clone(&told);
    tokens.on_expiring(30 * MINUTE, move |installation| {
        let minutes = installation.remaining().as_secs().div_ceil(60);
        let line = format!("{} {minutes}", installation.installation_id());
        telling.lock().unwrap().push(line);
        async {}
    });
    let kept = Kept::new(tokens).await;
    kept.deliver(ONE, &kept.token(2 * HOUR, "")).await;
    kept.deliver(OTHER, &kept.token(HOUR, "")).await;
    kept.tokens.flush().await.unwrap();
    let lines = || told.lock().unwrap().clone();
    // A minute at a time, as the look-outs go.
    let minutes = async |count: u32| {
        for _ in 0..count {
            kept.clock.advance(MINUTE);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    };
    minutes(29).await;
    assert_eq!(lines(), Vec::<String>::new());
    minutes(3).await;
    let first = lines();
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(
        first[0].starts_with(&format!("{} ", ari(OTHER))),
        "{first:?}"
    );
    // Once for each token.
    minutes(3).await;
    assert_eq!(lines(), first);
    kept.deliver(OTHER, &kept.token(31 * MINUTE, "")).await;
    minutes(5).await;
    assert_eq!(lines().len(), 2, "{:?}", lines());
    minutes(60).await;
    let all = lines();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[2].starts_with(&ari(ONE)), "{all:?}");
}

#[tokio::test]
async fn a_wrong_key_ends_the_launch_and_loses_nothing() {
    let folder = Folder::default();
    let store = || SqliteTokens::at(folder.file("tokens.db"));
    let kept = Kept::new(Tokens::new(store()).keys(KEYS[0])).await;
    let token = kept.token(2 * HOUR, "");
    kept.deliver(ONE, &token).await;
    kept.tokens.flush().await.unwrap();

    let error = Tokens::new(store()).keys(KEYS[1]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::OtherKey { .. }), "{error}");
    let app = app().tokens(Tokens::new(store()).keys(KEYS[1]));
    let error = app.connect().await.map(drop).unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("sealed under another key"), "{text}");
    for wrong in ["", "hunter2", &KEYS[0][..40]] {
        let error = Tokens::new(store()).keys(wrong).open().await.unwrap_err();
        assert!(matches!(error, OpenError::BadKey(_)), "{error}");
        assert!(
            wrong.is_empty() || !error.to_string().contains(wrong),
            "{error}"
        );
    }
    let error = Tokens::new(store()).open().await.unwrap_err();
    assert!(matches!(error, OpenError::NoKey { .. }), "{error}");

    // Rotation: the old one opens, the new one seals.
    let both = format!("{},{}", KEYS[1], KEYS[0]);
    let kept = Kept::new(Tokens::new(store()).keys(both)).await;
    assert_eq!(kept.system(ONE).await.unwrap(), token);
    let newer = kept.token(3 * HOUR, "newer");
    kept.deliver(OTHER, &newer).await;
    kept.tokens.flush().await.unwrap();
    // One that no key opens is told of, and stays; the others are there.
    let only_new = Tokens::new(store()).keys(KEYS[1]);
    only_new.open().await.unwrap();
    let error = only_new.system(&ari(ONE)).await.err().unwrap();
    assert!(matches!(error, TokenError::Sealed { .. }), "{error}");
    assert_eq!(
        only_new.system(&ari(OTHER)).await.unwrap().expose_secret(),
        newer
    );
    assert_eq!(only_new.installations().await.unwrap().len(), 1);
    assert!(only_new.counts().unreadable > 0);
    // The others seal under the new one by now.
    let error = Tokens::new(store()).keys(KEYS[0]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::OtherKey { .. }), "{error}");
}

#[tokio::test]
async fn a_store_that_can_not_be_opened_ends_the_launch() {
    let tokens = Tokens::new(SqliteTokens::at("/nonexistent/tokens.db")).keys(KEYS[0]);
    let error = app().tokens(tokens).connect().await.map(drop).unwrap_err();
    let text = format!("{error:?}");
    assert!(
        text.contains("/nonexistent/tokens.db") && text.contains("No such file"),
        "{text}"
    );

    use forge_remote::token::{PostgresTokens, RedisTokens};
    for tokens in [
        Tokens::new(PostgresTokens::at("postgres://app:hunter2@127.0.0.1:1/app")),
        Tokens::new(PostgresTokens::at("postgres://app:hunter2@[/")),
        Tokens::new(RedisTokens::at("redis://:hunter2@127.0.0.1:1")),
        Tokens::new(RedisTokens::at("hunter2")),
    ] {
        let tokens = tokens.keys(KEYS[0]);
        let error = app()
            .tokens(tokens.clone())
            .connect()
            .await
            .map(drop)
            .unwrap_err();
        let text = format!("{error:?} {tokens:?}");
        assert!(
            text.contains("can't be opened") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_is_missing_is_said_at_launch() {
    let problems = |app: App| app.build().map(drop).unwrap_err().to_string();
    let id = forge_remote::testing::TEST_APP_ID;
    let text = problems(app().app_id(id));
    assert!(
        text.contains("no-tokens") && text.contains("`life` takes `Tokens`"),
        "{text}"
    );
    let unopened = Tokens::new(Flaky::default()).keys(KEYS[0]);
    let text = problems(app().app_id(id).tokens(unopened));
    assert!(
        text.contains("unopened-tokens") && text.contains("1 problem"),
        "{text}"
    );
    // One in memory has nothing to connect.
    let memory = forge_remote::token::MemoryTokens::new;
    assert!(app().app_id(id).tokens(memory()).build().is_ok());
    let text = problems(app().app_id(id).tokens(memory()).tokens(memory()));
    assert!(text.contains("duplicate-state"), "{text}");
}

#[tokio::test]
async fn another_apps_tokens_in_the_store_are_passed_over() {
    let store = Flaky::default();
    let one = Kept::on(&store).await;
    one.deliver(ONE, &one.token(2 * HOUR, "")).await;
    one.tokens.flush().await.unwrap();
    let tokens = Tokens::new(store).keys(KEYS[0]);
    let other_id = "ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555";
    let app = app().app_id(other_id).tokens(tokens.clone());
    let _built = app.connect().await.unwrap().build().unwrap();
    assert!(tokens.system(&ari(ONE)).await.is_err());
    assert!(tokens.installations().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_app_that_is_told_to_stop_writes_what_waits() {
    let store = Flaky::default();
    let kept = Kept::on(&store).await;
    store.down(true);
    let token = kept.token(2 * HOUR, "");
    kept.deliver(ONE, &token).await;
    assert!(kept.tokens.flush().await.is_err());
    store.down(false);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = kept.harness.app().clone().serve(listener, async {});
    served.await.unwrap();
    assert_eq!(kept.tokens.counts().pending, 0);
    assert!(store.get(&ari(ONE)).await.unwrap().is_some());
}

/// One line in the app: the calls that bring tokens, their modules, and the removal.
#[tokio::test]
async fn tokens_are_brought_in_time_and_removed_with_the_installation() {
    let tokens = Tokens::new(MemoryTokens::new());
    let app = App::empty()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .tokens(tokens.clone())
        .keep_tokens_fresh();
    let harness = Harness::new(app).unwrap();
    let yaml = forge_remote::manifest::to_yaml(&harness.app().sections().to_value());
    for part in [
        "interval: hour",
        "avi:forge:installed:app",
        "tokens-goodbye-pre-uninstall",
        "appSystemToken",
    ] {
        assert!(yaml.contains(part), "{part} is not in\n{yaml}");
    }

    for key in ["tokens-life", "tokens-hourly"] {
        let answer = harness.call(key).send().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        tokens.flush().await.unwrap();
        assert_eq!(tokens.installations().await.unwrap().len(), 1);
    }
    let answer = harness.call("tokens-goodbye").send().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(tokens.installations().await.unwrap().len(), 0);
}
