//! Several apps on one backend: tokens, lists and removals of each are kept apart.

use forge_remote::fit::AppId;
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::TEST_APP_ID;
use forge_remote::token::TokenError;
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::token_app::{HOUR, ONE, OTHER, TokenApp, ari, renewing_app, tokens_in};
use serde_json::{Value, json};

const FULL: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-8000-000000000002";

#[scheduled_trigger(interval = "hour")]
async fn look_up(call: Invocation, tokens: Tokens) -> Result<Json<Value>> {
    let token = tokens.system(call.installation_id()).await;
    let site = tokens
        .find_by_site(call.jira().cloud_id().unwrap_or_default())
        .await?;
    Ok(Json(json!({
        "app": call.app_id(),
        "found": token.is_ok(),
        "listed": tokens.installations().await?.len(),
        "onSite": site.len(),
    })))
}

#[pre_uninstall]
async fn goodbye(call: Invocation, tokens: Tokens) -> Result<()> {
    Ok(tokens.remove(call.installation_id()).await?)
}

async fn start_on(store: &FlakyStore) -> TokenApp {
    let app = renewing_app()
        .handler(handler!(look_up))
        .handler(handler!(goodbye))
        .app_ids([TEST_APP_ID, FULL]);
    TokenApp::new(app, tokens_in(store)).await
}

/// Calls a handler as this app's installation, with a system token.
async fn call(app: &TokenApp, key: &str, app_id: &str, uuid: &str, token: Option<&str>) -> Value {
    let call = app.harness.call(key).fit(|fit| {
        let fit = fit.installation(uuid);
        fit.set("/aud", app_id.into()).set("/app/id", app_id.into())
    });
    let call = match token {
        Some(token) => call.header("x-forge-oauth-system", token),
        None => call,
    };
    let response = call.send().await;
    assert_eq!(response.status(), 200, "{response:?}");
    if key == "look-up" {
        response.json()
    } else {
        Value::Null
    }
}

async fn seen(app: &TokenApp, app_id: &str, uuid: &str) -> (bool, u64) {
    let seen = call(app, "look-up", app_id, uuid, None).await;
    assert_eq!(seen["app"], app_id);
    (seen["found"] == true, seen["listed"].as_u64().unwrap())
}

#[tokio::test]
async fn an_apps_tokens_do_not_reach_another_app() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let (lite, full) = (app.token(2 * HOUR, "lite"), app.token(3 * HOUR, "full"));
    call(&app, "renew", TEST_APP_ID, ONE, Some(&lite)).await;
    app.tokens.flush().await.unwrap();
    assert_eq!(seen(&app, TEST_APP_ID, ONE).await, (true, 1));
    assert_eq!(seen(&app, FULL, ONE).await, (false, 0));

    // Neither replaced nor removed, in this process and in one that has only the store.
    for app in [&app, &start_on(&store).await] {
        call(app, "renew", FULL, ONE, Some(&full)).await;
        assert_eq!(seen(app, TEST_APP_ID, ONE).await, (true, 1));
        assert_eq!(app.system(ONE).await.unwrap(), lite);
        assert_eq!(seen(app, FULL, ONE).await, (false, 0));
        call(app, "goodbye", FULL, ONE, None).await;
        app.tokens.flush().await.unwrap();
        assert_eq!(app.system(ONE).await.unwrap(), lite);
    }

    call(&app, "renew", FULL, OTHER, Some(&full)).await;
    assert_eq!(seen(&app, FULL, OTHER).await, (true, 1));
    assert_eq!(seen(&app, TEST_APP_ID, OTHER).await, (false, 1));
    assert_eq!(app.listed().await, [ari(ONE), ari(OTHER)]);
    let full_id: AppId = FULL.parse().unwrap();
    let of_full = app.tokens.for_app(&full_id);
    let listed = of_full.installations().await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|one| (one.installation_id(), one.app_id()))
        .collect();
    assert_eq!(listed, [(ari(OTHER).as_str(), FULL)]);
    assert!(of_full.system(&ari(ONE)).await.is_err());
    of_full.remove(&ari(ONE)).await.unwrap();
    assert_eq!(app.system(ONE).await.unwrap(), lite);

    call(&app, "goodbye", FULL, OTHER, None).await;
    assert_eq!(app.listed().await, [ari(ONE)]);
}

/// A store that one app filled alone is read by a backend of several.
#[tokio::test]
async fn an_existing_store_needs_no_migration() {
    let store = FlakyStore::default();
    let alone = TokenApp::new(renewing_app(), tokens_in(&store)).await;
    let token = alone.token(2 * HOUR, "alone");
    alone.deliver(ONE, &token).await;
    alone.tokens.flush().await.unwrap();
    let app = start_on(&store).await;
    assert_eq!(seen(&app, TEST_APP_ID, ONE).await, (true, 1));
    assert_eq!(seen(&app, FULL, ONE).await, (false, 0));
    assert_eq!(app.system(ONE).await.unwrap(), token);
}

/// While the store is down, a process that has just started cannot know which app an installation belongs to.
#[tokio::test]
async fn an_outage_removes_no_token_of_another_app() {
    let store = FlakyStore::default();
    let before = start_on(&store).await;
    let (lite, full) = (
        before.token(2 * HOUR, "lite"),
        before.token(3 * HOUR, "full"),
    );
    call(&before, "renew", TEST_APP_ID, ONE, Some(&lite)).await;
    call(&before, "renew", FULL, OTHER, Some(&full)).await;
    before.tokens.flush().await.unwrap();

    let app = start_on(&store).await;
    let full_id: AppId = FULL.parse().unwrap();
    let of_full = app.tokens.for_app(&full_id);
    store.down(true);
    let error = of_full.remove(&ari(ONE)).await.unwrap_err();
    assert!(matches!(error, TokenError::Store(_)), "{error}");
    // An installation that Forge names in its call is removed once the store is back.
    let uninstalled = app.harness.call("goodbye").fit(|fit| {
        let fit = fit.installation(OTHER);
        fit.set("/aud", FULL.into()).set("/app/id", FULL.into())
    });
    assert_eq!(uninstalled.send().await.status(), 500);
    store.down(false);
    app.tokens.flush().await.unwrap();
    assert_eq!(app.system(ONE).await.unwrap(), lite);
    assert_eq!(app.listed().await, [ari(ONE)]);
    of_full.remove(&ari(ONE)).await.unwrap();
    assert_eq!(app.system(ONE).await.unwrap(), lite);
}
