//! A new crate as a reader of the README makes it: with exactly the dependencies that it adds.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A crate outside of the workspace, which is built with this workspace's forge-remote.
#[derive(Debug)]
pub struct NewCrate {
    folder: PathBuf,
    repository: PathBuf,
}

impl NewCrate {
    /// Creates the crate's `Cargo.toml` in a folder of the target directory. Files that are there stay, so
    /// that a second build is short.
    ///
    /// # Panics
    ///
    /// If a file can't be written.
    #[track_caller]
    pub fn new(name: &str, target_tmpdir: &str) -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let repository = repository.canonicalize().expect("a folder");
        let folder = Path::new(target_tmpdir).join(name);
        fs::create_dir_all(folder.join("src")).expect("a folder");
        let page = fs::read_to_string(repository.join("README.md")).expect("the README");
        // With the workspace's profiles, most crates are built already.
        let workspace = fs::read_to_string(repository.join("Cargo.toml")).expect("a manifest");
        let profiles = workspace.find("[profile.").expect("profiles");
        let lock = fs::read_to_string(repository.join("Cargo.lock")).expect("a lock file");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n{}\n\
             [workspace]\n\n{}",
            dependencies(commands(&page), &lock),
            &workspace[profiles..]
        );
        let new = Self { folder, repository };
        new.write("Cargo.toml", &manifest);
        // Our lock file has the versions that are already downloaded; cargo removes the other packages.
        fs::write(new.folder.join("Cargo.lock"), lock).expect("a lock file");
        new
    }

    /// Returns the crate's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file, unless it has this text already: cargo compares times.
    ///
    /// # Panics
    ///
    /// If the file can't be written.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return;
        }
        let parent = path.parent().expect("a folder");
        fs::create_dir_all(parent).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Compiles a file of the crate as a member of the workspace, whose libraries are built already, and
    /// returns the program and cargo's output. It can use the README's dependencies and no other crate, but
    /// these have the features that the workspace chooses: [`cargo`](Self::cargo) builds them with their own.
    ///
    /// # Panics
    ///
    /// If cargo can't be called, or the program can't be copied.
    #[track_caller]
    pub fn compile(&self, root: &str) -> (PathBuf, Output) {
        let root = self.folder.join(root);
        let output = cargo()
            .args(["build", "--workspace", "--bin", "pasted", "--features"])
            .args(["forge-remote-pasted/program", "--offline", "--quiet"])
            .current_dir(&self.repository)
            .env("CARGO_TARGET_DIR", self.target())
            .env("PROGRAM", &root)
            .output()
            .expect("cargo runs");
        // Another test's program would replace it.
        let program = root.with_extension("bin");
        if output.status.success() {
            let built = self.target().join("debug/pasted");
            fs::copy(built, &program).expect("a copy");
        }
        (program, output)
    }

    /// Returns the workspace's target directory.
    fn target(&self) -> &Path {
        let target = self.folder.parent().and_then(Path::parent);
        target.expect("a folder below the target directory")
    }

    /// Returns a cargo command in the crate's folder, with the workspace's target directory.
    ///
    /// # Panics
    ///
    /// If there is no target directory.
    #[track_caller]
    pub fn cargo(&self, command: &str) -> Command {
        let remote = self.repository.join("forge-remote").display().to_string();
        let mut cargo = cargo();
        cargo
            .args([command, "--quiet", "--offline", "--config"])
            .arg(format!("patch.crates-io.forge-remote.path={remote:?}"))
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.target())
            .env_remove("FORGE_REMOTE_MANIFEST");
        cargo
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
}

/// Returns the README's commands that make the crate.
///
/// # Panics
///
/// If the page has none.
#[track_caller]
pub fn commands(page: &str) -> &str {
    block(page, "```sh\ncargo new my-app && cd my-app")
}

/// Returns the text of the first code block that begins with this line.
///
/// # Panics
///
/// If the page has none.
#[track_caller]
pub fn block<'a>(page: &'a str, first: &str) -> &'a str {
    let (_, rest) = page.split_once(first).expect(first);
    let (block, _) = rest.split_once("\n```").expect("an end");
    block.trim_start_matches('\n')
}

/// Returns the dependencies that these `cargo add` commands write, with the versions of the lock file.
fn dependencies(commands: &str, lock: &str) -> String {
    let lock: toml::Table = lock.parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let mut text = String::new();
    for command in commands.lines() {
        let arguments = command.strip_prefix("cargo add ").expect("cargo add");
        let (name, features) = arguments
            .split_once(" --features ")
            .unwrap_or((arguments, ""));
        let mut package = packages
            .iter()
            .filter(|one| one["name"].as_str() == Some(name));
        let version = package.next().expect(name)["version"]
            .as_str()
            .expect("a version");
        let features = features.split(',').filter(|one| !one.is_empty());
        let features: Vec<&str> = features.collect();
        let _ = writeln!(
            text,
            "{name} = {{ version = \"{version}\", features = {features:?} }}"
        );
    }
    text
}
