//! Situations that people reported, with the files that they gave: each test is the `EXPECT` of a directory of
//! `tests/field`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::SystemTime;

use forge_remote::fit::AppId;
use forge_remote::manifest::{ManifestFile, Severity, check, render};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;
use forge_remote::testing::Harness;
use forge_remote::token::MemoryTokens;
use forge_remote_tests::http::{Call, send};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{self, published};
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::plain_process::PlainProcess;
use forge_remote_tests::stores::Folder;
use forge_remote_tests::test_app::TestApp;
use serde_json::Value;

/// The text of a given file.
macro_rules! given {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/field/", $path))
    };
}

/// A module with given handlers, and a function that returns them.
macro_rules! given_handlers {
    ($module:ident, $path:literal, [$($handler:ident),*]) => {
        #[allow(dead_code)]
        mod $module {
            use forge_remote::prelude::*;
            use forge_remote::registry::Registration;

            include!(concat!(env!("CARGO_MANIFEST_DIR"), "/field/", $path));

            pub(super) fn all() -> Vec<Registration> {
                vec![$(forge_remote::handler!($handler)),*]
            }
        }
    };
}

given_handlers!(one, "01-app-id-from-variable/handler.rs", [tick]);
given_handlers!(ten, "10-one-endpoint-two-modules/handler.rs", [sync]);
given_handlers!(twenty_six, "26-base-url-with-path/handler.rs", []);
given_handlers!(thirty_two, "32-two-services-one-remote/handler.rs", [tick]);

const LITE: &str = "00000000-0000-4000-8000-000000000001";
const FULL: &str = "00000000-0000-4000-8000-000000000002";

fn manifest(text: &str) -> ManifestFile {
    ManifestFile::parse("manifest.yml", Some(text.to_owned())).unwrap()
}

fn backend() -> Remote {
    Remote::new("backend").base_url("https://backend.example.com")
}

/// Returns the errors of a comparison, as text; the missing `app.runtime` of some files is a warning.
fn errors(file: &ManifestFile, registry: &Registry) -> String {
    let wanted = registry.desired_manifest(&[backend()]);
    let mut found = check(file, &wanted, &BTreeSet::new());
    found.retain(|one| one.severity == Severity::Error);
    render(file, &found, false)
}

/// Returns a FIT with given claims, whose dates are of now.
fn token(claims: &str, now: SystemTime) -> String {
    let claims: Value = serde_json::from_str(claims).unwrap();
    let mut fit = jws::Fit::backend(now, "tick");
    for (name, value) in claims.as_object().unwrap() {
        if !["iat", "nbf", "exp"].contains(&name.as_str()) {
            fit = fit.claim(&format!("/{name}"), value.clone());
        }
    }
    fit.token()
}

async fn keys() -> JwksServer {
    JwksServer::start(JwksResponse::Keys(published())).await
}

async fn status(process: &PlainProcess, claims: &str) -> u16 {
    let token = token(claims, SystemTime::now());
    let call = Call::post("/tick").bearer(&token);
    send(process.address, &call).await.unwrap().status
}

/// A command of `plain_app`, whose handler is that of 01.
fn plain(folder: &Folder, text: &str) -> tokio::process::Command {
    let path = folder.file("manifest.yml");
    std::fs::write(&path, text).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command.env("FORGE_REMOTE_MANIFEST", path);
    for name in ["FORGE_REMOTE_APP_ID", "APP_ID", "REMOTE_BASE_URL"] {
        command.env_remove(name);
    }
    command
}

async fn checked(mut command: tokio::process::Command) -> (bool, String) {
    let output = command
        .args(["manifest", "--check"])
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// 01-app-id-from-variable/EXPECT
#[tokio::test]
async fn an_app_id_from_a_variable() {
    let text = given!("01-app-id-from-variable/manifest.yml");
    let (by_default, by_env) = (
        given!("01-app-id-from-variable/claims-default.json"),
        given!("01-app-id-from-variable/claims-env.json"),
    );
    assert_eq!(
        errors(&manifest(text), &Registry::from_registrations(one::all())),
        ""
    );
    let (folder, keys) = (Folder::default(), keys().await);
    let process = PlainProcess::start_as_configured(plain(&folder, text), &keys).await;
    assert_eq!(status(&process, by_default).await, 200);
    assert_eq!(status(&process, by_env).await, 401);

    let mut command = plain(&folder, text);
    command.env("APP_ID", FULL);
    let process = PlainProcess::start_as_configured(command, &keys).await;
    assert_eq!(status(&process, by_env).await, 200);
    assert_eq!(status(&process, by_default).await, 401);

    let default =
        "    - key: APP_ID\n      default: 00000000-0000-4000-8000-000000000001 #Lite App ID\n";
    let without = text.replace(default, "    - APP_ID\n");
    assert_ne!(without, text);
    let (agrees, report) = checked(plain(&folder, &without)).await;
    assert!(!agrees, "{report}");
    let output = plain(&folder, &without).output().await.unwrap();
    let launch = String::from_utf8(output.stderr).unwrap();
    for text in [report, launch] {
        assert!(
            text.contains("`APP_ID`") || text.contains("APP_ID"),
            "{text}"
        );
        assert!(text.contains("FORGE_REMOTE_APP_ID"), "{text}");
    }
}

/// Looks a token up, for the app that calls.
#[scheduled_trigger(
    interval = "hour",
    key = "tick-trigger",
    endpoint = "tick",
    path = "/tick"
)]
async fn look_up(call: Invocation, tokens: Tokens) -> Json<Value> {
    let found = tokens.system(call.installation_id()).await.is_ok();
    Json(serde_json::json!({ "app": call.app_id(), "found": found }))
}

#[scheduled_trigger(interval = "day", auth = system, key = "keep-trigger", endpoint = "keep", path = "/keep")]
async fn keep(_: SystemToken) {}

/// 02-several-app-ids/EXPECT
#[tokio::test]
async fn several_app_ids() {
    let ids = given!("02-several-app-ids/env").trim();
    let (_, ids) = ids.split_once('=').unwrap();
    let ids: Vec<&str> = ids.trim_matches('"').split(',').collect();
    let app = App::empty()
        .handler(forge_remote::handler!(look_up))
        .handler(forge_remote::handler!(keep))
        .remote(backend())
        .token_store(MemoryTokens::new())
        .app_ids(ids);
    let log = LogCapture::default();
    let _guard = log.start();
    let harness = Harness::new(app).unwrap();
    let call = async |key: &str, claims: &str| {
        let claims: Value = serde_json::from_str(claims).unwrap();
        let call = harness.call(key).fit(|fit| {
            let installation = claims["app"]["installationId"].as_str().unwrap();
            let fit = fit.installation(installation.rsplit('/').next().unwrap());
            let fit = fit.set("/app/id", claims["app"]["id"].clone());
            fit.set("/aud", claims["aud"].clone())
        });
        call.send().await
    };
    let (lite, full) = (
        given!("02-several-app-ids/claims-lite.json"),
        given!("02-several-app-ids/claims-full.json"),
    );
    assert_eq!(call("keep-trigger", lite).await.status(), 200);
    for (claims, id, found) in [(lite, LITE, true), (full, FULL, false)] {
        let response = call("tick-trigger", claims).await;
        assert_eq!(response.status(), 200);
        let id: AppId = id.parse().unwrap();
        let seen: Value = response.json();
        assert_eq!(
            seen,
            serde_json::json!({ "app": id.as_str(), "found": found })
        );
    }
    log.take();
    let other = given!("02-several-app-ids/claims-other.json");
    assert_eq!(call("tick-trigger", other).await.status(), 401);
    let text = log.take();
    assert!(text.contains("audience"), "{text}");
}

#[trigger(
    events = ["avi:forge:installed:app"],
    key = "lifecycle",
    endpoint = "events",
    path = "/api/v1/webhook/forge"
)]
async fn installed() {}

/// 03-trailing-slash-in-variable/EXPECT
#[tokio::test]
async fn a_slash_at_the_end_of_a_variables_value() {
    let text = given!("03-trailing-slash-in-variable/manifest.yml");
    let default = "    - key: REMOTE_BASE_URL\n      default: https://app.example.com/\n";
    let without = text.replace(default, "    - REMOTE_BASE_URL\n");
    assert_ne!(without, text);
    let folder = Folder::default();
    let ends = "which ends with a slash";
    for (text, value, expected) in [
        (&*without, None, false),
        (&without, Some("https://app.example.com/"), true),
        (text, None, true),
    ] {
        let mut command = plain(&folder, text);
        command.envs(value.map(|value| ("REMOTE_BASE_URL", value)));
        let (_, report) = checked(command).await;
        assert_eq!(report.contains("error[base-url]"), expected, "{report}");
        assert_eq!(report.contains(ends), expected, "{report}");
    }

    let log = LogCapture::default();
    let _guard = log.start();
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.handler(forge_remote::handler!(installed))
    })
    .await;
    let request = given!("03-trailing-slash-in-variable/request.http");
    let path = request.split(' ').nth(1).unwrap();
    let (_, body) = request.split_once("\n\n").unwrap();
    let fit = jws::Fit::backend(app.now(), "events").token();
    log.take();
    let call = Call::post(path).bearer(&fit).body(body);
    assert_eq!(app.send(&call).await.unwrap().status, 404);
    let text = log.take();
    assert!(text.contains("doubled slash"), "{text}");
}

/// 05-major-or-minor/EXPECT
#[tokio::test]
async fn a_major_or_a_minor_version() {
    let (deployed, new) = (
        given!("05-major-or-minor/deployed.yml"),
        given!("05-major-or-minor/manifest.yml"),
    );
    let folder = Folder::default();
    let path = folder.file("deployed.yml");
    std::fs::write(&path, deployed).unwrap();
    let against = async |text: &str| {
        let mut command = plain(&folder, text);
        let arguments = ["manifest", "--against", path.to_str().unwrap()];
        let output = command.args(arguments).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (status, report) = against(new).await;
    assert_eq!(status, Some(1), "{report}");
    for part in [
        "major[endpoint-changed]: endpoint `follow`: `route` changed",
        "`https://new.example.com` was added",
        "needs the consent of each installation's admin",
        "forge deploy --approve MAJOR_VERSION_RULE",
    ] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
    // A page, whose title changes.
    let titled = |title: &str| {
        let page = "  jira:issuePanel:\n    - {key: panel, title: TITLE, resource: main, icon: https://example.com/i.svg}\n";
        deployed.replace(
            "modules:\n",
            &format!("modules:\n{}", page.replace("TITLE", title)),
        )
    };
    std::fs::write(&path, titled("Before")).unwrap();
    let (status, report) = against(&titled("After")).await;
    assert_eq!(status, Some(0), "{report}");
    assert!(report.contains("minor["), "{report}");
}

/// 10-one-endpoint-two-modules/EXPECT
#[tokio::test]
async fn one_endpoint_of_two_modules() {
    let text = given!("10-one-endpoint-two-modules/manifest.yml");
    let registry = Registry::from_registrations(ten::all());
    let file = manifest(text);
    let wanted = registry.desired_manifest(&[backend()]);
    assert_eq!(file.differences(&wanted), [""; 0]);
    assert_eq!(errors(&file, &registry), "");
    assert_eq!(file.merged_with(&wanted, None).unwrap(), text);
    let app = ten::all().into_iter().fold(App::empty(), App::handler);
    let harness = Harness::new(app.remote(backend())).unwrap();
    for module in ["token-sync", "event-install"] {
        assert_eq!(harness.call(module).send().await.status(), 200, "{module}");
    }
}

/// 19-undeclared-variables/EXPECT
#[tokio::test]
async fn undeclared_variables() {
    let text = given!("19-undeclared-variables/manifest.yml");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let folder = Folder::default();
    let mut command = plain(&folder, text);
    command.env("HTTPS_PROXY", &url).env("ALL_PROXY", &url);
    let (agrees, report) = checked(command).await;
    assert!(!agrees, "{report}");
    let undeclared = |name: &str| {
        let message = format!("error[undeclared-variable]: `${{{name}}}` is not declared");
        report.contains(&message)
    };
    for (name, expected) in [
        ("APP_ID", true),
        ("FRAME_URL", true),
        ("SUFFIX", true),
        ("REMOTE_BASE_URL", false),
    ] {
        assert_eq!(undeclared(name), expected, "{name}: {report}");
    }
    // Nothing was fetched.
    let connected = proxy.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(connected, Err(ErrorKind::WouldBlock));
}

mod dynamic {
    use forge_remote::prelude::*;
    use serde_json::Value;

    #[trigger(dynamic)]
    pub(super) async fn follow() {}

    /// Registers a module.
    #[endpoint(auth = system)]
    pub(super) async fn register(
        call: Invocation,
        token: SystemToken,
        Json(request): Json<Value>,
    ) -> Result<Json<Value>> {
        let modules = call.dynamic_modules(&token);
        let module_type = request["type"].as_str().unwrap_or_default();
        let module = modules.register(module_type, &request["data"]).await?;
        Ok(Json(serde_json::json!(module)))
    }
}

/// 21-dynamic-trigger/EXPECT
#[tokio::test]
async fn a_trigger_that_is_registered_at_run_time() {
    let handlers = || {
        [
            forge_remote::handler!(dynamic::follow),
            forge_remote::handler!(dynamic::register),
        ]
    };
    let app = handlers().into_iter().fold(App::empty(), App::handler);
    let harness = Harness::with_apis(app.remote(backend()).app_id(LITE))
        .await
        .unwrap();
    let claims: Value = serde_json::from_str(given!("21-dynamic-trigger/claims.json")).unwrap();
    let module = claims["app"]["module"].clone();
    let call = |of_user: bool| {
        let module = module.clone();
        harness.call("follow").fit(move |fit| {
            let fit = fit.set("/app/module", module);
            if of_user { fit.as_user("a-user") } else { fit }
        })
    };
    assert_eq!(call(false).send().await.status(), 200);
    assert_eq!(call(true).send().await.status(), 401);

    let wanted = Registry::from_registrations(handlers()).desired_manifest(&[backend()]);
    let text = wanted.to_yaml();
    assert!(text.contains("    - key: follow\n"), "{text}");
    assert!(!text.contains("trigger"), "{text}");

    let request = given!("21-dynamic-trigger/register-request.json");
    let request: Value = serde_json::from_str(request).unwrap();
    let response = harness.call("register").json(&request).send().await;
    assert_eq!(response.status(), 200);
    let calls = harness.platform().apis().calls();
    let sent = &calls.last().unwrap().request;
    assert_eq!((&*sent.method, &sent.body), ("POST", &request));
    assert_eq!(sent.as_user, None, "as the app");
}

mod below {
    use forge_remote::prelude::*;

    #[trigger(events = ["avi:jira:updated:issue"])]
    pub(super) async fn follow() {}
}

/// 26-base-url-with-path/EXPECT: both accept it.
#[tokio::test]
async fn a_base_url_with_a_path() {
    let code = given!("26-base-url-with-path/handler.rs");
    let (_, url) = code.split_once(".base_url(\"").unwrap();
    let (url, _) = url.split_once('"').unwrap();
    let folder = Folder::default();
    let path = folder.file("manifest.yml");
    std::fs::write(&path, given!("26-base-url-with-path/manifest.yml")).unwrap();
    let source = keys().await;
    let app = || {
        App::empty()
            .handler(forge_remote::handler!(below::follow))
            .remote(Remote::new("backend").base_url(url))
            .manifest_path(&path)
            .jwks_url(source.url())
    };
    app().check_manifest().unwrap();
    let router = app().build().unwrap().router();
    for path in ["/follow", "/functions/v1/follow"] {
        let fit = jws::Fit::backend(SystemTime::now(), "follow");
        let id = format!("ari:cloud:ecosystem::app/{LITE}");
        let fit = fit.claim("/aud", id.clone()).claim("/app/id", id);
        let request = forge_remote::http::Request::post(path)
            .header("authorization", format!("Bearer {}", fit.token()))
            .header("content-type", "application/json")
            .body(forge_remote::axum::body::Body::from("{}"))
            .unwrap();
        let response = tower::ServiceExt::oneshot(router.clone(), request)
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
}

/// 32-two-services-one-remote/EXPECT
#[test]
fn two_services_behind_one_remote() {
    let text = given!("32-two-services-one-remote/manifest.yml");
    let file = manifest(text);
    let mut wanted = Registry::from_registrations(thirty_two::all()).desired_manifest(&[backend()]);
    let without = file.merged_with(&wanted, None).unwrap();
    let findings = check(&manifest(&without), &wanted, &BTreeSet::new());
    let report = render(&manifest(&without), &findings, false);
    assert!(report.contains("App::foreign_endpoints"), "{report}");

    wanted.foreign.insert("other-service".to_owned());
    let written = file.merged_with(&wanted, None).unwrap();
    // Every line that was there, in its order; only `tick` is new.
    let mut lines = written.lines();
    for line in text.lines() {
        assert!(lines.any(|one| one == line), "{line} is not in\n{written}");
    }
    assert!(written.contains("key: tick\n"), "{written}");
    let updated = manifest(&written);
    assert_eq!(updated.differences(&wanted), [""; 0]);
    let mut found = check(&updated, &wanted, &BTreeSet::new());
    found.retain(|one| one.severity == Severity::Error);
    assert!(found.is_empty(), "{found:#?}");
    // The program's own check, too.
    let folder = Folder::default();
    std::fs::write(folder.file("manifest.yml"), &written).unwrap();
    let app = thirty_two::all()
        .into_iter()
        .fold(App::empty(), App::handler);
    let app = app.remote(backend()).foreign_endpoints(["other-service"]);
    app.manifest_path(folder.file("manifest.yml"))
        .check_manifest()
        .unwrap();
}
