//! Methods, paths and bodies have the right statuses, and errors are JSON without internals.

use std::time::Instant;

use forge_remote_tests::http::Call;
use forge_remote_tests::report::Report;
use forge_remote_tests::test_app::{SOON, TestApp, is_silent};
use serde_json::json;

pub(crate) const MEBIBYTE: usize = 1024 * 1024;

#[tokio::test]
async fn other_methods_are_rejected() {
    let app = TestApp::start().await;
    let mut report = Report::new("wrong methods");
    let token = app.fit().token();
    for method in [
        "GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "PROPFIND", "QUERY", "BREW",
        "post", "Post", "POSTX", "POS", "M-SEARCH",
    ] {
        let call = Call::new(method, "/tick").bearer(&token);
        report.case(
            method,
            app.rejects_bytes(&call.bytes(), &[405, 400, 501]).await,
        );
        let call = Call::new(method, "/tick");
        report.case(
            format!("{method} without a token"),
            app.rejects_bytes(&call.bytes(), &[405, 401, 400, 501])
                .await,
        );
        for header in [
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
        ] {
            let call = Call::new(method, "/tick?_method=POST")
                .bearer(&token)
                .header(header, "POST");
            report.case(
                format!("{method} overridden by {header}"),
                app.rejects_bytes(&call.bytes(), &[405, 400, 501]).await,
            );
        }
    }
    let call = Call::new("CONNECT", "backend.example.com:443").bearer(&token);
    report.case(
        "CONNECT",
        app.rejects_bytes(&call.bytes(), &[400, 404, 405, 501])
            .await,
    );
    let call = Call::new("CONNECT", "/tick").bearer(&token);
    report.case(
        "CONNECT with a path",
        app.rejects_bytes(&call.bytes(), &[400, 404, 405, 501])
            .await,
    );
    let call = Call::new("OPTIONS", "*").bearer(&token);
    report.case(
        "OPTIONS *",
        app.rejects_bytes(&call.bytes(), &[400, 404, 405, 501])
            .await,
    );

    let response = app
        .send(&Call::new("GET", "/tick").bearer(&token))
        .await
        .unwrap();
    report.holds(
        "405 names the allowed methods",
        response.header("allow") == Some("POST"),
        format!("{:?}", response.header("allow")),
    );
    report.finish();
}

#[tokio::test]
async fn other_paths_are_rejected() {
    let app = TestApp::start().await;
    let mut report = Report::new("wrong paths");
    let token = app.fit().token();
    let expected = [400, 404, 405, 414, 431];
    for path in [
        "/",
        "/nowhere",
        "/tic",
        "/ticks",
        "/tick/",
        "/tick//",
        "//tick",
        "///tick",
        "/tick/tick",
        "/tick/.",
        "/tick/..",
        "/tick/../tick",
        "/./tick",
        "/../tick",
        "/x/../tick",
        "/x/./../tick",
        "/healthz/../tick",
        "/readyz/..//tick",
        "/..;/tick",
        "/x/..;/tick",
        "/;/tick",
        "/tick;",
        "/tick;a=b",
        "/TICK",
        "/Tick",
        "/tICK",
        "/%74ick",
        "/%74%69%63%6b",
        "/tic%6b",
        "/tic%6B",
        "/%2ftick",
        "/%2Ftick",
        "/tick%2f",
        "/tick%2F",
        "/tick%2e",
        "/%2e/tick",
        "/%2e%2e/tick",
        "/x/%2e%2e/tick",
        "/x/%2E%2E/tick",
        "/x%2f..%2ftick",
        "/%252e%252e/tick",
        "/%c0%ae%c0%ae/tick",
        "/%5ctick",
        "/x/..%5ctick",
        "\\tick",
        "/\\tick",
        "/tick%00",
        "/tick%20",
        "/tick%09",
        "/tick%0a",
        "/tick%0d%0aX:y",
        "/tick%3f",
        "/tick%23",
        "/tick.json",
        "/tick.",
        "/tick~",
        "/tick*",
        "/tick%",
        "/tick%zz",
        "/tíck",
        "/t%C3%ADck",
        "/ｔick",
        "tick",
        "./tick",
        "",
        "?/tick",
        "#/tick",
        "*",
        "/ui/../tick",
        "/api/tick",
        "/v1/tick",
        "/.well-known/jwks.json",
        "/{tick}",
        "/:tick",
        "/*",
        "/admin",
        "/metrics",
        "/debug",
        "/manifest.yml",
        "/.env",
        "/healthz/tick",
        "/healthz%2f..%2ftick",
        "/healthz?/tick",
        "/healthz/",
    ] {
        // A valid FIT does not make a wrong path valid.
        let call = Call::post(path).bearer(&token);
        report.case(
            format!("{path:?}"),
            app.rejects_bytes(&call.bytes(), &expected).await,
        );
        let call = Call::post(path).bearer("rubbish");
        report.case(
            format!("{path:?} without a token"),
            app.rejects_bytes(&call.bytes(), &[400, 401, 404, 405])
                .await,
        );
    }
    let long = format!("/{}", "a".repeat(100_000));
    report.case(
        "100,000 characters",
        app.rejects_bytes(&Call::post(&long).bearer(&token).bytes(), &expected)
            .await,
    );
    let deep = "/a".repeat(20_000);
    report.case(
        "20,000 segments",
        app.rejects_bytes(&Call::post(&deep).bearer(&token).bytes(), &expected)
            .await,
    );
    for header in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Path",
        "X-Forwarded-Uri",
        "X-Forwarded-Prefix",
    ] {
        let call = Call::post("/nowhere")
            .bearer(&token)
            .header(header, "/tick");
        report.case(
            format!("/nowhere with {header}"),
            app.rejects_bytes(&call.bytes(), &expected).await,
        );
        let call = Call::new("GET", "/healthz").header(header, "/tick");
        let response = app.send(&call).await.unwrap();
        report.holds(
            format!("/healthz with {header}"),
            response.status == 200 && response.text() == "ok\n",
            response.text(),
        );
    }
    report.finish();
}

/// Paths without a token disclose nothing.
#[tokio::test]
async fn paths_without_a_token_disclose_nothing() {
    let app = TestApp::start().await;
    app.until_status(200).await.unwrap();
    let before = app.seen.count();
    for path in ["/healthz", "/readyz"] {
        let response = app.send(&Call::new("GET", path)).await.unwrap();
        assert_eq!(response.status, 200, "{path}");
        assert!(response.body.len() < 100, "{path}: {}", response.text());
        let response = app.send(&Call::new("HEAD", path)).await.unwrap();
        assert_eq!(
            (response.status, response.body.len()),
            (200, 0),
            "HEAD {path}"
        );
        for method in ["POST", "PUT", "DELETE"] {
            let response = app.send(&Call::new(method, path)).await.unwrap();
            assert_eq!(response.status, 405, "{method} {path}");
        }
    }
    app.unharmed(before).await.unwrap();
}

/// The largest headers of a call: the token of a page with a large context, and both OAuth tokens.
#[tokio::test]
async fn headers_of_16_kilobytes_are_accepted() {
    let app = TestApp::start().await;
    let fit = app
        .page()
        .claim("/context/extension/text", "x".repeat(12 * 1024));
    let token = fit.token();
    assert!(token.len() > 16 * 1024, "{}", token.len());
    let oauth = format!("a.{}.c", "b".repeat(16 * 1024 - 4));
    let call = Call::post("/ui")
        .bearer(&token)
        .header("x-forge-oauth-system", &oauth)
        .header("x-forge-oauth-user", &oauth);
    app.accepts(&call, &fit).await.unwrap();
}

/// A caller without a token gets its response before the body is complete.
#[tokio::test]
async fn a_caller_without_a_token_gets_401_before_its_body() {
    let app = TestApp::start().await;
    for (name, call) in [
        (
            "length",
            Call::post("/echo")
                .bearer("rubbish")
                .unframed()
                .header("Content-Length", "1000")
                .body("{\"te"),
        ),
        (
            "chunks",
            Call::post("/echo")
                .bearer("rubbish")
                .unframed()
                .header("Transfer-Encoding", "chunked")
                .body("3\r\n{\"t\r\n"),
        ),
        (
            "expectation",
            Call::post("/echo")
                .bearer("rubbish")
                .unframed()
                .header("Content-Length", "1000")
                .header("Expect", "100-continue"),
        ),
    ] {
        let started = Instant::now();
        let mut connection = app.open().await;
        connection.send(&call.bytes()).await;
        let response = connection.response().await.unwrap().expect(name);
        assert_eq!(response.status, 401, "{name}");
        is_silent(&response).expect(name);
        assert!(started.elapsed() < SOON, "{name}");
    }
    app.unharmed(0).await.unwrap();
}

/// Errors of the framework are JSON and disclose no internals.
#[tokio::test]
async fn errors_are_json() {
    let app = TestApp::start().await;
    for (call, status) in [
        (Call::post("/nowhere"), 404),
        (Call::new("GET", "/tick"), 405),
        (Call::post("/tick"), 401),
        (
            Call::post("/echo").bearer(&app.page().token()).body("x"),
            400,
        ),
        (
            app.tick(&app.fit().token())
                .header("x-forge-oauth-system", "a b"),
            400,
        ),
        (
            app.tick(&app.fit().token())
                .header("x-forge-oauth-system", "a")
                .header("x-forge-oauth-system", "b"),
            400,
        ),
    ] {
        let response = app.send(&call).await.unwrap();
        assert_eq!(response.status, status, "{}", response.text());
        assert_eq!(
            response.header("content-type"),
            Some("application/json"),
            "{status}"
        );
        assert!(
            response.json()["error"]["code"].is_string(),
            "{}",
            response.text()
        );
        for header in ["server", "x-powered-by"] {
            assert_eq!(response.header(header), None, "{status}");
        }
        for inside in ["axum", "hyper", "serde", "src/", "panicked", ".rs"] {
            assert!(!response.text().contains(inside), "{}", response.text());
        }
    }
    assert_eq!(json!(app.seen.count()), json!(0));
}

/// The paths of functions' calls are in no manifest: Atlassian's own example ends with a slash.
mod function_paths {
    use axum::extract::Path;
    use forge_remote::handler;
    use forge_remote::prelude::*;
    use forge_remote::registry::Method;
    use forge_remote::testing::Harness;
    use forge_remote_tests::log_capture::LogCapture;

    #[function_call(path = "/tasks/")]
    async fn tasks() -> &'static str {
        "tasks"
    }

    #[function_call(method = "GET", path = "/items/{id}/parts/{part}", also_at = ["/old/{id}/{part}"])]
    async fn part(Path((id, part)): Path<(u64, String)>) -> String {
        format!("{id} {part}")
    }

    #[function_call(method = "GET", path = "/items/7/parts/latest")]
    async fn latest() -> &'static str {
        "latest"
    }

    #[function_call(method = "GET", path = "/items/{number}/parts/{name}")]
    async fn ambiguous() {}

    fn app() -> App {
        App::empty()
            .handler(handler!(tasks))
            .handler(handler!(part))
            .handler(handler!(latest))
            .remote(Remote::new("backend").base_url("https://backend.example.com/v1"))
    }

    #[tokio::test]
    async fn they_may_have_parameters_and_end_with_a_slash() {
        let harness = Harness::new(app()).unwrap();
        let get = async |key: &str, path: &str| {
            let response = harness.call(key).at_path(path).send().await;
            (response.status(), response.text())
        };
        for (key, path, text) in [
            ("tasks", "/tasks/", "tasks"),
            ("tasks", "/v1/tasks/", "tasks"),
            ("part", "/items/7/parts/a%20b", "7 a b"),
            ("part", "/v1/items/7/parts/x", "7 x"),
            ("part", "/old/8/x", "8 x"),
            ("part", "/items/7/parts/latest", "latest"),
        ] {
            assert_eq!(get(key, path).await, (200, text.to_owned()), "{path}");
        }
        // A local platform's own call.
        let response = harness.call("part").send().await;
        assert_eq!((response.status(), response.text().as_str()), (200, "1 1"));

        let logged = LogCapture::default();
        let _guard = logged.start();
        assert_eq!(get("tasks", "/tasks").await.0, 404);
        let log = logged.take();
        assert!(
            log.contains("differs from it by the `/` at the end"),
            "{log}"
        );
        let call = harness.call("part").method(Method::Delete);
        assert_eq!(
            call.at_path("/v1/items/7/parts/x").send().await.status(),
            405
        );
        let log = logged.take();
        assert!(log.contains("accepted") && log.contains("GET"), "{log}");
    }

    #[test]
    fn ambiguous_ones_are_a_launch_problem() {
        let report = app().handler(handler!(ambiguous)).build().unwrap_err();
        let report = report.to_string();
        assert!(report.contains("overlapping-paths"), "{report}");
        app().build().map(drop).unwrap_or_else(|error| {
            assert!(!error.to_string().contains("overlapping-paths"), "{error}")
        });
    }
}
