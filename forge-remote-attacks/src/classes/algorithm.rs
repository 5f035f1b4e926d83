//! The algorithm that a FIT names, and signatures other than RS256 and HMAC.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use serde_json::{Value, json};

use crate::encoding::b64;
use crate::jws::{Fit, compact, parts, with_signature};
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
