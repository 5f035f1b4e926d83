//! The key that verifies a FIT: only a published one, by its `kid`.

use serde_json::{Value, json};

use crate::encoding::{b64, pem};
use crate::jws::compact;
use crate::{Cases, Scene};

pub(super) fn unpublished_key(scene: &Scene, cases: &mut Cases) {
    let second_kid = scene.second_kid();
    for (name, token) in [
        ("under the first kid", scene.fit().sign(scene.stranger())),
        (
            "under the second kid",
            scene.fit().head("kid", second_kid).sign(scene.stranger()),
        ),
        (
            "under an unknown kid",
            scene.fit().head("kid", "stranger").sign(scene.stranger()),
        ),
        (
            "under a likely kid",
            scene
                .fit()
                .head("kid", "forge/invocation-token/wf-0")
                .sign(scene.stranger()),
        ),
        (
            "the second key under the first kid",
            scene.fit().sign(scene.second()),
        ),
        (
            "the first key under the second kid",
            scene.fit().head("kid", second_kid).sign(scene.first()),
        ),
        (
            "the first key under an unknown kid",
            scene.fit().head("kid", "stranger").sign(scene.first()),
        ),
    ] {
        cases.rejected(name, || token.clone());
    }
}

pub(super) fn odd_key_id(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    let second_kid = scene.second_kid();
    let url = scene.trap_url().to_owned();
    let mut kids: Vec<(String, Value)> = vec![
        ("null".into(), Value::Null),
        ("number".into(), json!(1)),
        ("zero".into(), json!(0)),
        ("true".into(), json!(true)),
        ("list".into(), json!([first_kid])),
        ("empty list".into(), json!([])),
        ("object".into(), json!({"kid": first_kid})),
        ("query object".into(), json!({"$ne": null})),
    ];
    for text in [
        "",
        " ",
        "0",
        "null",
        "undefined",
        "*",
        "%",
        "__proto__",
        "constructor",
        "toString",
        "keys",
        "..",
        "/",
        "/dev/null",
        "../../../../../../dev/null",
        "../../../../etc/passwd",
        "..\\..\\..\\windows\\win.ini",
        "file:///dev/null",
        "/proc/self/environ",
        "' OR '1'='1",
        "x' UNION SELECT 'AA",
        "\"; DROP TABLE keys; --",
        "| whoami",
        "; sleep 10",
        "`sleep 10`",
        "$(sleep 10)",
        "${jndi:ldap://127.0.0.1/x}",
        "{{7*7}}",
        "%00",
        "\0",
        "a\0b",
        "\r\nX-Header: 1",
        "\u{202e}",
        "🦀",
    ] {
        kids.push((format!("{text:?}"), json!(text)));
    }
    for (name, text) in [
        ("the attacker's URL", url.clone()),
        ("the published kid and a blank", format!("{first_kid} ")),
        ("a blank and the published kid", format!(" {first_kid}")),
        ("the published kid and a NUL", format!("{first_kid}\0")),
        ("the published kid and a newline", format!("{first_kid}\n")),
        ("the published kid and a slash", format!("{first_kid}/")),
        ("the published kid and more", format!("{first_kid}x")),
        (
            "the published kid and less",
            first_kid[..first_kid.len() - 1].to_owned(),
        ),
        ("the published kid in capitals", first_kid.to_uppercase()),
        ("the published kid, encoded", first_kid.replace('/', "%2F")),
        (
            "the published kid, doubled slashes",
            first_kid.replace('/', "//"),
        ),
        (
            "the published kid with a path trick",
            first_kid.replace('/', "/./"),
        ),
        (
            "the published kid without its prefix",
            first_kid.rsplit('/').next().unwrap().to_owned(),
        ),
        ("both published kids", format!("{first_kid},{second_kid}")),
        (
            "the published kid with a zero-width space",
            format!("{first_kid}\u{200b}"),
        ),
        ("the published kid, fullwidth", first_kid.replace('0', "０")),
        ("1,000 characters", "k".repeat(1000)),
        ("30,000 characters", "k".repeat(30_000)),
        (
            "the published kid and 1,000 characters",
            format!("{first_kid}{}", " ".repeat(1000)),
        ),
    ] {
        kids.push((name.to_owned(), json!(text)));
    }
    // Some of these leave a kid without slashes, zeros or small letters as it is.
    kids.retain(|(_, kid)| kid != first_kid);
    for (name, kid) in &kids {
        // Signed by the published key: only the kid is wrong.
        cases.rejected(format!("kid {name}"), || {
            scene.fit().head("kid", kid.clone()).token()
        });
        cases.rejected(format!("kid {name}, foreign"), || {
            scene.fit().head("kid", kid.clone()).sign(scene.stranger())
        });
    }
    cases.rejected("kid missing", || scene.fit().headless("kid").token());
    cases.rejected("kid missing, foreign", || {
        scene.fit().headless("kid").sign(scene.stranger())
    });
    for (name, header) in [
        ("Kid", format!(r#"{{"alg":"RS256","Kid":"{first_kid}"}}"#)),
        ("KID", format!(r#"{{"alg":"RS256","KID":"{first_kid}"}}"#)),
        (
            "twice",
            format!(r#"{{"alg":"RS256","kid":"{first_kid}","kid":"{first_kid}"}}"#),
        ),
        (
            "twice, the first foreign",
            format!(r#"{{"alg":"RS256","kid":"x","kid":"{first_kid}"}}"#),
        ),
        (
            "twice, the second foreign",
            format!(r#"{{"alg":"RS256","kid":"{first_kid}","kid":"x"}}"#),
        ),
        (
            "twice, one escaped",
            format!(r#"{{"alg":"RS256","kid":"{first_kid}","k\u0069d":"x"}}"#),
        ),
        (
            "half a surrogate",
            r#"{"alg":"RS256","kid":"\ud800"}"#.to_owned(),
        ),
        ("in the payload only", r#"{"alg":"RS256"}"#.to_owned()),
    ] {
        let fit = scene.fit().claim("/kid", first_kid);
        cases.rejected(format!("kid {name}"), || {
            compact(header, fit.claims_json(), scene.first())
        });
    }
}

/// A FIT with key material in its header is rejected, regardless of its signer, and nothing is fetched.
pub(super) fn key_in_header(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    let url = scene.trap_url().to_owned();
    let certificate = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        scene.stranger().spki_der(),
    );
    let set = json!({"keys": [scene.stranger().jwk("stranger")]});
    let members: Vec<(&str, Value)> = vec![
        ("jwk", scene.stranger().jwk("stranger")),
        ("jwk", scene.stranger().jwk(first_kid)),
        ("jwk", scene.first().jwk(first_kid)),
        ("jwk", json!({"kty": "oct", "k": b64("secret")})),
        ("jwk", json!(scene.stranger().jwk("stranger").to_string())),
        ("jwk", Value::Null),
        ("jwk", json!({})),
        ("jku", json!(url)),
        ("jku", json!(scene.key_set_url())),
        (
            "jku",
            json!("https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json"),
        ),
        (
            "jku",
            json!(format!(
                "https://forge.cdn.prod.atlassian-dev.net@{}/jwks.json",
                scene.trap_authority()
            )),
        ),
        ("jku", json!(format!("data:application/json,{set}"))),
        ("jku", json!("file:///etc/passwd")),
        ("jku", json!([url])),
        ("jku", json!("")),
        ("x5u", json!(url)),
        ("x5u", json!("http://127.0.0.1:1/cert.pem")),
        ("x5c", json!([certificate])),
        (
            "x5c",
            json!([pem("CERTIFICATE", &scene.stranger().spki_der())]),
        ),
        ("x5c", json!(certificate)),
        ("x5c", json!([])),
        ("x5t", json!(b64([1; 20]))),
        ("x5t", json!("")),
        ("x5t#S256", json!(b64([1; 32]))),
    ];
    for (at, (name, value)) in members.into_iter().enumerate() {
        let described = format!(
            "{}. {name} {}",
            at + 1,
            value.to_string().chars().take(60).collect::<String>()
        );
        for kid in [first_kid, "stranger"] {
            let fit = scene.fit().head(name, value.clone()).head("kid", kid);
            cases.rejected(format!("{described}, kid {kid}, foreign"), || {
                fit.sign(scene.stranger())
            });
            cases.rejected(format!("{described}, kid {kid}, genuine"), || {
                fit.sign(scene.first())
            });
        }
        let fit = scene.fit().head(name, value).headless("kid");
        cases.rejected(format!("{described}, no kid, foreign"), || {
            fit.sign(scene.stranger())
        });
    }
    // All of them at once.
    let fit = scene
        .fit()
        .head("jwk", scene.stranger().jwk("s"))
        .head("jku", url.clone())
        .head("x5u", url.clone())
        .head("x5c", json!([certificate]));
    cases.rejected("all of them", || fit.sign(scene.stranger()));
    // Escaped, so that a text search does not find the name.
    let header = format!(
        r#"{{"alg":"RS256","kid":"{first_kid}","j\u0077k":{}}}"#,
        scene.stranger().jwk("s")
    );
    let token = compact(header, scene.fit().claims_json(), scene.stranger());
    cases.rejected("an escaped jwk", || token.clone());
    // Names that libraries used without a standard.
    for name in [
        "jwks", "jwks_uri", "key", "pem", "cert", "certs", "x5u#S256", "iss",
    ] {
        let fit = scene.fit().head(name, json!(url));
        cases.rejected(format!("{name}, foreign"), || fit.sign(scene.stranger()));
    }
}

/// Claims by which some verifiers choose keys.
pub(super) fn key_by_claim(scene: &Scene, cases: &mut Cases) {
    let url = scene.trap_url().to_owned();
    let authority = scene.trap_authority();
    for (name, fit) in [
        (
            "the attacker as issuer",
            scene.fit().claim("/iss", url.clone()),
        ),
        (
            "the attacker's host as issuer",
            scene.fit().claim("/iss", format!("http://{authority}")),
        ),
        (
            "the attacker's API",
            scene.fit().claim("/app/apiBaseUrl", url.clone()),
        ),
        (
            "Atlassian's staging",
            scene
                .fit()
                .claim("/app/apiBaseUrl", "https://api.stg.atlassian.com/ex/jira/x"),
        ),
        ("an isolated cloud", scene.fit().claim("/icLabel", "orange")),
        (
            "an isolated cloud at the attacker's",
            scene.fit().claim("/icLabel", format!("{authority}/#")),
        ),
        (
            "an isolated cloud, by path",
            scene.fit().claim("/icLabel", "../../x"),
        ),
        (
            "an isolated cloud, empty",
            scene.fit().claim("/icLabel", ""),
        ),
        ("a jwks_uri", scene.fit().claim("/jwks_uri", url.clone())),
        ("a jku", scene.fit().claim("/jku", url.clone())),
        (
            "a confirmation key",
            scene
                .fit()
                .claim("/cnf", json!({"jwk": scene.stranger().jwk("s")})),
        ),
    ] {
        cases.rejected(format!("{name}, foreign"), || fit.sign(scene.stranger()));
        let unknown = fit.head("kid", "stranger");
        cases.rejected(format!("{name}, foreign, unknown kid"), || {
            unknown.sign(scene.stranger())
        });
    }
}
