//! The committed vectors are those of the table, and two verifiers agree with each verdict: this one,
//! and a short one on npm's `jose`.

use std::collections::BTreeSet;
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
        "run `UPDATE_VECTORS=1 cargo test --workspace --test attacks vectors` and review the difference, \
         which starts at {differs:?}"
    );
}

/// The page's table has each member of the file, and no other; its cells have those of handlers and vectors.
#[test]
fn the_page_has_each_member() {
    let file: Value = serde_json::from_str(&fs::read_to_string(vectors::path()).unwrap()).unwrap();
    let page = vectors::path()
        .parent()
        .unwrap()
        .with_file_name("vectors.md");
    let page = fs::read_to_string(page).unwrap();
    let quoted = |text: &str| -> BTreeSet<String> {
        let names = text.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    };
    let table = page.split("| member | holds |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows: Vec<(BTreeSet<String>, &str)> = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `"))
        .map(|row| row.split_once(" | ").unwrap())
        .map(|(names, holds)| (quoted(&format!("`{names}")), holds))
        .collect();
    let members = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let listed: BTreeSet<String> = rows.iter().flat_map(|(names, _)| names.clone()).collect();
    assert_eq!(listed, members(&file));

    let cell = |member: &str| {
        let row = rows.iter().find(|(names, _)| names.contains(member));
        quoted(row.unwrap().1)
    };
    let handlers = file["handlers"].as_object().unwrap().values();
    let of_handlers: BTreeSet<String> = handlers.flat_map(members).collect();
    let of_vectors = file["vectors"].as_array().unwrap().iter();
    let of_vectors: BTreeSet<String> = of_vectors.flat_map(members).collect();
    for (member, names) in [("handlers", of_handlers), ("vectors", of_vectors)] {
        let cell = cell(member);
        let missing: Vec<&String> = names.difference(&cell).collect();
        assert!(missing.is_empty(), "{member} of the page lacks {missing:?}");
    }
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

/// The checks that `jose` alone cannot do are in the script, as in a hand-written remote.
#[tokio::test]
async fn jose_agrees_with_each_vector() {
    let path = vectors::path();
    let Some(result) = run("vectors.mjs", &[path.to_str().unwrap()], &Value::Null).await else {
        return;
    };
    assert!(result["checked"].as_u64().unwrap() > 2000, "{result}");
    assert_eq!(result["disagreements"], serde_json::json!([]));
}
