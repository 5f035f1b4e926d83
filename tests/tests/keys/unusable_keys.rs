//! Published keys that are unusable for a FIT verify nothing, and the valid keys beside them work.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use forge_remote_tests::encoding::b64;
use forge_remote_tests::http::Call;
use forge_remote_tests::jws::{FIRST_KID, Fit, key_set};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{
    RsaKey, Scheme, first, long4096, long16384, second, short1024, stranger, third,
};
use forge_remote_tests::test_app::TestApp;
use num_bigint::BigUint;
use serde_json::{Value, json};

const ODD: &str = "odd";

/// Starts an app with an unusable key published before and after a valid one.
async fn with(odd: &Value) -> TestApp {
    let app =
        TestApp::with_keys(key_set(&[odd.clone(), first().jwk(FIRST_KID), odd.clone()])).await;
    app.until_status(200).await.unwrap();
    app
}

/// Starts an app with only an unusable key published.
async fn alone(odd: &Value) -> TestApp {
    TestApp::with_keys(key_set(std::slice::from_ref(odd))).await
}

fn odd(fit: Fit) -> Fit {
    fit.head("kid", ODD)
}

/// Changes a member of the JWK, or removes it with null.
fn but(mut jwk: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        jwk.as_object_mut().unwrap().remove(name);
    } else {
        jwk[name] = value;
    }
    jwk
}

#[tokio::test]
async fn secret_keys_verify_nothing() {
    let mut report = Report::new("oct keys");
    for alg in ["HS256", "HS384", "HS512"] {
        for secret in [
            &b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"[..],
            b"",
            b"\0",
        ] {
            let algorithm = match alg {
                "HS256" => hmac::HMAC_SHA256,
                "HS384" => hmac::HMAC_SHA384,
                _ => hmac::HMAC_SHA512,
            };
            let sign = |message: &[u8]| {
                hmac::sign(&hmac::Key::new(algorithm, secret), message)
                    .as_ref()
                    .to_vec()
            };
            let jwk = json!({"kty": "oct", "kid": ODD, "k": b64(secret), "alg": alg, "use": "sig"});
            let app = with(&jwk).await;
            report.case(
                alg,
                app.rejects(&odd(app.fit()).head("alg", alg).sign_with(sign))
                    .await,
            );
            report.case(
                format!("{alg} by the name RS256"),
                app.rejects(&odd(app.fit()).sign_with(sign)).await,
            );
            let app = with(&but(jwk, "alg", json!("RS256"))).await;
            report.case(
                format!("{alg}, published as RS256"),
                app.rejects(&odd(app.fit()).sign_with(sign)).await,
            );
        }
    }
    report.finish();
}

#[tokio::test]
async fn elliptic_curve_keys_verify_nothing() {
    let mut report = Report::new("EC keys");
    let curves: [(&str, &str, &'static EcdsaSigningAlgorithm, usize); 2] = [
        ("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING, 32),
        ("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING, 48),
    ];
    for (alg, crv, algorithm, size) in curves {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let sign = |message: &[u8]| {
            pair.sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec()
        };
        let point = pair.public_key().as_ref();
        let (x, y) = (b64(&point[1..=size]), b64(&point[size + 1..]));
        let jwk =
            json!({"kty": "EC", "kid": ODD, "crv": crv, "x": x, "y": y, "alg": alg, "use": "sig"});
        let app = with(&jwk).await;
        report.case(
            alg,
            app.rejects(&odd(app.fit()).head("alg", alg).sign_with(sign))
                .await,
        );
        report.case(
            format!("{alg} by the name RS256"),
            app.rejects(&odd(app.fit()).sign_with(sign)).await,
        );
        for published_alg in [Value::Null, json!("RS256")] {
            let app = with(&but(jwk.clone(), "alg", published_alg.clone())).await;
            report.case(
                format!("{alg}, published as {published_alg}"),
                app.rejects(&odd(app.fit()).head("alg", alg).sign_with(sign))
                    .await,
            );
        }
        // A point off the curve, and the one at infinity.
        for (name, x) in [
            ("off the curve", b64(vec![1; size])),
            ("at infinity", b64(vec![0; size])),
        ] {
            let app = with(&but(jwk.clone(), "x", json!(x))).await;
            report.case(
                format!("{alg} {name}"),
                app.rejects(
                    &odd(app.fit())
                        .head("alg", alg)
                        .sign_with(|_| vec![0; 2 * size]),
                )
                .await,
            );
        }
    }
    report.finish();
}

#[tokio::test]
async fn edwards_curve_keys_verify_nothing() {
    let mut report = Report::new("OKP keys");
    let pair = Ed25519KeyPair::generate().unwrap();
    let sign = |message: &[u8]| pair.sign(message).as_ref().to_vec();
    let jwk = json!({"kty": "OKP", "kid": ODD, "crv": "Ed25519", "x": b64(pair.public_key().as_ref()), "alg": "EdDSA", "use": "sig"});
    for (name, jwk) in [
        ("as it is", jwk.clone()),
        ("without alg", but(jwk.clone(), "alg", Value::Null)),
        ("as RS256", but(jwk, "alg", json!("RS256"))),
    ] {
        let app = with(&jwk).await;
        for alg in ["EdDSA", "Ed25519", "RS256"] {
            report.case(
                format!("{name}, {alg}"),
                app.rejects(&odd(app.fit()).head("alg", alg).sign_with(sign))
                    .await,
            );
        }
    }
    // The point of small order, for which anybody can sign.
    let app = with(&json!({"kty": "OKP", "kid": ODD, "crv": "Ed25519", "x": b64([0; 32])})).await;
    report.case(
        "small order",
        app.rejects(
            &odd(app.fit())
                .head("alg", "EdDSA")
                .sign_with(|_| vec![0; 64]),
        )
        .await,
    );
    report.finish();
}

/// RSA keys that are published for another purpose reject even genuine RS256 signatures.
#[tokio::test]
async fn keys_for_another_purpose_verify_nothing() {
    let mut report = Report::new("RSA keys for something else");
    let jwk = second().jwk(ODD);
    let mut keys: Vec<(String, Value)> = Vec::new();
    for alg in [
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "RSA-OAEP",
        "RSA-OAEP-256",
        "RSA1_5",
        "HS256",
        "ES256",
        "EdDSA",
        "none",
        "rs256",
        "RS256 ",
        "",
        "dir",
        "RSA",
        "XYZ",
    ] {
        keys.push((format!("alg {alg:?}"), but(jwk.clone(), "alg", json!(alg))));
    }
    for alg in [
        json!(1),
        json!(["RS256"]),
        json!({"RS256": 1}),
        json!({"RS256": null}),
        json!(true),
    ] {
        keys.push((format!("alg {alg}"), but(jwk.clone(), "alg", alg)));
    }
    for key_use in [
        json!("enc"),
        json!("tls"),
        json!("SIG"),
        json!("Sig"),
        json!("sig "),
        json!(""),
        json!("verify"),
        json!(["sig"]),
        json!(1),
        json!(true),
    ] {
        keys.push((format!("use {key_use}"), but(jwk.clone(), "use", key_use)));
    }
    for ops in [
        json!(["encrypt"]),
        json!(["decrypt"]),
        json!(["wrapKey"]),
        json!(["unwrapKey", "encrypt"]),
        json!(["sign"]),
        json!(["deriveKey"]),
        json!(["VERIFY"]),
        json!(["verify "]),
        json!([]),
        json!("verify"),
        json!({"verify": true}),
        json!(1),
        json!([["verify"]]),
    ] {
        keys.push((
            format!("key_ops {ops}"),
            but(jwk.clone(), "key_ops", ops.clone()),
        ));
        keys.push((
            format!("key_ops {ops} without use"),
            but(but(jwk.clone(), "use", Value::Null), "key_ops", ops),
        ));
    }
    keys.push((
        "kty in small letters".into(),
        but(jwk.clone(), "kty", json!("rsa")),
    ));
    keys.push((
        "kty RSA-HSM".into(),
        but(jwk.clone(), "kty", json!("RSA-HSM")),
    ));
    keys.push(("kty EC".into(), but(jwk.clone(), "kty", json!("EC"))));
    keys.push((
        "kty in a list".into(),
        but(jwk.clone(), "kty", json!(["RSA"])),
    ));
    keys.push((
        "kty in an object".into(),
        but(jwk.clone(), "kty", json!({"RSA": null})),
    ));
    keys.push(("no kty".into(), but(jwk.clone(), "kty", Value::Null)));
    for (name, key) in keys {
        let app = with(&key).await;
        report.case(&name, app.rejects(&odd(app.fit()).sign(second())).await);
    }
    for scheme in [
        Scheme::Rs384,
        Scheme::Rs512,
        Scheme::Ps256,
        Scheme::Ps384,
        Scheme::Ps512,
    ] {
        let app = with(&but(jwk.clone(), "alg", json!(scheme.alg()))).await;
        report.case(
            format!("{}, used as published", scheme.alg()),
            app.rejects(&odd(app.fit()).sign_as(scheme, second())).await,
        );
        let app = with(&but(jwk.clone(), "alg", Value::Null)).await;
        report.case(
            format!("{}, published without alg", scheme.alg()),
            app.rejects(&odd(app.fit()).sign_as(scheme, second())).await,
        );
    }
    report.finish();
}

/// Weak and impossible RSA keys are rejected, with a genuine signature wherever one is possible.
#[tokio::test]
async fn weak_keys_verify_nothing() {
    let mut report = Report::new("RSA keys with weak numbers");
    let number = |number: &BigUint| json!(b64(number.to_bytes_be()));
    let plain = second().jwk(ODD);
    let even_n = &second().n - 1_u8;
    let small = BigUint::from(15_u8);
    let odd_e = |e: &[u8]| but(plain.clone(), "e", json!(b64(e)));
    let short_2047 = &second().n >> 1;
    let keys: Vec<(&str, Value, RsaKey)> = vec![
        ("1024 bits", short1024().jwk(ODD), short1024().clone()),
        (
            "1024 bits with zeros in front",
            but(
                short1024().jwk(ODD),
                "n",
                json!(b64([vec![0; 128], short1024().n.to_bytes_be()].concat())),
            ),
            short1024().clone(),
        ),
        ("16 kbit", long16384().jwk(ODD), long16384().clone()),
        (
            "exponent 1",
            second().exponent_one().jwk(ODD),
            second().exponent_one(),
        ),
        (
            "exponent 1 with zeros in front",
            but(plain.clone(), "e", json!(b64([0, 0, 1]))),
            second().exponent_one(),
        ),
        (
            "a huge exponent",
            second().huge_exponent().jwk(ODD),
            second().huge_exponent(),
        ),
        ("exponent 0", odd_e(&[0]), second().clone()),
        ("exponent of zeros", odd_e(&[0; 16]), second().clone()),
        ("no bytes of exponent", odd_e(&[]), second().clone()),
        ("exponent 2", odd_e(&[2]), second().clone()),
        ("exponent 65536", odd_e(&[1, 0, 0]), second().clone()),
        ("exponent 65538", odd_e(&[1, 0, 2]), second().clone()),
        (
            "exponent of 33 bits and more",
            odd_e(&[3, 0, 0, 0, 1]),
            second().clone(),
        ),
        ("exponent of 64 bits", odd_e(&[0xff; 8]), second().clone()),
        (
            "exponent of 256 bytes",
            odd_e(&[0xff; 256]),
            second().clone(),
        ),
        (
            "exponent of 100,000 bytes",
            odd_e(&[0xff; 100_000]),
            second().clone(),
        ),
        (
            "exponent n",
            but(plain.clone(), "e", number(&second().n)),
            second().clone(),
        ),
        (
            "modulus 0",
            but(plain.clone(), "n", json!("AA")),
            second().clone(),
        ),
        (
            "modulus of zeros",
            but(plain.clone(), "n", json!(b64([0; 256]))),
            second().clone(),
        ),
        (
            "no bytes of modulus",
            but(plain.clone(), "n", json!("")),
            second().clone(),
        ),
        (
            "modulus 1",
            but(plain.clone(), "n", json!("AQ")),
            second().clone(),
        ),
        (
            "modulus 15",
            but(plain.clone(), "n", number(&small)),
            second().clone(),
        ),
        (
            "even modulus",
            but(plain.clone(), "n", number(&even_n)),
            second().clone(),
        ),
        (
            "2047 bits",
            but(plain.clone(), "n", number(&short_2047)),
            second().clone(),
        ),
        (
            "modulus of ones",
            but(plain.clone(), "n", json!(b64([0xff; 256]))),
            second().clone(),
        ),
        (
            "modulus of 250,000 bytes",
            but(plain.clone(), "n", json!(b64(vec![0xff; 250_000]))),
            second().clone(),
        ),
        (
            "modulus in hexadecimal",
            but(plain.clone(), "n", json!(second().n.to_str_radix(16))),
            second().clone(),
        ),
        (
            "modulus in decimal",
            but(plain.clone(), "n", json!(second().n.to_string())),
            second().clone(),
        ),
        (
            "modulus a number",
            but(plain.clone(), "n", json!(12_345)),
            second().clone(),
        ),
        (
            "modulus in a list",
            but(plain.clone(), "n", json!([plain["n"]])),
            second().clone(),
        ),
        (
            "modulus with a blank",
            but(
                plain.clone(),
                "n",
                json!(format!(" {}", plain["n"].as_str().unwrap())),
            ),
            second().clone(),
        ),
        (
            "modulus with a newline",
            but(
                plain.clone(),
                "n",
                json!(format!("{}\n", plain["n"].as_str().unwrap())),
            ),
            second().clone(),
        ),
        (
            "exponent a number",
            but(plain.clone(), "e", json!(65_537)),
            second().clone(),
        ),
        (
            "exponent in decimal",
            but(plain.clone(), "e", json!("65537")),
            second().clone(),
        ),
        (
            "modulus missing",
            but(plain.clone(), "n", Value::Null),
            second().clone(),
        ),
        (
            "exponent missing",
            but(plain.clone(), "e", Value::Null),
            second().clone(),
        ),
        (
            "modulus and exponent exchanged",
            but(
                but(plain.clone(), "n", plain["e"].clone()),
                "e",
                plain["n"].clone(),
            ),
            second().clone(),
        ),
    ];
    for (name, jwk, key) in keys {
        let started = Instant::now();
        let app = with(&jwk).await;
        let token = odd(app.fit()).sign(&key);
        report.case(name, app.rejects(&token).await);
        for (form, signature) in [
            ("zero", vec![0; 256]),
            ("one", [vec![0; 255], vec![1]].concat()),
        ] {
            report.case(
                format!("{name}, {form}"),
                app.rejects(&odd(app.fit()).sign_with(|_| signature.clone()))
                    .await,
            );
        }
        // With exponent 1 or modulus 1, the padding is its own signature.
        let padded = odd(app.fit())
            .sign_with(|message| forge_remote_tests::padding::pkcs1_sha256(256, message));
        report.case(
            format!("{name}, the padding itself"),
            app.rejects(&padded).await,
        );
        let took = started.elapsed();
        report.holds(
            format!("{name}: time"),
            took < Duration::from_secs(3),
            format!("{took:?}"),
        );
    }
    report.finish();
}

/// A set with only unusable keys counts as missing: 503, never 2xx.
#[tokio::test]
async fn only_unusable_keys_are_503() {
    let mut report = Report::new("nothing but odd keys");
    let kid = |jwk: Value| but(jwk, "kid", json!(FIRST_KID));
    for (name, jwk, key) in [
        ("1024 bits", kid(short1024().jwk(ODD)), short1024().clone()),
        ("16 kbit", kid(long16384().jwk(ODD)), long16384().clone()),
        (
            "exponent 1",
            kid(second().exponent_one().jwk(ODD)),
            second().exponent_one(),
        ),
        (
            "a huge exponent",
            kid(second().huge_exponent().jwk(ODD)),
            second().huge_exponent(),
        ),
        (
            "for encryption",
            kid(but(second().jwk(ODD), "use", json!("enc"))),
            second().clone(),
        ),
        (
            "for PS256",
            kid(but(second().jwk(ODD), "alg", json!("PS256"))),
            second().clone(),
        ),
        (
            "without a kid",
            but(second().jwk(ODD), "kid", Value::Null),
            second().clone(),
        ),
        (
            "with an empty kid",
            but(second().jwk(ODD), "kid", json!("")),
            second().clone(),
        ),
    ] {
        let app = alone(&jwk).await;
        for (fit, expected) in [
            (app.fit(), 503),
            (app.fit().headless("kid"), 401),
            (app.fit().head("kid", ""), 401),
        ] {
            let status = app.status(&fit.sign(&key)).await;
            let kid = &fit.header["kid"];
            report.holds(format!("{name}, named {kid}"), status == expected, status);
        }
        let ready = app.send(&Call::new("GET", "/readyz")).await.unwrap();
        report.holds(
            format!("{name}: not ready"),
            ready.status == 503,
            ready.status,
        );
        report.holds(name, app.seen.count() == 0, "the handler ran");
    }
    report.finish();
}

/// Invalid kids in the set match neither a token without a kid nor one of another type.
#[tokio::test]
async fn invalid_kids_match_no_token() {
    let mut report = Report::new("odd kids in the set");
    for kid in [
        Value::Null,
        json!(""),
        json!(1),
        json!(0),
        json!(true),
        json!([]),
        json!({}),
        json!("null"),
        json!("undefined"),
        json!(["odd"]),
    ] {
        let mut jwk = second().jwk(ODD);
        jwk["kid"] = kid.clone();
        let app = with(&jwk).await;
        let mut fits = vec![
            app.fit().headless("kid"),
            app.fit().head("kid", ""),
            odd(app.fit()),
        ];
        if !kid.is_string() {
            fits.push(app.fit().head("kid", kid.clone()));
            fits.push(app.fit().head("kid", kid.to_string()));
        }
        for fit in fits {
            report.case(
                format!("published {kid}, named {}", fit.header["kid"]),
                app.rejects(&fit.sign(second())).await,
            );
        }
    }
    let app = with(&but(second().jwk(ODD), "kid", Value::Null)).await;
    report.case(
        "published without, named without",
        app.rejects(&app.fit().headless("kid").sign(second())).await,
    );
    for (published, named) in [
        ("odd", "Odd"),
        ("odd", "odd "),
        ("odd ", "odd"),
        ("a/b", "a%2Fb"),
        ("é", "e\u{301}"),
    ] {
        let app = with(&second().jwk(published)).await;
        report.case(
            format!("published {published:?}, named {named:?}"),
            app.rejects(&app.fit().head("kid", named).sign(second()))
                .await,
        );
    }
    report.finish();
}

/// With several keys under one kid, no other key is accepted and a bad key hides no valid one.
#[tokio::test]
async fn several_keys_under_one_kid_are_safe() {
    let mut report = Report::new("several keys under one kid");
    let good = second().jwk(ODD);
    let oct = json!({"kty": "oct", "kid": ODD, "k": b64("secret"), "alg": "RS256"});
    let ec = json!({"kty": "EC", "kid": ODD, "crv": "P-256", "x": b64([1; 32]), "y": b64([2; 32])});
    let enc = but(first().jwk(ODD), "use", json!("enc"));
    let broken = but(first().jwk(ODD), "n", json!("***"));
    for (name, other, key) in [
        ("oct", oct, None),
        ("EC", ec, None),
        ("for encryption", enc, Some(first())),
        ("broken", broken, Some(first())),
        ("1024 bits", short1024().jwk(ODD), Some(short1024())),
        ("16 kbit", long16384().jwk(ODD), Some(long16384())),
        ("exponent 1", first().exponent_one().jwk(ODD), None),
    ] {
        for (order, keys) in [
            ("before", [other.clone(), good.clone()]),
            ("behind", [good.clone(), other.clone()]),
        ] {
            let app = TestApp::with_keys(key_set(&[
                keys[0].clone(),
                keys[1].clone(),
                third().jwk(FIRST_KID),
            ]))
            .await;
            let fit = odd(app.fit());
            let outcome = app.accepts(&app.tick(&fit.sign(second())), &fit).await;
            report.case(format!("{name} {order}: the good one"), outcome);
            if let Some(key) = key {
                let status = app.status(&odd(app.fit()).sign(key)).await;
                report.holds(
                    format!("{name} {order}: the odd one"),
                    status == 401,
                    status,
                );
            }
            let secret = |message: &[u8]| {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), message)
                    .as_ref()
                    .to_vec()
            };
            for (form, token) in [
                ("a third", odd(app.fit()).sign(stranger())),
                (
                    "HMAC",
                    odd(app.fit()).head("alg", "HS256").sign_with(secret),
                ),
                ("HMAC by the name RS256", odd(app.fit()).sign_with(secret)),
            ] {
                let status = app.status(&token).await;
                report.holds(format!("{name} {order}: {form}"), status == 401, status);
            }
        }
    }

    // Of two valid keys, both or neither may be accepted, but never a third.
    let app = TestApp::with_keys(key_set(&[
        first().jwk(ODD),
        second().jwk(ODD),
        long4096().jwk(ODD),
        third().jwk(FIRST_KID),
    ]))
    .await;
    for (name, key, statuses) in [
        ("the first", first(), &[200, 401][..]),
        ("the second", second(), &[200, 401]),
        ("the long one", long4096(), &[200, 401]),
        ("another kid's", third(), &[401]),
        ("a stranger's", stranger(), &[401]),
    ] {
        let status = app.status(&odd(app.fit()).sign(key)).await;
        report.holds(
            format!("all good: {name}"),
            statuses.contains(&status),
            status,
        );
    }
    // Hundreds of long keys under one kid do not cost hundreds of signature checks per token.
    let long = &long16384().n >> (long16384().n.bits() - 8192) | BigUint::from(1_u8);
    let mut keys: Vec<Value> = (0..600_u32)
        .map(|at| {
            let n = &long - 2 * at;
            let jwk = but(first().jwk(ODD), "n", json!(b64(n.to_bytes_be())));
            but(jwk, "e", json!("_____w"))
        })
        .collect();
    keys.push(third().jwk(FIRST_KID));
    let app = TestApp::with_keys(key_set(&keys)).await;
    let token = odd(app.fit()).sign_with(|_| vec![1; 1024]);
    assert_eq!(app.status(&token).await, 401);
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(app.status(&token).await, 401);
    }
    let took = started.elapsed();
    report.holds(
        "hundreds",
        took < Duration::from_secs(1),
        format!("20 calls took {took:?}"),
    );
    report.finish();
}
