//! Calls of older major versions of the app (`also_at`, `also_key`), and of modules that were
//! registered at run time (`dynamic`).

use forge_remote::handler;
use forge_remote::kinds::{JqlFunctionResponse, WebTriggerRequest, WebTriggerResponse};
use forge_remote::prelude::*;
use forge_remote::registry::{Registration, Registry};
use forge_remote::testing::{Fit, Harness};
use forge_remote_tests::log_capture::LogCapture;

#[trigger(
    events = ["avi:jira:updated:issue"],
    also_at = "/old",
    also_key = ["old-key", "older"]
)]
async fn follow() -> Result<()> {
    Ok(())
}

#[trigger(events = ["avi:jira:created:issue"])]
async fn welcome() -> Result<()> {
    Ok(())
}

#[endpoint(also_at = ["/settings-v1", "/settings-v2"], also_key = "settings-v1")]
async fn settings() -> Json<bool> {
    Json(true)
}

#[web_trigger(also_at = "/old-hook")]
async fn hook(request: WebTriggerRequest) -> WebTriggerResponse {
    WebTriggerResponse::new(200, request.user_path)
}

/// Also registered for the events that a user chooses.
#[trigger(dynamic)]
async fn chosen() -> Result<()> {
    Ok(())
}

/// Also registered for the functions that a user defines.
#[jql_function(
    dynamic,
    name = "urgent",
    types = ["issue"],
    operators = ["in"],
    also_at = "/pressing",
    also_key = "pressing"
)]
async fn urgent() -> Json<JqlFunctionResponse> {
    Json(JqlFunctionResponse::jql("priority = High"))
}

/// Defines the hooks of a move, and a function that returns their handlers.
macro_rules! hooks {
    ($($name:ident = $hook:literal)*) => {
        $(
            #[data_residency(hook = $hook, also_at = "/moves")]
            async fn $name() {}
        )*

        fn hooks() -> Vec<Registration> {
            vec![$(handler!($name)),*]
        }
    };
}

hooks! {
    schedule = "schedule" start = "start" status = "status" commit = "commit" rollback = "rollback"
}

fn app(handlers: impl IntoIterator<Item = Registration>) -> App {
    let app = App::empty().remote(Remote::new("backend").base_url("https://backend.example.com"));
    handlers.into_iter().fold(app, App::handler)
}

fn harness() -> Harness {
    let handlers = [
        handler!(follow),
        handler!(welcome),
        handler!(settings),
        handler!(hook),
        handler!(chosen),
    ];
    Harness::new(app(handlers)).unwrap()
}

const PLATFORM: &str = "core:endpoint";
const UUID: &str = "5f0c2f0e-9f0f-4b1e-8a53-3a5d2f7c9b11";

#[tokio::test]
async fn calls_of_both_versions_are_served_and_verified() {
    let harness = harness();
    let post = async |path: &str, key: &str| {
        let call = harness.call("follow").at_path(path);
        call.fit(|fit| fit.module(PLATFORM, key))
            .send()
            .await
            .status()
    };
    for path in ["/follow", "/old"] {
        // A former key also stands for the module key that was generated from it.
        for key in [
            "follow",
            "follow-trigger",
            "old-key",
            "older",
            "old-key-trigger",
        ] {
            assert_eq!(post(path, key).await, 200, "{path} {key}");
        }
        for key in ["welcome", "settings-v1", "other", "", UUID] {
            assert_eq!(post(path, key).await, 401, "{path} {key}");
        }
    }
    let expired = |fit: Fit| fit.set("/exp", 1.into());
    let response = harness
        .call("follow")
        .at_path("/old")
        .fit(expired)
        .send()
        .await;
    assert_eq!(response.status(), 401);
    assert_eq!(post("/old/more", "follow").await, 404);
    // Another handler does not accept the former key.
    let call = harness
        .call("welcome")
        .fit(|fit| fit.module(PLATFORM, "old-key"));
    assert_eq!(call.send().await.status(), 401);

    for path in ["/settings", "/settings-v1", "/settings-v2"] {
        let response = harness.call("settings").at_path(path).send().await;
        assert_eq!(response.status(), 200, "{path}");
    }
    let call = harness.call("hook").at_path("/old-hook/orders/7");
    let response = call.send().await;
    assert_eq!(response.status(), 200);
}

/// A key that was generated from a former one is another service's, if the app lists it.
#[tokio::test]
async fn a_generated_former_key_may_be_another_services() {
    let status = async |app: App, key: &str| {
        let harness = Harness::new(app).unwrap();
        let call = harness.call("follow");
        let call = call.fit(|fit| fit.module(PLATFORM, key));
        call.send().await.status()
    };
    let own = || app([handler!(follow)]);
    assert_eq!(status(own(), "old-key-trigger").await, 200);
    let others = [
        own().foreign_modules(["old-key-trigger"]),
        own().foreign_endpoints(["old-key-trigger"]),
    ];
    for app in others {
        assert_eq!(status(app, "old-key-trigger").await, 401);
    }
    let app = || own().foreign_modules(["old-key-trigger"]);
    for key in ["older-trigger", "old-key", "follow-trigger"] {
        assert_eq!(status(app(), key).await, 200, "{key}");
    }
}

/// A key that the code writes is this app's.
#[test]
fn a_written_former_key_is_not_another_services() {
    let own = || app([handler!(follow), handler!(settings)]);
    for (app, list, key) in [
        (own().foreign_modules(["older"]), "foreign_modules", "older"),
        (
            own().foreign_endpoints(["settings-v1"]),
            "foreign_endpoints",
            "settings-v1",
        ),
    ] {
        let report = app.build().unwrap_err().to_string();
        for part in [
            "foreign-handler",
            &format!("`App::{list}` lists `{key}`, but"),
            "remove the key from the list, or from `also_key` of the handler",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
    }
}

#[test]
fn the_manifest_has_the_current_names_only() {
    let remote = [Remote::new("backend").base_url("https://backend.example.com")];
    let registry = Registry::from_registrations([handler!(follow), handler!(settings)]);
    let text = registry.desired_manifest(&remote).to_yaml();
    for former in ["old", "settings-v"] {
        assert!(!text.contains(former), "{text}");
    }
}

#[tokio::test]
async fn the_log_names_the_option_that_an_older_version_needs() {
    let harness = harness();
    let logged = LogCapture::default();
    let _guard = logged.start();
    let send = async |path: &str, key: &str| {
        let call = harness.call("follow").at_path(path);
        let status = call
            .fit(|fit| fit.module(PLATFORM, key))
            .send()
            .await
            .status();
        (status, logged.take())
    };
    // An unknown path: the FIT names a handler, by its current or a former key.
    for key in ["welcome", "welcome-trigger"] {
        let (status, log) = send("/hello", key).await;
        assert_eq!(status, 404);
        assert!(log.contains("names the key of `welcome`"), "{log}");
        assert!(log.contains("also_at"), "{log}");
    }
    let (_, log) = send("/oldest", "old-key").await;
    assert!(log.contains("names the former key of `follow`"), "{log}");
    // A stranger's token or none: no hint.
    let (_, log) = send("/hello", "stranger-key").await;
    assert!(
        !log.contains("hint") && !log.contains("stranger-key"),
        "{log}"
    );

    // A former path with another key.
    let (status, log) = send("/old", "oldest-key").await;
    assert_eq!(status, 401);
    assert!(log.contains("a former path of `follow`"), "{log}");
    assert!(log.contains("also_key"), "{log}");
    assert!(!log.contains("oldest-key"), "a claim is in the log: {log}");
    // Another handler's path with a former key.
    let (status, log) = send("/welcome", "old-key").await;
    assert_eq!(status, 401);
    assert!(log.contains("the former key of `follow`"), "{log}");
    assert!(log.contains("also_at"), "{log}");
}

#[trigger(events = ["avi:jira:created:issue"], also_key = "follow")]
async fn greedy() -> Result<()> {
    Ok(())
}

#[trigger(events = ["avi:jira:created:issue"], also_at = "/follow")]
async fn intruder() -> Result<()> {
    Ok(())
}

#[test]
fn former_names_of_another_handler_are_launch_problems() {
    let codes = |handlers: [Registration; 2]| -> Vec<&'static str> {
        let problems = Registry::from_registrations(handlers).problems();
        problems.iter().map(|problem| problem.code).collect()
    };
    assert_eq!(codes([handler!(follow), handler!(greedy)]), ["former-key"]);
    assert_eq!(
        codes([handler!(follow), handler!(intruder)]),
        ["duplicate-path"]
    );
    assert_eq!(codes([handler!(follow), handler!(welcome)]), [""; 0]);
}

#[tokio::test]
async fn a_dynamic_handler_accepts_generated_keys() {
    let harness = harness();
    let send = async |handler: &str, fit: fn(Fit) -> Fit| {
        harness.call(handler).fit(fit).send().await.status()
    };
    assert_eq!(send("chosen", |fit| fit.module(PLATFORM, UUID)).await, 200);
    // As the local platform sends it.
    assert_eq!(send("chosen", |fit| fit).await, 200);
    assert_eq!(
        send("chosen", |fit| fit.module(PLATFORM, "chosen")).await,
        200
    );
    assert_eq!(send("chosen", |fit| fit.module("trigger", UUID)).await, 200);
    // A user's token, a page's, another handler's, and what Forge does not generate.
    assert_eq!(
        send("chosen", |fit| fit.module(PLATFORM, UUID).as_user("u")).await,
        401
    );
    assert_eq!(
        send("chosen", |fit| fit.module("xen:macro", UUID)).await,
        401
    );
    assert_eq!(
        send("chosen", |fit| fit.module(PLATFORM, "follow")).await,
        401
    );
    assert_eq!(
        send("chosen", |fit| fit.module(PLATFORM, "old-key")).await,
        401
    );
    assert_eq!(
        send("chosen", |fit| fit.module(PLATFORM, "unknown")).await,
        401
    );
    assert_eq!(send("chosen", |fit| fit.module(PLATFORM, "")).await, 401);
    // No other handler accepts such a key.
    assert_eq!(send("welcome", |fit| fit.module(PLATFORM, UUID)).await, 401);
    assert_eq!(
        send("welcome", |fit| fit.module("trigger", UUID)).await,
        401
    );
}

#[test]
fn a_dynamic_handler_has_an_endpoint_but_no_module() {
    let remote = [Remote::new("backend").base_url("https://backend.example.com")];
    let registry = Registry::from_registrations([handler!(chosen)]);
    assert!(registry.problems().is_empty(), "{:?}", registry.problems());
    let text = registry.desired_manifest(&remote).to_yaml();
    assert!(text.contains("endpoint:\n    - key: chosen\n"), "{text}");
    assert!(!text.contains("trigger"), "{text}");
}

/// The hooks of a move have one module, whose path is that of the hooks without their names.
#[tokio::test]
async fn hooks_are_served_at_former_paths() {
    let harness = Harness::new(app(hooks())).unwrap();
    let send = async |hook: &str, path: &str, fit: fn(Fit) -> Fit| {
        let call = harness.call(hook).at_path(&format!("{path}/{hook}"));
        call.fit(fit).send().await.status()
    };
    for hook in ["schedule", "start", "status", "commit", "rollback"] {
        for path in ["/data-residency", "/moves"] {
            let status = send(hook, path, |fit| fit).await;
            assert_eq!(status, 200, "{path}/{hook}");
            // It is not documented which module a FIT names, so its former key needs no option.
            let status = send(hook, path, |fit| fit.module(PLATFORM, "moves")).await;
            assert_eq!(status, 200, "{path}/{hook}");
            let status = send(hook, path, |fit| fit.set("/exp", 1.into())).await;
            assert_eq!(status, 401, "{path}/{hook}");
        }
        assert_eq!(send(hook, "/older", |fit| fit).await, 404, "{hook}");
    }
}

#[tokio::test]
async fn a_dynamic_jql_function_accepts_generated_and_former_keys() {
    let harness = Harness::new(app([handler!(urgent), handler!(welcome)])).unwrap();
    let send = async |path: &str, key: &str| {
        let call = harness.call("urgent").at_path(path);
        let call = call.fit(|fit| fit.module(PLATFORM, key));
        call.send().await.status()
    };
    for path in ["/urgent", "/pressing"] {
        for key in ["urgent", "pressing", UUID] {
            assert_eq!(send(path, key).await, 200, "{path} {key}");
        }
        for key in ["welcome", "unknown", ""] {
            assert_eq!(send(path, key).await, 401, "{path} {key}");
        }
    }
}
