//! The app's own routes in the server of the handlers.

use forge_remote::axum::Router;
use forge_remote::axum::routing::{get, post};
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{APP_ID, published};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::test_app::TestApp;
use tokio::process::Command;

#[web_trigger(path = "/hook")]
async fn hook() {}

async fn panics() -> &'static str {
    panic!("by design")
}

#[tokio::test]
async fn own_routes_share_the_server_and_its_limits() {
    let log = LogCapture::default();
    let _guard = log.start();
    let own = Router::new()
        .route("/figma/webhook", post(async |body: String| body))
        .route("/figma/panics", get(panics))
        .nest(
            "/oauth",
            Router::new().route("/{id}/callback", get(async || "back")),
        );
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.routes(own).body_limit(1000)
    })
    .await;
    let text = log.take();
    assert!(
        text.contains("/figma/webhook") && text.contains("without verification"),
        "{text}"
    );

    for (call, expected) in [
        (Call::post("/figma/webhook").body("hello"), 200),
        (Call::new("GET", "/figma/webhook"), 405),
        (Call::post("/figma/webhook").body("x".repeat(1001)), 413),
        (
            Call::post("/figma/webhook")
                .body("x".repeat(1001))
                .chunked(100),
            413,
        ),
        (Call::new("GET", "/oauth/7/callback"), 200),
        (Call::new("GET", "/figma/panics"), 500),
        (Call::new("GET", "/oauth/7/elsewhere"), 404),
        (Call::post("/tick"), 401),
        (app.tick(&app.fit().token()), 200),
        (Call::new("GET", "/healthz"), 200),
    ] {
        let response = app.send(&call).await.unwrap();
        let request = String::from_utf8_lossy(&call.bytes()[..20]).into_owned();
        assert_eq!(response.status, expected, "{request}: {}", response.text());
        if expected == 404 {
            assert_eq!(response.json()["error"]["code"], "not_found");
        }
    }
}

#[tokio::test]
async fn a_fallback_receives_the_other_paths() {
    let own = Router::new().fallback(async || "page");
    let app = TestApp::with(JwksResponse::Keys(published()), |app| app.routes(own)).await;
    for (call, expected) in [
        (Call::new("GET", "/anything"), 200),
        (Call::post("/tick"), 401),
        (Call::new("GET", "/tick"), 405),
        (Call::new("GET", "/healthz"), 200),
    ] {
        assert_eq!(app.send(&call).await.unwrap().status, expected);
    }
}

#[function_call(path = "/items/{id}")]
async fn item() {}

#[test]
fn a_route_that_is_never_called_is_a_launch_problem() {
    let problems = |routers: &[Router]| {
        let mut app = App::empty()
            .handler(handler!(forge_remote_tests::handlers::tick))
            .handler(handler!(hook))
            .handler(handler!(item))
            .app_id(APP_ID)
            .state(forge_remote_tests::handlers::Seen::default())
            .remote(Remote::new("backend").base_url("https://backend.example.com/base"));
        for router in routers {
            app = app.routes(router.clone());
        }
        let built = app.build();
        built.map(drop).map_err(|error| error.to_string())
    };
    let at = |path: &str| Router::new().route(path, get(async || "own"));
    for path in [
        "/tick",
        "/base/tick",
        "/hook",
        "/hook/{id}",
        "/hook/a/{*rest}",
        "/items/own",
        "/items/{name}",
        "/base/items/own",
        "/healthz",
        "/readyz",
    ] {
        let text = problems(&[at(path)]).unwrap_err();
        assert!(
            text.contains("route-taken") && text.contains(path),
            "{path}: {text}"
        );
        assert!(text.contains("own_routes.rs:"), "{text}");
    }
    for (first, second) in [
        ("/mine", "/mine"),
        ("/users/{id}", "/users/{name}"),
        ("/users/{id}/x", "/users/{name}/x"),
    ] {
        let text = problems(&[at(first), at(second)]).unwrap_err();
        assert!(
            text.contains("route-taken") && text.contains(first) && text.contains(second),
            "{text}"
        );
    }
    let fallback = || Router::new().fallback(async || "own");
    let text = problems(&[fallback(), fallback()]).unwrap_err();
    assert!(text.contains("two fallbacks"), "{text}");
    let apart = [at("/{page}"), at("/about"), at("/img-{id}"), fallback()];
    assert_eq!(problems(&apart), Ok(()));
    for path in ["/ticks", "/tick/{id}", "/{*rest}", "/{id}", "/hooks"] {
        assert_eq!(problems(&[at(path)]), Ok(()), "{path}");
    }
}

/// Routers given one by one route as one router of axum's does.
#[tokio::test]
async fn the_most_specific_route_of_all_routers_is_called() {
    let at = |path: &str, name: &'static str| Router::new().route(path, get(async move || name));
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.routes(at("/img-{id}", "image"))
            .routes(at("/{page}", "page"))
            .routes(at("/about", "about"))
            .routes(at("/files/{*path}", "file"))
            .routes(at("/files/list", "list"))
    })
    .await;
    for (path, expected) in [
        ("/about", "about"),
        ("/contact", "page"),
        ("/img-7", "image"),
        ("/files/a/b", "file"),
        ("/files/list", "list"),
        ("/files//a", "file"),
    ] {
        let response = app.send(&Call::new("GET", path)).await.unwrap();
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, expected),
            "{path}"
        );
    }
}

/// Anyone can call these routes, so they cannot take all places of the verified calls.
#[tokio::test]
async fn own_routes_leave_places_for_verified_calls() {
    let log = LogCapture::default();
    let _guard = log.start();
    let (entered, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let own = post(async move || {
        entered.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.routes(Router::new().route("/figma/webhook", own))
            .max_in_flight(4)
    })
    .await;
    let slow = Call::post("/figma/webhook");
    let mut waiting = tokio::task::JoinSet::new();
    let (address, slow_again) = (app.address, slow.clone());
    waiting.spawn(async move { forge_remote_tests::http::send(address, &slow_again).await });
    calls.recv().await.unwrap();
    // A quarter of the places is taken, and no other call gets one.
    for _ in 0..4 {
        let response = app.send(&slow).await.unwrap();
        assert_eq!(response.status, 503);
        assert!(response.header("retry-after").is_some());
    }
    assert!(log.has("`App::routes`"), "{}", log.take());
    assert_eq!(app.status(&app.fit().token()).await, 200);
}

#[tokio::test]
async fn own_routes_are_listed() {
    for (arguments, expected) in [
        (&["routes"][..], "(own, not verified)"),
        (&["routes", "--json"][..], "\"path\": \"/webhook\""),
        (
            &["dev", "--once"][..],
            "your own routes, not verified: /webhook\n",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_plain_app"))
            .args(arguments)
            .env("OWN_ROUTES", "1")
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains(expected) && text.contains("/webhook"),
            "{text}"
        );
    }
}
