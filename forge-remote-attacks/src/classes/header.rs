//! Members of the protected header, and its JSON.

use serde_json::{Value, json};

use crate::encoding::b64;
use crate::jws::{compact, compact_text};
use crate::{Cases, Scene};

/// Returns a header with hand-written members.
fn header(scene: &Scene, members: &str) -> String {
    let first_kid = scene.first_kid();
    format!(r#"{{"alg":"RS256","kid":"{first_kid}",{members}}}"#)
}

pub(super) fn critical_member(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
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
        let token = compact(
            header(scene, members),
            scene.fit().claims_json(),
            scene.first(),
        );
        cases.rejected(members, || token.clone());
        // The same with the member first.
        let front = format!(r#"{{{members},"alg":"RS256","kid":"{first_kid}"}}"#);
        let token = compact(front, scene.fit().claims_json(), scene.first());
        cases.rejected(format!("{members} in front"), || token.clone());
    }
}

/// RFC 7797: an unencoded payload.
pub(super) fn unencoded_payload(scene: &Scene, cases: &mut Cases) {
    for members in [
        r#""b64":false"#,
        r#""b64":false,"crit":["b64"]"#,
        r#""b64":false,"crit":["b64","exp"]"#,
        r#""b64":"false","crit":["b64"]"#,
        r#""b64":0"#,
        r#""b64":null"#,
    ] {
        let claims = scene.fit().claims_json();
        let head = b64(header(scene, members));
        // The raw payload; blanks and quotes are valid in a field value.
        let token = compact_text(&head, &claims, scene.first());
        cases.rejected(format!("{members}, raw"), || token.clone());
        let token = compact(header(scene, members), &claims, scene.first());
        cases.rejected(format!("{members}, encoded"), || token.clone());
        // Signed raw and sent encoded.
        let raw = [head.as_bytes(), b".", claims.as_bytes()].concat();
        let token = format!("{head}.{}.{}", b64(&claims), b64(scene.first().rs256(&raw)));
        cases.rejected(format!("{members}, signed raw, sent encoded"), || {
            token.clone()
        });
        // A detached payload.
        let token = format!("{head}..{}", b64(scene.first().rs256(&raw)));
        cases.rejected(format!("{members}, detached"), || token.clone());
    }
}

pub(super) fn compressed_payload(scene: &Scene, cases: &mut Cases) {
    let claims = scene.fit().claims_json();
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
        cases.rejected(format!("{zip}, plain"), || {
            compact(header(scene, zip), &claims, scene.first())
        });
        cases.rejected(format!("{zip}, deflated"), || {
            compact(header(scene, zip), &stored, scene.first())
        });
    }
    cases.rejected("deflated without a zip member", || {
        compact(scene.fit().header_json(), &stored, scene.first())
    });
    // A small text that would become 16 MB.
    let bomb = [0xed, 0xc0, 0x81, 0, 0, 0, 0, 0x80].repeat(64);
    cases.rejected("a bomb", || {
        compact(header(scene, r#""zip":"DEF""#), bomb, scene.first())
    });
}

pub(super) fn nested_token(scene: &Scene, cases: &mut Cases) {
    let inner = scene.fit().token();
    let twice = compact(header(scene, r#""cty":"JWT""#), &inner, scene.first());
    for (name, token) in [
        ("cty JWT, a token inside", twice.clone()),
        (
            "no cty, a token inside",
            compact(scene.fit().header_json(), &inner, scene.first()),
        ),
        (
            "no cty, a quoted token inside",
            compact(
                scene.fit().header_json(),
                json!(inner).to_string(),
                scene.first(),
            ),
        ),
        (
            "two levels",
            compact(header(scene, r#""cty":"JWT""#), &twice, scene.first()),
        ),
        (
            "a foreign one around a good one",
            compact(header(scene, r#""cty":"JWT""#), &inner, scene.stranger()),
        ),
        ("a good one around an unsigned one", {
            let unsigned = format!(
                "{}.{}.",
                b64(r#"{"alg":"none"}"#),
                b64(scene.fit().claims_json())
            );
            compact(header(scene, r#""cty":"JWT""#), unsigned, scene.first())
        }),
        (
            "cty JWT with claims",
            compact(
                header(scene, r#""cty":"JWT""#),
                scene.fit().claims_json(),
                scene.first(),
            ),
        ),
        (
            "cty jwt with claims",
            compact(
                header(scene, r#""cty":"jwt""#),
                scene.fit().claims_json(),
                scene.first(),
            ),
        ),
        (
            "cty application/json with claims",
            compact(
                header(scene, r#""cty":"application/json""#),
                scene.fit().claims_json(),
                scene.first(),
            ),
        ),
        (
            "cty null with claims",
            compact(
                header(scene, r#""cty":null"#),
                scene.fit().claims_json(),
                scene.first(),
            ),
        ),
        (
            "cty text/html with claims",
            compact(
                header(scene, r#""cty":"text/html""#),
                scene.fit().claims_json(),
                scene.first(),
            ),
        ),
        (
            "a token in a claim",
            scene
                .fit()
                .without("/app")
                .claim("/jwt", inner.clone())
                .token(),
        ),
    ] {
        cases.rejected(name, || token.clone());
    }
}

pub(super) fn foreign_type(scene: &Scene, cases: &mut Cases) {
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
        let fit = scene.fit().head("typ", typ);
        cases.rejected(format!("{typ:?}"), || fit.token());
    }
    for typ in [
        json!(1),
        json!(true),
        json!(["JWT"]),
        json!({"JWT": 1}),
        json!([]),
    ] {
        let fit = scene.fit().head("typ", typ.clone());
        cases.rejected(typ.to_string(), || fit.token());
    }
    let token = compact(
        header(scene, r#""typ":"JWT","typ":"at+jwt""#),
        scene.fit().claims_json(),
        scene.first(),
    );
    cases.rejected("twice", || token.clone());
    let token = compact(
        header(scene, r#""typ":"\u0061t+jwt""#),
        scene.fit().claims_json(),
        scene.first(),
    );
    cases.rejected("escaped", || token.clone());
}

/// Headers that are not a JSON object.
pub(super) fn header_not_object(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    let list: Value = json!(["RS256", first_kid]);
    let good = scene.fit().header_json();
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
            json!([["alg", "RS256"], ["kid", first_kid]]).to_string(),
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
        ("YAML", format!("alg: RS256\nkid: {first_kid}\n")),
        ("form", format!("alg=RS256&kid={first_kid}")),
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
        (
            "a raw tab in an unknown string",
            header(scene, "\"x\":\"a\tb\""),
        ),
        ("a bad escape", header(scene, r#""x":"\q""#)),
        ("a bad unicode escape", header(scene, r#""x":"\u12G4""#)),
        ("half an escape", header(scene, r#""x":"\u12""#)),
        ("NaN", header(scene, r#""x":NaN"#)),
        ("Infinity", header(scene, r#""x":-Infinity"#)),
        ("leading zero", header(scene, r#""x":012"#)),
        ("plus sign", header(scene, r#""x":+1"#)),
        ("hexadecimal", header(scene, r#""x":0x10"#)),
        ("bare dot", header(scene, r#""x":.5"#)),
        ("undefined", header(scene, r#""x":undefined"#)),
        ("True", header(scene, r#""x":True"#)),
        ("a duplicate of no meaning", header(scene, r#""x":1,"x":1"#)),
        (
            "a duplicate by escape",
            header(scene, r#""xy":1,"\u0078y":1"#),
        ),
    ] {
        let claims = scene.fit().claims_json();
        cases.rejected(name, || compact(text, claims, scene.first()));
    }
}

/// Bytes that aren't UTF-8, at any place.
pub(super) fn header_not_utf8(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
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
        let kid = first_kid;
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
            let token = compact(header, scene.fit().claims_json(), scene.first());
            cases.rejected(format!("{name} in {place}"), || token.clone());
        }
    }
    let utf16 = |big: bool| -> Vec<u8> {
        let units = scene.fit().header_json();
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
        cases.rejected(name, || {
            compact(header, scene.fit().claims_json(), scene.first())
        });
    }
}

pub(super) fn deep_header(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    };
    for depth in [500, 1500, 10_000, 20_000] {
        let list = header(scene, &format!("\"x\":{}", nested("[", "]", depth)));
        cases.rejected(format!("lists {depth} deep"), || {
            compact(list, scene.fit().claims_json(), scene.first())
        });
        if depth <= 1500 {
            let object = header(scene, &format!("\"x\":{}", nested("{\"a\":", "}", depth)));
            cases.rejected(format!("objects {depth} deep"), || {
                compact(object, scene.fit().claims_json(), scene.first())
            });
        }
        let open = format!("{{\"alg\":\"RS256\",\"x\":{}", "[".repeat(depth));
        cases.rejected(format!("{depth} lists, never closed"), || {
            compact(open, scene.fit().claims_json(), scene.first())
        });
        let alone = "[".repeat(depth);
        cases.rejected(format!("nothing but {depth} brackets"), || {
            compact(alone, scene.fit().claims_json(), scene.first())
        });
        let instead = format!(
            r#"{{"alg":{},"kid":"{first_kid}"}}"#,
            nested("[", "]", depth)
        );
        cases.rejected(format!("alg {depth} lists deep"), || {
            compact(instead, scene.fit().claims_json(), scene.first())
        });
    }
}
