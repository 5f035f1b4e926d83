//! The payload's JSON.

use serde_json::json;

use crate::jws::{OTHER_APP_ID, compact};
use crate::{Cases, Request, Scene};

pub(super) fn payload_not_object(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    let fit = scene.fit();
    let good = fit.claims_json();
    let with = |name: &str, json: &str| fit.claims_json_with(name, json);
    for (name, text) in [
        ("empty", String::new()),
        ("blank", " ".into()),
        ("null", "null".into()),
        ("true", "true".into()),
        ("number", "1".into()),
        ("string", "\"x\"".into()),
        ("empty list", "[]".into()),
        ("list of the claims", format!("[{good}]")),
        (
            "list of values",
            json!([app_id, "forge/invocation-token", 1]).to_string(),
        ),
        ("string of the claims", json!(good).to_string()),
        ("empty object", "{}".into()),
        ("truncated", good[..good.len() - 1].to_owned()),
        ("half", good[..good.len() / 2].to_owned()),
        ("trailing comma", format!("{},}}", &good[..good.len() - 1])),
        ("single quotes", good.replace('"', "'")),
        ("a comment", format!("{good}// x")),
        ("a comment in front", format!("/**/{good}")),
        ("two objects", format!("{good}{good}")),
        ("two objects in lines", format!("{good}\n{good}")),
        ("an object and a list", format!("{good}[]")),
        ("an object and rubbish", format!("{good} x")),
        ("an object and a comma", format!("{good},")),
        ("an object and a brace", format!("{good}}}")),
        ("an object and a NUL", format!("{good}\0")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("a byte order mark behind", format!("{good}\u{feff}")),
        ("a form feed", format!("\u{c}{good}")),
        ("a NUL in front", format!("\0{good}")),
        ("form", format!("aud={app_id}&iss=forge")),
        ("NaN in an unknown claim", with("x", "NaN")),
        ("Infinity in an unknown claim", with("x", "Infinity")),
        ("a leading zero in an unknown claim", with("x", "007")),
        ("a hexadecimal unknown claim", with("x", "0xff")),
        ("undefined", with("x", "undefined")),
        ("a bad escape in an unknown claim", with("x", r#""\x41""#)),
        (
            "a bad unicode escape in an unknown claim",
            with("x", r#""\u00zz""#),
        ),
        ("a raw newline in an unknown claim", with("x", "\"a\nb\"")),
        (
            "a bad escape in the context",
            with("context", r#"{"x":"\q"}"#),
        ),
        (
            "a raw control character in the context",
            with("context", "{\"x\":\"\u{1}\"}"),
        ),
        (
            "a trailing comma in the context",
            with("context", r#"{"x":1,}"#),
        ),
        (
            "unbalanced brackets in the context",
            with("context", r#"{"x":[1}"#),
        ),
    ] {
        cases.rejected(name, || compact(fit.header_json(), text, scene.first()));
    }
}

pub(super) fn payload_not_utf8(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    let fit = scene.fit();
    let insert = |name: &str, json: &str, bytes: &[u8]| -> Vec<u8> {
        // The marker is replaced by the bytes.
        let text = fit.claims_json_with(name, json);
        let (before, after) = text.split_once('§').unwrap();
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    for (name, bytes) in [
        ("a lone continuation", &b"\x80"[..]),
        ("a lone start", b"\xc3"),
        ("FF", b"\xff"),
        ("Latin-1", b"\xe9"),
        ("overlong", b"\xc0\xaf"),
        ("overlong NUL", b"\xc0\x80"),
        ("half a surrogate", b"\xed\xa0\x80"),
        ("above U+10FFFF", b"\xf4\x90\x80\x80"),
    ] {
        for (place, payload) in [
            ("an unknown claim", insert("x", r#""§""#, bytes)),
            (
                "an unknown claim, deep",
                insert("x", r#"[{"y":["§"]}]"#, bytes),
            ),
            ("an unknown claim's name", insert("x§", "1", bytes)),
            ("the context", insert("context", r#"{"y":"§"}"#, bytes)),
            ("jti", insert("jti", r#""§""#, bytes)),
            (
                "aud",
                insert("aud", &format!("[\"{app_id}\",\"§\"]"), bytes),
            ),
        ] {
            cases.rejected(format!("{name} in {place}"), || {
                compact(fit.header_json(), payload, scene.first())
            });
        }
    }
    let utf16: Vec<u8> = fit
        .claims_json()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    cases.rejected("UTF-16", || {
        compact(fit.header_json(), utf16, scene.first())
    });
    for (name, json) in [
        (
            "half a surrogate, escaped, in iss",
            ("iss", r#""forge/invocation-token\ud800""#),
        ),
        ("half a surrogate, escaped, in aud", ("aud", r#""\udc00""#)),
        ("half a surrogate, escaped, in jti", ("jti", r#""\ud800""#)),
        (
            "two halves in the wrong order in jti",
            ("jti", r#""\udc00\ud800""#),
        ),
    ] {
        let payload = fit.claims_json_with(json.0, json.1);
        cases.rejected(name, || compact(fit.header_json(), payload, scene.first()));
    }
}

/// A context that a handler cannot read must not be accepted as if it were missing.
pub(super) fn unreadable_context(scene: &Scene, cases: &mut Cases) {
    let fit = scene.page();
    for (name, context) in [
        (
            "half a surrogate and a number",
            r#"{"a":"\ud800","b":1e999}"#,
        ),
        ("a number beyond every type", r#"{"a":1e999}"#),
        ("a negative number beyond every type", r#"{"a":[-1e400]}"#),
    ] {
        let payload = fit.claims_json_with("context", context);
        let token = compact(fit.header_json(), payload, scene.first());
        let call = Request::post("/ui").bearer(&token);
        cases.request(name, &[401], || call.clone());
    }
}

pub(super) fn duplicate_member(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    let installation_id = scene.installation_id();
    let fit = scene.fit();
    let now = scene.seconds();
    let good = fit.claims_json();
    let front = |member: &str| format!("{{{member},{}", &good[1..]);
    let behind = |member: &str| format!("{},{member}}}", &good[..good.len() - 1]);
    let app_claim = fit.claims["app"].to_string();
    let other_app = app_claim.replace(app_id, OTHER_APP_ID);
    for (name, member) in [
        (
            "iss, the same",
            r#""iss":"forge/invocation-token""#.to_owned(),
        ),
        (
            "iss, another",
            r#""iss":"https://attacker.example""#.to_owned(),
        ),
        ("iss, null", r#""iss":null"#.to_owned()),
        (
            "iss, escaped name",
            r#""\u0069ss":"forge/invocation-token""#.to_owned(),
        ),
        ("aud, the same", format!(r#""aud":"{app_id}""#)),
        ("aud, another", format!(r#""aud":"{OTHER_APP_ID}""#)),
        ("aud, a list", format!(r#""aud":["{app_id}"]"#)),
        ("aud, escaped name", format!(r#""a\u0075d":"{app_id}""#)),
        ("exp, later", format!(r#""exp":{}"#, now + 100)),
        ("exp, past", format!(r#""exp":{}"#, now - 100)),
        ("exp, null", r#""exp":null"#.to_owned()),
        ("exp, escaped name", format!(r#""\u0065xp":{}"#, now + 100)),
        ("nbf", format!(r#""nbf":{now}"#)),
        ("nbf, future", format!(r#""nbf":{}"#, now + 100)),
        ("iat", format!(r#""iat":{now}"#)),
        ("jti", r#""jti":"x""#.to_owned()),
        (
            "principal",
            r#""principal":null,"principal":null"#.to_owned(),
        ),
        (
            "principal, null and somebody",
            r#""principal":"admin","principal":null"#.to_owned(),
        ),
        ("context", r#""context":null,"context":null"#.to_owned()),
        ("app, the same", format!(r#""app":{app_claim}"#)),
        ("app, another", format!(r#""app":{other_app}"#)),
        ("app, null", r#""app":null"#.to_owned()),
        ("icLabel", r#""icLabel":"a","icLabel":"b""#.to_owned()),
        ("an unknown claim", r#""x":1,"x":1"#.to_owned()),
        (
            "an unknown claim by escape",
            r#""xy":1,"x\u0079":2"#.to_owned(),
        ),
        ("an empty name", r#""":1,"":2"#.to_owned()),
    ] {
        cases.rejected(format!("{name}, in front"), || {
            compact(fit.header_json(), front(&member), scene.first())
        });
        cases.rejected(format!("{name}, behind"), || {
            compact(fit.header_json(), behind(&member), scene.first())
        });
    }
    // Inside `app`, the members that the verifier or the handler uses.
    let inside = |object: &str, member: &str| {
        let at = good.find(object).unwrap() + object.len();
        [format!("{}{member},{}", &good[..at], &good[at..])]
    };
    for (name, object, member) in [
        (
            "app.id, the same",
            r#""app":{"#,
            format!(r#""id":"{app_id}""#),
        ),
        (
            "app.id, another",
            r#""app":{"#,
            format!(r#""id":"{OTHER_APP_ID}""#),
        ),
        (
            "app.id, escaped name",
            r#""app":{"#,
            format!(r#""\u0069d":"{app_id}""#),
        ),
        (
            "app.installationId",
            r#""app":{"#,
            format!(r#""installationId":"{installation_id}""#),
        ),
        (
            "app.apiBaseUrl",
            r#""app":{"#,
            r#""apiBaseUrl":"https://attacker.example""#.to_owned(),
        ),
        (
            "app.installation",
            r#""app":{"#,
            format!(r#""installation":{{"id":"{installation_id}"}}"#),
        ),
        (
            "app.module",
            r#""app":{"#,
            r#""module":{"type":"core:endpoint","key":"tick"}"#.to_owned(),
        ),
        (
            "app.environment",
            r#""app":{"#,
            r#""environment":{"type":"PRODUCTION"}"#.to_owned(),
        ),
        (
            "app.installation.id",
            r#""installation":{"#,
            format!(r#""id":"{installation_id}""#),
        ),
        (
            "app.module.key, the same",
            r#""module":{"#,
            r#""key":"tick""#.to_owned(),
        ),
        (
            "app.module.key, another",
            r#""module":{"#,
            r#""key":"other""#.to_owned(),
        ),
        (
            "app.module.type",
            r#""module":{"#,
            r#""type":"xen:macro""#.to_owned(),
        ),
        (
            "app.environment.type",
            r#""environment":{"#,
            r#""type":"DEVELOPMENT""#.to_owned(),
        ),
    ] {
        for payload in inside(object, &member) {
            cases.rejected(name, || compact(fit.header_json(), payload, scene.first()));
        }
    }
}

pub(super) fn deep_payload(scene: &Scene, cases: &mut Cases) {
    let fit = scene.fit();
    let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for depth in [1000, 5000, 20_000] {
        for (name, payload) in [
            ("nothing but lists", lists(depth)),
            ("lists, never closed", "[".repeat(depth)),
            ("objects, never closed", "{\"a\":".repeat(depth / 4)),
            (
                "an unknown claim of lists",
                fit.claims_json_with("x", &lists(depth)),
            ),
            (
                "an unknown claim of objects",
                fit.claims_json_with("x", &objects(depth / 4)),
            ),
            (
                "the context of lists",
                fit.claims_json_with("context", &lists(depth)),
            ),
            (
                "the context of objects",
                fit.claims_json_with("context", &objects(depth / 4)),
            ),
            ("aud of lists", fit.claims_json_with("aud", &lists(depth))),
            ("exp of lists", fit.claims_json_with("exp", &lists(depth))),
            ("app of lists", fit.claims_json_with("app", &lists(depth))),
            (
                "app of objects",
                fit.claims_json_with("app", &objects(depth / 4)),
            ),
            (
                "principal of lists",
                fit.claims_json_with("principal", &lists(depth)),
            ),
            (
                "icLabel of lists",
                fit.claims_json_with("icLabel", &lists(depth)),
            ),
        ] {
            let token = compact(fit.header_json(), payload, scene.first());
            assert!(token.len() < 64 * 1024, "{name} {depth}");
            cases.rejected(format!("{name}, {depth}"), || token.clone());
        }
    }
}

/// A careless parser compares each member with all before it. Accepting such FITs is fine, but it
/// must not be slow.
pub(super) fn wide_payload(scene: &Scene, cases: &mut Cases) {
    let fit = scene.fit();
    let members: String = (0..4000).map(|at| format!("\"{at}\":0,")).collect();
    let wide = format!("{{{members}{}", &fit.claims_json()[1..]);
    cases.harmless("4,000 members", || {
        compact(fit.header_json(), wide, scene.first())
    });
    let inside = fit.claims_json_with("x", &format!("{{{members}\"last\":0}}"));
    cases.harmless("4,000 members inside a claim", || {
        compact(fit.header_json(), inside, scene.first())
    });
    let audience: Vec<String> = (0..3000).map(|at| format!("aud-{at}")).collect();
    cases.rejected("3,000 audiences, none ours", || {
        fit.clone().claim("/aud", audience).token()
    });
    let members: String = (0..400).map(|at| format!("\"{at}\":0,")).collect();
    let header = format!("{{{members}{}", &fit.header_json()[1..]);
    cases.harmless("400 members in the header", || {
        compact(header, fit.claims_json(), scene.first())
    });
    let long = fit.clone().head("x", "y".repeat(40_000));
    cases.harmless("a header of 40,000 characters", || long.token());
}
