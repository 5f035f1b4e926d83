//! The compact serialisation: three parts of base64url.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::json;

use crate::encoding::{b64, unb64};
use crate::jws::{Fit, compact_text, parts};
use crate::{Cases, Request, Scene};

pub(super) fn other_serialisation(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    let token = scene.fit().token();
    let [header, payload, signature] = parts(&token);
    let flattened = json!({"payload": payload, "protected": header, "signature": signature});
    let general =
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]});
    let unprotected = json!({"payload": payload, "header": {"alg": "RS256", "kid": first_kid}, "signature": signature});
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
        ("raw claims", scene.fit().claims_json()),
        ("claims in base64url", payload.to_owned()),
    ] {
        cases.rejected(name, || text.clone());
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
        let call = Request::post("/tick")
            .header("Content-Type", content_type)
            .body(body);
        cases.request(format!("a body of {content_type}"), &[401], || call.clone());
    }
}

pub(super) fn wrong_parts(scene: &Scene, cases: &mut Cases) {
    let token = scene.fit().token();
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
        cases.rejected(name, || text.clone());
    }
}

/// Returns a FIT whose three parts all contain one of the alphabet's last two characters and all
/// need padding.
fn fit_with_special_characters(scene: &Scene) -> Fit {
    loop {
        let mut fit = scene.fit().head("x", "??>>~~").claim("/x", "??>>~~");
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
pub(super) fn invalid_base64url(scene: &Scene, cases: &mut Cases) {
    let fit = fit_with_special_characters(scene);
    cases.accepted("the plain token is valid", &fit, || fit.token());
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
        let token = compact_text(&head, &payload, scene.first());
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
                // One character cannot encode a byte.
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
            // Bytes that HTTP forbids in a header are 400; blanks at the end are not part of the FIT.
            if *part == "signature" && *name == "a blank behind" {
                cases.accepted(format!("{name}: {part}"), &fit, || token.clone());
                continue;
            }
            cases.request(format!("{name}: {part}"), &[400, 401], || tick(&token));
        }
    }
}

pub(super) fn oversized(scene: &Scene, cases: &mut Cases) {
    for kilobytes in [52, 64, 80, 100, 200, 1000, 4000] {
        let fit = scene.fit().claim("/x", "y".repeat(kilobytes * 1024));
        let token = fit.token();
        assert!(token.len() > 64 * 1024);
        cases.request(
            format!("{} bytes", token.len()),
            &[400, 401, 413, 431],
            || tick(&token),
        );
    }
    for (name, text) in [
        ("300 KB of A", "A".repeat(300_000)),
        ("300 KB of dots", ".".repeat(300_000)),
        ("70 KB of brackets", "[".repeat(70_000)),
    ] {
        cases.request(name, &[400, 401, 413, 431], || tick(&text));
    }
    // A signature or a header of that size.
    let token = scene.fit().token();
    let [h, p, s] = parts(&token);
    cases.rejected("a signature of 50 KB", || {
        format!("{h}.{p}.{}", s.repeat(150))
    });
    cases.rejected("a header of 50 KB", || format!("{}.{p}.{s}", h.repeat(500)));
}
fn tick(token: &str) -> Request {
    Request::post("/tick").bearer(token)
}
