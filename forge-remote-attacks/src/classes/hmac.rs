//! HMAC instead of RSA.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::encoding::{b64, pem};
use crate::jws::ISSUER;
use crate::{Cases, Scene};

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
