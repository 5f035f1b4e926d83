//! A token is only sent to addresses of its installation, even if the app supplies another.

use forge_remote::client::{AtlassianClient, ClientError, InstallationUrls};
use forge_remote_tests::fake_api::{SITE, Server, page_call_for, respond, scheduled_call_for};
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_is_sent_only_to_its_installations_site() {
    let server = Server::start(|_, _| respond(200, json!({}))).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    for received in [
        page_call_for(&server).await,
        scheduled_call_for(&server).await,
    ] {
        let at = |url: String| InstallationUrls::new(received.call.installation_id()).jira(url);
        let own = at(format!("{}/ex/jira/{SITE}", server.origin));
        let call = atlassian
            .jira(&own)
            .as_app(&received.system)
            .get("/rest/api/3/myself");
        call.fetch::<Value>().await.unwrap();
        for other in [
            "/ex/jira/d0d52620-0000-4000-a000-000000000000",
            "/ex/jira/",
            "/ex/jira",
            "/",
            // A URL parser resolves these to another site's address.
            "/ex/jira/OWN/../d0d52620-0000-4000-a000-000000000000",
            "/ex/jira/OWN/%2e%2e/d0d52620-0000-4000-a000-000000000000",
            "/ex/jira/OWN/..\\d0d52620-0000-4000-a000-000000000000",
            "/e\tx/jira/d0d52620-0000-4000-a000-000000000000/ex/jira/OWN/../../..",
            "/x/ex/jira/OWN",
        ] {
            let other = other.replace("OWN", SITE);
            let site = at(format!("{}{other}", server.origin));
            let before = server.requests().len();
            let call = atlassian
                .jira(&site)
                .as_app(&received.system)
                .get("/rest/api/3/myself");
            let error = call.fetch::<Value>().await.unwrap_err();
            assert!(
                matches!(error, ClientError::WrongToken { .. }),
                "{other}: {error}"
            );
            assert_eq!(server.requests().len(), before, "{other}");
        }
    }
    let received = page_call_for(&server).await;
    let other = format!(
        "{}/ex/jira/d0d52620-0000-4000-a000-000000000000",
        server.origin
    );
    let other = InstallationUrls::new(received.call.installation_id()).jira(other);
    let user = atlassian.jira(&other).as_user(&received.user);
    assert!(user.base_url().is_err());
}

/// The app read something other than a cloud id from its database.
#[tokio::test]
async fn a_supplied_address_names_a_site() {
    let server = Server::start(|_, _| respond(200, json!({}))).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let received = scheduled_call_for(&server).await;
    let ari = "ari:cloud:ecosystem::installation/11111111-0000-4000-a000-000000000000";
    for wrong in [ari, "ari:cloud:jira::site", "https:", "my site", ""] {
        let url = format!("{}/ex/jira/{wrong}", server.origin);
        let there = InstallationUrls::new(received.call.installation_id()).jira(url);
        let jira = atlassian.jira(&there);
        assert_eq!(jira.cloud_id(), None, "{wrong}");
        let before = server.requests().len();
        assert!(
            jira.impersonate(&received.system, "5b10ac8d82e05b22cc7d4ef5")
                .await
                .is_err()
        );
        assert_eq!(server.requests().len(), before, "{wrong}");
    }
}
