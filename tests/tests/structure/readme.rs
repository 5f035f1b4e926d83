//! The README's program, as a reader pastes it: a new crate with exactly the dependencies that the README
//! adds, built, and called by `dev --once`.

use std::fs;

use forge_remote_tests::new_crate::{NewCrate, block, commands};

fn program(page: &str) -> &str {
    block(page, "```rust,no_run")
}

fn readme() -> String {
    fs::read_to_string(crate::repository().join("README.md")).expect("the README")
}

#[test]
fn getting_started_has_the_readmes_program() {
    let path = "forge-remote/src/docs/getting_started.md";
    let page = fs::read_to_string(crate::repository().join(path)).expect("the page");
    assert_eq!(program(&page), program(&readme()));
    assert_eq!(commands(&page), commands(&readme()));
}

#[test]
fn the_readmes_program_runs_when_pasted() {
    let new = NewCrate::new("readme", env!("CARGO_TARGET_TMPDIR"));
    new.write("src/main.rs", program(&readme()));
    let mut dev = new.cargo("run");
    let output = dev.args(["--", "dev", "--once"]).output();
    let output = output.expect("cargo runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    let verified = text.lines().find(|line| line.starts_with("ok "));
    let verified = verified.expect("a call");
    assert!(
        verified.contains("list-pages-trigger  POST /list-pages  200 "),
        "{text}"
    );
    assert!(text.lines().any(|line| line == "A local page"), "{text}");
}
