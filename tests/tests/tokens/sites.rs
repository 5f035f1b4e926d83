//! Installations by their site: never another one's token.

#![allow(clippy::unwrap_used)]

use forge_remote::fit::{Environment, VerificationPolicy};
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::token::{Site, TokenError, TokenStore as _};
use forge_remote_tests::kept::{HOUR, Kept, MINUTE, ONE, OTHER, ari, tokens_in};
use forge_remote_tests::stores::{Flaky, KEYS};
use serde_json::json;

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

const SITE: &str = "11111111-2222-3333-4444-555555555555";
const ELSEWHERE: &str = "99999999-2222-3333-4444-555555555555";

fn app() -> App {
    App::empty()
        .handler(handler!(renew))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

async fn kept_on(store: &Flaky) -> Kept {
    Kept::new(app(), tokens_in(store)).await
}

/// Brings a token for an installation of this environment, in a product of a site.
async fn deliver(kept: &Kept, uuid: &str, environment: &str, place: (&str, &str), token: &str) {
    let (product, site) = place;
    let url = format!("https://api.atlassian.com/ex/{product}/{site}");
    let contexts = json!([{ "name": product, "apiBaseUrl": url, "cloudId": site }]);
    let call = kept.harness.call("renew").fit(|fit| {
        fit.installation(uuid)
            .environment(environment)
            .set("/app/apiBaseUrl", url.into())
            .set("/app/installation/contexts", contexts)
    });
    let call = call.header("x-forge-oauth-system", token);
    assert_eq!(call.send().await.status(), 200);
}

async fn found(kept: &Kept, site: impl Into<Site>) -> Result<String, TokenError> {
    let token = kept.tokens.system_for_site(site).await;
    token.map(|token| token.expose_secret().to_owned())
}

/// The installations that an error says can't be told apart.
fn ambiguous(found: Result<String, TokenError>) -> Vec<String> {
    match found {
        Err(TokenError::Ambiguous {
            installation_ids, ..
        }) => installation_ids,
        other => vec![format!("{other:?}")],
    }
}

#[tokio::test]
async fn another_environments_token_never_takes_the_place_of_one_that_ended() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    let (short, long) = (kept.token(HOUR, "prod"), kept.token(3 * HOUR, "dev"));
    deliver(&kept, ONE, "PRODUCTION", ("jira", SITE), &short).await;
    deliver(&kept, OTHER, "DEVELOPMENT", ("jira", SITE), &long).await;
    kept.tokens.flush().await.unwrap();
    let production = || Site::new(SITE).environment(Environment::Production);
    let development = || Site::new(SITE).environment(Environment::Development);
    assert_eq!(found(&kept, production()).await.unwrap(), short);
    assert_eq!(found(&kept, development()).await.unwrap(), long);

    kept.clock.advance(2 * HOUR);
    let fresh = Kept::at(kept.clock.clone(), app(), tokens_in(&store)).await;
    for kept in [&kept, &fresh] {
        assert_eq!(ambiguous(found(kept, SITE).await), [ari(ONE), ari(OTHER)]);
        assert_eq!(found(kept, development()).await.unwrap(), long);
        let error = found(kept, production()).await.unwrap_err();
        assert!(
            matches!(&error, TokenError::Ended { installation_id, .. } if *installation_id == ari(ONE)),
            "{error}"
        );
        let there = kept.tokens.find_by_site(SITE).await.unwrap();
        assert_eq!(there.len(), 1);
        assert_eq!(there[0].installation_id(), ari(OTHER));
    }
    // When all have ended, that is what is said: of the last.
    kept.clock.advance(2 * HOUR);
    for kept in [&kept, &fresh] {
        let error = found(kept, SITE).await.unwrap_err();
        assert!(
            matches!(&error, TokenError::Ended { installation_id, .. } if *installation_id == ari(OTHER)),
            "{error}"
        );
    }
    let error = found(&kept, ELSEWHERE).await.unwrap_err();
    assert!(matches!(error, TokenError::NeverSeen { .. }), "{error}");
}

#[tokio::test]
async fn nor_that_of_one_that_can_not_be_opened() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    deliver(
        &kept,
        ONE,
        "PRODUCTION",
        ("jira", SITE),
        &kept.token(3 * HOUR, ""),
    )
    .await;
    kept.tokens.flush().await.unwrap();
    let keys = format!("{},{}", KEYS[1], KEYS[0]);
    let rotated = Tokens::new(store.clone()).keys(keys);
    let rotated = Kept::at(kept.clock.clone(), app(), rotated).await;
    let token = kept.token(3 * HOUR, "dev");
    deliver(&rotated, OTHER, "DEVELOPMENT", ("jira", SITE), &token).await;
    rotated.tokens.flush().await.unwrap();

    let only_new = Tokens::new(store.clone()).keys(KEYS[1]);
    let only_new = Kept::at(kept.clock.clone(), app(), only_new).await;
    let both = ambiguous(found(&only_new, SITE).await);
    assert_eq!(both, [ari(OTHER), ari(ONE)]);
    let development = Site::new(SITE).environment(Environment::Development);
    assert_eq!(found(&only_new, development).await.unwrap(), token);
    let production = Site::new(SITE).environment(Environment::Production);
    let error = found(&only_new, production).await.unwrap_err();
    assert!(matches!(error, TokenError::Sealed { .. }), "{error}");
}

#[tokio::test]
async fn products_are_told_apart_and_a_reinstallation_replaces() {
    let kept = kept_on(&Flaky::default()).await;
    let (jira, confluence) = (kept.token(HOUR, "jira"), kept.token(3 * HOUR, "wiki"));
    deliver(&kept, ONE, "PRODUCTION", ("jira", SITE), &jira).await;
    deliver(
        &kept,
        OTHER,
        "PRODUCTION",
        ("confluence", SITE),
        &confluence,
    )
    .await;
    let site = || Site::new(SITE).environment(Environment::Production);
    assert_eq!(ambiguous(found(&kept, site()).await).len(), 2);
    assert_eq!(found(&kept, site().product("jira")).await.unwrap(), jira);
    let wiki = Site::new(SITE).product("confluence");
    assert_eq!(found(&kept, wiki).await.unwrap(), confluence);

    // Installed anew, without a goodbye: the old one ends, the new one is meant.
    let anew = "0a3a7799-0000-4000-a000-000000000003";
    kept.clock.advance(HOUR);
    let again = kept.token(3 * HOUR, "again");
    deliver(&kept, anew, "PRODUCTION", ("jira", SITE), &again).await;
    assert_eq!(found(&kept, site().product("jira")).await.unwrap(), again);
    assert_eq!(
        ambiguous(found(&kept, Site::new(SITE).product("jira")).await).len(),
        2
    );
}

/// Who can write to the store, but has no key.
#[tokio::test]
async fn what_is_sealed_counts_and_not_the_stores_index() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    deliver(
        &kept,
        ONE,
        "PRODUCTION",
        ("jira", ELSEWHERE),
        &kept.token(3 * HOUR, ""),
    )
    .await;
    kept.tokens.flush().await.unwrap();
    let mut changed = store.get(&ari(ONE)).await.unwrap().unwrap();
    changed.cloud_ids = vec![SITE.to_owned()];
    store.put(vec![changed]).await.unwrap();

    let fresh = Kept::at(kept.clock.clone(), app(), tokens_in(&store)).await;
    for kept in [&kept, &fresh] {
        assert_eq!(kept.tokens.find_by_site(SITE).await.unwrap().len(), 0);
        let error = found(kept, SITE).await.unwrap_err();
        assert!(matches!(error, TokenError::NeverSeen { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_installation_that_moved_is_found_where_it_is() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    let token = kept.token(3 * HOUR, "");
    deliver(&kept, ONE, "PRODUCTION", ("jira", SITE), &token).await;
    kept.tokens.flush().await.unwrap();
    let other = Kept::at(kept.clock.clone(), app(), tokens_in(&store)).await;
    assert_eq!(found(&other, SITE).await.unwrap(), token);

    let moved = kept.token(3 * HOUR + MINUTE, "moved");
    deliver(&kept, ONE, "PRODUCTION", ("jira", ELSEWHERE), &moved).await;
    // Here before it is written; elsewhere once it is.
    assert_eq!(kept.tokens.find_by_site(SITE).await.unwrap().len(), 0);
    kept.tokens.flush().await.unwrap();
    kept.clock.advance(MINUTE);
    for kept in [&kept, &other] {
        assert!(found(kept, SITE).await.is_err());
        assert_eq!(found(kept, ELSEWHERE).await.unwrap(), moved);
    }
}

#[tokio::test]
async fn a_store_that_lost_a_sites_token_is_no_reason_to_lose_it() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    let token = kept.token(3 * HOUR, "");
    deliver(&kept, ONE, "PRODUCTION", ("jira", SITE), &token).await;
    kept.tokens.flush().await.unwrap();
    store.lose_everything();
    kept.clock.advance(MINUTE);
    assert_eq!(found(&kept, SITE).await.unwrap(), token);
    store.down(true);
    assert_eq!(found(&kept, SITE).await.unwrap(), token);
    store.down(false);
    kept.tokens.remove(&ari(ONE)).await.unwrap();
    let error = found(&kept, SITE).await.unwrap_err();
    assert!(matches!(error, TokenError::NeverSeen { .. }), "{error}");
}

/// One store for all environments of an app: each deployment sees its own.
#[tokio::test]
async fn only_accepted_environments_are_handed_out() {
    let store = Flaky::default();
    let kept = kept_on(&store).await;
    let (one, other) = (kept.token(3 * HOUR, "one"), kept.token(3 * HOUR, "other"));
    deliver(&kept, ONE, "PRODUCTION", ("jira", SITE), &one).await;
    deliver(&kept, OTHER, "DEVELOPMENT", ("jira", SITE), &other).await;
    kept.tokens.flush().await.unwrap();

    let policy = VerificationPolicy::default().environments([Environment::Production]);
    let strict = app().verification(policy);
    let strict = Kept::at(kept.clock.clone(), strict, tokens_in(&store)).await;
    assert_eq!(strict.listed().await, [ari(ONE)]);
    assert_eq!(strict.system(ONE).await.unwrap(), one);
    assert!(matches!(
        strict.system(OTHER).await,
        Err(TokenError::NeverSeen { .. })
    ));
    assert_eq!(found(&strict, SITE).await.unwrap(), one);
    assert_eq!(strict.tokens.find_by_site(SITE).await.unwrap().len(), 1);
    // A worker without an app says it itself.
    let worker = tokens_in(&store).environments([Environment::Development]);
    worker.open().await.unwrap();
    let listed = worker.installations().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].installation_id(), ari(OTHER));
}
