//! Keys that are too weak, in every form.

use std::time::{Duration, Instant};

use forge_remote_tests::encoding::b64;
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{RsaKey, long16384, second, short1024};
use num_bigint::BigUint;
use serde_json::{Value, json};

use crate::unusable_keys::{ODD, but, odd, with};

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
