//! Only an exact RSASSA-PKCS1-v1_5 signature with SHA-256 is accepted.

use forge_remote_tests::jws::{FIRST_KID, key_set};
use forge_remote_tests::padding;
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::{first, long4096};
use forge_remote_tests::test_app::TestApp;
use num_bigint::BigUint;
use serde_json::json;

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
                let forged = padding::cube_root_forgery(key.len(), message, filling);
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
