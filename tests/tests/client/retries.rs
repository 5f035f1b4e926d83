//! Calls to Atlassian are retried only where that is safe, and every call ends in time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use forge_remote::client::{AtlassianClient, RetryPolicy};
use forge_remote::fit::Clock as _;
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote_tests::fake_api::{
    InstantClock, RawServer, ReceivedCall, SITE, Server, error_text, local, respond,
    scheduled_call, scheduled_call_for,
};
use serde_json::{Value, json};

#[tokio::test]
async fn retry_after_is_obeyed_in_seconds_and_as_a_date() {
    let clock = InstantClock::default();
    let date = httpdate(SystemTime::now() + Duration::from_secs(60));
    let server = Server::in_turn(vec![
        respond(429, json!({})).header("retry-after", "7"),
        respond(503, json!({})).header("retry-after", &date),
        respond(200, json!({})),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let retries = RetryPolicy::new().total(Duration::from_secs(120));
    let atlassian = local(&server).clock(clock.clone()).retries(retries);
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    jira.get("/rest/api/3/myself").send().await.unwrap();
    let waits = clock.waits();
    assert!((7.0..=7.5).contains(&waits[0].as_secs_f64()), "{waits:?}");
    // The rest of the minute after the first wait.
    assert!((50.0..=54.5).contains(&waits[1].as_secs_f64()), "{waits:?}");
    assert_eq!(server.lines().len(), 3);
}

fn httpdate(time: SystemTime) -> String {
    let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (mut day, rest) = (seconds / 86_400, seconds % 86_400);
    let weekday = days[usize::try_from(day % 7).unwrap()];
    let mut year = 1970;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!(
        "{weekday}, {:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT",
        day + 1,
        months[month]
    )
}

#[tokio::test]
async fn too_long_a_wait_is_returned_to_the_caller() {
    let clock = InstantClock::default();
    let server = Server::in_turn(vec![respond(429, json!({})).header("retry-after", "3600")]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!((server.lines().len(), clock.waits().len()), (1, 0));
}

#[tokio::test]
async fn attempts_and_their_waits_are_bounded() {
    let clock = InstantClock::default();
    let server = Server::in_turn(vec![respond(503, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let error = jira
        .delete("/rest/api/3/issue/A-1")
        .send()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("after 4 attempts"), "{error}");
    assert_eq!(server.lines().len(), 4);
    let waits = clock.waits();
    for (wait, most) in waits.iter().zip([500, 1000, 2000]) {
        assert!(*wait <= Duration::from_millis(most), "{waits:?}");
    }
    assert_eq!(waits.len(), 3);
}

#[tokio::test]
async fn a_clone_has_separate_retries_and_the_same_hosts() {
    let server = Server::in_turn(vec![respond(503, Value::Null)]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).clock(InstantClock::default());
    let impatient = atlassian.clone().retries(RetryPolicy::none());
    let calls = async |atlassian: &AtlassianClient| {
        let before = server.lines().len();
        let jira = atlassian.jira(&received.call).as_app(&received.system);
        jira.get("/rest/api/3/myself").send().await.unwrap_err();
        server.lines().len() - before
    };
    assert_eq!(calls(&impatient).await, 1);
    assert_eq!(calls(&atlassian).await, 4);
    let elsewhere = impatient.allow_host("https://cloud.example.com").unwrap();
    assert!(format!("{elsewhere:?}").contains("cloud.example.com"));
    assert!(format!("{atlassian:?}").contains("cloud.example.com"));
}

#[tokio::test]
async fn only_repeatable_calls_are_retried() {
    let server = Server::in_turn(vec![respond(503, json!({})).header("retry-after", "1")]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).clock(InstantClock::default());
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let mut before = 0;
    let calls = [
        (jira.post("/rest/api/3/issue"), 1),
        (jira.patch("/rest/api/3/issue"), 1),
        (jira.post("/rest/api/3/search/jql").idempotent(), 4),
        (jira.put("/rest/api/3/issue/A-1"), 4),
        (jira.get("/rest/api/3/issue/A-1"), 4),
    ];
    for (call, attempts) in calls {
        let shown = format!("{call:?}");
        call.send().await.unwrap_err();
        assert_eq!(server.lines().len() - before, attempts, "{shown}");
        before = server.lines().len();
    }

    // Permanent errors are not retried.
    for status in [400, 401, 403, 404, 409, 500] {
        let server = Server::in_turn(vec![respond(status, json!({}))]).await;
        let received = scheduled_call_for(&server).await;
        let jira = local(&server)
            .clock(InstantClock::default())
            .jira(&received.call)
            .as_app(&received.system);
        jira.get("/rest/api/3/issue/A-1").send().await.unwrap_err();
        assert_eq!(server.lines().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn every_call_ends_in_time() {
    let slow = respond(200, json!({})).after(Duration::from_secs(60));
    let server = Server::in_turn(vec![slow]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server)
        .clock(InstantClock::default())
        .timeout(Duration::from_millis(50));
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no response in time after 4 attempts"),
        "{error}"
    );
    assert!(!error_text(&error).contains(SITE), "{}", error_text(&error));
    let error = jira.post("/rest/api/3/issue").send().await.unwrap_err();
    assert!(
        error.to_string().ends_with("no response in time"),
        "{error}"
    );

    let origin = server.origin.clone();
    drop(server);
    let atlassian = AtlassianClient::on_loopback(&origin)
        .unwrap()
        .clock(InstantClock::default());
    let error = atlassian
        .jira(&received.call)
        .as_app(&received.system)
        .post("/rest")
        .send()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

/// A request that never reached the server can always be retried.
#[tokio::test]
async fn an_unsent_request_is_retried() {
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let clock = InstantClock::default();
    let atlassian = local(&server).clock(clock.clone());
    drop(server);
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let error = jira.post("/rest").send().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("cannot be reached after 4 attempts"),
        "{text}"
    );
    assert_eq!(clock.waits().len(), 3);
    // A server that hangs up may have executed the request.
    let server = RawServer::start("", String::new(), 0, true).await;
    let received = call_at(&server).await;
    let atlassian = AtlassianClient::on_loopback(&server.origin).unwrap();
    let atlassian = atlassian.clock(clock.clone());
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    jira.post("/rest").send().await.unwrap_err();
    assert_eq!((server.connections(), clock.waits().len()), (1, 3));
}

async fn call_at(server: &RawServer) -> ReceivedCall {
    scheduled_call(&[("jira", &server.origin)]).await
}

#[tokio::test]
async fn a_call_can_override_its_retries() {
    let server = Server::in_turn(vec![respond(503, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).clock(InstantClock::default());
    let jira = atlassian.jira(&received.call).as_app(&received.system);
    let call = || jira.get("/rest");
    for (retries, attempts) in [
        (RetryPolicy::none(), 1),
        (RetryPolicy::new().attempts(6), 6),
    ] {
        let before = server.lines().len();
        call().retries(retries).send().await.unwrap_err();
        assert_eq!(server.lines().len() - before, attempts);
    }
}

/// The state of handlers that make a failing call.
#[derive(Clone)]
struct CallState {
    clock: InstantClock,
    seen: Arc<Mutex<Vec<Duration>>>,
}

/// Makes a failing call at once, and another after Forge has hung up.
async fn call_out(
    call: &Invocation,
    token: &SystemToken,
    outside: &CallState,
    handle: &AtlassianClient,
) {
    let jira = handle.jira(call).as_app(token);
    for pause in [Duration::ZERO, Duration::from_secs(100)] {
        outside.clock.advance(pause);
        let before = outside.clock.elapsed();
        jira.get("/rest").send().await.unwrap_err();
        outside
            .seen
            .lock()
            .unwrap()
            .push(outside.clock.elapsed() - before);
    }
}

#[scheduled_trigger(interval = "hour", auth = system)]
async fn event(call: Invocation, token: SystemToken, State(outside): State<CallState>) {
    call_out(&call, &token, &outside, call.atlassian()).await;
}

#[endpoint(auth = system)]
async fn page(call: Invocation, token: SystemToken, State(outside): State<CallState>) {
    call_out(&call, &token, &outside, call.atlassian()).await;
}

#[scheduled_trigger(interval = "day", auth = system)]
async fn detached(call: Invocation, token: SystemToken, State(outside): State<CallState>) {
    let handle = call.atlassian().clone().without_deadline();
    call_out(&call, &token, &outside, &handle).await;
}

#[scheduled_trigger(interval = "week", auth = system)]
async fn extracted(
    call: Invocation,
    token: SystemToken,
    handle: AtlassianClient,
    State(outside): State<CallState>,
) {
    call_out(&call, &token, &outside, &handle).await;
}

/// While Forge waits, no call is retried after Forge's deadline.
#[tokio::test]
async fn retries_end_when_forge_stops_waiting() {
    let server = Server::in_turn(vec![respond(503, json!({})).header("retry-after", "2")]).await;
    // The total seconds that a call waits, before and after the deadline; each wait is 2 to 2.5 s.
    let all = 18.0..=22.5;
    for (key, within) in [
        ("event", 2.0..=5.0),
        ("page", all.clone()),
        ("detached", all.clone()),
        ("extracted", all.clone()),
    ] {
        let outside = CallState {
            clock: InstantClock::default(),
            seen: Arc::default(),
        };
        let retries = RetryPolicy::new()
            .attempts(10)
            .total(Duration::from_secs(60));
        let app = App::empty()
            .handler(handler!(event))
            .handler(handler!(page))
            .handler(handler!(detached))
            .handler(handler!(extracted))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .client(local(&server).retries(retries))
            .clock(outside.clock.clone())
            .state(outside.clone());
        let harness = Harness::new(app).unwrap();
        let jira = format!("{}/ex/jira/{SITE}", server.origin);
        let call = harness.call(key);
        let contexts = json!([{ "name": "jira", "apiBaseUrl": jira, "cloudId": SITE }]);
        let call = call.fit(|fit| fit.set("/app/installation/contexts", contexts));
        let response = call.send().await;
        assert!(response.status() < 300, "{response:?}");
        let seen = outside.seen.lock().unwrap().clone();
        assert!(within.contains(&seen[0].as_secs_f64()), "{key}: {seen:?}");
        assert!(all.contains(&seen[1].as_secs_f64()), "{key}: {seen:?}");
    }
}
