//! Claims with a valid signature: issuer, audience, app, endpoint, user.

use serde_json::{Value, json};

use super::identity::near_misses;
use crate::{Cases, Request, Scene};

pub(super) fn app_claim(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    let installation_id = scene.installation_id();
    cases.rejected("missing", || scene.fit().without("/app").token());
    cases.rejected("app.id missing", || scene.fit().without("/app/id").token());
    for (name, value) in near_misses(app_id) {
        cases.rejected(format!("app.id {name}"), || {
            scene.fit().claim("/app/id", value).token()
        });
    }
    cases.rejected("app.id a list of ours", || {
        scene.fit().claim("/app/id", json!([app_id])).token()
    });
    let whole = scene.fit().claims["app"].clone();
    for (name, value) in [
        ("null", Value::Null),
        ("a string", json!(app_id)),
        ("a number", json!(1)),
        ("true", json!(true)),
        ("an empty object", json!({})),
        ("an empty list", json!([])),
        ("a list of it", json!([whole])),
        (
            "its values in a list",
            json!([app_id, installation_id, {"id": installation_id}, "16", "https://api.atlassian.com", {}, {}, null]),
        ),
        ("its JSON in a string", json!(whole.to_string())),
    ] {
        cases.rejected(name, || scene.fit().claim("/app", value).token());
    }
    let other = "ari:cloud:ecosystem::installation/ffffffff-53ae-4a5b-9e7e-03338980abb5";
    let no_ids = || {
        scene
            .fit()
            .without("/app/installationId")
            .without("/app/installation/id")
    };
    for (name, fit) in [
        ("no installation", no_ids()),
        (
            "no installation at all",
            scene
                .fit()
                .without("/app/installationId")
                .without("/app/installation"),
        ),
        (
            "installations null",
            scene
                .fit()
                .claim("/app/installationId", Value::Null)
                .claim("/app/installation/id", Value::Null),
        ),
        (
            "installations that differ",
            scene.fit().claim("/app/installationId", other),
        ),
        (
            "installations that differ, the other way",
            scene.fit().claim("/app/installation/id", other),
        ),
        (
            "installation id in a list",
            scene
                .fit()
                .claim("/app/installationId", json!([installation_id])),
        ),
        (
            "installation id a number",
            scene
                .fit()
                .claim("/app/installationId", 1)
                .claim("/app/installation/id", 1),
        ),
        (
            "installation ids empty",
            scene
                .fit()
                .claim("/app/installationId", "")
                .claim("/app/installation/id", ""),
        ),
        (
            "installation a string",
            scene.fit().claim("/app/installation", installation_id),
        ),
        (
            "installation a list",
            scene
                .fit()
                .claim("/app/installation", json!([installation_id])),
        ),
        (
            "installation a list of two",
            scene
                .fit()
                .claim("/app/installation", json!([installation_id, null])),
        ),
        ("module a string", scene.fit().claim("/app/module", "tick")),
        (
            "module a list",
            scene
                .fit()
                .claim("/app/module", json!(["core:endpoint", "tick"])),
        ),
        (
            "environment a list",
            scene
                .fit()
                .claim("/app/environment", json!(["PRODUCTION", "x"])),
        ),
    ] {
        cases.rejected(name, || fit.token());
    }
}

/// A FIT names no path, so the claims that bind it to an endpoint are checked.
pub(super) fn other_endpoint(scene: &Scene, cases: &mut Cases) {
    for (name, fit) in [
        ("the page's endpoint", scene.endpoint("ui")),
        ("an unknown endpoint", scene.endpoint("other")),
        ("no key", scene.fit().without("/app/module/key")),
        (
            "key null",
            scene.fit().claim("/app/module/key", Value::Null),
        ),
        ("key empty", scene.fit().claim("/app/module/key", "")),
        (
            "key in capitals",
            scene.fit().claim("/app/module/key", "TICK"),
        ),
        (
            "key with a capital",
            scene.fit().claim("/app/module/key", "Tick"),
        ),
        (
            "key and a blank",
            scene.fit().claim("/app/module/key", "tick "),
        ),
        (
            "key and a NUL",
            scene.fit().claim("/app/module/key", "tick\0"),
        ),
        (
            "key as a path",
            scene.fit().claim("/app/module/key", "/tick"),
        ),
        (
            "part of the key",
            scene.fit().claim("/app/module/key", "tic"),
        ),
        (
            "more than the key",
            scene.fit().claim("/app/module/key", "tick-"),
        ),
        (
            "more than the trigger's key",
            scene.fit().claim("/app/module/key", "tick-trigger-2"),
        ),
        (
            "key in a list",
            scene.fit().claim("/app/module/key", json!(["tick"])),
        ),
        (
            "key in an object",
            scene.fit().claim("/app/module/key", json!({"key": "tick"})),
        ),
        ("key a number", scene.fit().claim("/app/module/key", 0)),
        (
            "another key, ours in the context",
            scene
                .endpoint("ui")
                .claim("/context", json!({"moduleKey": "tick"})),
        ),
    ] {
        cases.rejected(name, || fit.token());
    }
    for (path, key) in [
        ("/ui", "tick"),
        ("/ui", "tick-trigger"),
        ("/ui", "echo"),
        ("/echo", "ui"),
        ("/echo", "tick"),
    ] {
        let call = Request::post(path)
            .bearer(&scene.endpoint(key).token())
            .json(&json!({"text": "x"}));
        cases.request(format!("{key}'s token at {path}"), &[401], || call.clone());
    }
}

/// A browser holds its user's FIT (`requestRemote`), which must not start the platform's jobs.
pub(super) fn user_on_trigger(scene: &Scene, cases: &mut Cases) {
    for (name, fit) in [
        ("a page's token", scene.page()),
        (
            "a page's token with the trigger's key",
            scene.page().claim("/app/module/key", "tick"),
        ),
        (
            "a page's token with the trigger's type and key",
            scene
                .page()
                .claim("/app/module/key", "tick")
                .claim("/app/module/type", "core:endpoint"),
        ),
        (
            "an anonymous visitor's",
            scene.page().claim("/principal", "unidentified"),
        ),
        (
            "a page's token without a context",
            scene.page().without("/context"),
        ),
        (
            "a platform's token with a principal",
            scene.fit().claim("/principal", "557058:x"),
        ),
        ("an empty principal", scene.fit().claim("/principal", "")),
        ("a blank principal", scene.fit().claim("/principal", " ")),
        ("the word null", scene.fit().claim("/principal", "null")),
        ("principal zero", scene.fit().claim("/principal", 0)),
        ("principal false", scene.fit().claim("/principal", false)),
        ("principal true", scene.fit().claim("/principal", true)),
        ("principal a number", scene.fit().claim("/principal", 12)),
        (
            "principal an empty list",
            scene.fit().claim("/principal", json!([])),
        ),
        (
            "principal a list",
            scene.fit().claim("/principal", json!(["x"])),
        ),
        (
            "principal an empty object",
            scene.fit().claim("/principal", json!({})),
        ),
        (
            "principal an object",
            scene.fit().claim("/principal", json!({"accountId": "x"})),
        ),
    ] {
        cases.rejected(name, || fit.token());
    }
}
