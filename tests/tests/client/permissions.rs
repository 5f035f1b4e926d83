//! Scopes that an installation's admin has not granted yet: rolling releases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use forge_remote::client::{AtlassianClient, ClientError};
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::{ApiResponse, FakeApis, Harness, TestClock};
use forge_remote::token::MemoryTokens;
use forge_remote::{handler, path};
use forge_remote_tests::log_capture::LogCapture;
use serde_json::json;
use tokio::sync::watch;

const DETAILS: &str = "GET /forge/installation/v1/";

fn outcome<T>(result: Result<T, ClientError>) -> Json<String> {
    Json(result.map_or_else(|error| error.to_string(), |_| "sent".to_owned()))
}

/// Reads with a scope that older versions of the app have too.
#[endpoint(auth = system, scopes = ["read:jira-work", "write:jira-work"])]
async fn read(call: Invocation, token: SystemToken) -> Json<String> {
    let jira = call.jira().as_app(&token);
    outcome(
        jira.get(path!("/rest/api/3/issue/{}", "DEV-1"))
            .send()
            .await,
    )
}

/// Writes with the new version's scope.
#[endpoint(auth = system, scopes = ["read:jira-work", "write:jira-work"])]
async fn write(call: Invocation, token: SystemToken) -> Json<String> {
    let jira = call.jira().as_app(&token);
    let issue = path!("/rest/api/3/issue/{}", "DEV-1");
    outcome(jira.put(issue).json(&json!({ "fields": {} })).send().await)
}

/// Writes as the user.
#[endpoint(auth = user, scopes = ["write:jira-work"])]
async fn write_as_user(call: Invocation, token: UserToken) -> Json<String> {
    let jira = call.jira().as_user(&token);
    let issue = path!("/rest/api/3/issue/{}", "DEV-1");
    outcome(jira.put(issue).json(&json!({ "fields": {} })).send().await)
}

/// Writes with the app's client, which the handler takes as an argument.
#[scheduled_trigger(interval = "hour", auth = system, scopes = ["write:jira-work"])]
async fn tick(call: Invocation, token: SystemToken, atlassian: AtlassianClient) -> Result<()> {
    let jira = atlassian.jira(&call).as_app(&token);
    let issue = path!("/rest/api/3/issue/{}", "DEV-1");
    jira.put(issue)
        .json(&json!({ "fields": {} }))
        .send()
        .await?;
    Ok(())
}

#[endpoint(auth = system)]
async fn has_write(call: Invocation, token: SystemToken) -> Json<String> {
    let has = call.permissions(&token).has_scope("write:jira-work").await;
    Json(has.map_or_else(|error| error.to_string(), |has| has.to_string()))
}

/// Does without the call if its scope is not granted.
#[endpoint(auth = system, scopes = ["write:jira-work"])]
async fn write_if_granted(call: Invocation, token: SystemToken) -> Result<Json<String>> {
    let issue = path!("/rest/api/3/issue/{}", "DEV-1");
    let jira = call.jira().as_app(&token);
    let written = jira.put(issue).json(&json!({ "fields": {} })).send().await;
    match written {
        Err(ClientError::ScopeNotGranted {
            call,
            handler,
            scope,
            ..
        }) => Ok(Json(format!(
            "{handler} lacks {scope} for {}",
            call.method()
        ))),
        written => Ok(Json(format!("{}", written?.status()))),
    }
}

/// The scopes that a background task finds, of each stored installation.
#[derive(Clone, Default)]
struct Found(watch::Sender<Vec<[bool; 2]>>);

async fn sweep(
    State(found): State<Found>,
    tokens: Tokens,
    atlassian: AtlassianClient,
) -> Result<()> {
    for installation in tokens.installations().await? {
        let token = tokens.system(installation.installation_id()).await?;
        let permissions = atlassian.permissions(&installation, &token);
        let scopes = [
            permissions.has_scope("read:jira-work").await?,
            permissions.has_scope("write:jira-work").await?,
        ];
        found.0.send_modify(|found| found.push(scopes));
    }
    Ok(())
}

fn app() -> App {
    App::empty()
        .handler(handler!(read))
        .handler(handler!(write))
        .handler(handler!(write_as_user))
        .handler(handler!(tick))
        .handler(handler!(has_write))
        .handler(handler!(write_if_granted))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// Returns a harness whose installation has not granted `write:jira-work`.
async fn unapproved(app: App) -> Harness {
    let harness = Harness::with_apis(app).await.unwrap();
    harness
        .platform()
        .apis()
        .withhold_scopes(["write:jira-work"]);
    harness
}

async fn call(harness: &Harness, key: &str) -> String {
    let response = harness.call(key).send().await;
    response.json().as_str().unwrap().to_owned()
}

/// Returns the number of calls whose method and path start with this.
fn lines(harness: &Harness, start: &str) -> usize {
    let calls = harness.platform().apis().calls();
    let calls = calls.iter().filter(|call| call.line.starts_with(start));
    calls.count()
}

fn writes(harness: &Harness) -> usize {
    lines(harness, "PUT /ex/jira/")
}

/// Has the details' request answered by this response until the returned flag is cleared.
fn break_details(apis: &FakeApis, response: ApiResponse) -> Arc<AtomicBool> {
    let broken = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&broken);
    apis.respond(move |call| {
        let is_details = call.path.starts_with("/forge/installation/v1/");
        (is_details && flag.load(Ordering::Relaxed)).then(|| response.clone())
    });
    broken
}

#[tokio::test]
async fn a_scope_is_looked_up_once_and_its_approval_is_seen() {
    let clock = TestClock::new();
    let harness = unapproved(app().clock(clock.clone())).await;
    for _ in 0..3 {
        assert_eq!(call(&harness, "has-write").await, "false");
    }
    assert_eq!(lines(&harness, DETAILS), 1);

    harness.platform().apis().grant_scopes(["write:jira-work"]);
    clock.advance(Duration::from_secs(9 * 60));
    assert_eq!(call(&harness, "has-write").await, "false");
    clock.advance(Duration::from_secs(61));
    assert_eq!(call(&harness, "has-write").await, "true");
    assert_eq!(lines(&harness, DETAILS), 2);
}

#[tokio::test]
async fn an_installation_that_has_every_scope_is_looked_up_once_an_hour() {
    let clock = TestClock::new();
    let harness = Harness::with_apis(app().clock(clock.clone()))
        .await
        .unwrap();
    assert_eq!(call(&harness, "has-write").await, "true");
    clock.advance(Duration::from_secs(59 * 60));
    assert_eq!(call(&harness, "has-write").await, "true");
    assert_eq!(lines(&harness, DETAILS), 1);
    clock.advance(Duration::from_secs(61));
    assert_eq!(call(&harness, "has-write").await, "true");
    assert_eq!(lines(&harness, DETAILS), 2);
}

#[tokio::test]
async fn a_call_whose_scope_is_not_granted_is_not_sent() {
    let harness = unapproved(app().app_managed_permissions()).await;
    let error = call(&harness, "write").await;
    for part in [
        "PUT /rest/api/{}/issue/{}"
            .replace("/{}/issue", "/3/issue")
            .as_str(),
        "`write:jira-work`",
        "handler `write`",
        "until the admin approves",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(writes(&harness), 0);
    // The handler's other calls need a scope that is granted.
    assert_eq!(call(&harness, "read").await, "sent");
    assert_eq!(lines(&harness, DETAILS), 1, "for every call together");

    // The client that a handler takes as an argument is checked too.
    let log = LogCapture::default();
    let guard = log.start();
    assert_eq!(harness.call("tick").send().await.status(), 500);
    drop(guard);
    let log = log.take();
    assert!(log.contains("has not granted the scope"), "{log}");
    assert_eq!(writes(&harness), 0);
}

#[tokio::test]
async fn a_handler_recognises_a_scope_that_is_not_granted() {
    let harness = unapproved(app().app_managed_permissions()).await;
    let lacks = "write_if_granted lacks write:jira-work for PUT";
    assert_eq!(call(&harness, "write-if-granted").await, lacks);
    assert_eq!(writes(&harness), 0);

    let app = app().app_managed_permissions();
    let harness = Harness::with_apis(app).await.unwrap();
    assert!(call(&harness, "write-if-granted").await.starts_with("20"));
    assert_eq!(writes(&harness), 1);
}

/// Without a call: a background task has stored installations.
#[tokio::test]
async fn a_stored_installation_has_its_scopes() {
    let found = Found::default();
    let mut scopes = found.0.subscribe();
    let app = app()
        .token_store(MemoryTokens::new())
        .state(found)
        .background(sweep);
    let harness = unapproved(app).await;
    // It brings the token that is stored.
    assert_eq!(harness.call("tick").send().await.status(), 200);
    let running = harness.start_background().unwrap();
    let scopes = scopes.wait_for(|found| !found.is_empty());
    let scopes = tokio::time::timeout(Duration::from_secs(20), scopes).await;
    assert_eq!(*scopes.unwrap().unwrap(), [[true, false]]);
    assert_eq!(lines(&harness, DETAILS), 1);
    drop(running);
}

#[tokio::test]
async fn nothing_is_checked_unless_the_app_asks_for_it() {
    let harness = unapproved(app()).await;
    assert_eq!(call(&harness, "write").await, "sent");
    assert_eq!(call(&harness, "read").await, "sent");
    assert_eq!(lines(&harness, DETAILS), 0);
}

#[tokio::test]
async fn a_granted_scope_costs_one_request() {
    let app = app().app_managed_permissions();
    let harness = Harness::with_apis(app).await.unwrap();
    for _ in 0..3 {
        assert_eq!(call(&harness, "write").await, "sent");
        assert_eq!(call(&harness, "write-as-user").await, "sent");
    }
    assert_eq!(lines(&harness, DETAILS), 1);
    assert_eq!(writes(&harness), 6);
}

/// A call is rejected only if the scope is known to be missing.
#[tokio::test]
async fn a_call_is_sent_while_the_scopes_are_not_known() {
    let clock = TestClock::new();
    let app = app().app_managed_permissions().clock(clock.clone());
    let harness = unapproved(app).await;
    let broken = break_details(harness.platform().apis(), ApiResponse::status(500));
    let log = LogCapture::default();
    let guard = log.start();
    assert_eq!(harness.call("tick").send().await.status(), 200);
    assert_eq!(harness.call("tick").send().await.status(), 200);
    drop(guard);
    assert_eq!(writes(&harness), 2);
    assert_eq!(lines(&harness, DETAILS), 1, "not once for each call");
    let log = log.take();
    assert_eq!(log.matches("sent without a check").count(), 1, "{log}");

    broken.store(false, Ordering::Relaxed);
    clock.advance(Duration::from_secs(61));
    assert_eq!(harness.call("tick").send().await.status(), 500);
    assert_eq!(writes(&harness), 2);
}

#[tokio::test]
async fn a_rate_limit_pauses_the_requests_of_every_installation() {
    let clock = TestClock::new();
    let app = app().app_managed_permissions().clock(clock.clone());
    let harness = unapproved(app).await;
    let limited = ApiResponse::status(429).header("retry-after", "300");
    let broken = break_details(harness.platform().apis(), limited);
    let tick = |installation: &'static str| {
        let call = harness.call("tick");
        call.fit(move |fit| fit.installation(installation)).send()
    };
    let [one, other] = [
        "0a3a7799-0000-4000-a000-000000000001",
        "0a3a7799-0000-4000-a000-000000000002",
    ];
    assert_eq!(tick(one).await.status(), 200);
    assert_eq!(tick(other).await.status(), 200);
    assert_eq!(lines(&harness, DETAILS), 1);

    // The app's limit is by the minute, an installation's is the response's.
    broken.store(false, Ordering::Relaxed);
    clock.advance(Duration::from_secs(61));
    assert_eq!(tick(one).await.status(), 200);
    assert_eq!(tick(other).await.status(), 500);
    assert_eq!(lines(&harness, DETAILS), 2);
    clock.advance(Duration::from_secs(240));
    assert_eq!(tick(one).await.status(), 500);
}

/// Only the app's token can fetch the scopes.
#[tokio::test]
async fn a_users_call_is_checked_with_the_stored_token() {
    let harness = unapproved(app().app_managed_permissions()).await;
    assert_eq!(call(&harness, "write-as-user").await, "sent");
    assert_eq!(lines(&harness, DETAILS), 0);

    let clock = TestClock::new();
    let app = app().app_managed_permissions().clock(clock.clone());
    let harness = unapproved(app.token_store(MemoryTokens::new())).await;
    assert_eq!(harness.call("tick").send().await.status(), 500);
    clock.advance(Duration::from_secs(11 * 60));
    let error = call(&harness, "write-as-user").await;
    assert!(error.contains("handler `write_as_user`"), "{error}");
    assert_eq!((writes(&harness), lines(&harness, DETAILS)), (0, 2));
}

/// The verification of a page's token makes the same request.
#[tokio::test]
async fn a_pages_token_is_verified_and_its_scopes_are_fetched_by_one_request() {
    let harness = unapproved(app()).await;
    let response = harness.call("has-write").send().await;
    assert_eq!(response.json(), "false");
    assert_eq!(lines(&harness, DETAILS), 1);
}

/// Another installation's token neither shows this one's scopes nor blocks the next request.
#[tokio::test]
async fn a_foreign_token_shows_no_scopes() {
    let harness = unapproved(app()).await;
    let own = harness.platform().oauth_token();
    let other = "0a3a7799-0000-4000-a000-000000000001";
    let call = harness.call("has-write");
    let call = call.fit(|fit| fit.installation(other)).tokens(Auth::NONE);
    let response = call.header("x-forge-oauth-system", &own).send().await;
    let error = response.json().as_str().unwrap().to_owned();
    assert!(error.contains("not proven"), "{error}");

    let call = harness.call("has-write");
    let response = call.fit(|fit| fit.installation(other)).send().await;
    assert_eq!(response.json(), "false");
}
