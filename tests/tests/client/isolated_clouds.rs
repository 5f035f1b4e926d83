//! An app of the commercial and an isolated cloud calls each installation in its own cloud.

use std::sync::{Arc, Mutex};

use forge_remote::client::{AtlassianClient, ClientError, IsolatedCloud};
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::token::MemoryTokens;
use forge_remote_tests::fake_api::{SITE, Server, respond};
use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, FIRST_KID, Fit, key_set};
use forge_remote_tests::rsa::{first, second};
use forge_remote_tests::test_app::TestApp;
use serde_json::{Value, json};

/// The id of the isolated cloud's installation.
const ORANGE_ID: &str = "ari:cloud:ecosystem::installation/0a3a7799-0000-4000-a000-00000000000a";

#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<ClientError>>>);

#[scheduled_trigger(interval = "hour", auth = system)]
async fn callback(call: Invocation, token: SystemToken, State(errors): State<Errors>) {
    let results = [
        call.jira()
            .as_app(&token)
            .get("/rest/x")
            .send()
            .await
            .map(drop),
        call.graphql()
            .as_app(&token)
            .operation("{ a }")
            .fetch::<Value>()
            .await
            .map(drop),
        call.storage(&token).delete("k").await,
    ];
    let failed = results.into_iter().filter_map(Result::err);
    errors.0.lock().unwrap().extend(failed);
}

struct Clouds {
    app: TestApp,
    errors: Errors,
    tokens: Tokens,
    atlassian: AtlassianClient,
    commercial: Server,
    orange: Server,
    _keys: JwksServer,
}

/// Starts an app of both clouds; `cloud` configures the API URLs of the isolated one.
async fn clouds(cloud: impl FnOnce(IsolatedCloud, &str) -> IsolatedCloud) -> Clouds {
    let response = |_: usize, _: &_| respond(200, json!({ "data": { "a": 1 } }));
    let (commercial, orange) = (Server::start(response).await, Server::start(response).await);
    let keys = JwksServer::start(JwksResponse::Keys(key_set(&[second().jwk("isolated")]))).await;
    let atlassian = AtlassianClient::on_loopback(&commercial.origin).unwrap();
    let tokens = Tokens::new(MemoryTokens::new());
    let errors = Errors::default();
    let cloud = cloud(IsolatedCloud::new(keys.url()), &orange.origin);
    let app = TestApp::with(
        JwksResponse::Keys(key_set(&[first().jwk(FIRST_KID)])),
        |app| {
            app.handler(handler!(callback))
                .state(errors.clone())
                .token_store(tokens.clone())
                .client(atlassian.clone())
                .isolated_cloud("orange", cloud)
        },
    )
    .await;
    Clouds {
        app,
        errors,
        tokens,
        atlassian,
        commercial,
        orange,
        _keys: keys,
    }
}

impl Clouds {
    fn fit(&self, jira: &str) -> Fit {
        let base = format!("{jira}/ex/jira/{SITE}");
        let contexts = json!([{ "name": "jira", "apiBaseUrl": base, "cloudId": SITE }]);
        Fit::backend(self.app.now(), "callback")
            .claim("/app/apiBaseUrl", base)
            .claim("/app/installation/contexts", contexts)
    }

    fn orange_fit(&self, jira: &str) -> String {
        // Another installation, since each is bound to its cloud.
        let fit = self.fit(jira).head("kid", "isolated");
        let fit = fit.claim("/app/installationId", ORANGE_ID);
        let fit = fit.claim("/app/installation/id", ORANGE_ID);
        fit.claim("/icLabel", "orange").sign(second())
    }

    /// Makes the handler call Atlassian with this token; returns the errors.
    async fn call(&self, token: &str, system: &str) -> Vec<ClientError> {
        let call = Call::post("/callback").bearer(token);
        let call = call.header("x-forge-oauth-system", system);
        let response = self.app.send(&call).await.unwrap();
        assert_eq!(response.status, 200, "{}", response.excerpt());
        std::mem::take(&mut *self.errors.0.lock().unwrap())
    }
}

fn request_lines(base: &str) -> [String; 3] {
    [
        format!("GET /ex/jira/{SITE}/rest/x"),
        "POST /graphql".to_owned(),
        format!("POST {base}/v1/delete"),
    ]
}

#[tokio::test]
async fn each_installation_is_called_in_its_own_cloud() {
    let all = clouds(|cloud, url| cloud.api_url(url).storage_url(format!("{url}/kvs/"))).await;
    let (commercial, orange) = (all.commercial.origin.clone(), all.orange.origin.clone());
    let token = all.orange_fit(&orange);
    assert_eq!(all.call(&token, "oranges").await.len(), 0);
    assert_eq!(all.orange.lines(), request_lines("/kvs"));
    assert_eq!(all.commercial.lines(), [""; 0]);

    let token = all.fit(&commercial).sign(first());
    assert_eq!(all.call(&token, "commercials").await.len(), 0);
    assert_eq!(all.commercial.lines(), request_lines("/forge/storage/kvs"));
    assert_eq!(all.orange.lines().len(), 3);
    for (server, token) in [(&all.orange, "oranges"), (&all.commercial, "commercials")] {
        let requests = server.requests();
        let expected = format!("Bearer {token}");
        assert!(
            requests
                .iter()
                .all(|one| one.header("authorization") == expected)
        );
    }
}

/// A token is sent only to the hosts of its cloud, regardless of its base URL.
#[tokio::test]
async fn no_token_is_sent_to_the_other_cloud() {
    let all = clouds(|cloud, url| cloud.api_url(url)).await;
    let (commercial, orange) = (all.commercial.origin.clone(), all.orange.origin.clone());
    for (token, own) in [
        (all.orange_fit(&commercial), &all.orange),
        (all.fit(&orange).sign(first()), &all.commercial),
    ] {
        let errors = all.call(&token, "secret").await;
        assert!(
            matches!(&*errors, [ClientError::HostRejected { .. }]),
            "{errors:?}"
        );
        assert_eq!(own.lines(), request_lines("/forge/storage/kvs")[1..]);
    }
}

#[tokio::test]
async fn background_work_knows_the_cloud() {
    let all = clouds(|cloud, url| cloud.api_url(url)).await;
    let token = all.orange_fit(&all.orange.origin);
    all.call(&token, "oranges").await;
    let installation = all.tokens.installation(ORANGE_ID).await.unwrap();
    assert_eq!(installation.isolated_cloud_label(), Some("orange"));
    let token = all.tokens.system(ORANGE_ID).await.unwrap();
    let before = all.orange.lines().len();
    all.atlassian
        .storage(&installation, &token)
        .delete("k")
        .await
        .unwrap();
    assert_eq!(all.orange.lines().len(), before + 1);
    assert_eq!(all.commercial.lines(), [""; 0]);

    // A program in which the cloud is not configured does not guess its URLs.
    let other = AtlassianClient::on_loopback(&all.commercial.origin).unwrap();
    let error = other
        .storage(&installation, &token)
        .delete("k")
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`orange`") && text.contains("`AtlassianClient::isolated_cloud`"),
        "{text}"
    );
    let isolated = other.isolated_cloud(
        "orange",
        IsolatedCloud::new("x").api_url(&all.orange.origin),
    );
    isolated
        .unwrap()
        .storage(&installation, &token)
        .delete("k")
        .await
        .unwrap();
    assert_eq!(all.commercial.lines(), [""; 0]);
}

/// A label of an unknown cloud, signed by the commercial cloud.
#[tokio::test]
async fn an_unknown_cloud_is_an_error_and_nothing_is_sent() {
    let all = clouds(|cloud, url| cloud.api_url(url)).await;
    let token = all
        .fit(&all.commercial.origin)
        .claim("/icLabel", "blue")
        .sign(first());
    let errors = all.call(&token, "blues").await;
    assert_eq!(errors.len(), 3);
    for error in errors {
        let text = error.to_string();
        assert!(
            text.contains("`blue`") && text.contains("`App::isolated_cloud`"),
            "{text}"
        );
    }
    assert_eq!(all.commercial.lines(), [""; 0]);
    assert_eq!(all.orange.lines(), [""; 0]);
}

#[tokio::test]
async fn a_cloud_without_addresses_is_verified_and_not_called() {
    let all = clouds(|cloud, _| cloud).await;
    let token = all.orange_fit(&all.orange.origin);
    let errors = all.call(&token, "oranges").await;
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(
        matches!(errors[0], ClientError::HostRejected { .. }),
        "{texts:?}"
    );
    assert!(texts[1].contains("`platform_url`"), "{texts:?}");
    assert!(texts[2].contains("`storage_url`"), "{texts:?}");
    assert_eq!(all.orange.lines(), [""; 0]);
    assert_eq!(all.commercial.lines(), [""; 0]);
}

#[endpoint]
async fn page() {}

#[test]
fn a_clouds_addresses_are_checked_at_launch() {
    for url in ["http://api.orange.example", "x", "https://a:b@c.example"] {
        let cloud = IsolatedCloud::new("https://keys.example/jwks.json").storage_url(url);
        let app = App::empty()
            .handler(handler!(page))
            .app_id(APP_ID)
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .isolated_cloud("orange", cloud);
        let error = app.build().map(drop).unwrap_err();
        let codes: Vec<&str> = error.problems().iter().map(|one| one.code).collect();
        assert_eq!(codes, ["bad-cloud-url"], "{url}");
        assert!(error.to_string().contains("`orange`"), "{error}");
    }
}
