//! `doctor` and key sets with entries that cannot verify a FIT: each reason is named.

use forge_remote_tests::encoding::b64;
use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::{FIRST_KID, key_set};
use forge_remote_tests::rsa::{first, long16384, second, short1024};
use serde_json::{Value, json};

use crate::doctor::{deployment, doctor, lines};

fn but(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

#[tokio::test]
async fn each_key_that_cannot_verify_a_fit_is_named_with_its_reason() {
    let folder = deployment().await;
    let odd = || second().jwk("odd");
    let even = b64((&second().n - 1_u8).to_bytes_be());
    for (key, reason) in [
        (json!("odd"), "a key: it is not a JSON Web Key"),
        (json!({"kid": "odd"}), "`odd`: it is not a JSON Web Key"),
        (
            but(odd(), "kty", json!("EC")),
            "`odd`: its type (`kty`) is not RSA",
        ),
        (
            but(odd(), "alg", json!("RS512")),
            "`odd`: its algorithm (`alg`) is not RS256",
        ),
        (but(odd(), "kid", json!("")), "a key: it has no `kid`"),
        (
            but(odd(), "use", json!("enc")),
            "`odd`: its `use` or `key_ops`",
        ),
        (
            but(odd(), "key_ops", json!(["sign"])),
            "`odd`: its `use` or `key_ops`",
        ),
        (
            but(odd(), "n", json!("!")),
            "`odd`: its modulus or exponent is not a number",
        ),
        (
            short1024().jwk("odd"),
            "`odd`: it has 1024 bits; RS256 needs 2048",
        ),
        (long16384().jwk("odd"), "`odd`: it has 163"),
        (
            but(odd(), "n", json!(even)),
            "`odd`: its modulus or exponent is even",
        ),
        (
            but(odd(), "e", json!(b64([1]))),
            "`odd`: its exponent is less than 3",
        ),
        (
            but(odd(), "e", json!(b64([3, 0, 0, 0, 1]))),
            "`odd`: its exponent is less than 3",
        ),
    ] {
        let keys = key_set(&[first().jwk(FIRST_KID), key.clone()]);
        let (status, text) = doctor(&folder, JwksResponse::Keys(keys)).await;
        let (line, _) = lines(&text, "keys");
        let found = format!("; 1 of 2 keys cannot verify a FIT: {reason}");
        assert!(line.starts_with("warn") && line.contains(&found), "{text}");
        assert_eq!(status, Some(0), "{text}");

        let (status, text) = doctor(&folder, JwksResponse::Keys(key_set(&[key]))).await;
        let (line, _) = lines(&text, "keys");
        let found = format!("responded with 200 and 0 usable keys: {reason}");
        assert!(line.starts_with("FAIL") && line.contains(&found), "{text}");
        assert_eq!(status, Some(1), "{text}");
    }
}

/// A key id is foreign text.
#[tokio::test]
async fn a_report_of_keys_is_short_and_without_control_characters() {
    let folder = deployment().await;
    let weak = |kid: &str| short1024().jwk(kid);
    let keys = [weak("\u{1b}[31mred"), weak(&"k".repeat(10_000))];
    let (_, text) = doctor(&folder, JwksResponse::Keys(key_set(&keys))).await;
    let (line, _) = lines(&text, "keys");
    assert!(line.contains("`\\u{1b}[31mred`: "), "{text}");
    assert!(line.contains(&format!("`{}`: ", "k".repeat(64))), "{text}");
    assert!(line.len() < 500 && !text.contains('\u{1b}'), "{text}");

    let many: Vec<Value> = (0..8).map(|at| weak(&format!("weak-{at}"))).collect();
    let (_, text) = doctor(&folder, JwksResponse::Keys(key_set(&many))).await;
    let (line, _) = lines(&text, "keys");
    assert!(
        line.contains("`weak-4`: ") && line.ends_with("; and 3 more"),
        "{text}"
    );

    // A key that is published twice is one key.
    let twice = [first().jwk(FIRST_KID), first().jwk(FIRST_KID)];
    let (_, text) = doctor(&folder, JwksResponse::Keys(key_set(&twice))).await;
    assert!(
        lines(&text, "keys")
            .0
            .ends_with("which is not Atlassian's set"),
        "{text}"
    );
}

/// A proxy's login page.
#[tokio::test]
async fn a_document_that_is_no_key_set_is_not_an_empty_one() {
    let folder = deployment().await;
    let page = JwksResponse::Text(200, "text/html", "<html>Log in</html>".to_owned());
    let (status, text) = doctor(&folder, page).await;
    let (line, _) = lines(&text, "keys");
    let found =
        "responded with 200 and a document that is not a JSON Web Key Set (content type text/html)";
    assert!(line.starts_with("FAIL") && line.ends_with(found), "{text}");
    assert_eq!(status, Some(1), "{text}");
}
