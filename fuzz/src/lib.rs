//! The fuzz targets, for libFuzzer and for the tests on stable Rust.

use forge_remote::fuzzing;

mod manifest;
mod parts;
pub mod writes;

/// A target: it takes any bytes, and panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name, which is also the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("verifier", fuzzing::verifier),
    ("payloads", fuzzing::payloads),
    ("pages", fuzzing::pages),
    ("manifest", manifest::manifest),
    ("key_set", fuzzing::key_set),
    ("web_trigger", fuzzing::web_trigger),
    ("sealed", fuzzing::sealed),
    ("paths", fuzzing::paths),
    ("retry_after", fuzzing::retry_after),
    ("dates", fuzzing::dates),
];

/// Runs the target of this name.
///
/// # Panics
///
/// The target does not exist, or a promise is broken.
pub fn run(target: &str, input: &[u8]) {
    let (_, run) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target of this name");
    run(input);
}
