//! An address that the app supplies must be one of the token's installation.

#![allow(clippy::unwrap_used)]

use forge_remote::client::{AtlassianClient, ClientError, InstallationUrls};
use forge_remote_tests::back::{SITE, Server, came_from_page, delivered_from, told};
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_goes_to_no_other_site_than_its_installations() {
    let server = Server::start(|_, _| told(200, json!({}))).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    for came in [came_from_page(&server).await, delivered_from(&server).await] {
        let at = |url: String| InstallationUrls::new(came.call.installation_id()).jira(url);
        let own = at(format!("{}/ex/jira/{SITE}", server.origin));
        let call = atlassian
            .jira(&own)
            .as_app(&came.system)
            .get("/rest/api/3/myself");
        call.fetch::<Value>().await.unwrap();
        for other in [
            "/ex/jira/d0d52620-0000-4000-a000-000000000000",
            "/ex/jira/",
            "/ex/jira",
            "/",
            // What a URL's parser makes of these is another site's address.
            "/ex/jira/OWN/../d0d52620-0000-4000-a000-000000000000",
            "/ex/jira/OWN/%2e%2e/d0d52620-0000-4000-a000-000000000000",
            "/ex/jira/OWN/..\\d0d52620-0000-4000-a000-000000000000",
            "/e\tx/jira/d0d52620-0000-4000-a000-000000000000/ex/jira/OWN/../../..",
            "/x/ex/jira/OWN",
        ] {
            let other = other.replace("OWN", SITE);
            let site = at(format!("{}{other}", server.origin));
            let before = server.asked().len();
            let call = atlassian
                .jira(&site)
                .as_app(&came.system)
                .get("/rest/api/3/myself");
            let error = call.fetch::<Value>().await.unwrap_err();
            assert!(
                matches!(error, ClientError::WrongToken { .. }),
                "{other}: {error}"
            );
            assert_eq!(server.asked().len(), before, "{other}");
        }
    }
    let came = came_from_page(&server).await;
    let other = format!(
        "{}/ex/jira/d0d52620-0000-4000-a000-000000000000",
        server.origin
    );
    let other = InstallationUrls::new(came.call.installation_id()).jira(other);
    let user = atlassian.jira(&other).as_user(&came.user);
    assert!(user.base_url().is_err());
}
