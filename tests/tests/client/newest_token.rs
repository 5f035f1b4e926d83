//! A renewing client takes the app's newest token for each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use forge_remote::client::{AtlassianClient, ClientError};
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::{Installation, MemoryTokens, TokenError};
use forge_remote_tests::fake_api::{SITE, Server, error_text, respond, scheduled_call};
use forge_remote_tests::stores::oauth;
use serde_json::json;

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

const HOUR: Duration = Duration::from_secs(3600);
const HERE: &str = "0a3a7799-0000-4000-a000-000000000001";

/// An app that stores tokens, its clock, and an installation whose Jira is a test server.
struct InstalledApp {
    harness: Harness,
    tokens: Tokens,
    clock: TestClock,
    jira: String,
}

impl InstalledApp {
    async fn on(server: &Server) -> Self {
        let tokens = Tokens::new(MemoryTokens::new());
        let clock = TestClock::new();
        let builder = App::empty()
            .handler(handler!(renew))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .clock(clock.clone())
            .token_store(tokens.clone());
        let harness = Harness::new(builder.connect().await.unwrap()).unwrap();
        Self {
            harness,
            tokens,
            clock,
            jira: format!("{}/ex/jira/{SITE}", server.origin),
        }
    }

    /// Makes Forge's hourly call with a token of this lifetime.
    async fn deliver(&self, life: Duration, mark: &str) {
        let contexts = json!([{ "name": "jira", "apiBaseUrl": self.jira, "cloudId": SITE }]);
        let call = self.harness.call("renew").fit(|fit| {
            fit.installation(HERE)
                .set("/app/installation/contexts", contexts)
        });
        let token = oauth(self.clock.now() + life, mark);
        let response = call.header("x-forge-oauth-system", &token).send().await;
        assert_eq!(response.status(), 200, "{response:?}");
    }

    async fn installation(&self) -> Installation {
        self.tokens.installations().await.unwrap().pop().unwrap()
    }
}

/// Returns the last part of the token in a request.
fn mark(authorization: &str) -> String {
    authorization.rsplit('.').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_listing_outlives_its_tokens() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let server = Server::start(move |_, request| {
        let at = request.target.split("nextPageToken=").nth(1);
        let at: usize = at.map_or(0, |at| at.parse().unwrap());
        count.fetch_add(1, Ordering::SeqCst);
        let next = (at < 5).then(|| (at + 1).to_string());
        respond(200, json!({ "issues": [at], "nextPageToken": next }))
    })
    .await;
    let app = InstalledApp::on(&server).await;
    app.deliver(HOUR, "token-0").await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let jira = atlassian.jira(&app.installation().await);
    let client = jira.as_app_renewing(&app.tokens).await.unwrap();
    let mut pages = client.get("/rest/api/3/search/jql").pages::<usize>();
    for page in 0..=5_usize {
        assert_eq!(pages.next().await.unwrap().unwrap(), page);
        // Each page takes longer than the lifetime of a token.
        app.clock.advance(HOUR);
        app.deliver(HOUR, &format!("token-{}", page + 1)).await;
    }
    assert!(pages.next().await.is_none());
    let received: Vec<String> = server
        .requests()
        .iter()
        .map(|one| mark(one.header("authorization")))
        .collect();
    let delivered = (0..=5).map(|at| mark(&oauth(app.clock.now(), &format!("token-{at}"))));
    assert_eq!(received, delivered.collect::<Vec<_>>());
    assert_eq!(served.load(Ordering::SeqCst), 6);

    // Nothing is sent with an expired token; the stream resumes with the next token.
    let mut pages = client.get("/rest/api/3/search/jql").pages::<usize>();
    assert_eq!(pages.next().await.unwrap().unwrap(), 0);
    app.clock.advance(HOUR);
    let error = pages.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, ClientError::Token(TokenError::Ended { .. })),
        "{error}"
    );
    assert!(
        error_text(&error).contains("no token to act as the app"),
        "{error}"
    );
    assert_eq!(server.lines().len(), 7);
    app.deliver(HOUR, "token-7").await;
    assert!(pages.retry_page());
    assert_eq!(pages.next().await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn without_a_token_there_is_no_client() {
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
    let app = InstalledApp::on(&server).await;
    let received = scheduled_call(&[("jira", &app.jira)]).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let error = atlassian
        .jira(&received.call)
        .as_app_renewing(&app.tokens)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::Token(TokenError::NeverSeen { .. })),
        "{error}"
    );
    assert_eq!(server.lines(), [""; 0]);
}
