//! A new crate as a reader of the README makes it: with exactly the dependencies that it adds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The files of a crate outside of the workspace, which is built with this workspace's forge-remote.
#[derive(Debug)]
pub struct NewCrate {
    folder: PathBuf,
}

impl NewCrate {
    /// Creates the crate's directory in the target directory. Files that are there stay, so that a second build is
    /// short.
    ///
    /// # Panics
    ///
    /// If the directory cannot be created.
    #[track_caller]
    pub fn new(name: &str, target_tmpdir: &str) -> Self {
        let folder = Path::new(target_tmpdir).join(name);
        fs::create_dir_all(folder.join("src")).expect("a directory");
        Self { folder }
    }

    /// Returns the crate's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file, unless it has this text already: cargo compares times.
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return;
        }
        let parent = path.parent().expect("a directory");
        fs::create_dir_all(parent).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// Compiles a file of the crate as that of `tests/pasted`, and returns the program and cargo's output. It can use
    /// the README's dependencies and no other crate, but these have the features that the workspace chooses:
    /// `.ci/features` checks the README's program with their own.
    ///
    /// # Panics
    ///
    /// If cargo cannot be called, or the program cannot be copied.
    #[track_caller]
    pub fn compile(&self, root: &str) -> (PathBuf, Output) {
        let root = self.folder.join(root);
        let target = self.folder.parent().and_then(Path::parent);
        let target = target.expect("a directory below the target directory");
        let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["build", "--workspace", "--bin", "pasted", "--features"])
            .args(["forge-remote-pasted/program", "--offline", "--quiet"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", target)
            .env("PROGRAM", &root)
            .output()
            .expect("cargo runs");
        // Another test's program would replace it.
        let program = root.with_extension("bin");
        if output.status.success() {
            fs::copy(target.join("debug/pasted"), &program).expect("a copy");
        }
        (program, output)
    }
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
