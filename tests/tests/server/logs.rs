//! What callers can do to the log: neither fill it nor forge a line of it.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use forge_remote::prelude::*;
use forge_remote_tests::http::Call;
use forge_remote_tests::jws::published;
use forge_remote_tests::logged::Logged;
use forge_remote_tests::rig::Rig;
use forge_remote_tests::source::Answer;

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    Up,
}

#[derive(serde::Deserialize)]
struct Options {
    #[allow(dead_code)]
    sort: Sort,
}

#[endpoint]
async fn sorted(Query(options): Query<Options>) -> &'static str {
    match options.sort {
        Sort::Up => "up",
    }
}

/// A handler's error that quotes its caller.
#[endpoint]
async fn quoting(body: String) -> Result<()> {
    Err(format!("unexpected `{body}`").into())
}

/// A token that `requestRemote` never brings.
#[endpoint(auth = system)]
async fn needs_token(token: SystemToken) -> &'static str {
    let _ = token;
    ""
}

#[web_trigger]
async fn hook(
    _: forge_remote::kinds::WebTriggerRequest,
) -> forge_remote::kinds::WebTriggerResponse {
    forge_remote::kinds::WebTriggerResponse::new(200, "")
}

/// A body that is read before the handler runs.
#[endpoint]
async fn again(retry: RetryContext, body: String) -> String {
    let _ = retry;
    body
}

async fn rig() -> Rig {
    let rig = Rig::with(Answer::Keys(published()), |app| {
        app.handler(forge_remote::handler!(sorted))
            .handler(forge_remote::handler!(quoting))
            .handler(forge_remote::handler!(needs_token))
            .handler(forge_remote::handler!(hook))
            .handler(forge_remote::handler!(again))
    })
    .await;
    rig.until_status(200).await.unwrap();
    rig
}

/// Refusals are logged ten times a minute for each reason, and counted beyond that.
#[tokio::test]
async fn refusals_do_not_fill_the_log() {
    let logged = Logged::default();
    let _guard = logged.listen();
    let rig = rig().await;
    // Each with what is logged for it.
    let calls = || {
        let page = rig.page().token();
        [
            ("refused: no valid", Call::post("/tick")),
            ("no handler has this path", Call::post("/nowhere")),
            ("does not accept the request", Call::new("PUT", "/tick")),
            (
                "could not be extracted",
                Call::post("/sorted?sort=x").bearer(&page),
            ),
            (
                "the body is too large",
                Call::post("/ui").bearer(&page).body(vec![b' '; 2 << 20]),
            ),
        ]
    };
    for (line, call) in calls() {
        logged.take();
        for _ in 0..40 {
            assert!(rig.send(&call).await.unwrap().status >= 400);
        }
        let log = logged.take();
        assert_eq!(log.matches(line).count(), 10, "{line}:\n{log}");
        assert!(!log.contains("suppressed="), "{log}");
    }
    // Another reason has lines of its own.
    rig.send(&rig.tick("rubbish")).await.unwrap();
    assert_eq!(logged.take().matches("refused: no valid").count(), 1);

    rig.clock.advance(Duration::from_secs(60));
    for (line, call) in calls() {
        rig.send(&call).await.unwrap();
        let log = logged.take();
        assert!(log.contains("suppressed=30"), "{line}:\n{log}");
    }
}

/// What callers cause after they are let in is limited in the same way.
#[tokio::test]
async fn what_a_verified_caller_causes_does_not_fill_the_log() {
    let logged = Logged::default();
    let _guard = logged.listen();
    let rig = rig().await;
    let page = rig.page().token();
    let platform = rig.fit().token();
    // Nearly a description of a request.
    let near = r#"{"method":1,"path":"/","headers":{}}"#;
    // A chunked body, larger than it may be.
    let large = vec![b' '; 2 << 20];
    for (line, call, status) in [
        (
            "the call has no valid OAuth token",
            Call::post("/needs-token").bearer(&page),
            500,
        ),
        (
            "looks like Forge's description",
            Call::post("/hook").bearer(&platform).body(near),
            200,
        ),
        (
            "the body was refused",
            Call::post("/again")
                .bearer(&page)
                .body(large)
                .chunked(65_536),
            413,
        ),
    ] {
        logged.take();
        for _ in 0..20 {
            assert_eq!(rig.send(&call).await.unwrap().status, status, "{line}");
        }
        let log = logged.take();
        assert_eq!(log.matches(line).count(), 10, "{line}:\n{log}");
    }
}

/// What a caller writes stays on the line it is quoted in.
#[tokio::test]
async fn no_caller_forges_a_line() {
    let logged = Logged::default();
    let _guard = logged.listen();
    let rig = rig().await;
    logged.take();
    let page = || rig.page().token();
    let forged = "%0AERROR%20forged%0D%1B%5B31m";
    for call in [
        Call::post(&format!("/sorted?sort=x{forged}")).bearer(&page()),
        Call::post(&format!("/nowhere/{forged}")),
        Call::post("/quoting")
            .bearer(&page())
            .body("x\nERROR forged\r\u{1b}[31m\u{2028}"),
    ] {
        assert!(rig.send(&call).await.unwrap().status >= 400);
        let log = logged.take();
        assert!(log.contains("forged"), "{log}");
        assert!(
            !log.contains("\nERROR") && !log.contains(['\r', '\u{1b}', '\u{2028}']),
            "{log:?}"
        );
    }
}
