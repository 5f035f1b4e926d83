//! Callers can neither flood the log nor forge a line in it.

use std::path::Path;
use std::time::Duration;

use forge_remote::prelude::*;

use forge_remote_tests::app_command::{app_command, run};
use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{Fit, published, seconds};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::rsa::stranger;
use forge_remote_tests::test_app::TestApp;

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

/// A handler that needs a token, which `requestRemote` never sends.
#[endpoint(auth = system, also_at = "/needs-token-v1")]
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

/// A handler whose body is read before it runs.
#[endpoint]
async fn again(retry: RetryContext, body: String) -> String {
    let _ = retry;
    body
}

async fn logging_app() -> TestApp {
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.handler(forge_remote::handler!(sorted))
            .handler(forge_remote::handler!(quoting))
            .handler(forge_remote::handler!(needs_token))
            .handler(forge_remote::handler!(hook))
            .handler(forge_remote::handler!(again))
    })
    .await;
    app.until_status(200).await.unwrap();
    app
}

/// Rejections are logged ten times a minute for each reason, and counted beyond that.
#[tokio::test]
async fn rejections_do_not_flood_the_log() {
    let logged = LogCapture::default();
    let _guard = logged.start();
    let app = logging_app().await;
    // Each with its log text.
    let calls = || {
        let page = app.page().token();
        [
            ("rejected: no valid", Call::post("/tick")),
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
            assert!(app.send(&call).await.unwrap().status >= 400);
        }
        let log = logged.take();
        assert_eq!(log.matches(line).count(), 10, "{line}:\n{log}");
        assert!(!log.contains("suppressed="), "{log}");
    }
    // Another reason is counted separately.
    app.send(&app.tick("rubbish")).await.unwrap();
    assert_eq!(logged.take().matches("rejected: no valid").count(), 1);

    app.clock.advance(Duration::from_secs(60));
    for (line, call) in calls() {
        app.send(&call).await.unwrap();
        let log = logged.take();
        assert!(log.contains("suppressed=30"), "{line}:\n{log}");
    }
}

/// Log lines that accepted callers cause are limited in the same way.
#[tokio::test]
async fn a_verified_caller_does_not_flood_the_log() {
    let logged = LogCapture::default();
    let _guard = logged.start();
    let app = logging_app().await;
    let page = app.page().token();
    let platform = Fit::backend(app.now(), "hook-webtrigger").token();
    // Nearly a description of a request.
    let near = r#"{"method":1,"path":"/","headers":{}}"#;
    // A chunked body above the limit.
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
            "the body was rejected",
            Call::post("/again")
                .bearer(&page)
                .body(large)
                .chunked(65_536),
            413,
        ),
    ] {
        logged.take();
        for _ in 0..20 {
            assert_eq!(app.send(&call).await.unwrap().status, status, "{line}");
        }
        let log = logged.take();
        assert_eq!(log.matches(line).count(), 10, "{line}:\n{log}");
    }
}

/// A caller's text stays on the line that quotes it.
#[tokio::test]
async fn no_caller_can_forge_a_line() {
    let logged = LogCapture::default();
    let _guard = logged.start();
    let app = logging_app().await;
    logged.take();
    let page = || app.page().token();
    let forged = "%0AERROR%20forged%0D%1B%5B31m";
    for call in [
        Call::post(&format!("/sorted?sort=x{forged}")).bearer(&page()),
        Call::post(&format!("/nowhere/{forged}")),
        Call::post("/quoting")
            .bearer(&page())
            .body("x\nERROR forged\r\u{1b}[31m\u{2028}"),
    ] {
        assert!(app.send(&call).await.unwrap().status >= 400);
        let log = logged.take();
        assert!(log.contains("forged"), "{log}");
        assert!(
            !log.contains("\nERROR") && !log.contains(['\r', '\u{1b}', '\u{2028}']),
            "{log:?}"
        );
    }
}

/// The log names the probable cause of a rejected call.
#[tokio::test]
async fn the_log_names_what_to_change() {
    let logged = LogCapture::default();
    let _guard = logged.start();
    let app = logging_app().await;
    let page = app.page().token();
    for (call, cause) in [
        (Call::post("//tick"), "`baseUrl` ends with `/`"),
        (Call::post("/nowhere"), "the output of `routes`"),
        (Call::post("/needs-token").bearer(&page), "`requestRemote`"),
        (
            Call::post("/needs-token-v1").bearer(&page),
            "an older major version of the app",
        ),
        (
            Call::post("/ui").bearer(&page).body(vec![b' '; 2 << 20]),
            "raise `body_limit` in the handler's attribute, or `App::body_limit`",
        ),
    ] {
        logged.take();
        assert!(app.send(&call).await.unwrap().status >= 400);
        let log = logged.take();
        assert!(log.contains(cause), "{cause}:\n{log}");
    }
}

/// A call without a token is rarely an attack: the log names what it may be.
#[tokio::test]
async fn a_call_without_a_header_is_logged_with_its_likely_causes() {
    let log = LogCapture::default();
    let _guard = log.start();
    let app = TestApp::start().await;
    log.take();
    let response = app.send(&Call::post("/tick")).await.unwrap();
    assert_eq!(response.status, 401);
    assert!(
        !response.text().contains("invokeRemote"),
        "{}",
        response.text()
    );
    let log = log.take();
    for part in [
        "code=missing_header",
        "no Authorization header",
        "`api.fetch`",
        "use `invokeRemote` or `requestRemote`",
        "health check",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

/// Dates and unknown keys are rarely an attack either: a clock is wrong, or the FIT is of another platform.
#[tokio::test]
async fn dates_and_unknown_keys_are_logged_with_their_likely_causes() {
    let log = LogCapture::default();
    let _guard = log.start();
    let app = TestApp::start().await;
    let now = seconds(app.now());
    let dated = |claim: &str, at: i64| app.fit().claim(claim, at).token();
    let issued = app.fit().claim("/iat", now + 300).claim("/exp", now + 320);
    let unknown = |kid: &str| app.fit().head("kid", kid).sign(stranger());
    let (unknown, other) = (unknown("stranger"), unknown("other"));
    for (code, token) in [
        ("expired", dated("/exp", now - 1)),
        ("lives_too_long", dated("/exp", now + 7200)),
        ("not_yet_valid", dated("/nbf", now + 300)),
        ("issued_in_future", issued.token()),
        ("unknown_key", unknown),
        // Within the cooldown, another unknown key is not looked up.
        ("unknown_key_cooldown", other),
    ] {
        log.take();
        let status = app.status(&token).await;
        let lines = log.take();
        assert!(lines.contains(&format!("code={code} ")), "{code}: {lines}");
        let causes: &[&str] = match code {
            "unknown_key" => &["`dev`", "`App::staging_cloud`"],
            "unknown_key_cooldown" => {
                assert_eq!(status, 503, "{lines}");
                &["`dev`", "`App::staging_cloud`"]
            }
            _ => &["this machine's clock", "`doctor`"],
        };
        for cause in causes {
            assert!(lines.contains(cause), "{code}: {cause}: {lines}");
        }
    }
}

/// A code of the log is explained by the command that explains the other codes.
#[test]
fn the_codes_of_rejections_are_explained() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let explain = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_plain_app");
        run(app_command(program, folder, &["explain"]).args(arguments))
    };
    for (code, fix) in [
        ("wrong_audience", "compare the configured app id"),
        ("expired", "clock is ahead"),
        ("unknown_key_cooldown", "`JwksPolicy::unknown_key_cooldown`"),
    ] {
        let (good, text) = explain(&[code]);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(good && text.contains(fix), "{text}");
        assert!(text.contains("log line"), "{text}");
    }
    let (good, text) = explain(&[]);
    assert!(good && text.contains("\n  wrong_audience\n"), "{text}");
    let (good, text) = explain(&["wrong_audeince"]);
    assert!(!good && text.contains("wrong_audience"), "{text}");
}
