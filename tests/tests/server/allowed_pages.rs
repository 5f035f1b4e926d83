//! `#[endpoint(pages = […])]` restricts which pages reach a handler.

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{Fit, Harness};
use forge_remote_tests::log_capture::LogCapture;
use serde_json::json;

#[endpoint(pages = ["admin-page", "setup"])]
async fn save_settings() -> Json<bool> {
    Json(true)
}

#[endpoint]
async fn show() -> Json<bool> {
    Json(true)
}

fn harness() -> Harness {
    let app = App::empty()
        .handler(handler!(save_settings))
        .handler(handler!(show))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    Harness::new(app).unwrap()
}

#[tokio::test]
async fn only_the_named_pages_reach_the_handler() {
    let harness = harness();
    let logged = LogCapture::default();
    let _guard = logged.start();
    for (module_type, key, status) in [
        ("jira:adminPage", "admin-page", 200),
        ("xen:macro", "setup", 200),
        ("jira:issuePanel", "panel", 403),
        ("jira:issuePanel", "", 403),
        ("jira:issuePanel", "Admin-page", 403),
        // The app's own function can call it, unless the FIT names a user, as a page's does.
        ("core:endpoint", "save-settings", 200),
        ("core:endpoint for a user", "save-settings", 403),
    ] {
        let (module_type, for_user) = match module_type.strip_suffix(" for a user") {
            Some(module_type) => (module_type, true),
            None => (module_type, false),
        };
        let fit = |fit: Fit| match module_type {
            "core:endpoint" if !for_user => fit.module(module_type, key).without("/principal"),
            _ => fit.module(module_type, key),
        };
        let response = harness.call("save-settings").fit(fit).send().await;
        assert_eq!(response.status(), status, "{module_type} {key}");
        if status == 403 {
            assert_eq!(
                response.json()["error"]["code"],
                "wrong_page",
                "{response:?}"
            );
            assert!(logged.take().contains("pages"), "the option is named");
        }
        // CORS headers let the page read the reason.
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        let response = harness.call("show").fit(|fit| fit.module(module_type, key));
        let show = if module_type == "core:endpoint" {
            401
        } else {
            200
        };
        assert_eq!(response.send().await.status(), show);
    }
    let without = harness.call("save-settings");
    let without = without.fit(|fit| fit.without("/app/module/key"));
    assert_eq!(without.send().await.status(), 403);
    // The local platform calls as an allowed page.
    let response = harness.call("save-settings").send().await;
    assert_eq!((response.status(), response.json()), (200, json!(true)));
}
