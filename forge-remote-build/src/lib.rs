//! A cargo warning when the `manifest.yml` of a forge-remote app is stale, from its build script:
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
//! A build script runs before there are handlers, so this reads the sources: it sees what is
//! written in this package's `src`. It does not see handlers that a macro by example writes or that
//! stand in another crate, nor attributes under another name; under a `cfg` and in `src/bin` it
//! asks nothing of them. Where the package depends on others of the same workspace, or the sources
//! hint at handlers elsewhere, it says nothing of endpoints without a handler. Tokens, scopes and
//! options that are no text are not compared. It never fails a build: what it can't read, it does
//! not mention. `manifest --check` and `forge_remote::test_manifest!` know everything: they decide,
//! this reminds.

#[doc(hidden)]
pub mod kinds;
mod lock;
mod manifest;
mod names;
mod sources;

use std::env;
use std::path::{Path, PathBuf};

use manifest::Manifest;
use sources::Sources;

/// More warnings than this say no more.
const MOST: usize = 10;

/// Prints a cargo warning for each thing in which `manifest.yml` differs from the handlers in the
/// package's `src`, ten at most. For `build.rs`; elsewhere it does nothing.
///
/// The file is that of `FORGE_REMOTE_MANIFEST`, else the one beside `Cargo.toml`. What can't be
/// read is passed over in silence.
pub fn warn_if_stale() {
    let Some(package) = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else {
        return;
    };
    // Cargo runs what names a missing file at every build.
    let rerun = |path: &Path| {
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    };
    println!("cargo::rerun-if-env-changed=FORGE_REMOTE_MANIFEST");
    let file = env::var_os("FORGE_REMOTE_MANIFEST")
        .filter(|name| !name.is_empty())
        .map_or_else(
            || package.join("manifest.yml"),
            |name| package.join(PathBuf::from(name)),
        );
    rerun(&package.join("build.rs"));
    rerun(&package.join("src"));
    rerun(&file);
    let package_name = env::var("CARGO_PKG_NAME").unwrap_or_default();
    let problems = problems(&package, &package_name, &file);
    let name = file.strip_prefix(&package).unwrap_or(&file).display();
    for problem in problems.iter().take(MOST) {
        println!("cargo::warning={name} is stale: {problem}: run `cargo run -- manifest --write`");
    }
}

/// What would be said of a package and a manifest; for tests.
#[doc(hidden)]
pub fn problems(package: &Path, name: &str, manifest: &Path) -> Vec<String> {
    let Some(manifest) = Manifest::read(manifest) else {
        return Vec::new();
    };
    let mut sources = Sources::read(package);
    sources.more |= lock::may_have_local_dependencies(package, name);
    manifest.problems(&sources)
}
