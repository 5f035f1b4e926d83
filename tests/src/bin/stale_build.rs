//! The build script of an app, as a program: cargo runs it for a package of `manifest/stale_build`.

fn main() {
    forge_remote_build::warn_if_stale();
}
