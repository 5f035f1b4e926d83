//! The console of `dev`: who may use it, and what it shows.

use std::fs;
use std::path::{Path, PathBuf};

use forge_remote_tests::app_command::app_command;
use forge_remote_tests::dev_process::DevProcess;
use forge_remote_tests::http::{self, Call};
use forge_remote_tests::stores::Folder;
use serde_json::{Value, json};

use super::console_calls::made;

/// Paths of each part of the server.
const PATHS: &[&str] = &[
    "/console",
    "/console/app.js",
    "/console/api/calls",
    "/.well-known/jwks.json",
    "/invoke/sweep-trigger",
    "/ex/confluence/site/wiki/api/v2/pages",
];

fn life_app(folder: &Folder) -> DevProcess {
    DevProcess::start(&mut app_command(
        env!("CARGO_BIN_EXE_life_app"),
        folder.path(),
        &["dev"],
    ))
}

fn plain_app(folder: &Folder) -> DevProcess {
    let mut command = app_command(env!("CARGO_BIN_EXE_plain_app"), folder.path(), &["dev"]);
    let id = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
    DevProcess::start(command.env("FORGE_REMOTE_APP_ID", id))
}

fn post(path: &str, body: Value) -> Call {
    Call::post(&format!("/console/api/{path}")).json(&body)
}

fn get(path: &str) -> Call {
    Call::new("GET", &format!("/console/api/{path}"))
}

/// Makes a call of a handler, and returns everything that is recorded of it.
async fn recorded(dev: &DevProcess, key: &str, body: Value) -> Value {
    made(dev, &format!("handlers/{key}/call"), body).await
}

/// After a host name of an attacker is pointed to loopback, its page could send requests here.
#[tokio::test]
async fn only_the_servers_own_names_are_served() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    let address = dev.address();
    let port = address.port();
    let status = async |path: &str, host: &str| {
        let call = Call::new("GET", path).host(host);
        http::send(address, &call).await.unwrap().status
    };
    for path in PATHS {
        for host in [
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:1",
            "localhost.evil.example",
            &format!("evil.example:{port}"),
            &format!("127.0.0.1:{port}.evil.example"),
        ] {
            assert_eq!(status(path, host).await, 421, "{path} {host}");
        }
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let status = status(path, &format!("{host}:{port}")).await;
            assert!(![421, 400].contains(&status), "{path} {host}: {status}");
        }
    }
}

/// The app's own routes are not verified, so the name protects them too.
#[tokio::test]
async fn the_apps_port_is_served_by_its_own_names_only() {
    let folder = Folder::default();
    let mut command = app_command(env!("CARGO_BIN_EXE_plain_app"), folder.path(), &["dev"]);
    command.args(["--allow-host", "tunnel.example.com"]);
    let dev = DevProcess::start(command.env("OWN_ROUTES", "1"));
    let address = dev.app_address();
    let port = address.port();
    let send = async |path: &str, host: &str| {
        let call = Call::post(path).host(host);
        http::send(address, &call).await.unwrap()
    };
    for (path, status) in [
        ("/webhook", 200),
        ("/tick", 401),
        ("/healthz", 405),
        ("/nothing", 404),
    ] {
        for host in [
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:1",
            "localhost.evil.example",
            &format!("evil.example:{port}"),
            "tunnel.example.com.evil.example",
            &format!("tunnel.example.com:{port}"),
        ] {
            let response = send(path, host).await;
            assert_eq!(response.status, 421, "{path} {host}");
            for part in [
                "--allow-host",
                "for Forge's calls, run the app without `dev`",
            ] {
                assert!(response.text().contains(part), "{}", response.text());
            }
        }
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let host = format!("{host}:{port}");
            assert_eq!(send(path, &host).await.status, status, "{path} {host}");
        }
        let response = send(path, "tunnel.example.com").await;
        assert_eq!(response.status, status, "{path}");
    }
    // The tunnel reaches the app alone.
    let call = Call::new("GET", "/console").host("tunnel.example.com");
    let response = http::send(dev.address(), &call).await.unwrap();
    assert_eq!(response.status, 421);
}

/// A page that the developer has open could send requests to loopback.
#[tokio::test]
async fn pages_of_other_origins_are_rejected() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    let secret = dev.secret.clone().unwrap();
    let status = async |path: &str, origins: &[&str]| {
        let call = Call::new("GET", path).header("x-console-secret", &secret);
        let call = origins
            .iter()
            .fold(call, |call, origin| call.header("Origin", origin));
        dev.send(call).await.status
    };
    let own = dev.platform.clone();
    for path in PATHS {
        for origin in [
            "http://evil.example",
            "null",
            "https://127.0.0.1",
            "http://127.0.0.1:1",
        ] {
            assert_eq!(status(path, &[origin]).await, 403, "{path} {origin}");
        }
        assert_eq!(
            status(path, &[&own, "http://evil.example"]).await,
            403,
            "{path}"
        );
    }
    assert_eq!(status("/console/api/calls", &[&own]).await, 200);
    // Tools send no origin; pages, even the console, use the console's API.
    let invoke = Call::post("/invoke/sweep-trigger").json(&json!({}));
    assert_eq!(
        dev.send(invoke.clone().header("Origin", &own)).await.status,
        403
    );
    assert_eq!(dev.send(invoke).await.status, 200);
}

#[tokio::test]
async fn the_api_needs_the_secret_of_this_start() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    let secret = dev.secret.clone().unwrap();
    assert!(secret.len() >= 43, "256 bits");
    assert_ne!(
        life_app(&folder).secret.clone().unwrap(),
        secret,
        "a new one at each start"
    );
    let reads = [
        "app", "handlers", "calls", "calls/1", "events", "tokens", "jobs", "manifest", "nothing",
    ];
    let writes = [
        "handlers/sweep-trigger/call",
        "calls/1/again",
        "manifest/write",
        "schedules/sweep-trigger/pause",
        "schedules/sweep-trigger/fire",
    ];
    let reads = reads.iter().map(|path| get(path));
    let calls: Vec<Call> = reads
        .chain(writes.iter().map(|path| post(path, json!({}))))
        .collect();
    let header = "x-console-secret";
    for call in calls {
        let short = secret.get(..secret.len() - 1).unwrap();
        for call in [
            call.clone(),
            call.clone().header(header, ""),
            call.clone().header(header, short),
            call.clone().header(header, format!("{secret}A")),
            call.clone().header(header, &secret).header(header, &secret),
            call.clone().header("cookie", format!("{header}={secret}")),
        ] {
            let response = dev.send(call).await;
            assert_eq!(response.status, 401, "{}", response.text());
            assert!(response.text().contains("open the link that `dev` printed"));
        }
    }
    assert!(!folder.file("manifest.yml").exists());
    let (_, calls) = dev.api(get("calls")).await;
    let calls = calls["calls"].as_array().unwrap();
    assert!(
        calls.iter().all(|call| call["origin"] != "console"),
        "{calls:?}"
    );
}

#[tokio::test]
async fn the_page_runs_its_own_files_only() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    let page = dev.send(Call::new("GET", "/console")).await;
    let policy = page.header("content-security-policy").unwrap();
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    assert_eq!(page.header("access-control-allow-origin"), None);
    // Each file of the page is served, and none of them makes markup of text.
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../forge-remote/src/console/page");
    let mut served = 0;
    for file in fs::read_dir(files).unwrap() {
        let path: PathBuf = file.unwrap().path();
        if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "LICENSE")
        {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let url = match name.as_str() {
            "index.html" => "/console".to_owned(),
            name => format!("/console/{name}"),
        };
        let response = dev.send(Call::new("GET", &url)).await;
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            (response.status, response.text()),
            (200, text.clone()),
            "{name}"
        );
        for markup in [
            "innerHTML",
            "dangerouslySetInnerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ] {
            // Preact has a property for markup, which no file of ours uses.
            let is_own = name != "preact.js";
            assert!(!(is_own && text.contains(markup)), "{name} has {markup}");
        }
        served += 1;
    }
    assert!(served >= 3, "{served}");
}

#[tokio::test]
async fn a_call_is_shown_with_its_claims_log_and_outgoing_calls() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    let call = recorded(&dev, "triage-trigger", json!({})).await;
    assert_eq!(call["status"], 200, "{call}");
    assert_eq!(call["outcome"], "passed");
    assert_eq!(call["origin"], "console");
    assert_eq!(call["claims"]["app"]["module"]["key"], "triage");
    assert_eq!(call["tokens"], json!(["system"]));
    assert_eq!(call["request"]["body"], "{}");
    let outgoing = call["outgoing"].as_array().unwrap();
    assert_eq!(outgoing.len(), 1, "{call}");
    assert_eq!(outgoing[0]["status"], 200);
    assert!(
        outgoing[0]["url"]
            .as_str()
            .unwrap()
            .contains("/rest/api/3/search/jql")
    );
    assert!(outgoing[0]["elapsed_ms"].as_f64().unwrap() > 0.0);
    let log = call["log"].as_array().unwrap();
    assert!(log.iter().any(|line| line["message"] == "served"), "{call}");
    // No token leaves the process: each would begin with the header `{"alg":`.
    let text = call.to_string();
    assert!(!text.contains("eyJ"), "{text}");
    assert!(text.contains("Bearer … (sha-256 "), "{text}");
}

#[tokio::test]
async fn a_call_is_made_again_byte_for_byte_and_as_a_retry() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    let body = "{\"eventType\":  \"avi:forge:installed:app\", \"id\": \"7\" }";
    let new = json!({ "event": "avi:forge:installed:app", "body": body });
    let first = recorded(&dev, "follow-trigger", new).await;
    assert_eq!(first["request"]["body"], body);
    let again = async |options: Value| {
        let (status, made) = dev
            .api(post(&format!("calls/{}/again", first["id"]), options))
            .await;
        assert_eq!(status, 200, "{made}");
        dev.api(get(&format!("calls/{}", made["id"]))).await.1
    };
    let second = again(json!({})).await;
    assert_eq!(second["request"]["body"], body);
    assert_eq!(second["repeats"], first["id"]);
    assert_eq!(second["event"], first["event"]);
    assert_ne!(
        second["claims"]["jti"], first["claims"]["jti"],
        "a new token"
    );
    let retry = again(json!({ "retry": 2 })).await;
    let body: Value = serde_json::from_str(retry["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["retryContext"]["retryCount"], 2);
    let (status, error) = dev.api(post("calls/999/again", json!({}))).await;
    assert_eq!((status, error["error"].is_string()), (404, true));
}

/// The console shows what Forge would do next only if something follows.
#[tokio::test]
async fn a_failed_call_has_its_error_and_what_forge_does_next() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    let new = |retry: Option<u32>| json!({ "event": "avi:forge:installed:app", "body": "not JSON", "retry": retry });
    for (retry, verdict) in [
        (None, "Forge would retry in 60 s, up to 4 times"),
        (Some(3), "Forge would retry in 60 s, for the last time"),
        (Some(4), "Forge would not retry again: the call is lost"),
    ] {
        let call = recorded(&dev, "follow-trigger", new(retry)).await;
        assert_eq!(call["status"], 400, "{call}");
        assert_eq!(call["verdict"], verdict);
    }
    let call = recorded(&dev, "triage-trigger", json!({})).await;
    assert_eq!(call["verdict"], Value::Null);
}

#[tokio::test]
async fn forged_calls_are_rejected_with_their_code() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    for (forgery, code) in [
        ("expired", "expired"),
        ("other_app", "wrong_audience"),
        ("unknown_key", "unknown_key"),
        ("other_signer", "bad_signature"),
        ("no_token", "missing_header"),
        ("two_tokens", "repeated_header"),
    ] {
        let call = recorded(&dev, "triage-trigger", json!({ "forgery": forgery })).await;
        assert_eq!(call["status"], 401, "{forgery}: {call}");
        assert_eq!(call["outcome"], "passed");
        assert_eq!(call["forgery"], forgery);
        let log = call["log"].as_array().unwrap();
        assert!(
            log.iter().any(|line| line["fields"]["code"] == code),
            "{forgery}: {log:?}"
        );
        assert_eq!(call["outgoing"], json!([]));
    }
}

fn next_calls(handler: &Value) -> Value {
    let calls = handler["next_calls"].as_array().unwrap();
    calls.iter().map(|call| call["at"].clone()).collect()
}

#[tokio::test]
async fn schedules_are_paused_and_resumed() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    let triage = async || {
        let (_, handlers) = dev.api(get("handlers")).await;
        let handlers = handlers.as_array().unwrap().clone();
        let found = handlers
            .into_iter()
            .find(|handler| handler["key"] == "triage-trigger");
        found.unwrap()
    };
    let before = triage().await;
    assert_eq!(before["interval_seconds"], 7 * 24 * 3600);
    assert_eq!(before["is_paused"], false);
    let next: Vec<u64> = serde_json::from_value(next_calls(&before)).unwrap();
    assert!(
        next.windows(2)
            .all(|pair| pair[1] - pair[0] == 7 * 24 * 3_600_000)
    );
    for (action, is_paused) in [("pause", true), ("resume", false)] {
        let (status, _) = dev
            .api(post(
                &format!("schedules/triage-trigger/{action}"),
                json!({}),
            ))
            .await;
        assert_eq!(status, 200);
        assert_eq!(triage().await["is_paused"], is_paused);
    }
    let (status, _) = dev
        .api(post("schedules/follow-trigger/pause", json!({})))
        .await;
    assert_eq!(status, 404, "a trigger has no schedule");
}

#[tokio::test]
async fn kept_tokens_are_listed_without_the_tokens() {
    let folder = Folder::default();
    let dev = life_app(&folder);
    recorded(&dev, "tokens-hourly-trigger", json!({})).await;
    let (_, tokens) = dev.api(get("tokens")).await;
    let installations = tokens["installations"].as_array().unwrap();
    assert_eq!(installations.len(), 1, "{tokens}");
    assert!(installations[0]["expires"].is_u64() && installations[0]["cloud_id"].is_string());
    assert_eq!(installations[0]["source"], "forge");
    assert!(installations[0]["delivered"].is_u64());
    assert!(!tokens.to_string().contains("eyJ"), "{tokens}");
}

#[tokio::test]
async fn the_manifest_is_compared_and_written() {
    let folder = Folder::default();
    let manifest = "app:\n  id: ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107\n  runtime:\n    name: nodejs22.x\n";
    fs::write(folder.file("manifest.yml"), manifest).unwrap();
    let dev = plain_app(&folder);
    let (_, report) = dev.api(get("manifest")).await;
    assert_eq!(report["is_same"], false);
    assert!(
        report["diff"]
            .as_str()
            .unwrap()
            .contains("+  scheduledTrigger:"),
        "{report}"
    );
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings.iter().all(|one| one["explanation"].is_string()),
        "{report}"
    );
    assert!(
        findings
            .iter()
            .any(|one| one["code"] == "missing" && one["severity"] == "error")
    );
    let (status, written) = dev.api(post("manifest/write", json!({}))).await;
    assert_eq!(
        (status, &written["is_complete"]),
        (200, &json!(true)),
        "{written}"
    );
    assert!(
        fs::read_to_string(folder.file("manifest.yml"))
            .unwrap()
            .contains("tick-trigger")
    );
    assert_eq!(dev.api(get("manifest")).await.1["is_same"], true);
    // A file that cannot be read is an error with its place.
    fs::write(folder.file("manifest.yml"), "modules: [\n").unwrap();
    let (status, error) = dev.api(get("manifest")).await;
    assert_eq!(status, 500);
    assert!(
        error["error"].as_str().unwrap().contains("manifest.yml:"),
        "{error}"
    );
}

/// Returns a test of `console_recorded.rs`, where it compiles and passes.
fn pasted(number: usize) -> &'static str {
    const FIRST_LINE: &str = "/// Recorded by";
    let file = include_str!("console_recorded.rs");
    let starts: Vec<usize> = file.match_indices(FIRST_LINE).map(|(at, _)| at).collect();
    let end = starts
        .get(number + 1)
        .map_or(file.len(), |next| next - "\n".len());
    &file[starts[number]..end]
}

#[tokio::test]
async fn a_call_is_copied_as_a_test_and_as_a_command() {
    let folder = Folder::default();
    let dev = plain_app(&folder);
    let call = recorded(&dev, "tick-trigger", json!({ "body": "{\"a\": \"b\"}" })).await;
    assert_eq!(call["rust_test"], pasted(0));
    // It names the platform, unless that is at the default port.
    let command = format!(
        "cargo run -- invoke tick-trigger --platform {} --body '{{\"a\": \"b\"}}'",
        dev.platform
    );
    assert_eq!(call["invoke_command"], command);
}

/// Without the fixtures, the handler fails.
#[tokio::test]
async fn a_call_that_needs_fixtures_is_copied_with_them() {
    let folder = Folder::default();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = app_command(env!("CARGO_BIN_EXE_plain_app"), folder.path(), &["dev"]);
    command.env("VOTES", "1").env("CARGO_MANIFEST_DIR", package);
    command
        .arg("--fixtures")
        .arg(package.join("fixtures/votes.yml"));
    let dev = DevProcess::start(&mut command);
    let call = recorded(&dev, "votes-trigger", json!({ "body": "{}" })).await;
    assert_eq!(
        (&call["status"], &call["rust_test"]),
        (&json!(200), &json!(pasted(1)))
    );
}

#[tokio::test]
async fn the_console_can_be_left_out() {
    let folder = Folder::default();
    let mut command = app_command(env!("CARGO_BIN_EXE_life_app"), folder.path(), &["dev"]);
    let dev = DevProcess::start(command.arg("--no-console"));
    assert_eq!(dev.secret, None);
    let page = dev.send(Call::new("GET", "/console")).await;
    assert_ne!(page.status, 200);
    let api = dev.send(get("calls").header("x-console-secret", "")).await;
    assert_ne!(api.status, 200);
}
