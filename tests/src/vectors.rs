//! The table of attacks as data, for remotes in any language: `docs/vectors/forge-remote-vectors.json`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use forge_remote_attacks::{CLASSES, Keys, Request, Scene, Verdict};
use serde_json::{Value, json};

use crate::corpus::Judge;
use crate::jws::{APP_ID, FIRST_KID, Fit, INSTALLATION_ID, ISSUER, SECOND_KID, seconds};

/// The time of the vectors: 2026-11-29, 00:00 UTC.
const NOW: u64 = 1_795_910_400;
/// The largest request of the file, in bytes. Larger ones are about limits, which each remote chooses.
const MAX_BYTES: usize = 6 * 1024;

/// Returns the path of the file.
pub fn path() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.join("../docs/vectors/forge-remote-vectors.json")
}

/// Returns the scene of the vectors, which makes the same FITs each time.
fn scene() -> Scene {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    Scene::new(Keys::published_for_tests().unwrap(), now)
        .with_claims(claims(now, false), claims(now, true))
        .with_key_ids(FIRST_KID, SECOND_KID)
        .with_counted_ids()
}

/// Returns the claims that a verifier reads, and few more: the file has a token of each case.
fn claims(now: SystemTime, is_page: bool) -> Value {
    let whole = Fit::page(now).claims;
    let issued = seconds(now);
    let mut claims = json!({
        "app": {
            "id": APP_ID,
            "installationId": INSTALLATION_ID,
            "apiBaseUrl": whole["app"]["apiBaseUrl"],
            "installation": {
                "id": INSTALLATION_ID,
                "contexts": [{ "name": "confluence", "cloudId": whole["context"]["cloudId"] }],
            },
            "environment": { "type": "PRODUCTION" },
            "module": { "type": "core:endpoint", "key": "tick" },
        },
        "aud": APP_ID,
        "iss": ISSUER,
        "iat": issued,
        "nbf": issued,
        "exp": issued + 25,
    });
    if is_page {
        claims["app"]["module"] = json!({ "type": "xen:macro", "key": "panel" });
        claims["principal"] = whole["principal"].clone();
        claims["context"] = json!({ "moduleKey": "panel" });
    }
    claims
}

/// Returns the text of the file: one vector a line.
pub async fn generate() -> String {
    let (scene, again) = (scene(), scene());
    let judge = Judge::new(&scene);
    let mut lines = Vec::new();
    for class in CLASSES {
        let twice = class.cases(&scene).into_iter().zip(class.cases(&again));
        // Signatures that contain random numbers cannot be made again.
        let same = twice.filter(|(case, again)| is_same(&case.request, &again.request));
        for (case, _) in same {
            let request = &case.request;
            let is_data = request.is_framed && length(request) <= MAX_BYTES;
            let is_decided = !matches!(case.verdict, Verdict::Prompt);
            if !is_data || !is_decided {
                continue;
            }
            // Requests that HTTP forbids are for the server to reject.
            if let Some(verdict) = judge.judge(request).await {
                lines.push(vector(class.id, &case.name, request, verdict).to_string());
            }
        }
    }
    for (name, target, fit) in valid_pages(&scene) {
        let request = Request::post(target).bearer(&fit.token());
        let verdict = judge.judge(&request).await.unwrap();
        assert_eq!(verdict, Ok(()), "{name}");
        lines.push(vector("valid_page", name, &request, verdict).to_string());
    }
    let head = json!({
        "about": "Forged and valid Forge Invocation Tokens, made by forge-remote; docs/vectors.md says how to use them",
        "version": 1,
        "now": NOW,
        "audience": APP_ID,
        "issuer": ISSUER,
        "keySet": scene.key_set(),
        "handlers": {
            "/tick": {
                "caller": "platform",
                "moduleType": "scheduledTrigger",
                "keys": ["tick", "tick-trigger"],
            },
            "/ui": { "caller": "page", "keys": ["ui"] },
            "/echo": { "caller": "page", "keys": ["echo"] },
        },
    });
    let mut text = "{\n".to_owned();
    for (name, value) in head.as_object().unwrap() {
        let _ = writeln!(text, "{}: {value},", json!(name));
    }
    let _ = write!(text, "\"vectors\": [\n{}\n]\n}}\n", lines.join(",\n"));
    text
}

/// Valid calls by pages: the classes are about the platform's.
fn valid_pages(scene: &Scene) -> Vec<(&'static str, &'static str, Fit)> {
    let module = |module_type: &str, key: &str| {
        let page = scene.page().claim("/app/module/type", module_type);
        page.claim("/app/module/key", key)
    };
    vec![
        ("a macro", "/ui", scene.page()),
        ("a macro, another endpoint", "/echo", scene.page()),
        (
            "another type of page",
            "/ui",
            module("confluence:globalPage", "panel"),
        ),
        ("the endpoint", "/ui", module("core:endpoint", "ui")),
        (
            "the other endpoint",
            "/echo",
            module("core:endpoint", "echo"),
        ),
    ]
}

fn is_same(one: &Request, other: &Request) -> bool {
    one.target == other.target && one.headers == other.headers && one.body == other.body
}

fn length(request: &Request) -> usize {
    let headers = request.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    request.target.len() + headers + request.body.len()
}

fn vector(class: &str, name: &str, request: &Request, verdict: Result<(), &'static str>) -> Value {
    let headers = request.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| json!([name, text(value)]))
        .collect();
    let mut vector = json!({
        "class": class,
        "name": name,
        "target": request.target,
        "headers": headers,
        "verdict": if verdict.is_ok() { "accept" } else { "reject" },
    });
    if !request.body.is_empty() {
        vector["body"] = text(&request.body).into();
    }
    if let Err(reason) = verdict {
        vector["reason"] = reason.into();
    }
    vector
}

/// Each byte as a character.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The file's verdicts, checked with the verifier. Returns the disagreements.
pub async fn disagreements(file: &Value) -> Vec<String> {
    let now = Duration::from_secs(file["now"].as_u64().unwrap());
    let judge = Judge::of(file["keySet"].clone(), SystemTime::UNIX_EPOCH + now);
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for vector in file["vectors"].as_array().unwrap() {
        let mut request = Request::post(&string(&vector["target"]));
        for header in vector["headers"].as_array().unwrap() {
            let value: Vec<u8> = string(&header[1]).chars().map(|c| c as u8).collect();
            request = request.header(&string(&header[0]), value);
        }
        let expected = match vector["verdict"].as_str() {
            Some("accept") => Ok(()),
            _ => Err(string(&vector["reason"])),
        };
        let judged = judge.judge(&request).await.unwrap();
        if judged.map_err(str::to_owned) != expected {
            found.push(format!(
                "{}: {}: {judged:?}",
                vector["class"], vector["name"]
            ));
        }
    }
    found
}
