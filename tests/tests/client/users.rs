//! Acting for users who aren't there, and whose a token is.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::client::{AtlassianClient, ClientError, InstallationUrls};
use forge_remote::fit::Clock;
use forge_remote::registry::BoxFuture;
use forge_remote_tests::back::{
    Counting, SITE, Server, Told, came, came_from, came_to, delivered_from, told,
};
use forge_remote_tests::jws::b64;
use serde_json::{Value, json};

fn local(server: &Server) -> AtlassianClient {
    AtlassianClient::on_loopback(&server.origin)
        .unwrap()
        .clock(Counting::default())
}

/// The exchange's answer.
fn exchanged(token: &str, ttl: u64) -> Told {
    let outcome =
        json!({ "success": true, "errors": null, "authToken": { "token": token, "ttl": ttl } });
    told(200, json!({ "data": { "offlineUserAuthToken": outcome } }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_users_token_is_exchanged_once_for_all_and_kept() {
    let server = Server::start(|count, _| {
        exchanged(&format!("user-token-{count}"), 3600).after(Duration::from_millis(20))
    })
    .await;
    let came = came_from(&server).await;
    let clock = Counting::default();
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&came.call);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (jira, system) = (jira.clone(), came.system.clone());
        all.spawn(async move { jira.impersonate(&system, "account-1").await });
    }
    for token in all.join_all().await {
        assert_eq!(token.unwrap().expose_secret(), "user-token-0");
    }
    assert_eq!(server.lines(), ["POST /graphql"]);
    let asked = &server.asked()[0];
    let input =
        json!({ "contextIds": [format!("ari:cloud:jira::site/{SITE}")], "userId": "account-1" });
    assert_eq!(asked.body["variables"]["input"], input);
    assert!(
        asked.body["query"]
            .as_str()
            .unwrap()
            .contains("offlineUserAuthToken")
    );
    assert_eq!(
        asked.header("authorization"),
        format!("Bearer {}", came.system.expose_secret())
    );

    // Until its real end, less a margin.
    clock.advance(Duration::from_secs(3600 - 61));
    let again = jira.impersonate(&came.system, "account-1").await.unwrap();
    assert_eq!(again.expose_secret(), "user-token-0");
    clock.advance(Duration::from_secs(2));
    let next = jira.impersonate(&came.system, "account-1").await.unwrap();
    assert_eq!(next.expose_secret(), "user-token-1");

    // What was forgotten is exchanged anew, and only that.
    jira.forget("somebody-else");
    jira.impersonate(&came.system, "account-1").await.unwrap();
    assert_eq!(server.lines().len(), 2);
    jira.forget("account-1");
    let anew = jira.impersonate(&came.system, "account-1").await.unwrap();
    assert_eq!(anew.expose_secret(), "user-token-2");

    // Another user, product, or token is another exchange.
    jira.impersonate(&came.system, "account-2").await.unwrap();
    atlassian
        .confluence(&came.call)
        .impersonate(&came.system, "account-1")
        .await
        .unwrap();
    let context = server.asked()[4].body["variables"]["input"]["contextIds"][0].clone();
    assert_eq!(context, format!("ari:cloud:confluence::site/{SITE}"));
    // The platform's tokens of an installation are all as good.
    let other = came.again().await;
    jira.impersonate(&other.system, "account-1").await.unwrap();
    assert_eq!(server.lines().len(), 5);
}

/// Forge's own tokens of an installation are all as good: a new one needs no new exchange.
#[tokio::test]
async fn a_new_token_of_forges_needs_no_new_exchange() {
    let server = Server::start(|count, asked| {
        if asked.target.starts_with("/forge/installation/") {
            return told(401, json!({ "type": "AuthorizationError" }));
        }
        exchanged(&format!("user-{count}"), 3600)
    })
    .await;
    let schedule = delivered_from(&server).await;
    let page = came_from(&server).await;
    let atlassian = local(&server);
    let jira = atlassian.jira(&schedule.call);
    let first = jira.impersonate(&schedule.system, "account").await.unwrap();
    let next = schedule.again().await;
    assert_ne!(schedule.system.expose_secret(), next.system.expose_secret());
    let same = jira.impersonate(&next.system, "account").await.unwrap();
    assert_eq!(first.expose_secret(), same.expose_secret());
    assert_eq!(server.lines().len(), 1);

    // A page can send what it likes as the app's token: it gets no user's token for that.
    let forged = schedule.from_page("anything-at-all").await;
    let error = failed(jira.impersonate(&forged.system, "account").await);
    assert!(error.to_string().contains("not proven"), "{error}");
    assert_eq!(
        server.asked()[1].header("authorization"),
        "Bearer anything-at-all"
    );
    assert!(server.lines()[1].contains("/forge/installation/v1/"));
    // Nor does it spoil what the others have.
    let same = jira.impersonate(&next.system, "account").await.unwrap();
    assert_eq!(first.expose_secret(), same.expose_secret());
    assert_eq!(server.lines().len(), 2);

    // And so can whoever calls a web trigger.
    let forged = schedule.from_anybody("something-else").await;
    let error = failed(jira.impersonate(&forged.system, "account").await);
    assert!(error.to_string().contains("not proven"), "{error}");
    let same = jira.impersonate(&next.system, "account").await.unwrap();
    assert_eq!(first.expose_secret(), same.expose_secret());
    assert_eq!(server.lines().len(), 3);

    // Another installation's is refused before anything is sent.
    let error = failed(jira.impersonate(&page.system, "account").await);
    assert!(matches!(error, ClientError::WrongToken { .. }), "{error}");
    assert_eq!(server.lines().len(), 3);
}

fn failed<T>(result: Result<T, ClientError>) -> ClientError {
    result.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_token_is_used_for_its_own_installation_and_product() {
    let server = Server::start(|_, asked| match asked.target.as_str() {
        "/graphql" => exchanged("user", 3600),
        _ => told(200, json!({ "key": "k", "value": 1 })),
    })
    .await;
    let (here, there) = (came_from(&server).await, came_from(&server).await);
    let atlassian = local(&server);
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

/// Named from one's own database.
#[tokio::test]
async fn a_site_is_an_installation_by_what_one_knows() {
    let server = Server::in_turn(vec![told(200, json!({ "key": "k", "value": 1 }))]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server);
    let jira = format!("{}/ex/jira/{SITE}", server.origin);
    let site = InstallationUrls::new(came.call.installation_id()).jira(jira.as_str());
    let client = atlassian.jira(&site).as_app(&came.system);
    client.get("/rest/x").send().await.unwrap();
    atlassian
        .storage(&site, &came.system)
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
    let error = failed(atlassian.confluence(&site).as_app(&came.system).base_url());
    assert!(matches!(error, ClientError::NotInstalled { .. }), "{error}");
    for base in ["https://evil.example", "http://api.atlassian.com"] {
        let site = site.clone().jira(format!("{base}/ex/jira/{SITE}"));
        let error = failed(atlassian.jira(&site).as_app(&came.system).base_url());
        assert!(matches!(error, ClientError::HostRefused { .. }), "{error}");
    }
    let other = InstallationUrls::new("ari:cloud:ecosystem::installation/another").jira(jira);
    let error = failed(atlassian.jira(&other).as_app(&came.system).base_url());
    assert!(matches!(error, ClientError::WrongToken { .. }), "{error}");
    assert_eq!(server.lines().len(), 2);
}

/// A token as JWTs are, which ends so many seconds from now.
fn ending_in(seconds: u64) -> String {
    let ends = SystemTime::now() + Duration::from_secs(seconds);
    let ends = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let payload = json!({ "exp": ends.as_secs() }).to_string();
    format!("e30.{}.x", b64(payload))
}

#[tokio::test]
async fn a_users_token_is_kept_until_its_earliest_end() {
    // It has been handed out before, and has less to live than a new one.
    let server = Server::start(|_, _| exchanged(&ending_in(600), 3600)).await;
    let came = came_from(&server).await;
    let clock = Counting::default();
    let jira = local(&server).clock(clock.clone()).jira(&came.call);
    jira.impersonate(&came.system, "account").await.unwrap();
    clock.advance(Duration::from_secs(500));
    jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(server.lines().len(), 1);
    clock.advance(Duration::from_secs(41));
    jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(server.lines().len(), 2);

    // A machine that slept: only the wall clock went on.
    let asleep = Asleep::default();
    let jira = local(&server).clock(asleep.clone()).jira(&came.call);
    jira.impersonate(&came.system, "account").await.unwrap();
    jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(server.lines().len(), 3);
    *asleep.0.lock().unwrap() = Duration::from_secs(7200);
    jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(server.lines().len(), 4);
}

/// A clock whose wall goes on alone.
#[derive(Clone, Debug, Default)]
struct Asleep(Arc<Mutex<Duration>>);

impl Clock for Asleep {
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

/// An exchange from before `forget` leaves nothing behind, and doesn't end a newer one.
#[tokio::test]
async fn what_was_forgotten_does_not_come_back() {
    let (gate, mut asked) = (Arc::new(tokio::sync::Semaphore::new(0)), 0);
    let wait = Arc::clone(&gate);
    let server = Server::gated(move |count, _| {
        (
            exchanged(&format!("user-{count}"), 3600),
            (count == 0).then(|| Arc::clone(&wait)),
        )
    })
    .await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call);
    let old = tokio::spawn({
        let (jira, system) = (jira.clone(), came.system.clone());
        async move { jira.impersonate(&system, "account").await.unwrap() }
    });
    while asked == 0 {
        tokio::task::yield_now().await;
        asked = server.lines().len();
    }
    jira.forget("account");
    let new = jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(new.expose_secret(), "user-1");
    gate.add_permits(1);
    // Who waited for it has it; nobody else.
    assert_eq!(old.await.unwrap().expose_secret(), "user-0");
    let next = jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(next.expose_secret(), "user-1");
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_refused_is_exchanged_anew() {
    let server = Server::start(|count, asked| match asked.target.as_str() {
        "/graphql" => exchanged(&format!("user-{count}"), 3600),
        _ => told(401, json!({ "message": "Unauthorized" })),
    })
    .await;
    let came = came_from(&server).await;
    let clock = Counting::default();
    let jira = local(&server).clock(clock.clone()).jira(&came.call);
    let exchanges = || {
        server
            .lines()
            .iter()
            .filter(|line| *line == "POST /graphql")
            .count()
    };
    let user = jira.impersonate(&came.system, "account").await.unwrap();
    jira.impersonate(&came.system, "bystander").await.unwrap();
    // At once, another would fare no better: a scope is missing, say.
    jira.as_user(&user).get("/rest/x").send().await.unwrap_err();
    jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(exchanges(), 2);
    clock.advance(Duration::from_secs(61));
    jira.as_user(&user).get("/rest/x").send().await.unwrap_err();
    jira.impersonate(&came.system, "bystander").await.unwrap();
    assert_eq!(exchanges(), 2);
    let anew = jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(exchanges(), 3);
    assert_ne!(anew.expose_secret(), user.expose_secret());
}

/// The hint names what the app hasn't declared.
#[tokio::test]
async fn an_app_that_declares_no_impersonation_is_told_so() {
    let failure = json!({ "success": false, "errors": [{ "message": "no" }], "authToken": null });
    let failure = json!({ "data": { "offlineUserAuthToken": failure } });
    let server = Server::in_turn(vec![told(200, failure)]).await;
    let came = came_to(
        AtlassianClient::on_loopback(&server.origin).unwrap(),
        &[("jira", &format!("{}/ex/jira/{SITE}", server.origin))],
    )
    .await;
    let error = failed(came.call.jira().impersonate(&came.system, "account").await).to_string();
    assert!(
        error.contains("`App::impersonation_scopes`") && error.contains("declares no scopes"),
        "{error}"
    );
    // Without an app there is nothing to know.
    let error = failed(
        local(&server)
            .jira(&came.call)
            .impersonate(&came.system, "account")
            .await,
    );
    assert!(!error.to_string().contains("declares no scopes"), "{error}");
}

#[tokio::test]
async fn every_way_an_exchange_fails_is_told_and_not_kept() {
    let failures = [
        (
            told(401, json!({ "message": "Unauthorized" })),
            "response 401 Unauthorized",
        ),
        (
            told(
                200,
                json!({ "data": null, "errors": [{ "message": "no such field" }] }),
            ),
            "no such field",
        ),
        (
            told(
                200,
                json!({ "data": { "offlineUserAuthToken": { "success": false, "errors": [{ "message": "no such user" }], "authToken": null } } }),
            ),
            "no such user",
        ),
        (
            told(
                200,
                json!({ "data": { "offlineUserAuthToken": { "success": true, "authToken": null } } }),
            ),
            "neither a token nor an error",
        ),
        (exchanged("two words", 60), "neither a token nor an error"),
        (told(200, Value::Null).text("<html>"), "can't be read as"),
    ];
    for (failure, words) in failures {
        let good = exchanged("at-last", 60);
        let server = Server::in_turn(vec![failure, good]).await;
        let came = came_from(&server).await;
        let jira = local(&server).jira(&came.call);
        let error = jira
            .impersonate(&came.system, "account")
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, ClientError::Impersonation(_)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        let token = jira.impersonate(&came.system, "account").await.unwrap();
        assert_eq!(token.expose_secret(), "at-last");
    }
}

#[tokio::test]
async fn an_exchange_that_nobody_awaits_any_more_is_started_anew() {
    let started = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&started);
    let server = Server::start(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 => exchanged("late", 60).after(Duration::from_secs(600)),
        _ => exchanged("soon", 60),
    })
    .await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call);
    let first = tokio::spawn({
        let (jira, system) = (jira.clone(), came.system.clone());
        async move { jira.impersonate(&system, "account").await.map(|_| ()) }
    });
    while started.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    first.await.unwrap_err();
    let token = jira.impersonate(&came.system, "account").await.unwrap();
    assert_eq!(token.expose_secret(), "soon");
}

#[tokio::test]
async fn users_are_impersonated_where_forge_allows_it() {
    let server = Server::in_turn(vec![exchanged("x", 60)]).await;
    let here = came_from(&server).await;
    let error = local(&server)
        .bitbucket(&here.call)
        .impersonate(&here.system, "a")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        error.to_string().contains("Jira and Confluence only"),
        "{error}"
    );
    let error = local(&server)
        .jira(&here.call)
        .impersonate(&here.system, "")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
    let elsewhere = came(&[("bitbucket", "https://api.bitbucket.org")]).await;
    let error = local(&server)
        .jira(&elsewhere.call)
        .impersonate(&elsewhere.system, "a")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, ClientError::NotInstalled { .. }), "{error}");
    assert_eq!(server.lines(), [""; 0]);
}
