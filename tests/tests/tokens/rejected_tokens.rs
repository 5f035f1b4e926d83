//! A stored token that Atlassian rejects is replaced by the next one, regardless of its expiry.

use forge_remote::client::{AtlassianClient, InstallationUrls};
use forge_remote::prelude::*;
use forge_remote_tests::fake_api::{SITE, Server, respond};
use forge_remote_tests::stores::{FlakyStore, b64_of};
use forge_remote_tests::token_app::{HOUR, ONE, TokenApp, ari, open_tokens, start_on};
use serde_json::{Value, json};

/// Starts a server that rejects tokens with this mark.
async fn server_rejecting(mark: &'static str) -> Server {
    Server::start(move |_, request| {
        if request.header("authorization").ends_with(&b64_of(mark)) {
            respond(401, json!({ "message": "Unauthorized" }))
        } else {
            respond(200, json!({}))
        }
    })
    .await
}

/// Calls Jira with the stored token and returns the status.
async fn call(tokens: &Tokens, server: &Server) -> u16 {
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let site = InstallationUrls::new(ari(ONE)).jira(format!("{}/ex/jira/{SITE}", server.origin));
    let jira = atlassian.jira(&site).as_app_renewing(tokens).await.unwrap();
    match jira.get("/rest/api/3/myself").fetch::<Value>().await {
        Ok(_) => 200,
        Err(error) => error.status().unwrap().as_u16(),
    }
}

/// Delivers a token for an installation on this site, as Forge does.
async fn deliver(app: &TokenApp, token: &str) {
    let call = app.harness.call("renew").fit(|fit| {
        let url = format!("https://api.atlassian.com/ex/jira/{SITE}");
        let contexts = json!([{ "name": "jira", "apiBaseUrl": url, "cloudId": SITE }]);
        fit.installation(ONE)
            .set("/app/installation/contexts", contexts)
            .set("/app/apiBaseUrl", url.into())
    });
    let response = call.header("x-forge-oauth-system", token).send().await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn the_next_token_replaces_a_rejected_one() {
    let (store, server) = (FlakyStore::default(), server_rejecting("revoked").await);
    let app = start_on(&store).await;
    let (revoked, good) = (app.token(4 * HOUR, "revoked"), app.token(2 * HOUR, "good"));
    deliver(&app, &revoked).await;
    // A token that was not rejected still wins.
    deliver(&app, &good).await;
    assert_eq!(app.system(ONE).await.unwrap(), revoked);

    assert_eq!(call(&app.tokens, &server).await, 401);
    deliver(&app, &good).await;
    assert_eq!(app.system(ONE).await.unwrap(), good);
    assert_eq!(call(&app.tokens, &server).await, 200);
    // Forge may cache the revoked token for a while.
    deliver(&app, &revoked).await;
    assert_eq!(app.system(ONE).await.unwrap(), good);
    app.tokens.flush().await.unwrap();
    let other = open_tokens(&store).await.system(&ari(ONE)).await.unwrap();
    assert_eq!(other.expose_secret(), good);
}

/// A token rejected at one instance is replaced at another.
#[tokio::test]
async fn other_instances_see_the_replacement() {
    let (store, server) = (FlakyStore::default(), server_rejecting("revoked").await);
    let (one, two) = (start_on(&store).await, start_on(&store).await);
    let (revoked, good) = (one.token(4 * HOUR, "revoked"), one.token(2 * HOUR, "good"));
    deliver(&one, &revoked).await;
    one.tokens.flush().await.unwrap();
    assert_eq!(two.system(ONE).await.unwrap(), revoked);

    assert_eq!(call(&one.tokens, &server).await, 401);
    one.tokens.flush().await.unwrap();
    two.minutes(2).await;
    assert_eq!(two.system(ONE).await.unwrap(), revoked);
    deliver(&two, &good).await;
    assert_eq!(two.system(ONE).await.unwrap(), good);
    two.tokens.flush().await.unwrap();

    one.minutes(2).await;
    assert_eq!(one.system(ONE).await.unwrap(), good);
    one.tokens.flush().await.unwrap();
    two.minutes(2).await;
    assert_eq!(two.system(ONE).await.unwrap(), good);
    let third = open_tokens(&store).await.system(&ari(ONE)).await.unwrap();
    assert_eq!(third.expose_secret(), good);
}
