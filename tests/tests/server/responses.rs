//! Responses to failing and panicking handlers, invalid bodies and policies are as documented.

use std::sync::Arc;
use std::time::Duration;

use forge_remote::axum::body::Body;
use forge_remote::axum::extract::Query;
use forge_remote::axum::http::{HeaderMap, header};
use forge_remote::fit::{EndpointBinding, Environment, VerificationPolicy};
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::registry::Auth;
use forge_remote::testing::{Harness, TestClock};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

#[endpoint]
async fn echo(Json(body): Json<Value>) -> Json<Value> {
    Json(body)
}

#[derive(Debug, thiserror::Error)]
#[error("the index is locked")]
struct Locked(#[source] std::io::Error);

#[endpoint]
async fn fails() -> Result<(), Locked> {
    Err(Locked(std::io::Error::other("password=hunter2")))
}

#[endpoint]
async fn fails_in_anyhows_manner() -> anyhow::Result<()> {
    Err(anyhow::anyhow!("password=hunter2").context("while syncing"))
}

#[endpoint]
async fn fails_with_ours() -> Result<()> {
    let _: u32 = "x".parse()?;
    Ok(())
}

#[endpoint]
async fn rejects() -> Result<()> {
    Err(Error::http(
        StatusCode::UNAUTHORIZED,
        "log in to the other system first",
    ))
}

#[endpoint]
async fn panics() -> Result<()> {
    let nothing: Option<u32> = None;
    assert!(nothing.is_some(), "password=hunter2");
    Ok(())
}

#[derive(Clone)]
struct Job {
    started: Arc<Notify>,
    go_on: Arc<Notify>,
    done: Arc<Semaphore>,
}

#[scheduled_trigger(interval = "hour", auth = system)]
async fn job(State(job): State<Job>, _token: SystemToken) -> Result<()> {
    job.started.notify_one();
    job.go_on.notified().await;
    job.done.add_permits(1);
    Ok(())
}

#[scheduled_trigger(interval = "hour")]
async fn plain(call: Invocation) -> Result<Json<Value>> {
    Ok(Json(
        json!({ "trace": call.trace_id(), "icLabel": call.claim("icLabel") }),
    ))
}

fn app() -> App {
    App::empty()
        .handler(handler!(echo))
        .handler(handler!(fails))
        .handler(handler!(fails_in_anyhows_manner))
        .handler(handler!(fails_with_ours))
        .handler(handler!(rejects))
        .handler(handler!(panics))
        .handler(handler!(plain))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

#[tokio::test]
async fn errors_and_panics_are_500_and_disclose_nothing() {
    let harness = Harness::new(app()).unwrap();
    for key in [
        "fails",
        "fails-in-anyhows-manner",
        "fails-with-ours",
        "panics",
    ] {
        let key = harness
            .app()
            .registry()
            .handlers()
            .iter()
            .map(|one| one.key())
            .find(|one| one.starts_with(&key[..key.len().min(15)]));
        let response = harness.call(key.unwrap()).send().await;
        assert_eq!(response.status(), 500, "{key:?}");
        assert!(
            !response.text().contains("hunter2") && !response.text().contains("digit"),
            "{response:?}"
        );
        assert_eq!(response.json()["error"]["code"], "internal_error");
    }
    // The server keeps running.
    assert_eq!(
        harness.call("echo").json(&json!(1)).send().await.status(),
        200
    );
}

#[tokio::test]
async fn a_handlers_own_401_does_not_look_like_a_bad_token() {
    let harness = Harness::new(app()).unwrap();
    let response = harness.call("rejects").send().await;
    assert_eq!(response.status(), 403);
    assert_eq!(
        response.json()["error"]["message"],
        "log in to the other system first"
    );
}

#[tokio::test]
async fn invalid_bodies_are_rejected_with_a_reason() {
    let harness = Harness::new(app().body_limit(1000)).unwrap();
    let call = || harness.call("echo");
    assert_eq!(call().body("{").send().await.status(), 400);
    assert_eq!(call().body("").send().await.status(), 400);
    assert_eq!(
        call()
            .header("content-type", "text/plain")
            .body("{}")
            .send()
            .await
            .status(),
        415
    );
    let large = call()
        .body(format!("\"{}\"", "x".repeat(1000)))
        .send()
        .await;
    assert_eq!(large.status(), 413);
    assert_eq!(large.json()["error"]["code"], "payload_too_large");
    let fits = call().body(format!("\"{}\"", "x".repeat(998))).send().await;
    assert_eq!(fits.status(), 200);
}

#[tokio::test]
async fn a_missing_oauth_token_is_500_and_an_invalid_one_400() {
    let job_state = Job {
        started: Arc::default(),
        go_on: Arc::default(),
        done: Arc::new(Semaphore::new(0)),
    };
    let harness = Harness::new(app().handler(handler!(job)).state(job_state)).unwrap();
    assert_eq!(
        harness.call("job").tokens(Auth::NONE).send().await.status(),
        500
    );
    let odd = harness
        .call("job")
        .header("x-forge-oauth-system", "a b")
        .send()
        .await;
    assert_eq!(odd.status(), 400);
}

#[tokio::test]
async fn a_job_finishes_although_the_caller_hangs_up() {
    let state = Job {
        started: Arc::default(),
        go_on: Arc::default(),
        done: Arc::new(Semaphore::new(0)),
    };
    let harness = Harness::new(app().handler(handler!(job)).state(state.clone())).unwrap();

    let call = tokio::spawn(harness.call("job").send());
    state.started.notified().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    state.go_on.notify_one();

    let done = tokio::time::timeout(Duration::from_secs(5), state.done.acquire()).await;
    assert!(done.is_ok(), "the handler was cut off");
}

#[tokio::test]
async fn a_stopping_server_lets_calls_finish() {
    let state = Job {
        started: Arc::default(),
        go_on: Arc::default(),
        done: Arc::new(Semaphore::new(0)),
    };
    let harness = Harness::new(app().handler(handler!(job)).state(state.clone())).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let server = tokio::spawn(
        harness
            .app()
            .clone()
            .serve(listener, async move { stopped.notified().await }),
    );

    let handler = harness.app().registry().find("job").next().unwrap();
    let (parts, body) = harness.platform().call(handler).into_request().into_parts();
    let body = forge_remote::axum::body::to_bytes(body, 100).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("{origin}{}", parts.uri))
        .headers(parts.headers)
        .body(body);
    let call = tokio::spawn(request.send());
    state.started.notified().await;

    stop.notify_one();
    // New connections are rejected, but the call in flight is served.
    while tokio::net::TcpStream::connect(origin.trim_start_matches("http://"))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    state.go_on.notify_one();
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert!(server.await.unwrap().is_ok());
}

#[tokio::test]
async fn policies_restrict_the_accepted_tokens() {
    let production = VerificationPolicy::default().environments([Environment::Production]);
    let harness = Harness::new(app().verification(production)).unwrap();
    let call = |environment: &'static str| {
        harness
            .call("plain")
            .fit(move |fit| fit.environment(environment))
            .send()
    };
    assert_eq!(call("PRODUCTION").await.status(), 200);
    assert_eq!(call("DEVELOPMENT").await.status(), 401);
    let nowhere = harness
        .call("plain")
        .fit(|fit| fit.without("/app/environment"))
        .send()
        .await;
    assert_eq!(nowhere.status(), 401);

    let guarded =
        Harness::new(app().verification(VerificationPolicy::default().replay_guard(true))).unwrap();
    let call = |jti: &'static str| {
        guarded
            .call("plain")
            .fit(move |fit| fit.set("/jti", jti.into()))
            .send()
    };
    assert_eq!(call("one").await.status(), 200);
    assert_eq!(call("one").await.status(), 401);
    assert_eq!(call("two").await.status(), 200);
    assert_eq!(
        guarded
            .call("plain")
            .fit(|fit| fit.without("/jti"))
            .send()
            .await
            .status(),
        401
    );
    // A page may reuse its token.
    let page = || {
        guarded
            .call("echo")
            .fit(|fit| fit.set("/jti", "page".into()))
            .send()
    };
    assert_eq!((page().await.status(), page().await.status()), (200, 200));
}

#[tokio::test]
async fn a_token_is_bound_to_its_endpoint_by_the_policy() {
    let of = |binding| {
        Harness::new(app().verification(VerificationPolicy::default().binding(binding))).unwrap()
    };
    let cases = [
        // binding, module type, module key, principal, status
        (EndpointBinding::Key, "core:endpoint", "plain", None, 200),
        (
            EndpointBinding::Key,
            "core:endpoint",
            "plain-trigger",
            None,
            200,
        ),
        (EndpointBinding::Key, "core:endpoint", "echo", None, 401),
        (
            EndpointBinding::Key,
            "core:endpoint",
            "plain",
            Some("user"),
            401,
        ),
        (EndpointBinding::Key, "xen:macro", "any", None, 401),
        (EndpointBinding::Strict, "xen:macro", "any", None, 401),
        (EndpointBinding::Strict, "core:endpoint", "plain", None, 200),
        (
            EndpointBinding::PrincipalOnly,
            "core:endpoint",
            "echo",
            None,
            200,
        ),
        (
            EndpointBinding::PrincipalOnly,
            "core:endpoint",
            "plain",
            Some("user"),
            401,
        ),
    ];
    for (binding, module_type, key, principal, status) in cases {
        let fit = |fit: forge_remote::testing::Fit| {
            let fit = fit.module(module_type, key);
            if let Some(user) = principal {
                fit.set("/principal", user.into())
            } else {
                fit
            }
        };
        let response = of(binding).call("plain").fit(fit).send().await;
        assert_eq!(
            response.status(),
            status,
            "{binding:?} {module_type} {key} {principal:?}"
        );
    }
}

#[tokio::test]
async fn the_clock_decides_the_time() {
    let clock = TestClock::new();
    let harness = Harness::new(app().clock(clock.clone())).unwrap();
    let early = harness.call("plain");
    clock.advance(Duration::from_secs(24));
    assert_eq!(early.send().await.status(), 200);
    let late = harness.call("plain");
    clock.advance(Duration::from_secs(26));
    assert_eq!(late.send().await.status(), 401);
}

#[endpoint]
async fn says_text() -> &'static str {
    "hello"
}

#[endpoint]
async fn says_nothing() {}

/// Responds with the status and the content type of the query.
#[endpoint]
async fn says(Query(wanted): Query<Wanted>) -> (StatusCode, HeaderMap, Body) {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = &wanted.content_type {
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
    }
    let status = StatusCode::from_u16(wanted.status).unwrap();
    (status, headers, wanted.body.into())
}

#[derive(serde::Deserialize)]
struct Wanted {
    status: u16,
    content_type: Option<String>,
    #[serde(default)]
    body: String,
}

#[trigger(events = ["avi:jira:created:issue"])]
async fn follows() -> &'static str {
    "hello"
}

/// `invokeRemote` accepts JSON, and a success without a body; the platform accepts any response of an event's handler.
/// Source: <https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/>
#[tokio::test]
async fn a_response_that_invoke_remote_rejects_is_marked() {
    let app = App::empty()
        .handler(handler!(echo))
        .handler(handler!(says_text))
        .handler(handler!(says_nothing))
        .handler(handler!(follows))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let harness = Harness::new(app).unwrap();
    let text = harness.call("says-text").send().await;
    assert!(text.invoke_remote_error().unwrap().contains("not JSON"));
    assert!(
        format!("{text:?}").contains("`invokeRemote` rejects this response"),
        "{text:?}"
    );
    let nothing = harness.call("says-nothing").send().await;
    assert_eq!(nothing.invoke_remote_error(), None);
    let json = harness.call("echo").json(&json!([1])).send().await;
    assert_eq!(json.invoke_remote_error(), None);
    let rejected = harness.call("echo").body("no JSON").send().await;
    assert!(rejected.status() >= 400);
    assert_eq!(rejected.invoke_remote_error(), None);
    let event = harness.call("follows-trigger").send().await;
    assert_eq!(event.invoke_remote_error(), None);
    // A rejected FIT has to get a 401; the handler's own is its mistake.
    let forged = harness.call("echo").fit(|fit| fit.without("/exp"));
    let forged = forged.send().await;
    assert_eq!(forged.status(), 401);
    assert_eq!(forged.invoke_remote_error(), None);
    assert!(
        !format!("{forged:?}").contains("invokeRemote"),
        "{forged:?}"
    );
}

/// Each row of the table in Atlassian's documentation, and each reason that it lists.
#[tokio::test]
async fn the_documented_rules_of_invoke_remote_are_applied() {
    let app = App::empty()
        .handler(handler!(says))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let harness = Harness::new(app).unwrap();
    for (query, reason) in [
        ("status=204", None),
        ("status=200&content_type=text/plain", None),
        ("status=200&content_type=text/plain&body=1", None),
        ("status=200&body=hello", Some("not JSON")),
        (
            "status=200&content_type=application/json&body=hello",
            Some("not JSON"),
        ),
        ("status=409&body=1", None),
        ("status=409", Some("empty")),
        ("status=302", Some("empty")),
        (
            "status=409&content_type=text/plain&body=1",
            Some("content type"),
        ),
        ("status=409&content_type=application/json&body=1", None),
        (
            "status=401&content_type=application/json&body=1",
            Some("401"),
        ),
    ] {
        let response = harness.call("says").query(query).send().await;
        let given = response.invoke_remote_error();
        assert!(
            match reason {
                Some(reason) => given.is_some_and(|given| given.contains(reason)),
                None => given.is_none(),
            },
            "{query}: {given:?}"
        );
    }
}

/// An error whose text has that of its cause.
#[derive(Debug)]
struct Repeating(std::io::Error);

impl std::fmt::Display for Repeating {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the database failed: {}", self.0)
    }
}

impl std::error::Error for Repeating {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_cause_that_the_text_above_repeats_is_written_once() {
    let failed = || Repeating(std::io::Error::other("connection refused"));
    let printed = format!("{:?}", forge_remote::Error::new(failed()));
    assert_eq!(printed, "the database failed: connection refused");
    let with_message =
        forge_remote::Error::http(StatusCode::BAD_GATEWAY, "try again later").with_source(failed());
    assert_eq!(
        format!("{with_message:?}"),
        "try again later\n  caused by: the database failed: connection refused"
    );
}
