//! A lookup by site returns the token of that site's installation and of no other.

use forge_remote::fit::{Environment, VerificationPolicy};
use forge_remote::prelude::*;
use forge_remote::token::{Site, TokenError, TokenStore as _};
use forge_remote_tests::stores::{FlakyStore, KEYS};
use forge_remote_tests::token_app::{
    HOUR, MINUTE, ONE, OTHER, TokenApp, ari, renewing_app, start_on, tokens_in,
};
use serde_json::json;

const SITE: &str = "11111111-2222-3333-4444-555555555555";
const ELSEWHERE: &str = "99999999-2222-3333-4444-555555555555";

/// Delivers a token for an installation of this environment in a product of a site.
async fn deliver(app: &TokenApp, uuid: &str, environment: &str, place: (&str, &str), token: &str) {
    let (product, site) = place;
    let url = format!("https://api.atlassian.com/ex/{product}/{site}");
    let contexts = json!([{ "name": product, "apiBaseUrl": url, "cloudId": site }]);
    let call = app.harness.call("renew").fit(|fit| {
        fit.installation(uuid)
            .environment(environment)
            .set("/app/apiBaseUrl", url.into())
            .set("/app/installation/contexts", contexts)
    });
    let call = call.header("x-forge-oauth-system", token);
    assert_eq!(call.send().await.status(), 200);
}

async fn found(app: &TokenApp, site: impl Into<Site>) -> Result<String, TokenError> {
    let token = app.tokens.system_for_site(site).await;
    token.map(|token| token.expose_secret().to_owned())
}

/// Returns the installations that an error calls ambiguous.
fn ambiguous(found: Result<String, TokenError>) -> Vec<String> {
    match found {
        Err(TokenError::Ambiguous {
            installation_ids, ..
        }) => installation_ids,
        other => vec![format!("{other:?}")],
    }
}

#[tokio::test]
async fn another_environments_token_never_replaces_an_expired_one() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let (short, long) = (app.token(HOUR, "prod"), app.token(3 * HOUR, "dev"));
    deliver(&app, ONE, "PRODUCTION", ("jira", SITE), &short).await;
    deliver(&app, OTHER, "DEVELOPMENT", ("jira", SITE), &long).await;
    app.tokens.flush().await.unwrap();
    let production = || Site::new(SITE).environment(Environment::Production);
    let development = || Site::new(SITE).environment(Environment::Development);
    assert_eq!(found(&app, production()).await.unwrap(), short);
    assert_eq!(found(&app, development()).await.unwrap(), long);

    app.clock.advance(2 * HOUR);
    let fresh = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&store)).await;
    for app in [&app, &fresh] {
        assert_eq!(ambiguous(found(app, SITE).await), [ari(ONE), ari(OTHER)]);
        assert_eq!(found(app, development()).await.unwrap(), long);
        let error = found(app, production()).await.unwrap_err();
        assert!(
            matches!(&error, TokenError::Ended { installation_id, .. } if *installation_id == ari(ONE)),
            "{error}"
        );
        let there = app.tokens.find_by_site(SITE).await.unwrap();
        assert_eq!(there.len(), 1);
        assert_eq!(there[0].installation_id(), ari(OTHER));
    }
    // When all have expired, the error names the last one.
    app.clock.advance(2 * HOUR);
    for app in [&app, &fresh] {
        let error = found(app, SITE).await.unwrap_err();
        assert!(
            matches!(&error, TokenError::Ended { installation_id, .. } if *installation_id == ari(OTHER)),
            "{error}"
        );
    }
    let error = found(&app, ELSEWHERE).await.unwrap_err();
    assert!(matches!(error, TokenError::NeverSeen { .. }), "{error}");
}

#[tokio::test]
async fn another_environments_token_never_replaces_one_that_cannot_be_opened() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    deliver(
        &app,
        ONE,
        "PRODUCTION",
        ("jira", SITE),
        &app.token(3 * HOUR, ""),
    )
    .await;
    app.tokens.flush().await.unwrap();
    let keys = format!("{},{}", KEYS[1], KEYS[0]);
    let rotated = Tokens::new(store.clone()).keys(keys);
    let rotated = TokenApp::at(app.clock.clone(), renewing_app(), rotated).await;
    let token = app.token(3 * HOUR, "dev");
    deliver(&rotated, OTHER, "DEVELOPMENT", ("jira", SITE), &token).await;
    rotated.tokens.flush().await.unwrap();

    let only_new = Tokens::new(store.clone()).keys(KEYS[1]);
    let only_new = TokenApp::at(app.clock.clone(), renewing_app(), only_new).await;
    let both = ambiguous(found(&only_new, SITE).await);
    assert_eq!(both, [ari(OTHER), ari(ONE)]);
    let development = Site::new(SITE).environment(Environment::Development);
    assert_eq!(found(&only_new, development).await.unwrap(), token);
    let production = Site::new(SITE).environment(Environment::Production);
    let error = found(&only_new, production).await.unwrap_err();
    assert!(matches!(error, TokenError::Sealed { .. }), "{error}");
}

#[tokio::test]
async fn products_are_distinguished_and_a_reinstallation_replaces() {
    let app = start_on(&FlakyStore::default()).await;
    let (jira, confluence) = (app.token(HOUR, "jira"), app.token(3 * HOUR, "wiki"));
    deliver(&app, ONE, "PRODUCTION", ("jira", SITE), &jira).await;
    deliver(&app, OTHER, "PRODUCTION", ("confluence", SITE), &confluence).await;
    let site = || Site::new(SITE).environment(Environment::Production);
    assert_eq!(ambiguous(found(&app, site()).await).len(), 2);
    assert_eq!(found(&app, site().product("jira")).await.unwrap(), jira);
    let wiki = Site::new(SITE).product("confluence");
    assert_eq!(found(&app, wiki).await.unwrap(), confluence);

    // Reinstalled without an uninstallation: the old token expires, and the new one is meant.
    let reinstalled = "0a3a7799-0000-4000-a000-000000000003";
    app.clock.advance(HOUR);
    let again = app.token(3 * HOUR, "again");
    deliver(&app, reinstalled, "PRODUCTION", ("jira", SITE), &again).await;
    assert_eq!(found(&app, site().product("jira")).await.unwrap(), again);
    assert_eq!(
        ambiguous(found(&app, Site::new(SITE).product("jira")).await).len(),
        2
    );
}

/// An attacker can write to the store but has no key.
#[tokio::test]
async fn the_sealed_site_counts_and_not_the_stores_index() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    deliver(
        &app,
        ONE,
        "PRODUCTION",
        ("jira", ELSEWHERE),
        &app.token(3 * HOUR, ""),
    )
    .await;
    app.tokens.flush().await.unwrap();
    let mut changed = store.get(&ari(ONE)).await.unwrap().unwrap();
    changed.cloud_ids = vec![SITE.to_owned()];
    store.put(vec![changed]).await.unwrap();

    let fresh = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&store)).await;
    for app in [&app, &fresh] {
        assert_eq!(app.tokens.find_by_site(SITE).await.unwrap().len(), 0);
        let error = found(app, SITE).await.unwrap_err();
        assert!(matches!(error, TokenError::NeverSeen { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_installation_that_moved_is_found_where_it_is() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let token = app.token(3 * HOUR, "");
    deliver(&app, ONE, "PRODUCTION", ("jira", SITE), &token).await;
    app.tokens.flush().await.unwrap();
    let other = TokenApp::at(app.clock.clone(), renewing_app(), tokens_in(&store)).await;
    assert_eq!(found(&other, SITE).await.unwrap(), token);

    let moved = app.token(3 * HOUR + MINUTE, "moved");
    deliver(&app, ONE, "PRODUCTION", ("jira", ELSEWHERE), &moved).await;
    // In this instance before the write, in others after it.
    assert_eq!(app.tokens.find_by_site(SITE).await.unwrap().len(), 0);
    app.tokens.flush().await.unwrap();
    app.clock.advance(MINUTE);
    for app in [&app, &other] {
        assert!(found(app, SITE).await.is_err());
        assert_eq!(found(app, ELSEWHERE).await.unwrap(), moved);
    }
}

#[tokio::test]
async fn a_sites_token_survives_a_store_that_lost_it() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let token = app.token(3 * HOUR, "");
    deliver(&app, ONE, "PRODUCTION", ("jira", SITE), &token).await;
    app.tokens.flush().await.unwrap();
    store.lose_everything();
    app.clock.advance(MINUTE);
    assert_eq!(found(&app, SITE).await.unwrap(), token);
    store.down(true);
    assert_eq!(found(&app, SITE).await.unwrap(), token);
    store.down(false);
    app.tokens.remove(&ari(ONE)).await.unwrap();
    let error = found(&app, SITE).await.unwrap_err();
    assert!(matches!(error, TokenError::NeverSeen { .. }), "{error}");
}

/// In one store for all environments of an app, each deployment sees only its own.
#[tokio::test]
async fn only_tokens_of_accepted_environments_are_returned() {
    let store = FlakyStore::default();
    let app = start_on(&store).await;
    let (one, other) = (app.token(3 * HOUR, "one"), app.token(3 * HOUR, "other"));
    deliver(&app, ONE, "PRODUCTION", ("jira", SITE), &one).await;
    deliver(&app, OTHER, "DEVELOPMENT", ("jira", SITE), &other).await;
    app.tokens.flush().await.unwrap();

    let policy = VerificationPolicy::default().environments([Environment::Production]);
    let strict = renewing_app().verification(policy);
    let strict = TokenApp::at(app.clock.clone(), strict, tokens_in(&store)).await;
    assert_eq!(strict.listed().await, [ari(ONE)]);
    assert_eq!(strict.system(ONE).await.unwrap(), one);
    assert!(matches!(
        strict.system(OTHER).await,
        Err(TokenError::NeverSeen { .. })
    ));
    assert_eq!(found(&strict, SITE).await.unwrap(), one);
    assert_eq!(strict.tokens.find_by_site(SITE).await.unwrap().len(), 1);
    // A worker without an app configures it explicitly.
    let worker = tokens_in(&store).environments([Environment::Development]);
    worker.open().await.unwrap();
    let listed = worker.installations().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].installation_id(), ari(OTHER));
}
