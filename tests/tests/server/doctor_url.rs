//! `doctor --url`: a sound deployment has no fault, and each broken one is found by its code.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use forge_remote::axum::body::Body;
use forge_remote::axum::http::{HeaderValue, Method, Response, Uri, header};
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::published;
use forge_remote_tests::stores::server_variable;
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::doctor_keys::keys_for_development;
use crate::doctor_target::{
    Deployment, Fault, Removed, in_state, manifest, plain_app, stderr, stdout, text,
};

/// The digest of the routes differs with each version.
fn without_digest(text: &str) -> String {
    let (before, rest) = text.split_once("this build's (").unwrap();
    let (_, after) = rest.split_once(')').unwrap();
    format!("{before}this build's (…){after}")
}

#[tokio::test]
async fn a_sound_deployment_has_no_fault() {
    let deployment = Deployment::start(|_, _| None).await;
    let output = deployment.run(&["--url", &deployment.url(), "--yes"]).await;
    let text = without_digest(&stdout(&output));
    assert_eq!(
        text.replace(&deployment.keys.url(), "KEYS"),
        "\
ok    address     the app responds, without a redirect
ok    routes      each of 3 paths rejects a call without a FIT
warn  arrival     this build is configured with the keys of KEYS, not with Atlassian's [own-keys]
                  fix: remove FORGE_REMOTE_JWKS_URL, `App::jwks_url` and `App::key_source`, unless it mirrors Atlassian's set
ok    arrival     FITs reach the app
ok    forgeries   27 classes of forged FITs are rejected alike
ok    key set     a FIT signed with a published private key is rejected
ok    headers     a header of 16 KB reaches the app
ok    body        20480 bytes reach the app, in one piece and in chunks
ok    paths       `%2F` in a path is not decoded on its way to the app
ok    methods     an unknown method is rejected by the app
ok    exposure    none of 5 paths is served: metrics, console, key set, files
ok    time        19 of 20 responses took less than 1 s
ok    build       the deployed routes are this build's (…)

sound, with 1 warning
"
    );
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
    let sent = deployment.proxy.requests.load(Ordering::Relaxed);
    assert!((30..=60).contains(&sent), "{sent} requests");
}

/// The app itself closes a connection whose body it does not read.
#[tokio::test]
async fn a_deployment_without_a_proxy_has_no_fault() {
    let mut large = plain_app();
    large.env("LARGE", "1");
    let deployment = Deployment::of(large, JwksResponse::Keys(published()), |_, _| None).await;
    let manifest = deployment.folder.file("manifest.yml");
    let text = fs::read_to_string(&manifest).unwrap();
    let (proxy, app) = (
        deployment.url(),
        format!("http://{}", deployment.app.address),
    );
    fs::write(&manifest, text.replace(&proxy, &app)).unwrap();
    let mut command = deployment.doctor(&["--url", &app, "--yes"]);
    let text = stdout(&command.env("LARGE", "1").output().await.unwrap());
    assert!(text.contains("1048576 bytes reach the app"), "{text}");
    assert!(text.ends_with("sound, with 1 warning\n"), "{text}");
    assert_eq!(deployment.proxy.requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn each_broken_deployment_is_found_by_its_code() {
    let faults: [(&[&str], Fault); 18] = [
        (&["no-token-arrives"], |parts, _| {
            // A proxy that verifies itself, or means to, and forwards no token.
            parts.headers.remove(header::AUTHORIZATION);
            None
        }),
        (&["no-token-arrives"], |parts, _| {
            // A proxy with its own password for the app.
            let own = HeaderValue::from_static("Basic cHJveHk6c2VjcmV0");
            parts.headers.insert(header::AUTHORIZATION, own);
            None
        }),
        (&["foreign-response"], |parts, _| {
            // A proxy that verifies itself, and rejects before the app does.
            let is_handler = parts.uri.path() == "/tick";
            is_handler.then(|| text(401, "application/json", "{\"message\":\"Unauthorized\"}"))?
        }),
        (&["unverified-call"], |parts, _| {
            // The proxy verifies nothing, and calls the app with its own token.
            let is_handler = parts.uri.path() == "/tick";
            is_handler.then(|| text(200, "application/json", "{}"))?
        }),
        (&["redirect"], |parts, _| {
            let to = format!("https://www.example.com{}", parts.uri);
            let response = Response::builder().status(301).header(header::LOCATION, to);
            Some(response.body(Body::empty()).unwrap())
        }),
        (&["cached-response"], |parts, _| {
            if parts.uri.path() != "/tick" {
                return None;
            }
            let response = Response::builder().header(header::AGE, "30");
            Some(response.body(Body::from("{\"issues\":[]}")).unwrap())
        }),
        (&["lost-path"], |parts, _| {
            let path = parts.uri.path().to_owned();
            let rest = path.get(1..).and_then(|path| path.find('/'));
            let rest = rest.map_or("/", |at| &path[at + 1..]);
            parts.uri = rest.parse::<Uri>().unwrap();
            None
        }),
        (&["exposed-metrics"], |parts, _| {
            let is_it = parts.uri.path() == "/metrics";
            is_it.then(|| text(200, "text/plain", "# TYPE calls counter\ncalls 1\n"))?
        }),
        (&["exposed-console"], |parts, _| {
            let is_it = parts.uri.path() == "/console";
            is_it.then(|| text(200, "text/html", "<title>forge-remote console</title>"))?
        }),
        (&["header-limit"], |parts, _| {
            let mut values = parts.headers.values();
            let is_large = values.any(|value| value.len() > 8 * 1024);
            is_large.then(|| text(431, "text/html", "<h1>431</h1>"))?
        }),
        (&["header-limit"], |parts, _| {
            // Of 16 KB in all, as some servers have by default.
            let sizes = parts
                .headers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len());
            let is_large = sizes.sum::<usize>() > 16 * 1024 - 64;
            is_large.then(|| text(431, "text/html", "<h1>431</h1>"))?
        }),
        (&["header-limit"], |parts, _| {
            // A proxy that leaves a large header out.
            let is_large = |value: &HeaderValue| value.len() > 8 * 1024;
            if parts
                .headers
                .get(header::AUTHORIZATION)
                .is_some_and(is_large)
            {
                parts.headers.remove(header::AUTHORIZATION);
            }
            None
        }),
        (&["body-limit"], |_, body| {
            (body.len() > 16 * 1024).then(|| text(413, "text/html", "<h1>413</h1>"))?
        }),
        (&["rewritten-path"], |parts, _| {
            let path = parts.uri.path().replace("%2F", "/");
            parts.uri = path.parse::<Uri>().unwrap();
            None
        }),
        (&["forged-token", "public-key"], |parts, _| {
            // A gateway that only looks whether there is a token.
            let has_token = parts.headers.contains_key(header::AUTHORIZATION);
            (has_token && parts.uri.path() == "/tick")
                .then(|| text(200, "application/json", "{}"))?
        }),
        (&["foreign-response", "foreign-response"], |parts, _| {
            // A gateway that discloses the fault of a token.
            let has_token = parts.headers.contains_key(header::AUTHORIZATION);
            has_token.then(|| text(401, "application/json", "{\"reason\":\"expired\"}"))?
        }),
        (&["exposed-keys"], |parts, _| {
            let is_it = parts.uri.path() == "/.well-known/jwks.json";
            is_it.then(|| text(200, "application/json", "{\"keys\":[]}"))?
        }),
        (&["exposed-file"], |parts, _| {
            let is_it = parts.uri.path() == "/.env";
            is_it.then(|| text(200, "text/plain", "FORGE_REMOTE_TOKEN_KEY=x"))?
        }),
    ];
    let found = faults.map(|(codes, fault)| async move {
        let deployment = Deployment::start(fault).await;
        assert_eq!(deployment.codes().await, codes);
    });
    stream::iter(found)
        .buffer_unordered(3)
        .collect::<()>()
        .await;
    let gateway = Deployment::start(|_, _| text(502, "text/html", "<h1>502</h1>")).await;
    assert_eq!(gateway.codes().await, ["foreign-response"]);
}

#[tokio::test]
async fn a_doubt_about_a_deployment_is_a_warning() {
    let faults: [(&str, Fault); 2] = [
        ("lost-challenge", |parts, _| {
            parts.extensions.insert(Removed(header::WWW_AUTHENTICATE));
            None
        }),
        ("rejected-escapes", |parts, _| {
            let is_escaped = parts.uri.path().contains("%2F");
            is_escaped.then(|| text(404, "text/html", "<h1>404</h1>"))?
        }),
    ];
    for (code, fault) in faults {
        let deployment = Deployment::start(fault).await;
        let doctor = deployment.attack();
        assert_eq!(deployment.warnings(doctor).await, [code]);
    }
}

/// Differences of a front end that do no harm: Forge calls only the handlers' paths, and with a body.
#[tokio::test]
async fn a_sound_deployment_behind_a_strict_front_end_has_no_fault() {
    type Case = (
        &'static [(&'static str, &'static str)],
        Fault,
        &'static [&'static str],
    );
    let cases: [Case; 8] = [
        // Only the handlers' paths are forwarded.
        (
            &[],
            |parts, _| {
                let is_handler = parts.uri.path().starts_with("/tick");
                (!is_handler)
                    .then(|| text(403, "application/json", "{\"message\":\"Forbidden\"}"))?
            },
            &["build"],
        ),
        // A method that it does not know is not implemented (RFC 9110, section 15.6.2).
        (
            &[],
            |parts, _| {
                let is_known = [Method::GET, Method::POST].contains(&parts.method);
                (!is_known).then(|| text(501, "text/html", "<h1>501</h1>"))?
            },
            &[],
        ),
        // The app closes the connection while nginx forwards a body that it does not read.
        (
            &[],
            |_, body| (body.len() > 16 * 1024).then(|| text(502, "text/html", "<h1>502</h1>"))?,
            &[],
        ),
        // A GET has no body.
        (
            &[("NOTES", "1")],
            |parts, body| {
                let is_odd = parts.method == Method::GET && !body.is_empty();
                is_odd.then(|| text(403, "text/html", "<h1>403</h1>"))?
            },
            &[],
        ),
        (
            &[("NOTES", "only")],
            |parts, body| {
                let is_odd = parts.method == Method::GET && !body.is_empty();
                is_odd.then(|| text(403, "text/html", "<h1>403</h1>"))?
            },
            &["body"],
        ),
        // The platform keeps the path for itself.
        (
            &[("FALLBACK", "1")],
            |parts, _| {
                let is_health = parts.uri.path() == "/healthz";
                is_health.then(|| text(404, "text/html", "<h1>404</h1>"))?
            },
            &["build"],
        ),
        // Every path leads to the same page.
        (
            &[("FALLBACK", "1")],
            |parts, _| {
                let is_file = ["/.env", "/manifest.yml"].contains(&parts.uri.path());
                let page = "<script>\napp: start(\n'API_KEY=x'\n)\nKEY=1\n</script>";
                is_file.then(|| text(200, "text/html", page))?
            },
            &[],
        ),
        (
            &[],
            |parts, _| {
                let is_file = ["/.env", "/metrics"].contains(&parts.uri.path());
                is_file.then(|| text(200, "text/html", "<!doctype html>\n<p>Welcome"))?
            },
            &[],
        ),
    ];
    for (index, (environment, fault, unknown)) in cases.into_iter().enumerate() {
        let mut app = plain_app();
        app.envs(environment.iter().copied());
        let deployment = Deployment::of(app, JwksResponse::Keys(published()), fault).await;
        let mut doctor = deployment.attack();
        let doctor = doctor.envs(environment.iter().copied());
        let output = doctor.output().await.unwrap();
        let report = stdout(&output);
        assert_eq!(deployment.codes_of(&output), [""; 0], "{index}: {report}");
        let report: Value = serde_json::from_str(&report).unwrap();
        let checks = in_state(&report, "unknown");
        let checks: Vec<&str> = checks
            .iter()
            .map(|check| check["check"].as_str().unwrap())
            .collect();
        assert_eq!(checks, unknown, "{index}: {report:#}");
    }
}

/// A token is dated by the deployment's clock when it is sent, so it is not rejected for its date.
#[tokio::test]
async fn a_clock_that_is_behind_hides_no_fault() {
    let Some(library) = server_variable("FORGE_REMOTE_TEST_FAKETIME") else {
        return;
    };
    let keys = JwksResponse::Keys(keys_for_development().key_set());
    let deployment = Deployment::of(plain_app(), keys, |_, _| None).await;
    let mut doctor = deployment.attack();
    doctor
        .env("LD_PRELOAD", &library)
        .env("FAKETIME", "-60s")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    let output = doctor.output().await.unwrap();
    assert_eq!(
        deployment.codes_of(&output),
        ["public-key"],
        "{}",
        stdout(&output)
    );
}

/// A port without TLS.
#[tokio::test]
async fn a_base_url_without_tls_is_found() {
    let deployment = Deployment::start(|_, _| None).await;
    let url = format!("https://{}", deployment.proxy.address);
    fs::write(deployment.folder.file("manifest.yml"), manifest(&url)).unwrap();
    let mut doctor = deployment.doctor(&["--url", &url, "--yes", "--json"]);
    doctor.env("NO_PROXY", "127.0.0.1");
    let output = doctor.output().await.unwrap();
    assert_eq!(deployment.codes_of(&output), ["tls"], "{}", stdout(&output));
}

/// In words: the fault, the reason, the fix, and the exit status.
#[tokio::test]
async fn a_proxy_that_removes_tokens_is_a_failure_with_its_fix() {
    let deployment = Deployment::start(|parts, _| {
        parts.headers.remove(header::AUTHORIZATION);
        None
    })
    .await;
    let output = deployment.run(&["--url", &deployment.url(), "--yes"]).await;
    let text = stdout(&output);
    let expected = "\
FAIL  arrival     no token reaches the app: something in front of it removes the `Authorization` header [no-token-arrives]
                  fix: forward the `Authorization` header unchanged to the app, which verifies it
";
    assert!(text.contains(expected), "{text}");
    assert!(text.ends_with("\nnot sound: 1 check failed\n"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

/// Several instances: no two FITs with unknown keys reach the same one, so none shows whether it has the keys.
#[tokio::test]
async fn a_check_hidden_by_several_instances_is_unknown() {
    let deployment = Deployment::start(|parts, _| {
        // The app rejects this token without looking for its key.
        if let Some(token) = parts.headers.get_mut(header::AUTHORIZATION) {
            *token = HeaderValue::from_static("Bearer x");
        }
        None
    })
    .await;
    let output = deployment.attack().output().await.unwrap();
    assert_eq!(deployment.codes_of(&output), [""; 0], "{}", stdout(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let unknown = in_state(&report, "unknown");
    assert_eq!(unknown.len(), 1, "{report}");
    assert_eq!(unknown[0]["check"], "arrival", "{report}");
    let detail = unknown[0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("FITs reach the app"), "{report}");
}

/// The requests of an app with many paths are within the limit as well, and none is left out because of it.
#[tokio::test]
async fn an_app_with_many_paths_gets_sixty_requests_at_most() {
    let mut app = plain_app();
    app.env("MANY", "1");
    let keys = JwksResponse::Keys(published());
    let deployment = Deployment::of(app, keys, |_, _| None).await;
    let mut doctor = deployment.doctor(&["--url", &deployment.url(), "--yes"]);
    let output = doctor.env("MANY", "1").output().await.unwrap();
    let text = stdout(&output);
    assert!(
        text.contains("each of 16 paths (7 more not called)"),
        "{text}"
    );
    assert!(text.ends_with("\nsound, with 1 warning\n"), "{text}");
    let sent = deployment.proxy.requests.load(Ordering::Relaxed);
    assert!((50..=60).contains(&sent), "{sent} requests");
}

/// A deployment that accepts connections and never responds.
#[tokio::test]
async fn a_silent_deployment_is_a_failure_in_bounded_time() {
    let deployment = Deployment::start(|_, _| None).await;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    fs::write(deployment.folder.file("manifest.yml"), manifest(&url)).unwrap();
    let mut doctor = deployment.doctor(&["--url", &url, "--yes", "--json", "--timeout", "0.3"]);
    let output = doctor.kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(20), output).await;
    let output = output.expect("it ends").unwrap();
    assert_eq!(deployment.codes_of(&output), ["unreachable"]);
    assert!(stdout(&output).contains("timed out"), "{}", stdout(&output));
}

/// Where the app's own routes respond to every path, the content decides.
#[tokio::test]
async fn an_app_with_a_route_of_every_path_is_checked() {
    let metrics: Fault = |parts, _| {
        let is_it = parts.uri.path() == "/metrics";
        is_it.then(|| text(200, "text/plain", "# TYPE calls counter\ncalls 1\n"))?
    };
    let settings: Fault = |parts, _| {
        let is_it = parts.uri.path() == "/.env";
        is_it.then(|| text(200, "text/plain", "# Production\nTRACKER_SECRET=x\n"))?
    };
    for (fault, codes) in [
        (None, vec![]),
        (Some(metrics), vec!["exposed-metrics"]),
        (Some(settings), vec!["exposed-file"]),
    ] {
        let mut app = plain_app();
        app.env("FALLBACK", "1");
        let keys = JwksResponse::Keys(published());
        let deployment = Deployment::of(app, keys, fault.unwrap_or(|_, _| None)).await;
        let mut doctor = deployment.attack();
        let output = doctor.env("FALLBACK", "1").output().await.unwrap();
        assert_eq!(deployment.codes_of(&output), codes, "{}", stdout(&output));
        assert!(stdout(&output).contains("it is unknown whether it is forwarded"));
    }
}

#[tokio::test]
async fn another_build_is_found() {
    let mut other = plain_app();
    other.env("DYNAMIC", "1");
    let deployment = Deployment::of(other, JwksResponse::Keys(published()), |_, _| None).await;
    assert_eq!(deployment.codes().await, ["other-build"]);
}

#[tokio::test]
async fn a_deployment_that_is_down_is_reported_in_words() {
    let deployment = Deployment::start(|_, _| text(502, "text/html", "<h1>502</h1>")).await;
    let output = deployment.run(&["--url", &deployment.url(), "--yes"]).await;
    assert_eq!(
        stdout(&output),
        "\
FAIL  address     a path without a handler got 502 Bad Gateway instead of the app's 404 [foreign-response]
                  fix: see the log of the proxy or gateway in front of the app

not sound: 1 check failed
"
    );
    assert_eq!(output.status.code(), Some(1));
    let explained = deployment.run(&["--explain", "foreign-response"]).await;
    assert!(
        stdout(&explained).starts_with("foreign-response: "),
        "{}",
        stdout(&explained)
    );
}

/// The page of `doctor` has every code of `doctor --url`, and no other; `--explain` explains each.
#[tokio::test]
async fn the_page_has_the_codes_that_are_explained() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(repository.join("docs/doctor.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let codes = rows.filter_map(|row| row.trim_end_matches(" |").split(" | ").nth(2));
    let listed: BTreeSet<&str> = codes
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let rules = repository.join("forge-remote/src/cli/doctor/url/rules.rs");
    let rules = fs::read_to_string(rules).unwrap();
    let rules = rules.split("Rule::deployment(").skip(1);
    let known: BTreeSet<&str> = rules.filter_map(|rule| rule.split('"').nth(1)).collect();
    assert!(known.len() > 20, "{known:?}");
    assert_eq!(listed, known);
    for code in listed {
        let output = plain_app()
            .args(["doctor", "--explain", code])
            .output()
            .await
            .unwrap();
        let text = stdout(&output);
        assert!(text.starts_with(&format!("{code}: ")), "{text}");
        assert!(text.contains("`doctor --url` reports it"), "{text}");
    }
}
