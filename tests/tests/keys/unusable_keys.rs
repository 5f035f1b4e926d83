//! Published keys that are unusable for a FIT verify nothing, and the valid keys of the same set
//! work.

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
use forge_remote_tests::rsa::{Scheme, first, long16384, second, short1024};
use forge_remote_tests::test_app::TestApp;
use serde_json::{Value, json};

pub(crate) const ODD: &str = "odd";

/// Starts an app with an unusable key published before and after a valid one.
pub(crate) async fn with(odd: &Value) -> TestApp {
    let app =
        TestApp::with_keys(key_set(&[odd.clone(), first().jwk(FIRST_KID), odd.clone()])).await;
    app.until_status(200).await.unwrap();
    app
}

/// Starts an app with only an unusable key published.
async fn alone(odd: &Value) -> TestApp {
    TestApp::with_keys(key_set(std::slice::from_ref(odd))).await
}

pub(crate) fn odd(fit: Fit) -> Fit {
    fit.head("kid", ODD)
}

/// Changes a member of the JWK, or removes it with null.
pub(crate) fn but(mut jwk: Value, name: &str, value: Value) -> Value {
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
    // The point of small order, for which anyone can sign.
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
