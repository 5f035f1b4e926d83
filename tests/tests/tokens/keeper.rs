//! What an app does with the tokens that requests bring: in process, with a clock that stands still.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::Harness;
use forge_remote::token::{MemoryTokens, OpenError, SqliteTokens, TokenError, TokenStore as _};
use forge_remote_tests::kept::{HOUR, Kept, MINUTE, ONE, OTHER, ari, instance, tokens_in};
use forge_remote_tests::rig::until;
use forge_remote_tests::stores::{Flaky, Folder, KEYS, oauth, places};
use serde_json::json;

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

#[endpoint(method = "GET")]
async fn life(call: Invocation, tokens: Tokens) -> Result<Json<u64>> {
    let kept = tokens.installation(call.installation_id()).await?;
    Ok(Json(kept.remaining().as_secs()))
}

fn app() -> App {
    App::empty()
        .handler(handler!(renew))
        .handler(handler!(life))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

async fn kept_with(tokens: Tokens) -> Kept {
    Kept::new(app(), tokens).await
}

async fn kept_on(store: &Flaky) -> Kept {
    kept_with(tokens_in(store)).await
}

#[tokio::test]
async fn the_token_that_ends_later_wins_and_none_erases_none() {
    for place in places().await {
        let kept = kept_with(Tokens::new(place.connect()).keys(KEYS[0])).await;
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
    let kept = kept_on(&Flaky::default()).await;
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
    let kept = kept_on(&store).await;
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
        let found = tokens.system_for_site("site-1").await.unwrap();
        assert_eq!(found.expose_secret(), expected);
        let found = tokens.system_for_site("site-2").await.unwrap();
        assert_eq!(found.expose_secret(), kept.system(OTHER).await.unwrap());
        assert!(matches!(
            tokens.system_for_site("site-3").await,
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
    let error = kept.tokens.system_for_site("site-1").await.err().unwrap();
    assert!(
        matches!(&error, TokenError::Ambiguous { installation_ids, .. } if installation_ids.len() == 2),
        "{error}"
    );
    assert_eq!(kept.tokens.find_by_site("site-2").await.unwrap().len(), 0);
}

#[tokio::test]
async fn no_token_is_handed_out_near_its_end() {
    let store = Flaky::default();
    let tokens = Tokens::new(store.clone())
        .keys(KEYS[0])
        .expiry_margin(2 * MINUTE);
    let kept = kept_with(tokens).await;
    kept.deliver(ONE, &kept.token(HOUR, "")).await;
    kept.tokens.flush().await.unwrap();
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
    // Purged after a day, though nothing comes any more.
    kept.clock.advance(25 * HOUR);
    assert!(until(|| kept.tokens.stats().purged == 1).await);
    assert!(matches!(
        kept.system(ONE).await,
        Err(TokenError::NeverSeen { .. })
    ));
    assert!(store.get(&ari(ONE)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_token_that_does_not_tell_its_end_counts_for_two_hours() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
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
    // An end that can't be is read wrongly: the next real token takes its place, here and in the
    // store, and nothing is handed out for longer than it may live.
    let left = async || {
        let kept = kept.tokens.installation(&ari(OTHER)).await;
        kept.unwrap().remaining()
    };
    kept.deliver(OTHER, &kept.token(20 * HOUR, "wrong")).await;
    assert!(left().await <= 2 * HOUR, "{:?}", left().await);
    let real = kept.token(3 * HOUR, "real");
    kept.deliver(OTHER, &real).await;
    assert_eq!(kept.system(OTHER).await.unwrap(), real);
    kept.tokens.flush().await.unwrap();
    let later = Kept::at(kept.clock.clone(), app(), tokens_in(&store)).await;
    assert_eq!(later.system(OTHER).await.unwrap(), real);
    // One that has ended isn't kept at all.
    const THIRD: &str = "0a3a7799-0000-4000-a000-000000000003";
    let ended = oauth(kept.clock.now() - MINUTE, "ended");
    kept.deliver(THIRD, &ended).await;
    assert!(matches!(
        kept.system(THIRD).await,
        Err(TokenError::NeverSeen { .. })
    ));
}

#[tokio::test]
async fn a_store_that_is_down_costs_no_request_and_no_token() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    kept.deliver(ONE, &kept.token(2 * HOUR, "old")).await;
    kept.tokens.flush().await.unwrap();
    store.down(true);

    let newest = kept.token(3 * HOUR, "newest");
    kept.deliver(ONE, &newest).await;
    kept.deliver(OTHER, &newest).await;
    assert!(kept.tokens.flush().await.is_err());
    assert_eq!(kept.system(ONE).await.unwrap(), newest);
    assert_eq!(kept.tokens.stats().pending, 2);
    assert!(kept.tokens.stats().store_failures > 0);
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
    assert!(until(|| kept.tokens.stats().pending == 0).await);
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
    let kept = kept_on(&store).await;
    let token = kept.token(3 * HOUR, "");
    for _ in 0..20 {
        kept.deliver(ONE, &token).await;
        kept.system(ONE).await.unwrap();
    }
    kept.tokens.flush().await.unwrap();
    // The first of an installation is read back once: a removal might have won over it.
    assert_eq!((store.puts(), store.gets()), (vec![1], 1));
    assert_eq!(kept.tokens.stats().seen, 1);
    // Now and then it is compared with the store's.
    kept.clock.advance(MINUTE);
    for _ in 0..20 {
        kept.system(ONE).await.unwrap();
    }
    assert_eq!(store.gets(), 2);
}

/// Written late, it could take the place of what came meanwhile.
#[tokio::test]
async fn what_ended_while_it_waited_is_not_written() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    store.down(true);
    kept.deliver(ONE, &kept.token(HOUR, "")).await;
    assert!(kept.tokens.flush().await.is_err());
    kept.clock.advance(2 * HOUR);
    store.down(false);
    kept.tokens.flush().await.unwrap();
    assert!(store.get(&ari(ONE)).await.unwrap().is_none());
    assert_eq!(kept.tokens.stats().pending, 0);
}

#[tokio::test]
async fn other_instances_renew_and_remove() {
    let store = Flaky::default();
    let (one, other) = (kept_on(&store).await, kept_on(&store).await);
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
    let kept = kept_with(tokens).await;
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
    // Those that end first make room, whenever they came.
    for at in 50..80 {
        let minutes = 3 * 60 - u32::try_from(at).unwrap();
        kept.deliver(&uuid(at), &kept.token(minutes * MINUTE, ""))
            .await;
    }
    let counts = kept.tokens.stats();
    assert_eq!((counts.pending, counts.dropped), (10, 20));
    for at in 50..80 {
        assert_eq!(kept.system(&uuid(at)).await.is_ok(), at < 60, "{at}");
    }
}

#[tokio::test]
async fn a_wrong_key_ends_the_launch_and_loses_nothing() {
    let folder = Folder::default();
    let store = || SqliteTokens::new(folder.file("tokens.db"));
    let kept = kept_with(Tokens::new(store()).keys(KEYS[0])).await;
    let token = kept.token(2 * HOUR, "");
    kept.deliver(ONE, &token).await;
    kept.tokens.flush().await.unwrap();

    let error = Tokens::new(store()).keys(KEYS[1]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::OtherKey { .. }), "{error}");
    let app = app().token_store(Tokens::new(store()).keys(KEYS[1]));
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
    let kept = kept_with(Tokens::new(store()).keys(both)).await;
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
    assert!(only_new.stats().unreadable > 0);
    // The others seal under the new one by now.
    let error = Tokens::new(store()).keys(KEYS[0]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::OtherKey { .. }), "{error}");
}

#[tokio::test]
async fn a_store_that_can_not_be_opened_ends_the_launch() {
    let tokens = Tokens::new(SqliteTokens::new("/nonexistent/tokens.db")).keys(KEYS[0]);
    let error = app()
        .token_store(tokens)
        .connect()
        .await
        .map(drop)
        .unwrap_err();
    let text = format!("{error:?}");
    assert!(
        text.contains("/nonexistent/tokens.db") && text.contains("No such file"),
        "{text}"
    );

    use forge_remote::token::{PostgresTokens, RedisTokens};
    for tokens in [
        Tokens::new(PostgresTokens::new("postgres://app:hunter2@[/")),
        Tokens::new(RedisTokens::new("hunter2")),
    ] {
        let tokens = tokens.keys(KEYS[0]);
        let app = app().token_store(tokens.clone());
        let error = app.connect().await.map(drop).unwrap_err();
        let text = format!("{error:?} {tokens:?}");
        assert!(
            text.contains("can't be opened") && !text.contains("hunter2"),
            "{text}"
        );
    }
    // One that is only down ends no launch, but is told to who opens it by hand.
    for tokens in [
        Tokens::new(PostgresTokens::new(
            "postgres://app:hunter2@127.0.0.1:1/app",
        )),
        Tokens::new(RedisTokens::new("redis://:hunter2@127.0.0.1:1")),
    ] {
        let tokens = tokens.keys(KEYS[0]);
        let error = tokens.open().await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        let text = format!("{error:?} {tokens:?}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(app().token_store(tokens.clone()).connect().await.is_ok());
        assert!(tokens.stats().store_failures > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_nobody_opens_are_an_error() {
    let tokens = tokens_in(&Flaky::default());
    let error = tokens.system(&ari(ONE)).await.err().unwrap();
    assert!(matches!(error, TokenError::NotOpen), "{error}");
    assert!(error.to_string().contains("App::tokens"), "{error}");
    assert!(matches!(
        tokens.installations().await,
        Err(TokenError::NotOpen)
    ));
    assert!(matches!(
        tokens.remove(&ari(ONE)).await,
        Err(TokenError::NotOpen)
    ));
    // Who asks a little early is served.
    let early = {
        let tokens = tokens.clone();
        tokio::spawn(async move { tokens.installations().await })
    };
    tokio::task::yield_now().await;
    tokens.open().await.unwrap();
    assert_eq!(early.await.unwrap().unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_set_too_late_is_an_error() {
    let tokens = instance(&Flaky::default()).await;
    let _ = tokens.clone().expiry_margin(5 * MINUTE);
    let error = tokens.open().await.unwrap_err();
    assert!(error.to_string().contains("Tokens::margin"), "{error}");
    let error = app()
        .token_store(tokens)
        .connect()
        .await
        .map(drop)
        .unwrap_err();
    assert!(format!("{error:?}").contains("Tokens::margin"), "{error:?}");

    let tokens = Tokens::new(MemoryTokens::new());
    tokens.open().await.unwrap();
    let app = app().token_store(tokens.clone().memory_limit(5));
    let text = app.build().map(drop).unwrap_err().to_string();
    assert!(text.contains("Tokens::memory_limit"), "{text}");
}

#[tokio::test]
async fn the_margin_has_a_least_value() {
    let tokens = tokens_in(&Flaky::default()).expiry_margin(Duration::ZERO);
    let kept = kept_with(tokens).await;
    kept.deliver(ONE, &kept.token(HOUR, "")).await;
    kept.clock.advance(HOUR - Duration::from_secs(15));
    assert!(kept.system(ONE).await.is_ok());
    kept.clock.advance(Duration::from_secs(8));
    assert!(matches!(
        kept.system(ONE).await,
        Err(TokenError::Ended { .. })
    ));
}

/// A local platform's tokens are of no use to the app: they must not get into its store.
#[tokio::test]
async fn an_opened_store_is_none_for_a_local_platform() {
    let folder = Folder::default();
    let file = folder.file("tokens.db");
    let kept = kept_with(Tokens::new(SqliteTokens::new(&file)).keys(KEYS[0])).await;
    kept.deliver(ONE, &kept.token(2 * HOUR, "")).await;
    kept.tokens.flush().await.unwrap();
    drop(kept);

    let tokens = Tokens::new(SqliteTokens::new(&file)).keys(KEYS[0]);
    tokens.open().await.unwrap();
    let before = folder.bytes();
    let error = Harness::with_apis(app().token_store(tokens.clone())).await;
    let text = error.map(drop).unwrap_err().to_string();
    assert!(text.contains("opened-tokens"), "{text}");
    // Not opened, it is left alone.
    let closed = Tokens::new(SqliteTokens::new(&file)).keys(KEYS[0]);
    let harness = Harness::with_apis(app().token_store(closed)).await.unwrap();
    assert_eq!(harness.call("renew").send().await.status(), 200);
    assert!(folder.bytes() == before);
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
    let text = problems(app().app_id(id).token_store(unopened));
    assert!(
        text.contains("unopened-tokens") && text.contains("1 problem"),
        "{text}"
    );
    // One in memory has nothing to connect.
    let memory = forge_remote::token::MemoryTokens::new;
    assert!(app().app_id(id).token_store(memory()).build().is_ok());
    let text = problems(app().app_id(id).token_store(memory()).token_store(memory()));
    assert!(text.contains("duplicate-state"), "{text}");
}

#[tokio::test]
async fn another_apps_tokens_in_the_store_are_passed_over() {
    let store = Flaky::default();
    let one = kept_on(&store).await;
    one.deliver(ONE, &one.token(2 * HOUR, "")).await;
    one.tokens.flush().await.unwrap();
    let tokens = Tokens::new(store).keys(KEYS[0]);
    let other_id = "ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555";
    let app = app().app_id(other_id).token_store(tokens.clone());
    let _built = app.connect().await.unwrap().build().unwrap();
    assert!(tokens.system(&ari(ONE)).await.is_err());
    assert!(tokens.installations().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_app_that_is_told_to_stop_writes_what_waits() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    store.down(true);
    let token = kept.token(2 * HOUR, "");
    kept.deliver(ONE, &token).await;
    assert!(kept.tokens.flush().await.is_err());
    store.down(false);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = kept.harness.app().clone().serve(listener, async {});
    served.await.unwrap();
    assert_eq!(kept.tokens.stats().pending, 0);
    assert!(store.get(&ari(ONE)).await.unwrap().is_some());
}

/// What fails once is tried again until the time is over.
#[tokio::test]
async fn an_app_that_stops_gives_its_store_another_chance() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    store.down(true);
    kept.deliver(ONE, &kept.token(2 * HOUR, "")).await;
    assert!(kept.tokens.flush().await.is_err());
    // Whoever serves the router says when it is over.
    let app = kept.harness.app().clone();
    let failures = kept.tokens.stats().store_failures;
    let finishing = tokio::spawn(async move { app.shutdown().await });
    assert!(until(|| kept.tokens.stats().store_failures > failures + 1).await);
    store.down(false);
    finishing.await.unwrap();
    assert_eq!(kept.tokens.stats().pending, 0);
    assert!(store.get(&ari(ONE)).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_does_not_keep_an_app_from_stopping() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    store.hold_puts(true);
    kept.deliver(ONE, &kept.token(2 * HOUR, "")).await;
    let began = tokio::time::Instant::now();
    kept.harness.app().shutdown().await;
    // Less than the 30 seconds after which Kubernetes kills.
    assert!(
        began.elapsed() < Duration::from_secs(26),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(kept.tokens.stats().pending, 1);
}

/// One line in the app: the calls that bring tokens, their modules, and the removal.
#[tokio::test]
async fn tokens_are_brought_in_time_and_removed_with_the_installation() {
    let tokens = Tokens::new(MemoryTokens::new());
    let app = App::empty()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .token_store(tokens.clone())
        .keep_tokens_fresh();
    let harness = Harness::new(app).unwrap();
    let yaml = forge_remote::manifest::to_yaml(&harness.app().desired_manifest().to_value());
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
