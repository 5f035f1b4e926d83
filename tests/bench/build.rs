//! Generates the handlers of the `thousand` program.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FORGE_REMOTE_BENCH_HANDLERS");
    let wanted = std::env::var("FORGE_REMOTE_BENCH_HANDLERS")
        .ok()
        .and_then(|count| count.parse().ok());
    let count = if std::env::var_os("CARGO_FEATURE_THOUSAND").is_some() {
        wanted.unwrap_or(1000)
    } else {
        0
    };
    let mut code = String::new();
    for at in 0..count {
        let attribute = if at % 2 == 0 {
            format!(
                "scheduled_trigger(interval = \"hour\", auth = system, path = \"/h{at}\", scopes = [\"read:jira-work\"])"
            )
        } else {
            format!("endpoint(auth = system, path = \"/h{at}\", scopes = [\"read:jira-work\"])")
        };
        writeln!(
            code,
            "/// Handler {at}.\n#[{attribute}]\nasync fn h{at}(call: Invocation, token: SystemToken) -> Result<()> {{\n    \
             let _ = (call, token);\n    Ok(())\n}}"
        )
        .unwrap();
    }
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(format!("{out}/thousand.rs"), code).expect("OUT_DIR can be written");
}
