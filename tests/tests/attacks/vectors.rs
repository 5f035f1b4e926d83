//! The committed vectors are those of the table, and two verifiers agree with each verdict: this one,
//! and a short one on npm's `jose`.

#![allow(clippy::unwrap_used)]

use std::fs;

use forge_remote_tests::vectors;
use serde_json::Value;

use crate::jose::run;

/// `UPDATE_VECTORS=1` writes the file.
#[tokio::test]
async fn the_vectors_are_those_of_the_table() {
    let generated = vectors::generate().await;
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        fs::write(vectors::path(), &generated).unwrap();
    }
    let committed = fs::read_to_string(vectors::path()).unwrap_or_default();
    let differs = generated
        .lines()
        .zip(committed.lines())
        .find(|(new, old)| new != old);
    assert!(
        generated == committed,
        "run `UPDATE_VECTORS=1 cargo test -p forge-remote-tests --test attacks vectors` and review the difference, \
         which starts at {differs:?}"
    );
}

#[tokio::test]
async fn the_verifier_agrees_with_each_vector() {
    let text = fs::read_to_string(vectors::path()).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let all = file["vectors"].as_array().unwrap();
    let accepted = all.iter().filter(|one| one["verdict"] == "accept").count();
    assert!(
        accepted > 50 && all.len() > 2000,
        "{accepted} of {}",
        all.len()
    );
    assert_eq!(vectors::disagreements(&file).await, Vec::<String>::new());
}

/// What `jose` alone can't know is in the script, as in a remote of one's own.
#[tokio::test]
async fn jose_agrees_with_each_vector() {
    let path = vectors::path();
    let Some(result) = run("vectors.mjs", &[path.to_str().unwrap()], &Value::Null).await else {
        return;
    };
    assert!(result["checked"].as_u64().unwrap() > 2000, "{result}");
    assert_eq!(result["disagreements"], serde_json::json!([]));
}
