//! The committed manifest.yml agrees with the code.

use std::process::Command;

#[test]
fn manifest_is_fresh() -> std::io::Result<()> {
    let check = Command::new(env!("CARGO_BIN_EXE_quickstart"))
        .args(["manifest", "--check"])
        .output()?;
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
    Ok(())
}
