//! The algorithm that a FIT names, and signatures other than RS256.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::encoding::{b64, pem};
use crate::jws::{Fit, ISSUER, compact, parts, with_signature};
use crate::rsa::Scheme;
use crate::{Cases, Scene};

/// Returns a header with a hand-written `alg`.
fn with_alg(scene: &Scene, alg: &str) -> String {
    let first_kid = scene.first_kid();
    format!(r#"{{"alg":{alg},"kid":"{first_kid}"}}"#)
}

/// Returns forms of the FIT without a genuine signature, and with one.
fn forms(scene: &Scene, header: &str, fit: &Fit) -> Vec<(&'static str, String)> {
    let genuine = compact(header, fit.claims_json(), scene.first());
    let [head, payload, _] = parts(&genuine);
    vec![
        ("no third part", format!("{head}.{payload}")),
        ("empty signature", format!("{head}.{payload}.")),
        (
            "rubbish signature",
            format!("{head}.{payload}.{}", b64([7; 256])),
        ),
        ("text signature", format!("{head}.{payload}.none")),
        (
            "foreign signature",
            compact(header, fit.claims_json(), scene.stranger()),
        ),
        ("genuine signature", genuine.clone()),
    ]
}

pub(super) fn alg_none(scene: &Scene, cases: &mut Cases) {
    for alg in [
        "\"none\"",
        "\"None\"",
        "\"NONE\"",
        "\"nOnE\"",
        "\"NoNe\"",
        "\"none \"",
        "\" none\"",
        "\"\\tnone\"",
        "\"none\\u0000\"",
        "\"\\u006eone\"",
        "\"nonе\"",
        "\"ｎｏｎｅ\"",
        "\"no\\u200bne\"",
        "\"\"",
        "\" \"",
        "null",
        "\"null\"",
        "\"undefined\"",
        "\"plain\"",
        "\"unsecured\"",
        "\"*\"",
        "\"any\"",
        "\"dir\"",
        "\"none,RS256\"",
        "\"RS256,none\"",
    ] {
        for (form, token) in forms(scene, &with_alg(scene, alg), &scene.fit()) {
            cases.rejected(format!("{alg}, {form}"), || token.clone());
        }
    }
}

pub(super) fn alg_missing(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    for (name, header) in [
        ("missing", format!(r#"{{"kid":"{first_kid}"}}"#)),
        (
            "missing, with typ",
            format!(r#"{{"typ":"JWT","kid":"{first_kid}"}}"#),
        ),
        ("Alg", format!(r#"{{"Alg":"RS256","kid":"{first_kid}"}}"#)),
        ("ALG", format!(r#"{{"ALG":"RS256","kid":"{first_kid}"}}"#)),
        (
            "alg with a blank",
            format!(r#"{{"alg ":"RS256","kid":"{first_kid}"}}"#),
        ),
        (
            "alg with a NUL",
            format!(r#"{{"alg\u0000":"RS256","kid":"{first_kid}"}}"#),
        ),
        (
            "algorithm",
            format!(r#"{{"algorithm":"RS256","kid":"{first_kid}"}}"#),
        ),
        (
            "inside another member",
            format!(r#"{{"header":{{"alg":"RS256"}},"kid":"{first_kid}"}}"#),
        ),
        ("number", with_alg(scene, "256")),
        ("zero", with_alg(scene, "0")),
        ("list", with_alg(scene, r#"["RS256"]"#)),
        ("list of two", with_alg(scene, r#"["RS256","none"]"#)),
        ("empty list", with_alg(scene, "[]")),
        ("object", with_alg(scene, r#"{"RS256":true}"#)),
        (
            "object with its name",
            with_alg(scene, r#"{"alg":"RS256"}"#),
        ),
        ("true", with_alg(scene, "true")),
        ("false", with_alg(scene, "false")),
    ] {
        for (form, token) in forms(scene, &header, &scene.fit()) {
            cases.rejected(format!("{name}, {form}"), || token.clone());
        }
    }
}

pub(super) fn alg_spelling(scene: &Scene, cases: &mut Cases) {
    for alg in [
        "rs256",
        "Rs256",
        "rS256",
        "RS256 ",
        " RS256",
        "RS256\t",
        "RS256\n",
        "RS256\0",
        "\u{feff}RS256",
        "RS-256",
        "RS_256",
        "RS 256",
        "RS0256",
        "RS256.",
        "RS2560",
        "RS25",
        "RSA256",
        "RSA-SHA256",
        "RSASSA-PKCS1-v1_5",
        "SHA256withRSA",
        "sha256WithRSAEncryption",
        "RS256:RS256",
        "RS256,HS256",
        "ＲＳ256",
        "RS２56",
        "R\u{405}256",
        "1.2.840.113549.1.1.11",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    ] {
        let token = scene.fit().head("alg", alg).token();
        cases.rejected(alg, || token.clone());
    }
}

pub(super) fn alg_repeated(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    for (name, members) in [
        ("none, RS256", r#""alg":"none","alg":"RS256""#),
        ("RS256, none", r#""alg":"RS256","alg":"none""#),
        ("HS256, RS256", r#""alg":"HS256","alg":"RS256""#),
        ("RS256, HS256", r#""alg":"RS256","alg":"HS256""#),
        ("RS256, RS256", r#""alg":"RS256","alg":"RS256""#),
        ("the second escaped", r#""alg":"RS256","\u0061lg":"none""#),
        ("the first escaped", r#""a\u006cg":"none","alg":"RS256""#),
        ("null, RS256", r#""alg":null,"alg":"RS256""#),
        (
            "far apart",
            r#""alg":"RS256","a":1,"b":2,"c":3,"alg":"RS256""#,
        ),
    ] {
        let header = format!(r#"{{{members},"kid":"{first_kid}"}}"#);
        for (form, token) in forms(scene, &header, &scene.fit()) {
            cases.rejected(format!("{name}, {form}"), || token.clone());
        }
    }
}

/// Returns every encoding of the public key that might serve as an HMAC secret.
fn public_key_encodings(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    let (key, first_kid) = (scene.published(), scene.first_kid());
    let (spki, pkcs1) = (key.spki_der(), key.pkcs1_der());
    let jwk = key.jwk(first_kid);
    let n = jwk["n"].as_str().unwrap().to_owned();
    let mut secrets = vec![
        ("SPKI DER".to_owned(), spki.clone()),
        ("PKCS#1 DER".to_owned(), pkcs1.clone()),
        (
            "SPKI in base64".to_owned(),
            STANDARD.encode(&spki).into_bytes(),
        ),
        (
            "PKCS#1 in base64".to_owned(),
            STANDARD.encode(&pkcs1).into_bytes(),
        ),
        ("SPKI in base64url".to_owned(), b64(&spki).into_bytes()),
        ("JWK".to_owned(), jwk.to_string().into_bytes()),
        (
            "JWK, pretty".to_owned(),
            serde_json::to_vec_pretty(&jwk).unwrap(),
        ),
        (
            "JWK, in RFC 7638's form".to_owned(),
            format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}"}}"#).into_bytes(),
        ),
        (
            "key set".to_owned(),
            scene.key_set().to_string().into_bytes(),
        ),
        ("n".to_owned(), n.clone().into_bytes()),
        ("n's bytes".to_owned(), key.n.to_bytes_be()),
        ("n's bytes backwards".to_owned(), key.n.to_bytes_le()),
        ("n in decimal".to_owned(), key.n.to_string().into_bytes()),
        (
            "n in hexadecimal".to_owned(),
            key.n.to_str_radix(16).into_bytes(),
        ),
        (
            "n with a zero in front".to_owned(),
            [&[0][..], &key.n.to_bytes_be()].concat(),
        ),
        ("e".to_owned(), b"AQAB".to_vec()),
        ("e's bytes".to_owned(), key.e.to_bytes_be()),
        (
            "n and e".to_owned(),
            [key.n.to_bytes_be(), key.e.to_bytes_be()].concat(),
        ),
        ("kid".to_owned(), first_kid.as_bytes().to_vec()),
    ];
    for (label, der) in [
        ("PUBLIC KEY", &spki),
        ("RSA PUBLIC KEY", &pkcs1),
        ("CERTIFICATE", &spki),
    ] {
        let text = pem(label, der);
        secrets.push((format!("PEM {label}"), text.clone().into_bytes()));
        secrets.push((
            format!("PEM {label} without its last newline"),
            text.trim_end().into(),
        ));
        secrets.push((
            format!("PEM {label} with two newlines"),
            format!("{text}\n").into_bytes(),
        ));
        secrets.push((
            format!("PEM {label} with CRLF"),
            text.replace('\n', "\r\n").into_bytes(),
        ));
        secrets.push((
            format!("PEM {label} in one line"),
            text.replace('\n', "").into_bytes(),
        ));
        secrets.push((
            format!("PEM {label} with escaped newlines"),
            text.replace('\n', "\\n").into_bytes(),
        ));
        secrets.push((
            format!("PEM {label} with a NUL"),
            format!("{text}\0").into_bytes(),
        ));
    }
    secrets
}

fn hmac_sign(alg: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match alg {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        _ => hmac::HMAC_SHA512,
    };
    hmac::sign(&hmac::Key::new(algorithm, secret), message)
        .as_ref()
        .to_vec()
}

pub(super) fn hmac_public_key(scene: &Scene, cases: &mut Cases) {
    for (name, secret) in public_key_encodings(scene) {
        for alg in ["HS256", "HS384", "HS512"] {
            let token = scene
                .fit()
                .head("alg", alg)
                .sign_with(|message| hmac_sign(alg, &secret, message));
            cases.rejected(format!("{alg} with {name}"), || token.clone());
        }
        let token = scene
            .fit()
            .sign_with(|message| hmac_sign("HS256", &secret, message));
        cases.rejected(format!("RS256 that is HS256 with {name}"), || token.clone());
    }
}

pub(super) fn hmac_weak_secret(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    let zeros = [0; 64];
    for secret in [
        &b""[..],
        b"secret",
        b"password",
        b"changeme",
        b"key",
        b"test",
        b"forge",
        b"atlassian",
        b"jwt",
        b"1234567890",
        b"your-256-bit-secret",
        b"null",
        b"undefined",
        b" ",
        b"\0",
        &zeros[..16],
        &zeros[..32],
        &zeros,
        app_id.as_bytes(),
        ISSUER.as_bytes(),
    ] {
        for alg in ["HS256", "HS384", "HS512"] {
            for (kid, fit) in [
                ("", scene.fit()),
                (", no kid", scene.fit().headless("kid")),
                (", empty kid", scene.fit().head("kid", "")),
            ] {
                let secret_text = String::from_utf8_lossy(secret);
                cases.rejected(format!("{alg} with {secret_text:?}{kid}"), || {
                    fit.head("alg", alg)
                        .sign_with(|message| hmac_sign(alg, secret, message))
                });
            }
        }
    }
}

pub(super) fn other_rsa_algorithm(scene: &Scene, cases: &mut Cases) {
    let others = [
        Scheme::Rs384,
        Scheme::Rs512,
        Scheme::Ps256,
        Scheme::Ps384,
        Scheme::Ps512,
    ];
    for scheme in others {
        let alg = scheme.alg();
        let token = scene.fit().sign_as(scheme, scene.first());
        cases.rejected(format!("{alg}, genuine"), || token.clone());
        let token = scene
            .fit()
            .sign_with(|message| scene.first().sign(scheme, message));
        cases.rejected(format!("RS256 by name, {alg} by signature"), || {
            token.clone()
        });
        let token = scene.fit().head("alg", alg).token();
        cases.rejected(format!("{alg} by name, RS256 by signature"), || {
            token.clone()
        });
        let token = scene.fit().sign_as(scheme, scene.stranger());
        cases.rejected(format!("{alg}, foreign"), || token.clone());
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, message: &[u8]) -> Vec<u8> {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    pair.sign(&SystemRandom::new(), message)
        .unwrap()
        .as_ref()
        .to_vec()
}

pub(super) fn other_signature_family(scene: &Scene, cases: &mut Cases) {
    let fit = |alg: &str| scene.fit().head("alg", alg);
    for alg in [
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "Ed25519",
        "Ed448",
        "ML-DSA-44",
        "A256GCMKW",
        "RS1",
        "RSA1_5",
        "RSA-OAEP",
        "ESP256",
    ] {
        for (form, token) in forms(scene, &with_alg(scene, &format!("\"{alg}\"")), &scene.fit()) {
            cases.rejected(format!("{alg}, {form}"), || token.clone());
        }
    }
    let token = fit("ES256").sign_with(|message| ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, message));
    cases.rejected("ES256 of the attacker's own key", || token.clone());
    let token = fit("ES384").sign_with(|message| ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, message));
    cases.rejected("ES384 of the attacker's own key", || token.clone());
    let token = fit("EdDSA").sign_with(|message| {
        Ed25519KeyPair::generate()
            .unwrap()
            .sign(message)
            .as_ref()
            .to_vec()
    });
    cases.rejected("EdDSA of the attacker's own key", || token.clone());
    // CVE-2022-21449: r = s = 0.
    for (alg, length) in [("ES256", 64), ("ES384", 96), ("ES512", 132), ("RS256", 64)] {
        let token = fit(alg).sign_with(|_| vec![0; length]);
        cases.rejected(format!("{alg} of zeros"), || token.clone());
    }
    for alg in ["RS256", "ES256"] {
        let token = fit(alg).sign_with(|_| vec![0x30, 6, 2, 1, 0, 2, 1, 0]);
        cases.rejected(format!("{alg} of zeros, in DER"), || token.clone());
    }
    let token = fit("RS256").sign_with(|message| ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, message));
    cases.rejected("RS256 by name, ES256 by signature", || token.clone());
}

/// A JWE is not a FIT, and costs no decryption.
pub(super) fn encrypted(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    let payload = scene.fit().claims_json();
    let headers: Vec<(&str, Value)> = vec![
        (
            "RSA-OAEP",
            json!({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": first_kid}),
        ),
        (
            "RSA-OAEP-256",
            json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": first_kid}),
        ),
        (
            "RSA1_5",
            json!({"alg": "RSA1_5", "enc": "A128CBC-HS256", "kid": first_kid}),
        ),
        (
            "dir",
            json!({"alg": "dir", "enc": "A256GCM", "kid": first_kid}),
        ),
        ("A256KW", json!({"alg": "A256KW", "enc": "A256GCM"})),
        (
            "ECDH-ES",
            json!({"alg": "ECDH-ES", "enc": "A256GCM", "epk": {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}}),
        ),
        (
            "zip bomb",
            json!({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}),
        ),
        (
            "RS256 with enc",
            json!({"alg": "RS256", "enc": "A256GCM", "kid": first_kid}),
        ),
        (
            "PBES2, cost 2147483647",
            json!({"alg": "PBES2-HS256+A128KW", "enc": "A128CBC-HS256", "p2s": b64([1; 16]), "p2c": 2_147_483_647_u32}),
        ),
        (
            "PBES2, cost 1e300",
            json!({"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2s": b64([1; 16]), "p2c": 1e300}),
        ),
        (
            "PBES2, negative cost",
            json!({"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2s": "", "p2c": -1}),
        ),
        (
            "RS256 with a PBES2 cost",
            json!({"alg": "RS256", "kid": first_kid, "p2s": b64([1; 16]), "p2c": 2_147_483_647_u32}),
        ),
    ];
    for (name, header) in headers {
        let head = b64(header.to_string());
        let five = format!(
            "{head}.{}.{}.{}.{}",
            b64([1; 256]),
            b64([2; 12]),
            b64(&payload),
            b64([3; 16])
        );
        cases.rejected(format!("{name}, five parts"), || five.clone());
        let no_key = format!(
            "{head}..{}.{}.{}",
            b64([2; 12]),
            b64(&payload),
            b64([3; 16])
        );
        cases.rejected(format!("{name}, five parts without a key"), || {
            no_key.clone()
        });
        let three = compact(header.to_string(), &payload, scene.first());
        cases.rejected(format!("{name}, three parts, genuinely signed"), || {
            three.clone()
        });
        let five = format!("{three}.{}.{}", b64([1; 12]), b64([1; 16]));
        cases.rejected(format!("{name}, a genuine JWS and two parts more"), || {
            five.clone()
        });
    }
}

/// A valid FIT whose algorithm is changed in transit.
pub(super) fn alg_changed(scene: &Scene, cases: &mut Cases) {
    let token = scene.fit().token();
    let [_, payload, signature] = parts(&token);
    for alg in ["none", "HS256", "RS384", "PS256", "ES256", "RS256 "] {
        let head = b64(with_alg(scene, &format!("\"{alg}\"")));
        cases.rejected(alg, || format!("{head}.{payload}.{signature}"));
        cases.rejected(format!("{alg}, unsigned"), || format!("{head}.{payload}."));
    }
    cases.rejected("signature of nothing", || {
        with_signature(&token, scene.first().rs256(b""))
    });
}
