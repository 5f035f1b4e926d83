//! Only the compact serialisation with strict base64url and valid JSON is accepted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use forge_remote_tests::http::Call;
use forge_remote_tests::jws::{
    APP_ID, FIRST_KID, Fit, INSTALLATION_ID, OTHER_APP_ID, b64, compact, compact_text, parts,
    seconds, unb64,
};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::first;
use forge_remote_tests::test_app::TestApp;
use serde_json::json;

#[tokio::test]
async fn other_serialisations_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("other serialisations");
    let token = app.fit().token();
    let [header, payload, signature] = parts(&token);
    let flattened = json!({"payload": payload, "protected": header, "signature": signature});
    let general =
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]});
    let unprotected = json!({"payload": payload, "header": {"alg": "RS256", "kid": FIRST_KID}, "signature": signature});
    for (name, text) in [
        ("flattened JSON", flattened.to_string()),
        ("general JSON", general.to_string()),
        ("JSON with an unprotected header", unprotected.to_string()),
        ("flattened JSON in base64url", b64(flattened.to_string())),
        ("general JSON in base64url", b64(general.to_string())),
        ("JSON list of tokens", json!([token]).to_string()),
        (
            "JSON of parts",
            json!([header, payload, signature]).to_string(),
        ),
        ("SD-JWT", format!("{token}~")),
        (
            "SD-JWT with a disclosure",
            format!("{token}~{}~", b64(r#"["salt","principal","x"]"#)),
        ),
        ("PASETO", format!("v4.public.{payload}{signature}")),
        ("a Macaroon", format!("MDAx{signature}")),
        ("raw claims", app.fit().claims_json()),
        ("claims in base64url", payload.to_owned()),
    ] {
        report.case(name, app.rejects(&text).await);
    }
    // In the body, with a matching content type.
    for content_type in [
        "application/jose",
        "application/jwt",
        "application/jose+json",
    ] {
        let body = if content_type.ends_with("json") {
            flattened.to_string()
        } else {
            token.clone()
        };
        let call = Call::post("/tick")
            .header("Content-Type", content_type)
            .body(body);
        report.case(
            format!("a body of {content_type}"),
            app.rejects_bytes(&call.bytes(), &[401]).await,
        );
    }
    report.finish();
}

#[tokio::test]
async fn missing_and_extra_parts_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("missing and extra parts");
    let token = app.fit().token();
    let [h, p, s] = parts(&token);
    for (name, text) in [
        ("h", h.to_owned()),
        ("h.", format!("{h}.")),
        ("h.p", format!("{h}.{p}")),
        ("h.p.", format!("{h}.{p}.")),
        ("h..s", format!("{h}..{s}")),
        (".p.s", format!(".{p}.{s}")),
        ("..s", format!("..{s}")),
        (".p.", format!(".{p}.")),
        ("h..", format!("{h}..")),
        ("p.s", format!("{p}.{s}")),
        ("h.s", format!("{h}.{s}")),
        (".h.p.s", format!(".{h}.{p}.{s}")),
        ("h.p.s.", format!("{h}.{p}.{s}.")),
        ("h.p.s..", format!("{h}.{p}.{s}..")),
        ("h.p.s.s", format!("{h}.{p}.{s}.{s}")),
        ("h.h.p.s", format!("{h}.{h}.{p}.{s}")),
        ("h.p.p.s", format!("{h}.{p}.{p}.{s}")),
        ("h..p.s", format!("{h}..{p}.{s}")),
        ("h.p..s", format!("{h}.{p}..{s}")),
        ("h.p.s.x", format!("{h}.{p}.{s}.x")),
        ("h.p.s.e.e", format!("{h}.{p}.{s}.e30.e30")),
        ("p.h.s", format!("{p}.{h}.{s}")),
        ("s.p.h", format!("{s}.{p}.{h}")),
        ("twice", format!("{token}.{token}")),
        ("1,000 dots", ".".repeat(1000)),
        ("60,000 dots", ".".repeat(60_000)),
        ("30,000 parts", "e.".repeat(30_000)),
        ("a dot missing between h and p", format!("{h}{p}.{s}")),
        ("a dot missing between p and s", format!("{h}.{p}{s}")),
        ("a dot too early", format!("{}.{}{p}.{s}", &h[..4], &h[4..])),
    ] {
        report.case(name, app.rejects(&text).await);
    }
    report.finish();
}

/// Returns a token whose three parts all contain one of the alphabet's last two characters and all
/// need padding.
fn fit_with_special_characters(app: &TestApp) -> Fit {
    loop {
        let mut fit = app.fit().head("x", "??>>~~").claim("/x", "??>>~~");
        // A signature of 256 bytes needs padding anyway.
        while fit.header_json().len().is_multiple_of(3) {
            let length = fit.header_json().len() % 7 + 1;
            fit = fit.head("pad", "y".repeat(length));
        }
        while fit.claims_json().len().is_multiple_of(3) {
            let length = fit.claims_json().len() % 7 + 1;
            fit = fit.claim("/pad", "y".repeat(length));
        }
        let token = fit.token();
        if parts(&token).iter().all(|part| part.contains(['-', '_'])) {
            return fit;
        }
    }
}

/// Every invalid encoding of a part is signed as it is, so that only the encoding is wrong.
#[tokio::test]
async fn invalid_base64_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("odd base64url");
    let fit = fit_with_special_characters(&app);
    report.case(
        "the plain token is valid",
        app.accepts(&app.tick(&fit.token()), &fit).await,
    );
    let (header, claims) = (fit.header_json(), fit.claims_json());
    let respell = |at: usize, spell: &dyn Fn(&[u8]) -> String| -> String {
        let head = if at == 0 {
            spell(header.as_bytes())
        } else {
            b64(&header)
        };
        let payload = if at == 1 {
            spell(claims.as_bytes())
        } else {
            b64(&claims)
        };
        let token = compact_text(&head, &payload, first());
        if at < 2 {
            return token;
        }
        let (signed, signature) = token.rsplit_once('.').unwrap();
        format!("{signed}.{}", spell(&unb64(signature)))
    };
    // The surplus bits of the last character.
    let stray = |bytes: &[u8]| -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = b64(bytes).into_bytes();
        let last = ALPHABET
            .iter()
            .position(|c| Some(c) == text.last())
            .unwrap();
        *text.last_mut().unwrap() = ALPHABET[last | 1];
        String::from_utf8(text).unwrap()
    };
    type Spell<'a> = Box<dyn Fn(&[u8]) -> String + 'a>;
    let middle = |insert: &str, bytes: &[u8]| -> String {
        let text = b64(bytes);
        let at = text.len() / 2 / 4 * 4;
        format!("{}{insert}{}", &text[..at], &text[at..])
    };
    let spellings: Vec<(&str, Spell<'_>)> = vec![
        ("padding", Box::new(|bytes| URL_SAFE.encode(bytes))),
        (
            "too much padding",
            Box::new(|bytes| format!("{}=", URL_SAFE.encode(bytes))),
        ),
        (
            "four equals signs",
            Box::new(|bytes| format!("{}====", b64(bytes))),
        ),
        (
            "encoded padding",
            Box::new(|bytes| URL_SAFE.encode(bytes).replace('=', "%3D")),
        ),
        (
            "dots for padding",
            Box::new(|bytes| URL_SAFE.encode(bytes).replace('=', ",")),
        ),
        (
            "the standard alphabet",
            Box::new(|bytes| b64(bytes).replace('-', "+").replace('_', "/")),
        ),
        (
            "the standard alphabet, padded",
            Box::new(|bytes| STANDARD.encode(bytes)),
        ),
        (
            "mixed alphabets",
            Box::new(|bytes| b64(bytes).replacen('-', "+", 1).replacen('_', "/", 1)),
        ),
        ("stray bits", Box::new(stray)),
        (
            "a blank in front",
            Box::new(|bytes| format!(" {}", b64(bytes))),
        ),
        (
            "a blank behind",
            Box::new(|bytes| format!("{} ", b64(bytes))),
        ),
        ("a blank inside", Box::new(|bytes| middle(" ", bytes))),
        ("a tab inside", Box::new(|bytes| middle("\t", bytes))),
        (
            "a folded line inside",
            Box::new(|bytes| middle("\r\n ", bytes)),
        ),
        (
            "an encoded newline inside",
            Box::new(|bytes| middle("%0A", bytes)),
        ),
        ("padding inside", Box::new(|bytes| middle("====", bytes))),
        ("an asterisk inside", Box::new(|bytes| middle("*", bytes))),
        (
            "four characters that aren't of the alphabet",
            Box::new(|bytes| middle("!!!!", bytes)),
        ),
        (
            "a zero-width space inside",
            Box::new(|bytes| middle("\u{200b}", bytes)),
        ),
        ("a NUL inside", Box::new(|bytes| middle("\0", bytes))),
        (
            "one character more",
            Box::new(|bytes| {
                let text = b64(bytes);
                // One character can't encode a byte.
                format!("{text}{}", "A".repeat((5 - text.len() % 4) % 4))
            }),
        ),
        (
            "hexadecimal",
            Box::new(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        ),
        (
            "not encoded at all",
            Box::new(|bytes| String::from_utf8_lossy(bytes).replace('.', ",")),
        ),
    ];
    for (name, spell) in &spellings {
        for (at, part) in ["header", "payload", "signature"].iter().enumerate() {
            let token = respell(at, spell.as_ref());
            let bytes = app.tick(&token).bytes();
            // Bytes that HTTP forbids in a header are 400; blanks at the end are not part of the token.
            if *part == "signature" && *name == "a blank behind" {
                report.case(
                    format!("{name}: {part}"),
                    app.accepts(&app.tick(&token), &fit).await,
                );
                continue;
            }
            report.case(
                format!("{name}: {part}"),
                app.rejects_bytes(&bytes, &[400, 401]).await,
            );
        }
    }
    report.finish();
}

#[tokio::test]
async fn payloads_that_are_not_an_object_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("payloads that are not an object");
    let fit = app.fit();
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
            json!([APP_ID, "forge/invocation-token", 1]).to_string(),
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
        ("form", format!("aud={APP_ID}&iss=forge")),
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
        report.case(
            name,
            app.rejects(&compact(fit.header_json(), text, first()))
                .await,
        );
    }
    report.finish();
}

#[tokio::test]
async fn payloads_that_are_not_utf8_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("payloads that aren't UTF-8");
    let fit = app.fit();
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
                insert("aud", &format!("[\"{APP_ID}\",\"§\"]"), bytes),
            ),
        ] {
            report.case(
                format!("{name} in {place}"),
                app.rejects(&compact(fit.header_json(), payload, first()))
                    .await,
            );
        }
    }
    let utf16: Vec<u8> = fit
        .claims_json()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    report.case(
        "UTF-16",
        app.rejects(&compact(fit.header_json(), utf16, first()))
            .await,
    );
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
        report.case(
            name,
            app.rejects(&compact(fit.header_json(), payload, first()))
                .await,
        );
    }
    report.finish();
}

/// A context that a handler can't read must not be accepted as if it were missing.
#[tokio::test]
async fn unreadable_contexts_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("contexts that no parser takes");
    let fit = app.page();
    for (name, context) in [
        (
            "half a surrogate and a number",
            r#"{"a":"\ud800","b":1e999}"#,
        ),
        ("a number beyond every type", r#"{"a":1e999}"#),
        ("a negative number beyond every type", r#"{"a":[-1e400]}"#),
    ] {
        let payload = fit.claims_json_with("context", context);
        let token = compact(fit.header_json(), payload, first());
        let call = Call::post("/ui").bearer(&token);
        report.case(name, app.rejects_bytes(&call.bytes(), &[401]).await);
    }
    report.finish();
}

/// A barely readable payload is rejected, or reaches the handler whole.
#[tokio::test]
async fn a_barely_readable_payload_is_rejected_or_read_whole() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("barely readable payloads");
    let fit = app.page();
    let whole = |context: &serde_json::Value| fit.clone().claim("/context", context.clone());
    let mut cases: Vec<(String, Fit, String)> = Vec::new();
    for depth in 118..=134 {
        let nested = (0..depth).fold(json!("deep"), |inside, _| json!([inside]));
        let lists = nested.to_string();
        let fit = whole(&nested);
        cases.push((
            format!("a context {depth} deep"),
            fit.clone(),
            fit.claims_json(),
        ));
        let json = with(&app.page(), "x", &lists);
        cases.push((format!("an unknown claim {depth} deep"), json.0, json.1));
    }
    for (name, value) in [
        ("a number beyond every type", "1e999"),
        ("half a surrogate", r#""\ud800""#),
        ("half a surrogate in a name", r#"{"\ud800":1}"#),
        ("a member twice", r#"{"a":1,"a":2}"#),
        ("a very long number", &"9".repeat(400)),
    ] {
        let json = with(&app.page(), "x", value);
        cases.push((format!("an unknown claim of {name}"), json.0, json.1));
        let mut fit = app.page();
        let app_claim = fit.claims["app"].to_string();
        let app_claim = format!("{{\"x\":{value},{}", &app_claim[1..]);
        let json = fit.claims_json_with("app", &app_claim);
        fit = fit.claim("/app/x", 0);
        cases.push((format!("an unknown member of app of {name}"), fit, json));
    }
    for (name, fit, json) in cases {
        let token = compact(fit.header_json(), json, first());
        let call = Call::post("/ui").bearer(&token);
        let outcome = match app.send(&call).await {
            Ok(response) if response.status == 401 => Ok(()),
            Ok(response) if response.status == 200 => app.saw(&app.seen.last().unwrap(), &fit),
            Ok(response) => Err(response.status.to_string()),
            Err(error) => Err(error),
        };
        report.case(name, outcome);
    }
    report.finish();
}

/// Returns the token's claims with an additional hand-written one.
fn with(fit: &Fit, name: &str, json: &str) -> (Fit, String) {
    (fit.clone(), fit.claims_json_with(name, json))
}

#[tokio::test]
async fn duplicate_members_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("duplicate members");
    let fit = app.fit();
    let now = seconds(app.now());
    let good = fit.claims_json();
    let front = |member: &str| format!("{{{member},{}", &good[1..]);
    let behind = |member: &str| format!("{},{member}}}", &good[..good.len() - 1]);
    let app_claim = fit.claims["app"].to_string();
    let other_app = app_claim.replace(APP_ID, OTHER_APP_ID);
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
        ("aud, the same", format!(r#""aud":"{APP_ID}""#)),
        ("aud, another", format!(r#""aud":"{OTHER_APP_ID}""#)),
        ("aud, a list", format!(r#""aud":["{APP_ID}"]"#)),
        ("aud, escaped name", format!(r#""a\u0075d":"{APP_ID}""#)),
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
        report.case(
            format!("{name}, in front"),
            app.rejects(&compact(fit.header_json(), front(&member), first()))
                .await,
        );
        report.case(
            format!("{name}, behind"),
            app.rejects(&compact(fit.header_json(), behind(&member), first()))
                .await,
        );
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
            format!(r#""id":"{APP_ID}""#),
        ),
        (
            "app.id, another",
            r#""app":{"#,
            format!(r#""id":"{OTHER_APP_ID}""#),
        ),
        (
            "app.id, escaped name",
            r#""app":{"#,
            format!(r#""\u0069d":"{APP_ID}""#),
        ),
        (
            "app.installationId",
            r#""app":{"#,
            format!(r#""installationId":"{INSTALLATION_ID}""#),
        ),
        (
            "app.apiBaseUrl",
            r#""app":{"#,
            r#""apiBaseUrl":"https://attacker.example""#.to_owned(),
        ),
        (
            "app.installation",
            r#""app":{"#,
            format!(r#""installation":{{"id":"{INSTALLATION_ID}"}}"#),
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
            format!(r#""id":"{INSTALLATION_ID}""#),
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
            report.case(
                name,
                app.rejects(&compact(fit.header_json(), payload, first()))
                    .await,
            );
        }
    }
    report.finish();
}

#[tokio::test]
async fn deep_payloads_are_harmless() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("deep payloads");
    let fit = app.fit();
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
            let token = compact(fit.header_json(), payload, first());
            assert!(token.len() < 64 * 1024, "{name} {depth}");
            report.case(format!("{name}, {depth}"), app.rejects(&token).await);
        }
    }
    report.finish();
}

/// A careless parser compares each member with all before it. Accepting such tokens is fine, but it
/// must not be slow.
#[tokio::test]
async fn wide_payloads_are_harmless() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("wide payloads");
    let fit = app.fit();
    let members: String = (0..4000).map(|at| format!("\"{at}\":0,")).collect();
    let wide = format!("{{{members}{}", &fit.claims_json()[1..]);
    report.case(
        "4,000 members",
        app.harmless(&compact(fit.header_json(), wide, first()))
            .await,
    );
    let inside = fit.claims_json_with("x", &format!("{{{members}\"last\":0}}"));
    report.case(
        "4,000 members inside a claim",
        app.harmless(&compact(fit.header_json(), inside, first()))
            .await,
    );
    let audience: Vec<String> = (0..3000).map(|at| format!("aud-{at}")).collect();
    report.case(
        "3,000 audiences, none ours",
        app.rejects(&fit.clone().claim("/aud", audience).token())
            .await,
    );
    let members: String = (0..400).map(|at| format!("\"{at}\":0,")).collect();
    let header = format!("{{{members}{}", &fit.header_json()[1..]);
    report.case(
        "400 members in the header",
        app.harmless(&compact(header, fit.claims_json(), first()))
            .await,
    );
    let long = fit.clone().head("x", "y".repeat(40_000));
    report.case(
        "a header of 40,000 characters",
        app.harmless(&long.token()).await,
    );
    report.finish();
}

#[tokio::test]
async fn too_large_tokens_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("too large tokens");
    for kilobytes in [52, 64, 80, 100, 200, 1000, 4000] {
        let fit = app.fit().claim("/x", "y".repeat(kilobytes * 1024));
        let token = fit.token();
        assert!(token.len() > 64 * 1024);
        let bytes = app.tick(&token).bytes();
        report.case(
            format!("{} bytes", token.len()),
            app.rejects_bytes(&bytes, &[400, 401, 413, 431]).await,
        );
    }
    for (name, text) in [
        ("300 KB of A", "A".repeat(300_000)),
        ("300 KB of dots", ".".repeat(300_000)),
        ("70 KB of brackets", "[".repeat(70_000)),
    ] {
        let bytes = app.tick(&text).bytes();
        report.case(name, app.rejects_bytes(&bytes, &[400, 401, 413, 431]).await);
    }
    // A signature or a header of that size.
    let token = app.fit().token();
    let [h, p, s] = parts(&token);
    report.case(
        "a signature of 50 KB",
        app.rejects(&format!("{h}.{p}.{}", s.repeat(150))).await,
    );
    report.case(
        "a header of 50 KB",
        app.rejects(&format!("{}.{p}.{s}", h.repeat(500))).await,
    );
    report.finish();
}
