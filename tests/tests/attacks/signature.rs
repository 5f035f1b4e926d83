//! Only an exact RSASSA-PKCS1-v1_5 signature with SHA-256 is accepted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use forge_remote_tests::jws::{FIRST_KID, b64, key_set, parts, unb64, with_signature};
use forge_remote_tests::padding;
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{Scheme, first, long4096, second, stranger};
use forge_remote_tests::test_app::TestApp;
use num_bigint::BigUint;
use serde_json::json;

#[tokio::test]
async fn changed_bytes_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("changed signatures");
    let token = app.fit().token();
    let [header, payload, signature] = parts(&token);
    let good = unb64(signature);
    let length = good.len();
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("empty but there".into(), vec![]),
        ("one zero".into(), vec![0]),
        ("one one".into(), vec![1]),
        ("twice".into(), [&good[..], &good].concat()),
        ("backwards".into(), good.iter().rev().copied().collect()),
        (
            "every bit turned".into(),
            good.iter().map(|byte| !byte).collect(),
        ),
        ("a zero in front".into(), [&[0][..], &good].concat()),
        ("a zero behind".into(), [&good[..], &[0]].concat()),
        ("16 zeros in front".into(), [&[0; 16][..], &good].concat()),
        ("16 zeros behind".into(), [&good[..], &[0; 16]].concat()),
        ("256 zeros behind".into(), [&good[..], &[0; 256]].concat()),
        ("rubbish behind".into(), [&good[..], b"rubbish"].concat()),
        ("in DER".into(), forge_remote_tests::rsa::der(0x04, &good)),
        (
            "in a DER bit string".into(),
            forge_remote_tests::rsa::der(0x03, &[&[0], &good[..]].concat()),
        ),
        (
            "in hexadecimal".into(),
            good.iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect(),
        ),
        ("in base64url twice".into(), signature.as_bytes().to_vec()),
        (
            "halves exchanged".into(),
            [&good[length / 2..], &good[..length / 2]].concat(),
        ),
    ];
    for cut in [1, 2, 8, 128, 200, 255] {
        cases.push((
            format!("{cut} bytes cut off behind"),
            good[..length - cut].to_vec(),
        ));
        cases.push((
            format!("{cut} bytes cut off in front"),
            good[cut..].to_vec(),
        ));
    }
    for bit in (0..length * 8)
        .step_by(61)
        .chain([0, 1, 7, length * 8 - 8, length * 8 - 1])
    {
        let mut turned = good.clone();
        turned[bit / 8] ^= 0x80 >> (bit % 8);
        cases.push((format!("bit {bit} turned"), turned));
    }
    for (name, bytes) in cases {
        report.case(name, app.rejects(&with_signature(&token, bytes)).await);
    }

    // The same for the signed text.
    for (part, text) in [("header", header), ("payload", payload)] {
        let bytes = unb64(text);
        for at in (0..bytes.len()).step_by(bytes.len() / 17) {
            let mut turned = bytes.clone();
            turned[at] ^= 1;
            let token = if part == "header" {
                format!("{}.{payload}.{signature}", b64(turned))
            } else {
                format!("{header}.{}.{signature}", b64(turned))
            };
            report.case(
                format!("{part}, byte {at} changed"),
                app.rejects(&token).await,
            );
        }
    }
    let claims = String::from_utf8(unb64(payload)).unwrap();
    for (name, changed) in [
        ("a blank more", format!("{claims} ")),
        ("exp later", claims.replacen("\"exp\":", "\"exp\":1", 1)),
        (
            "another principal",
            format!("{},\"principal\":\"admin\"}}", &claims[..claims.len() - 1]),
        ),
        (
            "re-ordered",
            serde_json::to_string_pretty(&app.fit().claims).unwrap(),
        ),
    ] {
        report.case(
            format!("payload: {name}"),
            app.rejects(&format!("{header}.{}.{signature}", b64(changed)))
                .await,
        );
    }
    report.finish();
}

#[tokio::test]
async fn signatures_of_other_texts_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("signatures of something else");
    let token = app.fit().token();
    let [header, payload, _] = parts(&token);
    let other = app.fit().token();
    let signed = format!("{header}.{payload}");
    for (name, message) in [
        ("nothing", String::new()),
        ("the header", header.to_owned()),
        ("the payload", payload.to_owned()),
        ("the payload's JSON", app.fit().claims_json()),
        ("without the dot", format!("{header}{payload}")),
        ("with a dot more", format!("{signed}.")),
        ("with a newline", format!("{signed}\n")),
        (
            "decoded",
            format!("{}.{}", app.fit().header_json(), app.fit().claims_json()),
        ),
        ("the payload first", format!("{payload}.{header}")),
    ] {
        let signature = first().sign(Scheme::Rs256, message.as_bytes());
        report.case(name, app.rejects(&with_signature(&token, signature)).await);
    }
    report.case(
        "another token's",
        app.rejects(&with_signature(&token, unb64(parts(&other)[2])))
            .await,
    );
    report.case(
        "the digest's",
        app.rejects(&with_signature(
            &token,
            first().sign(Scheme::Rs256, &padding::sha256(signed.as_bytes())),
        ))
        .await,
    );
    report.case(
        "another key's",
        app.rejects(&with_signature(
            &token,
            second().sign(Scheme::Rs256, signed.as_bytes()),
        ))
        .await,
    );
    report.case(
        "a longer key's",
        app.rejects(&with_signature(
            &token,
            long4096().sign(Scheme::Rs256, signed.as_bytes()),
        ))
        .await,
    );
    report.case(
        "the attacker's",
        app.rejects(&with_signature(
            &token,
            stranger().sign(Scheme::Rs256, signed.as_bytes()),
        ))
        .await,
    );
    report.finish();
}

#[tokio::test]
async fn special_numbers_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("special numbers");
    let key = first();
    let n = &key.n;
    let one = BigUint::from(1_u8);
    let top = BigUint::from(1_u8) << (8 * key.len());
    // A signature to which n can be added within the same number of bytes.
    let (token, s) = (0..1000)
        .map(|_| {
            let token = app.fit().token();
            let s = BigUint::from_bytes_be(&unb64(parts(&token)[2]));
            (token, s)
        })
        .find(|(_, s)| s + n < top)
        .expect("n is below 2^2048, so some s leaves room");
    report.case(
        "s itself is valid",
        app.send(&app.tick(&token)).await.and_then(|response| {
            (response.status == 200)
                .then_some(())
                .ok_or(response.excerpt())
        }),
    );
    let raw: Vec<(&str, Vec<u8>)> = vec![
        ("zero", vec![0; key.len()]),
        ("one", key.bytes(&one)),
        ("two", key.bytes(&BigUint::from(2_u8))),
        ("n - 1", key.bytes(&(n - &one))),
        ("n", key.bytes(n)),
        ("n + 1", key.bytes(&(n + &one))),
        ("s + n", key.bytes(&(&s + n))),
        ("s + 2n", key.bytes(&(&s + n + n))),
        ("n - s", key.bytes(&(n - &s))),
        ("s · 2 mod n", key.bytes(&(&s * 2_u8 % n))),
        ("s · s mod n", key.bytes(&(&s * &s % n))),
        ("1 / s mod n", key.bytes(&s.modinv(n).unwrap())),
        (
            "s ^ e mod n, the padding itself",
            key.bytes(&s.modpow(&key.e, n)),
        ),
        ("2^2048 - 1", vec![0xff; key.len()]),
        ("2^2047", [&[0x80][..], &vec![0; key.len() - 1]].concat()),
        ("zero to the private exponent", key.raw(&vec![0; key.len()])),
        ("one to the private exponent", key.raw(&key.bytes(&one))),
        (
            "s backwards",
            key.bytes(&BigUint::from_bytes_le(&key.bytes(&s))),
        ),
        ("s without its leading zeros", s.to_bytes_be()[1..].to_vec()),
    ];
    for (name, bytes) in raw {
        report.case(name, app.rejects(&with_signature(&token, bytes)).await);
    }
    report.finish();
}

/// s = pᵈ mod n of every wrong padding p, which a lenient verifier would accept.
#[tokio::test]
async fn wrong_paddings_are_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("wrong paddings");
    let fit = app.fit();
    let good = fit.sign_with(|message| first().raw(&padding::pkcs1_sha256(first().len(), message)));
    report.case(
        "the right padding is valid",
        app.accepts(&app.tick(&good), &fit).await,
    );
    let signed = good.rsplit_once('.').unwrap().0.to_owned();
    for (name, padded) in padding::wrong(first().len(), signed.as_bytes()) {
        report.case(
            name,
            app.rejects(&with_signature(&good, first().raw(&padded)))
                .await,
        );
    }
    for scheme in [
        Scheme::Ps256,
        Scheme::Ps384,
        Scheme::Ps512,
        Scheme::Rs384,
        Scheme::Rs512,
    ] {
        let signature = first().sign(scheme, signed.as_bytes());
        report.case(
            scheme.alg(),
            app.rejects(&with_signature(&good, signature)).await,
        );
    }
    report.finish();
}

/// Forgeries without a private key: cube roots under a published key with exponent 3.
#[tokio::test]
async fn cube_root_forgeries_are_rejected() {
    let mut cubic = first().clone();
    cubic.e = BigUint::from(3_u8);
    let mut long = long4096().clone();
    long.e = BigUint::from(3_u8);
    let app = TestApp::with_keys(key_set(&[
        cubic.jwk("three"),
        long.jwk("long-three"),
        first().jwk(FIRST_KID),
    ]))
    .await;
    let mut report = Report::new("forgeries with exponent 3");
    for (key, kid) in [(&cubic, "three"), (&long, "long-three")] {
        for filling in [0, 1, 8, 16] {
            let fit = app.fit().head("kid", kid);
            let token = fit.sign_with(|message| {
                let forged = padding::cube_root_forgery(key, message, filling);
                let cube = BigUint::from_bytes_be(&forged).pow(3);
                assert!(cube < key.n, "no reduction: the private key is not needed");
                let cube = key.bytes(&cube);
                let start = [
                    &[0, 1][..],
                    &vec![0xff; filling],
                    &[0],
                    &padding::SHA256_INFO,
                    &padding::sha256(message),
                ]
                .concat();
                assert!(
                    cube.starts_with(&start),
                    "the forgery has the intended start"
                );
                forged
            });
            report.case(
                format!("{kid}, {filling} bytes of filling"),
                app.rejects(&token).await,
            );
        }
        let fit = app.fit().head("kid", kid);
        report.case(
            format!("{kid}, cube root of nothing"),
            app.rejects(&fit.sign_with(|_| vec![0; key.len()])).await,
        );
        report.case(
            format!("{kid}, one"),
            app.rejects(&fit.sign_with(|_| key.bytes(&BigUint::from(1_u8))))
                .await,
        );
    }
    report.finish();
    assert_eq!(cubic.jwk("x")["e"], json!("Aw"));
}
