//! Key sets with unusual entries, whose usual keys verify tokens.

use forge_remote_tests::encoding::b64;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{FIRST_KID, SECOND_KID, key_set, published};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{first, long4096, second};
use forge_remote_tests::test_app::TestApp;
use serde_json::{Value, json};

#[tokio::test]
async fn key_sets_with_unusual_entries_are_accepted() {
    let mut report = Report::new("published keys");
    let full = first().jwk(FIRST_KID);
    let without = |names: &[&str]| {
        let mut jwk = full.clone();
        for name in names {
            jwk.as_object_mut().unwrap().remove(*name);
        }
        jwk
    };
    let with = |name: &str, value: Value| {
        let mut jwk = full.clone();
        jwk[name] = value;
        jwk
    };
    let padded = |name: &str, zeros: usize| {
        let mut jwk = full.clone();
        let number = if name == "n" { &first().n } else { &first().e };
        jwk[name] = json!(b64([vec![0; zeros], number.to_bytes_be()].concat()));
        jwk
    };
    let many = |at: usize| {
        let mut keys: Vec<Value> = (0..200)
            .map(|other| second().jwk(&format!("other-{other}")))
            .collect();
        keys.insert(at, full.clone());
        key_set(&keys)
    };
    let among = |others: Vec<Value>| {
        let mut keys = others.clone();
        keys.push(full.clone());
        keys.extend(others);
        key_set(&keys)
    };
    let second_jwk = second().jwk(SECOND_KID);
    let incomplete = |name: &str| {
        let mut jwk = second_jwk.clone();
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    };
    let changed = |name: &str, value: Value| {
        let mut jwk = second_jwk.clone();
        jwk[name] = value;
        jwk
    };
    let sets: Vec<(&str, Value)> = vec![
        ("the first of two", published()),
        ("alone", key_set(std::slice::from_ref(&full))),
        ("without alg", key_set(&[without(&["alg"])])),
        ("without use", key_set(&[without(&["use"])])),
        ("without alg and use", key_set(&[without(&["alg", "use"])])),
        (
            "with key_ops verify",
            key_set(&[with("key_ops", json!(["verify"]))]),
        ),
        (
            "with key_ops instead of use",
            key_set(&[{
                let mut jwk = without(&["use"]);
                jwk["key_ops"] = json!(["verify"]);
                jwk
            }]),
        ),
        (
            "with key_ops sign and verify",
            key_set(&[with("key_ops", json!(["sign", "verify"]))]),
        ),
        (
            "with extra members",
            key_set(&[
                with("x5c", json!(["MIIB"])),
                with("rotated", json!({"at": 1})),
            ]),
        ),
        ("with ext", key_set(&[with("ext", json!(true))])),
        ("with a leading zero in n", key_set(&[padded("n", 1)])),
        ("with many leading zeros in n", key_set(&[padded("n", 5)])),
        ("with a leading zero in e", key_set(&[padded("e", 1)])),
        ("with extra members in the set", {
            let mut set = published();
            set["generated"] = json!("2026-11-23");
            set["next"] = json!(null);
            set
        }),
        ("first among 200 others", many(0)),
        ("100th among 200 others", many(100)),
        ("last among 200 others", many(200)),
        ("next to null", among(vec![Value::Null])),
        (
            "next to scalars",
            among(vec![json!(1), json!("x"), json!(true), json!(1.5e300)]),
        ),
        (
            "next to a list",
            among(vec![json!([]), json!([full.clone()])]),
        ),
        ("next to an empty object", among(vec![json!({})])),
        (
            "next to an unknown kty",
            among(vec![changed("kty", json!("XYZ"))]),
        ),
        (
            "next to a kty that isn't a string",
            among(vec![changed("kty", json!(7))]),
        ),
        ("next to no kty", among(vec![incomplete("kty")])),
        (
            "next to an unknown alg",
            among(vec![changed("alg", json!("XY999"))]),
        ),
        (
            "next to an alg that isn't a string",
            among(vec![changed("alg", json!(["RS256"]))]),
        ),
        (
            "next to an unknown use",
            among(vec![changed("use", json!("xyz"))]),
        ),
        (
            "next to a use that isn't a string",
            among(vec![changed("use", json!({}))]),
        ),
        (
            "next to odd key_ops",
            among(vec![
                changed("key_ops", json!("verify")),
                changed("key_ops", json!([1])),
            ]),
        ),
        ("next to no kid", among(vec![incomplete("kid")])),
        (
            "next to a kid that isn't a string",
            among(vec![changed("kid", json!(5)), changed("kid", json!(null))]),
        ),
        ("next to no n", among(vec![incomplete("n")])),
        ("next to no e", among(vec![incomplete("e")])),
        ("next to an empty n", among(vec![changed("n", json!(""))])),
        (
            "next to an n that isn't base64",
            among(vec![changed("n", json!("***")), changed("n", json!(3))]),
        ),
        (
            "next to an e that isn't base64",
            among(vec![changed("e", json!("é")), changed("e", json!([]))]),
        ),
        (
            "next to oct, EC and OKP keys",
            among(vec![
                json!({"kty": "oct", "kid": "o", "k": "AAAA", "alg": "HS256"}),
                json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
                json!({"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": "AAAA"}),
                json!({"kty": "AKP", "kid": "q", "alg": "ML-DSA-44", "pub": "AAAA"}),
            ]),
        ),
        (
            "next to itself, unusable",
            key_set(&[with("use", json!("enc")), full.clone()]),
        ),
        (
            "next to itself, unusable, after",
            key_set(&[full.clone(), with("alg", json!("RSA-OAEP"))]),
        ),
        ("next to itself", key_set(&[full.clone(), full.clone()])),
    ];
    for (name, keys) in sets {
        let app = TestApp::with_keys(keys).await;
        let fit = app.fit();
        report.case(name, app.accepts(&app.tick(&fit.token()), &fit).await);
    }

    let app = TestApp::start().await;
    let fit = app.fit().head("kid", SECOND_KID);
    report.case(
        "the second of two",
        app.accepts(&app.tick(&fit.sign(second())), &fit).await,
    );

    let app = TestApp::with_keys(key_set(&[second_jwk, long4096().jwk("long")])).await;
    let fit = app.fit().head("kid", "long");
    report.case(
        "4096 bits",
        app.accepts(&app.tick(&fit.sign(long4096())), &fit).await,
    );

    for (name, content_type) in [
        ("text/plain", "text/plain"),
        ("jwk-set+json", "application/jwk-set+json; charset=utf-8"),
    ] {
        let app = TestApp::with(
            JwksResponse::Text(200, content_type, published().to_string()),
            |app| app,
        )
        .await;
        let fit = app.fit();
        report.case(
            format!("served as {name}"),
            app.accepts(&app.tick(&fit.token()), &fit).await,
        );
    }

    let chunked = {
        let body = published().to_string();
        let (one, two) = body.split_at(100);
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        )
    };
    let app = TestApp::with(JwksResponse::Bytes(chunked.into_bytes()), |app| app).await;
    let fit = app.fit();
    report.case(
        "served in chunks",
        app.accepts(&app.tick(&fit.token()), &fit).await,
    );
    let unframed = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}",
        published()
    );
    let app = TestApp::with(JwksResponse::Bytes(unframed.into_bytes()), |app| app).await;
    report.case(
        "served up to the end of the connection",
        app.accepts(
            &app.tick(&app.fit().claim("/jti", "j").token()),
            &app.fit().claim("/jti", "j"),
        )
        .await,
    );
    report.finish();
}
