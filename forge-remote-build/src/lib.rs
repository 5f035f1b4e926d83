//! Cargo warnings for a stale `manifest.yml` of a forge-remote app, from its build script:
//!
//! ```toml
//! [build-dependencies]
//! forge-remote-build = "0.1"
//! ```
//!
//! ```no_run
//! // In build.rs, the whole of `main`:
//! forge_remote_build::warn_if_stale();
//! ```
//!
//! A build script runs before the handlers are compiled, so `warn_if_stale` parses the package's
//! `src`. Limitations:
//!
//! - It does not see handlers in other crates, handlers that a declarative macro generates, and
//!   attributes that are imported under another name.
//! - It does not require handlers under a `cfg` or in `src/bin` to be in the manifest.
//! - It does not report endpoints without a handler if the package depends on others of the same
//!   workspace, or if the sources may have handlers that it does not see.
//! - It does not compare tokens, scopes, and options other than texts.
//!
//! Handlers that the framework adds (`App::keep_tokens_fresh`, the clock of `cron`) are included. It never fails a
//! build: a file that cannot be read causes a warning. `manifest --check` and `forge_remote::test_manifest!` compare
//! everything.

mod lock;
mod manifest;
mod sources;

use std::env;
use std::path::{Path, PathBuf};

use manifest::{Manifest, NO_HANDLER};
use sources::Sources;

/// The largest number of warnings.
const MAX_WARNINGS: usize = 10;

/// Prints a cargo warning for each difference between `manifest.yml` and the handlers in the
/// package's `src`, at most ten. Outside of a build script it does nothing.
///
/// The file is `FORGE_REMOTE_MANIFEST`, or the one next to `Cargo.toml`. A relative `FORGE_REMOTE_MANIFEST` is resolved
/// in the package, and then in each of its parent directories, such as the workspace. If the file is in none of them,
/// the function prints a warning, as for a file that cannot be read.
pub fn warn_if_stale() {
    let Some(package) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else {
        return;
    };
    // With a missing file, cargo would run the script at every build.
    let rerun = |path: &Path| {
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    };
    println!("cargo::rerun-if-env-changed=FORGE_REMOTE_MANIFEST");
    let named = env::var_os("FORGE_REMOTE_MANIFEST").filter(|name| !name.is_empty());
    let file = match &named {
        None => package.join("manifest.yml"),
        Some(name) => named_file(&package, Path::new(name)),
    };
    if named.is_some() && !file.exists() {
        println!(
            "cargo::warning=FORGE_REMOTE_MANIFEST names {}, which does not exist: correct or unset it, because the manifest is not compared with the code",
            file.display()
        );
    }
    rerun(&package.join("build.rs"));
    rerun(&package.join("src"));
    rerun(&file);
    let package_name = env::var("CARGO_PKG_NAME").unwrap_or_default();
    let problems = problems(&package, &package_name, &file);
    let name = file.strip_prefix(&package).unwrap_or(&file).display();
    if let Some(reason) = unreadable(&file) {
        println!(
            "cargo::warning={name} is not compared with the code, because this build script cannot read it: {reason}; `cargo run -- manifest --check` compares it"
        );
    }
    for problem in problems.iter().take(MAX_WARNINGS) {
        // An update leaves an entry that may be another service's.
        let option = match problem.ends_with(NO_HANDLER) {
            true => "--check",
            false => "--write",
        };
        println!("cargo::warning={name} is stale: {problem}: run `cargo run -- manifest {option}`");
    }
}

/// Resolves a relative path in the package, or else in the closest parent directory that has the file. The program
/// resolves it in its working directory, which is the package or its workspace.
fn named_file(package: &Path, name: &Path) -> PathBuf {
    let candidates = package.ancestors().map(|folder| folder.join(name));
    let found = candidates.into_iter().find(|file| file.exists());
    found.unwrap_or_else(|| package.join(name))
}

/// Returns why a manifest cannot be compared; for tests.
#[doc(hidden)]
pub fn unreadable(manifest: &Path) -> Option<String> {
    Manifest::read(manifest).err()
}

/// Returns the differences between a package and a manifest; for tests.
#[doc(hidden)]
pub fn problems(package: &Path, name: &str, manifest: &Path) -> Vec<String> {
    let Ok(Some(manifest)) = Manifest::read(manifest) else {
        return Vec::new();
    };
    let mut sources = Sources::read(package);
    sources.more |= lock::may_have_local_dependencies(package, name);
    manifest.problems(&sources)
}
