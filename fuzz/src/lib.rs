//! What the fuzz targets run, for libFuzzer and for the tests on stable Rust alike.

use forge_remote::fuzzing;

mod manifest;
pub mod writes;

/// A target: it takes any bytes, and panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by its name, which is its corpus's as well.
pub const TARGETS: [(&str, Target); 10] = [
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
/// Where there is no such target, or a promise is broken.
pub fn run(target: &str, input: &[u8]) {
    let (_, run) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("it is a target's name");
    run(input);
}
