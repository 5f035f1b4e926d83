//! Mistakes that no schema shows: Atlassian's validator finds some of them by its code, and lets the others pass. Each is
//! reported with its rule. With `FORGE_MANIFEST_PACKAGE` (`.ci/conformance` sets it), the validator's verdicts are checked too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::mistakes::{emit, findings};

/// The change at a pointer of `valid.json`.
#[derive(Clone, Copy)]
enum Edit {
    /// The value, as JSON.
    Set(&'static str),
    /// Another item of a list, as JSON.
    Add(&'static str),
    Remove,
}
use Edit::{Add, Remove, Set};

/// The verdict of Atlassian's validator 13.7.0 on the mistake alone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Error,
    Warning,
    Silent,
    Crash,
}
use Verdict::{Crash, Error, Silent, Warning};

#[rustfmt::skip]
const MISTAKES: &[(&str, Edit, &str, Verdict)] = &[
    // Keys.
    ("/modules/endpoint", Add(r#"{"key": "tick", "remote": "backend", "route": {"path": "/t"}}"#), "duplicate-module-key", Error),
    ("/modules/trigger/0/key", Set(r#""s""#), "duplicate-module-key", Error),
    ("/modules/function", Add(r#"{"key": "tick", "handler": "index.run"}"#), "duplicate-module-key", Error),
    ("/remotes", Add(r#"{"key": "backend", "baseUrl": "https://other.example.com"}"#), "duplicate-remote-key", Silent),
    // References.
    ("/modules/compass:adminPage/0/resolver/function", Set(r#""nope""#), "dangling-reference", Error),
    ("/modules/consumer/1/resolver/function", Set(r#""nope""#), "dangling-reference", Error),
    ("/modules/jira:globalPage/0/resource", Set(r#""nope""#), "dangling-reference", Error),
    ("/modules/endpoint/0/remote", Set(r#""nope""#), "dangling-reference", Error),
    ("/modules/endpoint/1/service", Set(r#""nope""#), "dangling-reference", Error),
    ("/modules/migration:dataResidency/0/remote", Set(r#""nope""#), "dangling-reference", Error),
    ("/permissions/external/fetch/backend/0/remote", Set(r#""nope""#), "dangling-reference", Error),
    ("/app/connect/remote", Set(r#""nope""#), "dangling-reference", Silent),
    ("/modules/rovo:agent/0/actions", Set(r#"["nope"]"#), "dangling-reference", Error),
    ("/modules/automation:actionProvider/0/actions", Set(r#"["nope"]"#), "dangling-reference", Error),
    ("/modules/jira:globalPage/0/resolver/endpoint", Set(r#""nope""#), "dangling-endpoint", Error),
    ("/modules/macro/0/static/endpoint", Set(r#""nope""#), "dangling-endpoint", Error),
    ("/modules/rovo:agentConnector/0/protocols/agent2Agent/jsonRpcTransport/endpoint", Set(r#""nope""#), "dangling-endpoint", Error),
    ("/modules/rovo:agentConnector/0/protocols/agent2Agent/jsonRpcTransport/endpoint", Set(r#""contained""#), "service-endpoint", Error),
    // Addresses.
    ("/permissions/external/fetch/backend", Add(r#"{"address": "http//x"}"#), "malformed-value", Error),
    ("/permissions/external/fetch/backend", Add(r#"{"address": "*"}"#), "any-address", Warning),
    ("/permissions/external/fetch/backend", Add(r#"{"address": "api.example.com/v1"}"#), "ignored-path", Warning),
    ("/permissions/external/fetch/backend/0/inScopeEUD", Set("true"), "unknown-property", Error),
    ("/permissions/external/frames", Set(r#"[{"address": "not a url"}]"#), "malformed-value", Error),
    ("/permissions/external/images", Set(r#"[{"address": "http://images.example.com"}]"#), "malformed-value", Error),
    ("/permissions/external/images", Set(r#"[{"remote": "backend"}]"#), "missing-property", Error),
    ("/permissions/content/scripts", Set(r#"["unsafe-bogus"]"#), "malformed-value", Error),
    ("/permissions/content/scripts", Set(r#"["sha256-tooshort"]"#), "malformed-value", Error),
    ("/remotes/0/baseUrl/default", Set(r#""http://backend.example.com""#), "base-url", Error),
    ("/remotes/0/baseUrl/default", Set(r#""https://backend.example.com/""#), "base-url", Silent),
    ("/modules/endpoint/0/route/path", Set(r#""tick""#), "route-without-slash", Silent),
    ("/modules/endpoint/0/route/path", Set(r#""//tick""#), "malformed-route", Silent),
    ("/modules/endpoint/0/route/path", Set(r#""/tick?now=1""#), "malformed-route", Silent),
    ("/modules/migration:dataResidency/0/path", Set(r#""migrate""#), "malformed-route", Silent),
    ("/modules/migration:dataResidency/0/path", Set(r#""//migrate""#), "malformed-route", Silent),
    ("/modules/migration:dataResidency/0/path", Set(r#""/migrate?now=1""#), "malformed-route", Silent),
    ("/modules/migration:dataResidency/0/path", Set(r#""/a b""#), "malformed-route", Silent),
    // Remotes.
    ("/remotes", Add(r#"{"key": "third", "baseUrl": "https://third.example.com", "operations": ["storage"], "storage": {"inScopeEUD": true}}"#), "regions-differ", Error),
    ("/remotes/0/storage", Remove, "storage-without-eud", Error),
    // Scopes and tokens.
    ("/permissions/scopes", Add(r#""read:bogus-thing""#), "unknown-scope", Error),
    ("/permissions/scopes", Add(r#""read:jira-work""#), "duplicate-scope", Silent),
    ("/modules/endpoint/0/auth/appUserToken/enabled", Set("true"), "user-token-without-user", Error),
    ("/modules/endpoint/0/route", Remove, "missing-route", Error),
    // Modules.
    ("/modules/webtrigger/0/response/outputs", Remove, "outputs-of-response", Error),
    ("/modules/webtrigger/0/response/type", Set(r#""dynamic""#), "outputs-of-response", Error),
    ("/modules/migration:dataResidency", Add(r#"{"key": "m2", "remote": "backend", "path": "/m", "maxMigrationDurationHours": 2}"#), "too-many-modules", Error),
    ("/modules/action/0/function", Set(r#""resolve""#), "two-callees", Silent),
    ("/modules/trigger/0/events", Set("[]"), "crashes-validator", Crash),
    // The app and its environment.
    ("/app/id", Set(r#""ari:cloud:ecosystem::app/sample""#), "invalid-app-id", Silent),
    ("/app/id", Set(r#""ari:cloud:ecosystem::app/${APP}""#), "undeclared-variable", Silent),
    ("/app/compatibility", Set(r#"{"jira": {"required": true}, "confluence": {"required": true}}"#), "several-required-products", Error),
    ("/environment/variables", Add(r#""PLAIN""#), "duplicate-variable", Silent),
];

fn valid() -> Value {
    serde_json::from_str(include_str!("valid.json")).unwrap()
}

/// Returns the valid manifest with one mistake.
fn with(pointer: &str, edit: Edit) -> Value {
    let mut manifest = valid();
    let (owner, name) = pointer.rsplit_once('/').unwrap();
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    match edit {
        Add(item) => {
            let list = manifest
                .pointer_mut(pointer)
                .unwrap_or_else(|| panic!("{pointer}"));
            list.as_array_mut().unwrap().push(parse(item));
        }
        Set(value) => {
            let owner = manifest
                .pointer_mut(owner)
                .unwrap_or_else(|| panic!("{pointer}"));
            match owner.as_object_mut() {
                Some(map) => {
                    map.insert(name.to_owned(), parse(value));
                }
                None => owner[name.parse::<usize>().unwrap()] = parse(value),
            }
        }
        Remove => {
            let owner = manifest
                .pointer_mut(owner)
                .unwrap_or_else(|| panic!("{pointer}"));
            owner.as_object_mut().unwrap().remove(name).unwrap();
        }
    }
    manifest
}

#[test]
fn each_known_mistake_is_reported_with_its_rule() {
    let mut wrong = Vec::new();
    for (pointer, edit, code, _) in MISTAKES {
        let found = findings(&emit(&with(pointer, *edit)).0);
        if !found.iter().any(|one| one.code == *code) {
            wrong.push(format!("{pointer}: {code} is not in {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A directory as the validator reads it.
fn write(folder: &Path, manifest: &Value) {
    for (name, text) in [
        ("manifest.yml", emit(manifest).0),
        ("src/index.js", "export const run = () => 1;\n".to_owned()),
        ("static/index.html", "<html></html>\n".to_owned()),
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn atlassians_validator_has_the_verdicts_of_the_table() {
    let Some(package) = std::env::var_os("FORGE_MANIFEST_PACKAGE").map(PathBuf::from) else {
        return;
    };
    let top = Path::new(env!("CARGO_TARGET_TMPDIR")).join("known_mistakes");
    let folder = |name: &str| top.join(name);
    write(&folder("valid"), &valid());
    let mut oracle = Command::new("node");
    // It is next to `node_modules`.
    oracle.arg(package.join("../../../forge-oracle.mjs"));
    oracle.arg("--no-source").arg(folder("valid"));
    for (index, (pointer, edit, ..)) in MISTAKES.iter().enumerate() {
        let folder = folder(&index.to_string());
        write(&folder, &with(pointer, *edit));
        oracle.arg(folder);
    }
    let output = oracle.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The report in each directory, without positions, which move.
    let mut said: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("== ") {
            current = Path::new(path)
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let (level, _, message) = (words.next(), words.next(), words.next());
        let row = (
            level.unwrap_or_default().to_owned(),
            message.unwrap_or_default().to_owned(),
        );
        said.entry(current.clone()).or_default().push(row);
    }
    let usual = said.remove("valid").unwrap_or_default();
    let mut wrong = Vec::new();
    for (index, (pointer, _, code, expected)) in MISTAKES.iter().enumerate() {
        let rows = said.remove(&index.to_string()).unwrap_or_default();
        let rows: Vec<_> = rows.iter().filter(|row| !usual.contains(row)).collect();
        let has = |level: &str| rows.iter().any(|(one, _)| one == level);
        let verdict = match () {
            () if has("CRASH") => Crash,
            () if has("ERROR") => Error,
            () if has("WARNING") => Warning,
            () => Silent,
        };
        if verdict != *expected {
            wrong.push(format!(
                "{pointer} ({code}): {verdict:?} instead of {expected:?}: {rows:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{}",
        wrong.join("\n"),
        String::from_utf8_lossy(&output.stderr)
    );
}
