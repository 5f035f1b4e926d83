//! Cargo requires a build script if `links` is set; there is nothing to build.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
