//! The module type distinguishes an anonymous visitor's token, which has no principal, from the
//! platform's.

use forge_remote::fit::{EndpointBinding, VerificationPolicy};
use forge_remote::prelude::*;
use forge_remote::testing::{Fit, Harness};
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::published;
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::test_app::TestApp;

async fn with(policy: VerificationPolicy) -> TestApp {
    let keys = JwksResponse::Keys(published());
    TestApp::with(keys, |app| app.verification(policy)).await
}

/// Types that are in no list of pages: new modules, and possible types of events.
const OTHERS: [&str; 8] = [
    "core:trigger",
    "trigger",
    "confluence:customContent",
    "rovo:mcp",
    "jiraServiceManagement:invented",
    "Macro",
    "xen",
    "",
];

/// The setting for module types that this version does not know.
#[tokio::test]
async fn an_unknown_type_is_accepted_with_a_lenient_binding() {
    let lenient = VerificationPolicy::default().binding(EndpointBinding::UnknownModules);
    let app = with(lenient).await;
    for module_type in OTHERS {
        let fit = app.fit().claim("/app/module/type", module_type);
        assert_eq!(app.status(&fit.token()).await, 200, "{module_type}");
        let fit = fit.claim("/principal", "712020:someone");
        assert_eq!(app.status(&fit.token()).await, 401, "{module_type}");
    }
    let page = app.fit().claim("/app/module/type", "confluence:globalPage");
    assert_eq!(app.status(&page.token()).await, 401);
    // A strict binding rejects even its own type.
    let strict = with(VerificationPolicy::default().binding(EndpointBinding::Strict)).await;
    let own = strict.fit().claim("/app/module/type", "scheduledTrigger");
    assert_eq!(strict.status(&own.token()).await, 401);
}

#[pre_uninstall]
async fn goodbye() {}

#[scheduled_trigger(interval = "hour")]
async fn hourly() {}

/// A handler that deletes an installation's data accepts only FITs that the platform must have sent.
#[tokio::test]
async fn every_binding_is_strict_for_a_removal() {
    for binding in [
        EndpointBinding::UnknownModules,
        EndpointBinding::PrincipalOnly,
    ] {
        let app = App::empty()
            .handler(forge_remote::handler!(goodbye))
            .handler(forge_remote::handler!(hourly))
            .verification(VerificationPolicy::default().binding(binding))
            .remote(Remote::new("backend").base_url("https://backend.example.com"));
        let harness = Harness::new(app).unwrap();
        for (module_type, key) in [
            ("rovo:mcp", "goodbye"),
            ("confluence:customContent", "page"),
            ("core:endpoint", "hourly"),
            ("", "goodbye"),
        ] {
            let fit = |fit: Fit| fit.module(module_type, key);
            let response = harness.call("goodbye").fit(fit).send().await;
            assert_eq!(response.status(), 401, "{binding:?} {module_type}");
        }
        for module_type in ["core:endpoint", "preUninstall"] {
            let fit = |fit: Fit| fit.module(module_type, "goodbye");
            let response = harness.call("goodbye").fit(fit).send().await;
            assert_eq!(response.status(), 200, "{binding:?} {module_type}");
        }
    }
}

/// The log shows a change of the platform once for each type.
#[tokio::test]
async fn a_rejected_type_is_logged_once_with_the_setting_that_accepts_it() {
    let app = App::empty()
        .handler(forge_remote::handler!(hourly))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let harness = Harness::new(app).unwrap();
    let logged = LogCapture::default();
    let _guard = logged.start();
    let call = |module_type: &str| {
        let call = harness.call("hourly");
        call.fit(|fit| fit.module(module_type, "hourly")).send()
    };
    for _ in 0..3 {
        assert_eq!(call("core:trigger\n").await.status(), 401);
    }
    let lines = logged.take();
    let named: Vec<&str> = lines
        .lines()
        .filter(|line| line.contains("UnknownModules"))
        .collect();
    assert_eq!(named.len(), 1, "{lines}");
    assert!(named[0].contains("core:trigger\\n"), "{lines}");
    for at in 0..100 {
        call(&format!("core:type-{at}")).await;
    }
    let lines = logged.take();
    let named = lines.lines().filter(|line| line.contains("UnknownModules"));
    assert!(named.count() < 40, "{lines}");
}

/// The escape hatch for a change of the platform.
#[tokio::test]
async fn a_pages_type_is_accepted_when_only_the_principal_counts() {
    let loose = VerificationPolicy::default().binding(EndpointBinding::PrincipalOnly);
    let app = with(loose).await;
    let fit = app.fit().claim("/app/module/type", "confluence:globalPage");
    assert_eq!(app.status(&fit.token()).await, 200);
    let fit = fit.claim("/principal", "712020:someone");
    assert_eq!(app.status(&fit.token()).await, 401);
}
