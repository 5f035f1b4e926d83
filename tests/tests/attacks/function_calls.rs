//! Paths that only the app's functions call: no page's FIT and no other handler's opens them.

use forge_remote::fit::{EndpointBinding, VerificationPolicy};
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote_tests::http::Call;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{Fit, published};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::test_app::TestApp;

/// A database that the app's function guards.
#[function_call(path = "/api/query", auth = [system, user])]
async fn query(call: Invocation, system: Option<SystemToken>, user: Option<UserToken>) -> String {
    let who = call.principal().unwrap_or("nobody");
    let tokens = (system.is_some(), user.is_some());
    format!("{who} {tokens:?} {:?}", call.provenance())
}

#[function_call(path = "/api/needs-system", auth = system)]
async fn needs_system(_: SystemToken) {}

#[function_call(path = "/api/needs-user", auth = user)]
async fn needs_user(_: UserToken) {}

/// Its name is also the key of another handler's endpoint.
#[function_call(path = "/api/tick", key = "tick")]
async fn namesake() {}

async fn app_with(policy: VerificationPolicy) -> TestApp {
    TestApp::with(JwksResponse::Keys(published()), |app| {
        app.verification(policy)
            .handler(handler!(query))
            .handler(handler!(needs_system))
            .handler(handler!(needs_user))
            .handler(handler!(namesake))
    })
    .await
}

async fn app() -> TestApp {
    app_with(VerificationPolicy::default()).await
}

/// Returns the FIT of a function's call, as far as it is documented.
fn function(app: &TestApp) -> Fit {
    Fit::backend(app.now(), "my-function")
}

async fn response(app: &TestApp, path: &str, fit: &Fit) -> (u16, String) {
    let call = Call::post(path).bearer(&fit.token());
    let response = app.send(&call).await.unwrap();
    (response.status, response.text())
}

async fn status(app: &TestApp, fit: &Fit) -> u16 {
    response(app, "/api/query", fit).await.0
}

const SOMEONE: &str = "712020:someone";

#[tokio::test]
async fn a_functions_fit_is_accepted_for_a_user_and_without_one() {
    let app = app().await;
    let alone = function(&app);
    let (code, text) = response(&app, "/api/query", &alone).await;
    assert_eq!(
        (code, text.as_str()),
        (200, "nobody (false, false) Function")
    );
    let for_user = function(&app).claim("/principal", SOMEONE);
    let (code, text) = response(&app, "/api/query", &for_user).await;
    assert_eq!(code, 200);
    assert_eq!(text, format!("{SOMEONE} (false, false) Function"));
    // The key is not documented: any of no other handler, or none.
    for key in ["resolver", "query", "page", ""] {
        let fit = function(&app).claim("/app/module/key", key);
        assert_eq!(status(&app, &fit).await, 200, "{key}");
    }
    let without_key = function(&app).without("/app/module/key");
    assert_eq!(status(&app, &without_key).await, 200);
    // Real ones have the site of the page for whose user the function runs.
    let with_context = for_user.claim("/context", serde_json::json!({ "cloudId": "d0d5" }));
    assert_eq!(status(&app, &with_context).await, 200);
}

#[tokio::test]
async fn a_pages_fit_is_rejected_with_and_without_a_user() {
    for binding in [
        EndpointBinding::Key,
        EndpointBinding::Strict,
        EndpointBinding::UnknownModules,
    ] {
        let app = app_with(VerificationPolicy::default().binding(binding)).await;
        for module_type in [
            "xen:macro",
            "jira:issuePanel",
            "confluence:globalPage",
            "macro",
        ] {
            for key in ["forge-remote-app-boot", "query", "my-function"] {
                let page = app.page().claim("/app/module/type", module_type);
                let page = page.claim("/app/module/key", key);
                assert_eq!(status(&app, &page).await, 401, "{binding:?} {module_type}");
                let anonymous = page.without("/principal");
                assert_eq!(
                    status(&app, &anonymous).await,
                    401,
                    "{binding:?} {module_type}"
                );
            }
        }
    }
    // The principal alone counts, but a user's must be a function's.
    let loose = VerificationPolicy::default().binding(EndpointBinding::PrincipalOnly);
    let app = app_with(loose).await;
    assert_eq!(status(&app, &app.page()).await, 401);
    let for_user = function(&app).claim("/principal", SOMEONE);
    assert_eq!(status(&app, &for_user).await, 200);
}

#[tokio::test]
async fn another_handlers_fit_is_rejected() {
    let app = app().await;
    // The keys of an endpoint and of its module, with the platform's type and with the module's.
    for key in ["tick", "tick-trigger"] {
        for module_type in ["core:endpoint", "function"] {
            let fit = app.fit().claim("/app/module/key", key);
            let fit = fit.claim("/app/module/type", module_type);
            assert_eq!(status(&app, &fit).await, 401, "{module_type} {key}");
            let for_user = fit.clone().claim("/principal", SOMEONE);
            assert_eq!(status(&app, &for_user).await, 401, "{module_type} {key}");
            // Not even at the function's call of that name.
            assert_eq!(response(&app, "/api/tick", &fit).await.0, 401, "{key}");
        }
    }
    for module_type in ["scheduledTrigger", "trigger", "core:trigger", ""] {
        let fit = app.fit().claim("/app/module/type", module_type);
        assert_eq!(status(&app, &fit).await, 401, "{module_type}");
    }
    let no_module = function(&app).without("/app/module");
    assert_eq!(status(&app, &no_module).await, 401);
    // The reverse: a function's FIT opens no handler of the platform.
    assert_eq!(app.status(&function(&app).token()).await, 401);
    let with_user = function(&app).claim("/principal", SOMEONE);
    assert_eq!(app.status(&with_user.token()).await, 401);
}

/// If Forge names another type than the documented one, the log shows it, with the setting that accepts it.
#[tokio::test]
async fn an_undocumented_type_is_logged_and_can_be_accepted() {
    let app = app().await;
    let logged = LogCapture::default();
    let _guard = logged.start();
    let unknown = || function(&app).claim("/app/module/type", "core:function");
    assert_eq!(
        status(&app, &unknown().claim("/principal", SOMEONE)).await,
        401
    );
    let lines = logged.take();
    assert!(lines.contains("core:function"), "{lines}");
    assert!(lines.contains("function_type"), "{lines}");
    assert_eq!(status(&app, &app.page()).await, 401);
    let lines = logged.take();
    assert!(lines.contains("#[endpoint]"), "{lines}");
    assert!(!lines.contains("function_type"), "{lines}");

    // Only the named type, and only with a key that is not another handler's.
    let named = VerificationPolicy::default().function_type("core:function");
    let app = app_with(named.function_type("xen:macro")).await;
    let of_type = |module_type| {
        let fit = function(&app).claim("/app/module/type", module_type);
        fit.claim("/principal", SOMEONE)
    };
    let (code, text) = response(&app, "/api/query", &of_type("core:function")).await;
    assert_eq!(code, 200);
    assert_eq!(text, format!("{SOMEONE} (false, false) Function"));
    let another = of_type("core:function").claim("/app/module/key", "tick-trigger");
    assert_eq!(status(&app, &another).await, 401);
    // A page's type, also if it is named, and another one that this version does not know.
    for module_type in ["xen:macro", "jira:newerPanel", "core:function2", ""] {
        assert_eq!(
            status(&app, &of_type(module_type)).await,
            401,
            "{module_type}"
        );
    }
}

/// Pages of a type that Atlassian adds later, and modules with their own type.
#[tokio::test]
async fn the_setting_for_unknown_types_opens_no_functions_handler() {
    let lenient = VerificationPolicy::default().binding(EndpointBinding::UnknownModules);
    let app = app_with(lenient).await;
    for (module_type, key) in [
        ("jira:newerPanel", "panel"),
        ("", "panel"),
        ("trigger", "tick-trigger"),
        ("webtrigger", "hook"),
        ("core:function", "my-function"),
    ] {
        let fit = function(&app).claim("/app/module/type", module_type);
        let fit = fit.claim("/app/module/key", key);
        assert_eq!(status(&app, &fit).await, 401, "{module_type}");
        let for_user = fit.claim("/principal", SOMEONE);
        assert_eq!(status(&app, &for_user).await, 401, "{module_type}");
    }
    let without_type = function(&app).without("/app/module/type");
    let without_type = without_type.claim("/principal", SOMEONE);
    assert_eq!(status(&app, &without_type).await, 401);
    assert_eq!(status(&app, &function(&app)).await, 200);
}

/// Forge documents no FIT of the type `function`. No page can hold one.
#[tokio::test]
async fn the_type_of_functions_is_accepted_unless_the_binding_is_strict() {
    for (binding, expected) in [
        (EndpointBinding::Key, 200),
        (EndpointBinding::PrincipalOnly, 200),
        (EndpointBinding::Strict, 401),
    ] {
        let app = app_with(VerificationPolicy::default().binding(binding)).await;
        let fit = function(&app).claim("/app/module/type", "function");
        let for_user = fit.clone().claim("/principal", SOMEONE);
        for fit in [fit, for_user] {
            let (code, text) = response(&app, "/api/query", &fit).await;
            assert_eq!(code, expected, "{binding:?} {text}");
            assert!(code == 401 || text.ends_with("Function"), "{text}");
        }
    }
}

/// A missing token names the place in the manifest that counts for functions.
#[tokio::test]
async fn a_missing_token_is_an_error_that_names_the_remotes_auth() {
    let app = app().await;
    let logged = LogCapture::default();
    let _guard = logged.start();
    for (path, token) in [
        ("/api/needs-system", "auth.appSystemToken"),
        ("/api/needs-user", "auth.appUserToken"),
    ] {
        assert_eq!(response(&app, path, &function(&app)).await.0, 500, "{path}");
        let lines = logged.take();
        assert!(lines.contains("remotes[].auth"), "{lines}");
        assert!(lines.contains(token), "{lines}");
        assert!(!lines.contains("requestRemote"), "{lines}");
    }
}
