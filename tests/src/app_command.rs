//! A command of an app's program, without what the environment of the tests configures.

use std::path::Path;
use std::process::Command;

/// Returns a command of an app's program in a folder. It serves on a free port.
#[must_use]
pub fn app_command(program: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    for name in [
        "CARGO_MANIFEST_DIR",
        "FORGE_REMOTE_APP_ID",
        "FORGE_REMOTE_MANIFEST",
        "NO_COLOR",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.env("FORGE_REMOTE_BIND", "127.0.0.1:0");
    command
}

/// Runs a command to completion, and returns whether it succeeded and its output, followed by its errors.
pub fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("a program");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}
