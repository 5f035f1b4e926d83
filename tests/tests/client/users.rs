//! Offline users' tokens are exchanged once, cached, and used only for their own installation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::client::{AtlassianClient, ClientError, InstallationUrls};
use forge_remote::fit::Clock;
use forge_remote::registry::BoxFuture;
use forge_remote_tests::encoding::b64;
use forge_remote_tests::fake_api::{
    CannedResponse, InstantClock, SITE, Server, instant_client, respond, scheduled_call,
    scheduled_call_for, scheduled_call_with,
};
use serde_json::{Value, json};

/// Returns the exchange's response.
fn exchanged(token: &str, ttl: u64) -> CannedResponse {
    let outcome =
        json!({ "success": true, "errors": null, "authToken": { "token": token, "ttl": ttl } });
    respond(200, json!({ "data": { "offlineUserAuthToken": outcome } }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_users_token_is_exchanged_once_and_cached() {
    let server = Server::start(|count, _| {
        exchanged(&format!("user-token-{count}"), 3600).after(Duration::from_millis(20))
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let clock = InstantClock::default();
    let atlassian = instant_client(&server).clock(clock.clone());
    let jira = atlassian.jira(&received.call);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (jira, system) = (jira.clone(), received.system.clone());
        all.spawn(async move { jira.impersonate(&system, "account-1").await });
    }
    for token in all.join_all().await {
        assert_eq!(token.unwrap().expose_secret(), "user-token-0");
    }
    assert_eq!(server.lines(), ["POST /graphql"]);
    let request = &server.requests()[0];
    let input =
        json!({ "contextIds": [format!("ari:cloud:jira::site/{SITE}")], "userId": "account-1" });
    assert_eq!(request.body["variables"]["input"], input);
    assert!(
        request.body["query"]
            .as_str()
            .unwrap()
            .contains("offlineUserAuthToken")
    );
    assert_eq!(
        request.header("authorization"),
        format!("Bearer {}", received.system.expose_secret())
    );

    // Until its expiry, less a margin.
    clock.advance(Duration::from_secs(3600 - 61));
    let again = jira
        .impersonate(&received.system, "account-1")
        .await
        .unwrap();
    assert_eq!(again.expose_secret(), "user-token-0");
    clock.advance(Duration::from_secs(2));
    let next = jira
        .impersonate(&received.system, "account-1")
        .await
        .unwrap();
    assert_eq!(next.expose_secret(), "user-token-1");

    // Only the forgotten token is exchanged again.
    jira.forget("somebody-else");
    jira.impersonate(&received.system, "account-1")
        .await
        .unwrap();
    assert_eq!(server.lines().len(), 2);
    jira.forget("account-1");
    let renewed = jira
        .impersonate(&received.system, "account-1")
        .await
        .unwrap();
    assert_eq!(renewed.expose_secret(), "user-token-2");

    // Another user, product or token needs another exchange.
    jira.impersonate(&received.system, "account-2")
        .await
        .unwrap();
    atlassian
        .confluence(&received.call)
        .impersonate(&received.system, "account-1")
        .await
        .unwrap();
    let context = server.requests()[4].body["variables"]["input"]["contextIds"][0].clone();
    assert_eq!(context, format!("ari:cloud:confluence::site/{SITE}"));
    // The platform's tokens of one installation are interchangeable.
    let other = received.again().await;
    jira.impersonate(&other.system, "account-1").await.unwrap();
    assert_eq!(server.lines().len(), 5);
}

/// Forge's tokens of one installation are interchangeable, so a new one needs no new exchange.
#[tokio::test]
async fn a_new_token_of_forge_needs_no_new_exchange() {
    let server = Server::start(|count, request| {
        if request.target.starts_with("/forge/installation/") {
            return respond(401, json!({ "type": "AuthorizationError" }));
        }
        exchanged(&format!("user-{count}"), 3600)
    })
    .await;
    let schedule = scheduled_call_for(&server).await;
    let page = scheduled_call_for(&server).await;
    let atlassian = instant_client(&server);
    let jira = atlassian.jira(&schedule.call);
    let first = jira.impersonate(&schedule.system, "account").await.unwrap();
    let next = schedule.again().await;
    assert_ne!(schedule.system.expose_secret(), next.system.expose_secret());
    let same = jira.impersonate(&next.system, "account").await.unwrap();
    assert_eq!(first.expose_secret(), same.expose_secret());
    assert_eq!(server.lines().len(), 1);

    // A page can send anything as the system token, and gets no user's token for it.
    let forged = schedule.from_page("anything-at-all").await;
    let error = failed(jira.impersonate(&forged.system, "account").await);
    assert!(error.to_string().contains("not proven"), "{error}");
    assert_eq!(
        server.requests()[1].header("authorization"),
        "Bearer anything-at-all"
    );
    assert!(server.lines()[1].contains("/forge/installation/v1/"));
    // Nor does it invalidate the tokens of others.
    let same = jira.impersonate(&next.system, "account").await.unwrap();
    assert_eq!(first.expose_secret(), same.expose_secret());
    assert_eq!(server.lines().len(), 2);

    // The same holds for callers of a web trigger.
    let forged = schedule.from_anyone("something-else").await;
    let error = failed(jira.impersonate(&forged.system, "account").await);
    assert!(error.to_string().contains("not proven"), "{error}");
    let same = jira.impersonate(&next.system, "account").await.unwrap();
    assert_eq!(first.expose_secret(), same.expose_secret());
    assert_eq!(server.lines().len(), 3);

    // Another installation's token is rejected before anything is sent.
    let error = failed(jira.impersonate(&page.system, "account").await);
    assert!(matches!(error, ClientError::WrongToken { .. }), "{error}");
    assert_eq!(server.lines().len(), 3);
}

fn failed<T>(result: Result<T, ClientError>) -> ClientError {
    result.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_token_is_used_for_its_own_installation_and_product() {
    let server = Server::start(|_, request| match request.target.as_str() {
        "/graphql" => exchanged("user", 3600),
        _ => respond(200, json!({ "key": "k", "value": 1 })),
    })
    .await;
    let (here, there) = (
        scheduled_call_for(&server).await,
        scheduled_call_for(&server).await,
    );
    let atlassian = instant_client(&server);
    let (jira, confluence) = (atlassian.jira(&here.call), atlassian.confluence(&here.call));
    let user = jira.impersonate(&here.system, "account").await.unwrap();
    let before = server.lines().len();
    let errors = [
        failed(jira.as_app(&there.system).get("/rest/x").send().await),
        failed(jira.as_user(&there.user).post("/rest/x").send().await),
        failed(
            atlassian
                .storage(&here.call, &there.system)
                .get::<u32>("k")
                .await,
        ),
        failed(
            atlassian
                .storage(&here.call, &there.system)
                .set_all([("k", 1)])
                .await
                .map_err(ClientError::from),
        ),
        failed(
            atlassian
                .graphql(&here.call)
                .as_app(&there.system)
                .operation("{ a }")
                .fetch::<Value>()
                .await,
        ),
        failed(
            jira.as_app(&there.system)
                .get("/rest/x")
                .pages::<u32>()
                .next()
                .await
                .unwrap(),
        ),
        failed(jira.as_app(&there.system).base_url()),
        failed(confluence.as_user(&user).get("/wiki/x").send().await),
    ];
    for error in errors {
        assert!(matches!(error, ClientError::WrongToken { .. }), "{error}");
        assert!(error.to_string().contains("nothing was sent"), "{error}");
    }
    assert_eq!(server.lines().len(), before);
    jira.as_user(&user).get("/rest/x").send().await.unwrap();
    let stored = atlassian
        .storage(&here.call, &here.system)
        .get::<u32>("k")
        .await;
    assert_eq!(stored.unwrap(), Some(1));
}

/// An installation that the app names from its own database.
#[tokio::test]
async fn an_installation_can_be_named_by_its_urls() {
    let server = Server::in_turn(vec![respond(200, json!({ "key": "k", "value": 1 }))]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = instant_client(&server);
    let jira = format!("{}/ex/jira/{SITE}", server.origin);
    let site = InstallationUrls::new(received.call.installation_id()).jira(jira.as_str());
    let client = atlassian.jira(&site).as_app(&received.system);
    client.get("/rest/x").send().await.unwrap();
    atlassian
        .storage(&site, &received.system)
        .get::<u32>("k")
        .await
        .unwrap();
    assert_eq!(
        server.lines(),
        [
            format!("GET /ex/jira/{SITE}/rest/x"),
            "POST /forge/storage/kvs/v1/get".to_owned()
        ]
    );
    assert_eq!(atlassian.graphql(&site).cloud_id(), Some(SITE));
    let error = failed(
        atlassian
            .confluence(&site)
            .as_app(&received.system)
            .base_url(),
    );
    assert!(matches!(error, ClientError::NotInstalled { .. }), "{error}");
    for base in ["https://evil.example", "http://api.atlassian.com"] {
        let site = site.clone().jira(format!("{base}/ex/jira/{SITE}"));
        let error = failed(atlassian.jira(&site).as_app(&received.system).base_url());
        assert!(matches!(error, ClientError::HostRejected { .. }), "{error}");
    }
    let other = InstallationUrls::new("ari:cloud:ecosystem::installation/another").jira(jira);
    let error = failed(atlassian.jira(&other).as_app(&received.system).base_url());
    assert!(matches!(error, ClientError::WrongToken { .. }), "{error}");
    assert_eq!(server.lines().len(), 2);
}

/// Returns a JWT that expires this many seconds from now.
fn ending_in(seconds: u64) -> String {
    let ends = SystemTime::now() + Duration::from_secs(seconds);
    let ends = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let payload = json!({ "exp": ends.as_secs() }).to_string();
    format!("e30.{}.x", b64(payload))
}

#[tokio::test]
async fn a_users_token_is_cached_until_its_earliest_expiry() {
    // The exchange returned an older token, whose remaining lifetime is shorter.
    let server = Server::start(|_, _| exchanged(&ending_in(600), 3600)).await;
    let received = scheduled_call_for(&server).await;
    let clock = InstantClock::default();
    let jira = instant_client(&server)
        .clock(clock.clone())
        .jira(&received.call);
    jira.impersonate(&received.system, "account").await.unwrap();
    clock.advance(Duration::from_secs(500));
    jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(server.lines().len(), 1);
    clock.advance(Duration::from_secs(41));
    jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(server.lines().len(), 2);

    // After the machine slept, only the wall clock has advanced.
    let asleep = SleptClock::default();
    let jira = instant_client(&server)
        .clock(asleep.clone())
        .jira(&received.call);
    jira.impersonate(&received.system, "account").await.unwrap();
    jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(server.lines().len(), 3);
    *asleep.0.lock().unwrap() = Duration::from_secs(7200);
    jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(server.lines().len(), 4);
}

/// A clock of which only the wall time advances.
#[derive(Clone, Debug, Default)]
struct SleptClock(Arc<Mutex<Duration>>);

impl Clock for SleptClock {
    fn now(&self) -> SystemTime {
        SystemTime::now() + *self.0.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }
}

/// An exchange that began before `forget` caches nothing and does not replace a newer one.
#[tokio::test]
async fn a_forgotten_token_is_not_cached_again() {
    let (gate, mut request_count) = (Arc::new(tokio::sync::Semaphore::new(0)), 0);
    let wait = Arc::clone(&gate);
    let server = Server::gated(move |count, _| {
        (
            exchanged(&format!("user-{count}"), 3600),
            (count == 0).then(|| Arc::clone(&wait)),
        )
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let jira = instant_client(&server).jira(&received.call);
    let old = tokio::spawn({
        let (jira, system) = (jira.clone(), received.system.clone());
        async move { jira.impersonate(&system, "account").await.unwrap() }
    });
    while request_count == 0 {
        tokio::task::yield_now().await;
        request_count = server.lines().len();
    }
    jira.forget("account");
    let new = jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(new.expose_secret(), "user-1");
    gate.add_permits(1);
    // Only its own waiters get its token.
    assert_eq!(old.await.unwrap().expose_secret(), "user-0");
    let next = jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(next.expose_secret(), "user-1");
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_rejected_token_is_exchanged_again() {
    let server = Server::start(|count, request| match request.target.as_str() {
        "/graphql" => exchanged(&format!("user-{count}"), 3600),
        _ => respond(401, json!({ "message": "Unauthorized" })),
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let clock = InstantClock::default();
    let jira = instant_client(&server)
        .clock(clock.clone())
        .jira(&received.call);
    let exchanges = || {
        server
            .lines()
            .iter()
            .filter(|line| *line == "POST /graphql")
            .count()
    };
    let user = jira.impersonate(&received.system, "account").await.unwrap();
    jira.impersonate(&received.system, "bystander")
        .await
        .unwrap();
    // An immediate further exchange would not help, for example if a scope is missing.
    jira.as_user(&user).get("/rest/x").send().await.unwrap_err();
    jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(exchanges(), 2);
    clock.advance(Duration::from_secs(61));
    jira.as_user(&user).get("/rest/x").send().await.unwrap_err();
    jira.impersonate(&received.system, "bystander")
        .await
        .unwrap();
    assert_eq!(exchanges(), 2);
    let renewed = jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(exchanges(), 3);
    assert_ne!(renewed.expose_secret(), user.expose_secret());
}

/// The hint names the missing declaration.
#[tokio::test]
async fn a_missing_declaration_of_impersonation_is_named() {
    let failure = json!({ "success": false, "errors": [{ "message": "no" }], "authToken": null });
    let failure = json!({ "data": { "offlineUserAuthToken": failure } });
    let server = Server::in_turn(vec![respond(200, failure)]).await;
    let received = scheduled_call_with(
        AtlassianClient::on_loopback(&server.origin).unwrap(),
        &[("jira", &format!("{}/ex/jira/{SITE}", server.origin))],
    )
    .await;
    let error = failed(
        received
            .call
            .jira()
            .impersonate(&received.system, "account")
            .await,
    )
    .to_string();
    assert!(
        error.contains("`App::impersonation_scopes`") && error.contains("declares no scopes"),
        "{error}"
    );
    // Without an app, the declared scopes are unknown.
    let error = failed(
        instant_client(&server)
            .jira(&received.call)
            .impersonate(&received.system, "account")
            .await,
    );
    assert!(!error.to_string().contains("declares no scopes"), "{error}");
}

#[tokio::test]
async fn every_failure_of_an_exchange_is_returned_and_not_cached() {
    let failures = [
        (
            respond(401, json!({ "message": "Unauthorized" })),
            "response 401 Unauthorized",
        ),
        (
            respond(
                200,
                json!({ "data": null, "errors": [{ "message": "no such field" }] }),
            ),
            "no such field",
        ),
        (
            respond(
                200,
                json!({ "data": { "offlineUserAuthToken": { "success": false, "errors": [{ "message": "no such user" }], "authToken": null } } }),
            ),
            "no such user",
        ),
        (
            respond(
                200,
                json!({ "data": { "offlineUserAuthToken": { "success": true, "authToken": null } } }),
            ),
            "neither a token nor an error",
        ),
        (exchanged("two words", 60), "neither a token nor an error"),
        (
            respond(200, Value::Null).text("<html>"),
            "cannot be read as",
        ),
    ];
    for (failure, error_text) in failures {
        let good = exchanged("at-last", 60);
        let server = Server::in_turn(vec![failure, good]).await;
        let received = scheduled_call_for(&server).await;
        let jira = instant_client(&server).jira(&received.call);
        let error = jira
            .impersonate(&received.system, "account")
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, ClientError::Impersonation(_)), "{error}");
        assert!(error.to_string().contains(error_text), "{error}");
        let token = jira.impersonate(&received.system, "account").await.unwrap();
        assert_eq!(token.expose_secret(), "at-last");
    }
}

#[tokio::test]
async fn an_abandoned_exchange_is_started_again() {
    let started = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&started);
    let server = Server::start(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 => exchanged("late", 60).after(Duration::from_secs(600)),
        _ => exchanged("soon", 60),
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let jira = instant_client(&server).jira(&received.call);
    let first = tokio::spawn({
        let (jira, system) = (jira.clone(), received.system.clone());
        async move { jira.impersonate(&system, "account").await.map(|_| ()) }
    });
    while started.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    first.await.unwrap_err();
    let token = jira.impersonate(&received.system, "account").await.unwrap();
    assert_eq!(token.expose_secret(), "soon");
}

#[tokio::test]
async fn users_are_impersonated_where_forge_allows_it() {
    let server = Server::in_turn(vec![exchanged("x", 60)]).await;
    let here = scheduled_call_for(&server).await;
    let error = instant_client(&server)
        .bitbucket(&here.call)
        .impersonate(&here.system, "a")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        error.to_string().contains("Jira and Confluence only"),
        "{error}"
    );
    let error = instant_client(&server)
        .jira(&here.call)
        .impersonate(&here.system, "")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
    let elsewhere = scheduled_call(&[("bitbucket", "https://api.bitbucket.org")]).await;
    let error = instant_client(&server)
        .jira(&elsewhere.call)
        .impersonate(&elsewhere.system, "a")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, ClientError::NotInstalled { .. }), "{error}");
    assert_eq!(server.lines(), [""; 0]);
}
