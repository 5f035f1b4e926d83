//! Key ids that are invalid, or that several keys share.

use std::time::Instant;

use aws_lc_rs::hmac;
use forge_remote_tests::encoding::b64;
use forge_remote_tests::jws::{FIRST_KID, key_set};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{first, long4096, long16384, second, short1024, stranger, third};
use forge_remote_tests::test_app::{SOON, TestApp};
use num_bigint::BigUint;
use serde_json::{Value, json};

use crate::unusable_keys::{ODD, but, odd, with};

/// Invalid kids in the set match neither a FIT without a kid nor one of another type.
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

/// A bad key hides no valid one, and no other key is accepted.
#[tokio::test]
async fn a_bad_key_hides_no_valid_one_under_its_kid() {
    let mut report = Report::new("a bad key under the kid of a valid one");
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
    report.finish();
}

/// Of several valid keys under one kid, all or some may be accepted, but never another.
#[tokio::test]
async fn several_valid_keys_under_one_kid_are_safe() {
    let mut report = Report::new("several valid keys under one kid");
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
    report.finish();
}

/// Hundreds of long keys under one kid do not cost hundreds of signature checks per token.
#[tokio::test]
async fn hundreds_of_keys_under_one_kid_are_cheap() {
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
    assert!(took < SOON, "20 calls took {took:?}");
}
