//! Tokens with critical, malformed or foreign members in the protected header are rejected.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use forge_remote_tests::jws::{FIRST_KID, b64, compact, compact_text};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{Scheme, first, stranger};
use forge_remote_tests::test_app::TestApp;
use serde_json::{Value, json};

/// Returns a header with hand-written members.
fn header(members: &str) -> String {
    format!(r#"{{"alg":"RS256","kid":"{FIRST_KID}",{members}}}"#)
}

#[tokio::test]
async fn critical_members_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("crit");
    for members in [
        r#""crit":["x-unknown"],"x-unknown":1"#,
        r#""crit":["x-unknown"]"#,
        r#""crit":["http://example.com/UNDEFINED"],"http://example.com/UNDEFINED":true"#,
        r#""crit":["exp"],"exp":1"#,
        r#""crit":["exp"]"#,
        r#""crit":["alg"]"#,
        r#""crit":["kid"]"#,
        r#""crit":["typ"],"typ":"JWT""#,
        r#""crit":["crit"]"#,
        r#""crit":["b64"],"b64":true"#,
        r#""crit":["b64"]"#,
        r#""crit":["alg","x"],"x":1"#,
        r#""crit":["x","x"],"x":1"#,
        r#""crit":[""]"#,
        r#""crit":[null]"#,
        r#""crit":[1]"#,
        r#""crit":[[]]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":"""#,
        r#""crit":"x""#,
        r#""crit":"exp""#,
        r#""crit":{}"#,
        r#""crit":{"exp":true}"#,
        r#""crit":0"#,
        r#""crit":1"#,
        r#""crit":true"#,
        r#""crit":false"#,
        r#""crit":[],"crit":[]"#,
        r#""\u0063rit":["x"],"x":1"#,
        r#""cri\u0074":[]"#,
    ] {
        let token = compact(header(members), app.fit().claims_json(), first());
        report.case(members, app.rejects(&token).await);
        // The same with the member first.
        let front = format!(r#"{{{members},"alg":"RS256","kid":"{FIRST_KID}"}}"#);
        let token = compact(front, app.fit().claims_json(), first());
        report.case(format!("{members} in front"), app.rejects(&token).await);
    }
    report.finish();
}

/// RFC 7797: an unencoded payload.
#[tokio::test]
async fn an_unencoded_payload_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("b64");
    for members in [
        r#""b64":false"#,
        r#""b64":false,"crit":["b64"]"#,
        r#""b64":false,"crit":["b64","exp"]"#,
        r#""b64":"false","crit":["b64"]"#,
        r#""b64":0"#,
        r#""b64":null"#,
    ] {
        let claims = app.fit().claims_json();
        let head = b64(header(members));
        // The raw payload; blanks and quotes are valid in a field value.
        let token = compact_text(&head, &claims, first());
        report.case(format!("{members}, raw"), app.rejects(&token).await);
        let token = compact(header(members), &claims, first());
        report.case(format!("{members}, encoded"), app.rejects(&token).await);
        // Signed raw and sent encoded.
        let raw = [head.as_bytes(), b".", claims.as_bytes()].concat();
        let token = format!(
            "{head}.{}.{}",
            b64(&claims),
            b64(first().sign(Scheme::Rs256, &raw))
        );
        report.case(
            format!("{members}, signed raw, sent encoded"),
            app.rejects(&token).await,
        );
        // A detached payload.
        let token = format!("{head}..{}", b64(first().sign(Scheme::Rs256, &raw)));
        report.case(format!("{members}, detached"), app.rejects(&token).await);
    }
    report.finish();
}

#[tokio::test]
async fn compressed_payloads_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("zip");
    let claims = app.fit().claims_json();
    // DEFLATE, one stored block.
    let length = u16::try_from(claims.len()).unwrap();
    let stored = [
        &[1][..],
        &length.to_le_bytes(),
        &(!length).to_le_bytes(),
        claims.as_bytes(),
    ]
    .concat();
    for zip in [
        r#""zip":"DEF""#,
        r#""zip":"GZIP""#,
        r#""zip":"none""#,
        r#""zip":null"#,
        r#""zip":"""#,
    ] {
        report.case(
            format!("{zip}, plain"),
            app.rejects(&compact(header(zip), &claims, first())).await,
        );
        report.case(
            format!("{zip}, deflated"),
            app.rejects(&compact(header(zip), &stored, first())).await,
        );
    }
    report.case(
        "deflated without a zip member",
        app.rejects(&compact(app.fit().header_json(), &stored, first()))
            .await,
    );
    // A small text that would become 16 MB.
    let bomb = [0xed, 0xc0, 0x81, 0, 0, 0, 0, 0x80].repeat(64);
    report.case(
        "a bomb",
        app.rejects(&compact(header(r#""zip":"DEF""#), bomb, first()))
            .await,
    );
    report.finish();
}

#[tokio::test]
async fn nested_tokens_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("nested tokens");
    let inner = app.fit().token();
    let twice = compact(header(r#""cty":"JWT""#), &inner, first());
    for (name, token) in [
        ("cty JWT, a token inside", twice.clone()),
        (
            "no cty, a token inside",
            compact(app.fit().header_json(), &inner, first()),
        ),
        (
            "no cty, a quoted token inside",
            compact(app.fit().header_json(), json!(inner).to_string(), first()),
        ),
        (
            "two levels",
            compact(header(r#""cty":"JWT""#), &twice, first()),
        ),
        (
            "a foreign one around a good one",
            compact(header(r#""cty":"JWT""#), &inner, stranger()),
        ),
        ("a good one around an unsigned one", {
            let unsigned = format!(
                "{}.{}.",
                b64(r#"{"alg":"none"}"#),
                b64(app.fit().claims_json())
            );
            compact(header(r#""cty":"JWT""#), unsigned, first())
        }),
        (
            "cty JWT with claims",
            compact(header(r#""cty":"JWT""#), app.fit().claims_json(), first()),
        ),
        (
            "cty jwt with claims",
            compact(header(r#""cty":"jwt""#), app.fit().claims_json(), first()),
        ),
        (
            "cty application/json with claims",
            compact(
                header(r#""cty":"application/json""#),
                app.fit().claims_json(),
                first(),
            ),
        ),
        (
            "cty null with claims",
            compact(header(r#""cty":null"#), app.fit().claims_json(), first()),
        ),
        (
            "cty text/html with claims",
            compact(
                header(r#""cty":"text/html""#),
                app.fit().claims_json(),
                first(),
            ),
        ),
        (
            "a token in a claim",
            app.fit()
                .without("/app")
                .claim("/jwt", inner.clone())
                .token(),
        ),
    ] {
        report.case(name, app.rejects(&token).await);
    }
    report.finish();
}

#[tokio::test]
async fn tokens_of_foreign_types_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("typ");
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "logout+jwt",
        "secevent+jwt",
        "application/secevent+jwt",
        "dpop+jwt",
        "entity-statement+jwt",
        "oauth-authz-req+jwt",
        "token-introspection+jwt",
        "kb+jwt",
        "vc+sd-jwt",
        "dc+sd-jwt",
        "passport",
        "wit+jwt",
        "txn_token+jwt",
        "client-authentication+jwt",
        "id_token+jwt",
        "jwk-set+jwt",
        "JOSE",
        "JOSE+JSON",
        "JWE",
        "JWS",
        "JWTX",
        "XJWT",
        "JW",
        "J W T",
        " JWT",
        "JWT ",
        "JWT\0",
        "JWT\n",
        "JWT;x=y",
        "+jwt",
        "ＪＷＴ",
        "text/plain",
    ] {
        let fit = app.fit().head("typ", typ);
        report.case(format!("{typ:?}"), app.rejects(&fit.token()).await);
    }
    for typ in [
        json!(1),
        json!(true),
        json!(["JWT"]),
        json!({"JWT": 1}),
        json!([]),
    ] {
        let fit = app.fit().head("typ", typ.clone());
        report.case(typ.to_string(), app.rejects(&fit.token()).await);
    }
    let token = compact(
        header(r#""typ":"JWT","typ":"at+jwt""#),
        app.fit().claims_json(),
        first(),
    );
    report.case("twice", app.rejects(&token).await);
    let token = compact(
        header(r#""typ":"\u0061t+jwt""#),
        app.fit().claims_json(),
        first(),
    );
    report.case("escaped", app.rejects(&token).await);
    report.finish();
}

/// Headers that are not a JSON object.
#[tokio::test]
async fn a_header_that_is_not_an_object_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("headers that are not an object");
    let list: Value = json!(["RS256", FIRST_KID]);
    let good = app.fit().header_json();
    for (name, text) in [
        ("empty", String::new()),
        ("blank", " ".into()),
        ("null", "null".into()),
        ("true", "true".into()),
        ("number", "1".into()),
        ("string", "\"RS256\"".into()),
        ("list", list.to_string()),
        ("list of the header", format!("[{good}]")),
        (
            "list of pairs",
            json!([["alg", "RS256"], ["kid", FIRST_KID]]).to_string(),
        ),
        ("string of the header", json!(good).to_string()),
        ("empty object", "{}".into()),
        ("only a brace", "{".into()),
        ("truncated", good[..good.len() - 1].to_owned()),
        ("trailing comma", format!("{},}}", &good[..good.len() - 1])),
        ("leading comma", format!("{{,{}", &good[1..])),
        ("single quotes", good.replace('"', "'")),
        (
            "unquoted names",
            good.replace("\"alg\"", "alg").replace("\"kid\"", "kid"),
        ),
        ("a comment", format!("/* x */{good}")),
        ("a comment inside", good.replace(',', ", // x\n")),
        ("equals signs", good.replace(':', "=")),
        ("YAML", format!("alg: RS256\nkid: {FIRST_KID}\n")),
        ("form", format!("alg=RS256&kid={FIRST_KID}")),
        ("CBOR", "\u{1}\u{2}".into()),
        ("two objects", format!("{good}{good}")),
        ("two objects in lines", format!("{good}\n{good}")),
        ("an object and rubbish", format!("{good}x")),
        ("an object and a NUL", format!("{good}\0")),
        ("a NUL and an object", format!("\0{good}")),
        ("a form feed", format!("\u{c}{good}")),
        ("a no-break space", format!("\u{a0}{good}")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("a byte order mark behind", format!("{good}\u{feff}")),
        (
            "a raw newline in a string",
            good.replace("RS256", "RS256\n"),
        ),
        ("a raw tab in an unknown string", header("\"x\":\"a\tb\"")),
        ("a bad escape", header(r#""x":"\q""#)),
        ("a bad unicode escape", header(r#""x":"\u12G4""#)),
        ("half an escape", header(r#""x":"\u12""#)),
        ("NaN", header(r#""x":NaN"#)),
        ("Infinity", header(r#""x":-Infinity"#)),
        ("leading zero", header(r#""x":012"#)),
        ("plus sign", header(r#""x":+1"#)),
        ("hexadecimal", header(r#""x":0x10"#)),
        ("bare dot", header(r#""x":.5"#)),
        ("undefined", header(r#""x":undefined"#)),
        ("True", header(r#""x":True"#)),
        ("a duplicate of no meaning", header(r#""x":1,"x":1"#)),
        ("a duplicate by escape", header(r#""xy":1,"\u0078y":1"#)),
    ] {
        let claims = app.fit().claims_json();
        report.case(name, app.rejects(&compact(text, claims, first())).await);
    }
    report.finish();
}

/// Bytes that aren't UTF-8, at any place.
#[tokio::test]
async fn a_header_that_is_not_utf8_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("headers that aren't UTF-8");
    let around = |before: &str, bytes: &[u8], after: &str| {
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    for (name, bytes) in [
        ("a lone continuation", &b"\x80"[..]),
        ("a lone start", b"\xc3"),
        ("FF", b"\xff"),
        ("FE FF", b"\xfe\xff"),
        ("Latin-1", b"\xe9"),
        ("overlong slash", b"\xc0\xaf"),
        ("overlong NUL", b"\xc0\x80"),
        ("half a surrogate", b"\xed\xa0\x80"),
        ("a surrogate pair", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("above U+10FFFF", b"\xf4\x90\x80\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
    ] {
        let kid = FIRST_KID;
        for (place, header) in [
            (
                "an unknown value",
                around(
                    &format!(r#"{{"alg":"RS256","kid":"{kid}","x":""#),
                    bytes,
                    r#""}"#,
                ),
            ),
            (
                "an unknown value inside",
                around(
                    &format!(r#"{{"alg":"RS256","kid":"{kid}","x":[{{"y":""#),
                    bytes,
                    r#""}]}"#,
                ),
            ),
            (
                "an unknown name",
                around(
                    &format!(r#"{{"alg":"RS256","kid":"{kid}",""#),
                    bytes,
                    r#"":1}"#,
                ),
            ),
            (
                "an unknown name inside",
                around(
                    &format!(r#"{{"alg":"RS256","kid":"{kid}","x":{{""#),
                    bytes,
                    r#"":1}}"#,
                ),
            ),
            (
                "kid",
                around(&format!(r#"{{"alg":"RS256","kid":"{kid}"#), bytes, r#""}"#),
            ),
            (
                "alg",
                around(r#"{"alg":"RS256"#, bytes, &format!(r#"","kid":"{kid}"}}"#)),
            ),
            (
                "typ",
                around(
                    &format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"JWT"#),
                    bytes,
                    r#""}"#,
                ),
            ),
            (
                "the end",
                around(&format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), bytes, ""),
            ),
            (
                "the front",
                around("", bytes, &format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#)),
            ),
        ] {
            let token = compact(header, app.fit().claims_json(), first());
            report.case(format!("{name} in {place}"), app.rejects(&token).await);
        }
    }
    let utf16 = |big: bool| -> Vec<u8> {
        let units = app.fit().header_json();
        units
            .encode_utf16()
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    for (name, header) in [
        ("UTF-16 LE", utf16(false)),
        ("UTF-16 BE", utf16(true)),
        (
            "UTF-16 LE with a mark",
            [vec![0xff, 0xfe], utf16(false)].concat(),
        ),
        (
            "UTF-16 BE with a mark",
            [vec![0xfe, 0xff], utf16(true)].concat(),
        ),
    ] {
        report.case(
            name,
            app.rejects(&compact(header, app.fit().claims_json(), first()))
                .await,
        );
    }
    report.finish();
}

#[tokio::test]
async fn deep_headers_are_harmless() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("deep headers");
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    };
    for depth in [500, 1500, 10_000, 20_000] {
        let list = header(&format!("\"x\":{}", nested("[", "]", depth)));
        report.case(
            format!("lists {depth} deep"),
            app.rejects(&compact(list, app.fit().claims_json(), first()))
                .await,
        );
        if depth <= 1500 {
            let object = header(&format!("\"x\":{}", nested("{\"a\":", "}", depth)));
            report.case(
                format!("objects {depth} deep"),
                app.rejects(&compact(object, app.fit().claims_json(), first()))
                    .await,
            );
        }
        let open = format!("{{\"alg\":\"RS256\",\"x\":{}", "[".repeat(depth));
        report.case(
            format!("{depth} lists, never closed"),
            app.rejects(&compact(open, app.fit().claims_json(), first()))
                .await,
        );
        let alone = "[".repeat(depth);
        report.case(
            format!("nothing but {depth} brackets"),
            app.rejects(&compact(alone, app.fit().claims_json(), first()))
                .await,
        );
        let instead = format!(
            r#"{{"alg":{},"kid":"{FIRST_KID}"}}"#,
            nested("[", "]", depth)
        );
        report.case(
            format!("alg {depth} lists deep"),
            app.rejects(&compact(instead, app.fit().claims_json(), first()))
                .await,
        );
    }
    report.finish();
}
