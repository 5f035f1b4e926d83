//! The issuer, the audience and the app of a token.

use serde_json::{Value, json};

use crate::jws::{ISSUER, OTHER_APP_ID};
use crate::{Cases, Request, Scene};

/// Returns values that are nearly a text.
pub(super) fn near_misses(text: &str) -> Vec<(String, Value)> {
    let last = text.chars().last().unwrap();
    let shorter = &text[..text.len() - last.len_utf8()];
    let named = [
        ("in capitals", text.to_uppercase()),
        (
            "with one capital",
            format!("{}{}", text[..1].to_uppercase(), &text[1..]),
        ),
        ("one character less", shorter.to_owned()),
        ("one character less in front", text[1..].to_owned()),
        ("one character more", format!("{text}x")),
        ("one character more in front", format!("x{text}")),
        ("its last character twice", format!("{text}{last}")),
        ("another last character", format!("{shorter}~")),
        ("a slash behind", format!("{text}/")),
        ("a dot behind", format!("{text}.")),
        ("a path behind", format!("{text}/x")),
        ("a path trick behind", format!("{text}/../x")),
        ("a query behind", format!("{text}?x")),
        ("a fragment behind", format!("{text}#x")),
        ("a colon behind", format!("{text}:")),
        ("a blank behind", format!("{text} ")),
        ("a blank in front", format!(" {text}")),
        ("a tab behind", format!("{text}\t")),
        ("a newline behind", format!("{text}\n")),
        ("a newline in front", format!("\n{text}")),
        ("a newline and more behind", format!("{text}\nx")),
        ("a NUL behind", format!("{text}\0")),
        ("a NUL in front", format!("\0{text}")),
        ("a NUL and more behind", format!("{text}\0x")),
        ("a no-break space behind", format!("{text}\u{a0}")),
        (
            "a zero-width space inside",
            format!("{}\u{200b}{}", &text[..3], &text[3..]),
        ),
        (
            "a soft hyphen inside",
            format!("{}\u{ad}{}", &text[..3], &text[3..]),
        ),
        ("a byte order mark in front", format!("\u{feff}{text}")),
        ("a right-to-left mark", format!("\u{202e}{text}")),
        ("a combining mark behind", format!("{text}\u{301}")),
        (
            "Cyrillic letters",
            text.replace('o', "о").replace('a', "а").replace('e', "е"),
        ),
        (
            "fullwidth digits and slashes",
            text.replace('/', "／").replace(':', "："),
        ),
        ("encoded slashes", text.replace('/', "%2F")),
        ("doubly escaped", text.replace('/', "\\/")),
        ("backslashes", text.replace('/', "\\")),
        ("in quotes", format!("\"{text}\"")),
        ("twice, by a comma", format!("{text},{text}")),
        ("twice, by a blank", format!("{text} {text}")),
        ("with another, by a comma", format!("x,{text}")),
        ("with another, by a blank", format!("x {text}")),
        ("as JSON list", json!([text]).to_string()),
        ("as a pattern", format!("^{text}$")),
        ("all of it a pattern", ".*".to_owned()),
        ("a star", "*".to_owned()),
        ("half and a star", format!("{}*", &text[..text.len() / 2])),
        ("a percent sign", "%".to_owned()),
        ("empty", String::new()),
        ("blank", " ".to_owned()),
        ("the word null", "null".to_owned()),
        ("the word undefined", "undefined".to_owned()),
    ];
    let mut cases: Vec<(String, Value)> = named
        .into_iter()
        .filter(|(_, other)| other != text)
        .map(|(name, other)| (name.to_owned(), json!(other)))
        .collect();
    for (name, value) in [
        ("null", Value::Null),
        ("a number", json!(1)),
        ("zero", json!(0)),
        ("true", json!(true)),
        ("false", json!(false)),
        ("an empty object", json!({})),
        ("an object of it", json!({ text: true })),
        (
            "an object with numbers for names",
            json!({ "0": text, "length": 1 }),
        ),
        ("an empty list", json!([])),
        ("a list in a list", json!([[text]])),
        ("a list of an object", json!([{ "value": text }])),
        (
            "a list of near misses",
            json!([format!("{text} "), text.to_uppercase(), format!("{text}/")]),
        ),
        ("a list of null", json!([null])),
        ("a list of nothing", json!([""])),
        (
            "a list of characters",
            json!(text.chars().collect::<Vec<_>>()),
        ),
    ] {
        cases.push((name.to_owned(), value));
    }
    cases
}

pub(super) fn issuer(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    cases.rejected("missing", || scene.fit().without("/iss").token());
    for (name, value) in near_misses(ISSUER) {
        cases.rejected(name, || scene.fit().claim("/iss", value).token());
    }
    for value in [
        json!([ISSUER]),
        json!([ISSUER, "x"]),
        json!({ "iss": ISSUER }),
        json!("forge/context-token"),
        json!("forge"),
        json!("invocation-token"),
        json!("forge/invocation_token"),
        json!("forge//invocation-token"),
        json!("https://forge/invocation-token"),
        json!("https://api.atlassian.com"),
        json!("atlassian"),
        json!(app_id),
        json!(scene.trap_url().to_owned()),
    ] {
        cases.rejected(value.to_string(), || {
            scene.fit().claim("/iss", value).token()
        });
    }
    for (name, claim) in [
        ("Iss", "/Iss"),
        ("ISS", "/ISS"),
        ("issuer", "/issuer"),
        ("a blank", "/iss "),
    ] {
        let fit = scene.fit().without("/iss").claim(claim, ISSUER);
        cases.rejected(format!("named {name}"), || fit.token());
    }
    let fit = scene.fit().without("/iss").head("iss", ISSUER);
    cases.rejected("in the header only", || fit.token());
}

pub(super) fn audience(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    cases.rejected("missing", || scene.fit().without("/aud").token());
    for (name, value) in near_misses(app_id) {
        cases.rejected(name, || scene.fit().claim("/aud", value).token());
    }
    let uuid = app_id.rsplit('/').next().unwrap();
    for value in [
        json!(OTHER_APP_ID),
        json!([OTHER_APP_ID]),
        json!([OTHER_APP_ID, "x"]),
        json!([app_id.to_uppercase(), OTHER_APP_ID]),
        json!([[app_id]]),
        json!([null, [app_id]]),
        json!([{ "aud": app_id }]),
        json!({ "aud": app_id }),
        json!({ "0": app_id }),
        json!([app_id, 1]),
        json!([1, app_id]),
        json!([app_id, null]),
        json!([app_id, [app_id]]),
        json!([app_id, {}]),
        json!([true, app_id]),
        json!(uuid),
        json!(format!("ari:cloud:ecosystem::app/{}", uuid.to_uppercase())),
        json!(format!(
            "ari:cloud:ecosystem::app/{}",
            uuid.replace('-', "")
        )),
        json!(format!("ari:cloud:ecosystem::app/{{{uuid}}}")),
        json!(format!("ari:cloud:ecosystem::installation/{uuid}")),
        json!(format!("ari:cloud:ecosystem::environment/{uuid}")),
        json!(format!("ari:cloud:ecosystem:app/{uuid}")),
        json!("ari:cloud:ecosystem::app/"),
        json!("ari:cloud:ecosystem::app/*"),
        json!(format!("urn:uuid:{uuid}")),
        json!("https://backend.example.com"),
        json!("http://backend.example.com/tick"),
    ] {
        cases.rejected(value.to_string(), || {
            scene.fit().claim("/aud", value).token()
        });
    }
    for (name, claim) in [
        ("Aud", "/Aud"),
        ("AUD", "/AUD"),
        ("audience", "/audience"),
        ("azp", "/azp"),
        ("client_id", "/client_id"),
    ] {
        let fit = scene.fit().without("/aud").claim(claim, app_id);
        cases.rejected(format!("named {name}"), || fit.token());
        let fit = scene.fit().claim("/aud", OTHER_APP_ID).claim(claim, app_id);
        cases.rejected(format!("another app's, and {name}"), || fit.token());
    }
    let fit = scene.fit().without("/aud").head("aud", app_id);
    cases.rejected("in the header only", || fit.token());
}

/// A genuine FIT of another app.
pub(super) fn other_app(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    let installation_id = scene.installation_id();
    let theirs = || {
        scene
            .fit()
            .claim("/aud", OTHER_APP_ID)
            .claim("/app/id", OTHER_APP_ID)
    };
    for (name, fit) in [
        ("as it is", theirs()),
        (
            "our id in app only",
            scene.fit().claim("/aud", OTHER_APP_ID),
        ),
        (
            "our id in aud only",
            scene.fit().claim("/app/id", OTHER_APP_ID),
        ),
        (
            "both in aud, theirs in app",
            scene
                .fit()
                .claim("/aud", json!([app_id, OTHER_APP_ID]))
                .claim("/app/id", OTHER_APP_ID),
        ),
        ("with our id as sub", theirs().claim("/sub", app_id)),
        (
            "with our id everywhere else",
            theirs()
                .claim("/app/appId", app_id)
                .claim("/appId", app_id)
                .claim("/context", json!({"app": {"id": app_id}})),
        ),
        (
            "their installation of us",
            theirs().claim("/app/installationId", installation_id),
        ),
    ] {
        cases.rejected(name, || fit.token());
        let page = Request::post("/ui").bearer(
            &fit.claim("/app/module/type", "xen:macro")
                .claim("/principal", "x")
                .token(),
        );
        cases.request(format!("{name}, by a page"), &[401], || page.clone());
    }
}
