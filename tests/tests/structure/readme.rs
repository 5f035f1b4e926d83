//! The README's program, as a reader pastes it: a new crate with exactly the dependencies that the README
//! adds, built, and called by `dev --once`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use forge_remote_tests::dev_process::DevProcess;
use forge_remote_tests::new_crate::{NewCrate, block, commands};

fn program(page: &str) -> &str {
    block(page, "```rust,no_run")
}

fn readme() -> String {
    fs::read_to_string(crate::repository().join("README.md")).expect("the README")
}

fn getting_started() -> String {
    let path = "forge-remote/src/docs/getting_started.md";
    fs::read_to_string(crate::repository().join(path)).expect("the page")
}

#[test]
fn getting_started_has_the_readmes_program() {
    let page = getting_started();
    assert_eq!(program(&page), program(&readme()));
    assert_eq!(commands(&page), commands(&readme()));
}

/// `tests/pasted` has the dependencies and features of the README's `cargo add` lines.
#[test]
fn a_pasted_program_has_the_readmes_dependencies() {
    let path = crate::repository().join("tests/pasted/Cargo.toml");
    let manifest = fs::read_to_string(path).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let dependencies = manifest["dependencies"].as_table().expect("dependencies");
    let mut found: Vec<String> = Vec::new();
    for (name, dependency) in dependencies {
        let features = dependency.get("features").and_then(|all| all.as_array());
        let features = features
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str());
        let features: Vec<&str> = features.collect();
        found.push(match features[..] {
            [] => format!("cargo add {name}"),
            _ => format!("cargo add {name} --features {}", features.join(",")),
        });
    }
    assert_eq!(found.join("\n"), commands(&readme()));
}

/// `deploying` has the lines that leave the local platform out of a production binary, and keep the commands.
#[test]
fn a_production_binary_has_the_commands_without_the_local_platform() {
    let path = "forge-remote/src/docs/deploying.md";
    let page = fs::read_to_string(crate::repository().join(path)).expect("the page");
    let command = "cargo add forge-remote --no-default-features --features cli";
    assert_eq!(block(&page, "```sh"), command);
    let new = NewCrate::new("production", env!("CARGO_TARGET_TMPDIR"));
    new.write("src/main.rs", "fn main() {}\n");
    let features = block(&page, "```toml");
    let forge_remote = crate::repository().join("forge-remote");
    let manifest = format!(
        "[package]\nname = \"app\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n{features}\n\n[dependencies.forge-remote]\n\
         path = {forge_remote:?}\ndefault-features = false\nfeatures = [\"cli\"]\n\n[workspace]\n"
    );
    new.write("Cargo.toml", &manifest);
    fs::copy(
        crate::repository().join("Cargo.lock"),
        new.folder().join("Cargo.lock"),
    )
    .expect("a lock file");
    let crates = |options: &[&str]| -> (bool, bool) {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
            .args(options)
            .current_dir(new.folder())
            .output()
            .expect("cargo runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(
            output.status.success(),
            "{:?}",
            String::from_utf8_lossy(&output.stderr)
        );
        let has = |name: &str| text.lines().any(|line| line.starts_with(name));
        (has("clap "), has("forge-remote-attacks "))
    };
    assert_eq!(crates(&[]), (true, true));
    assert_eq!(crates(&["--no-default-features"]), (true, false));
}

/// The README's program, which is that of `getting_started` too.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let new = NewCrate::new("readme", env!("CARGO_TARGET_TMPDIR"));
    new.write("src/main.rs", program(&readme()));
    let (program, built) = new.compile("src/main.rs");
    assert!(built.status.success(), "{built:?}");
    program
});

#[test]
fn the_readmes_program_runs_when_pasted() {
    let new = NewCrate::new("readme", env!("CARGO_TARGET_TMPDIR"));
    let mut run = Command::new(&*PROGRAM);
    run.env("CARGO_MANIFEST_DIR", new.folder());
    let output = run.args(["dev", "--once"]).output();
    let output = output.expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    let verified = text.lines().find(|line| line.starts_with("ok "));
    let verified = verified.expect("a call");
    assert!(
        verified.contains("list-pages-trigger  POST /list-pages  200 "),
        "{text}"
    );
    assert!(text.lines().any(|line| line == "A local page"), "{text}");
}

/// Returns the commands of the page's blocks for the shell, from the first `cargo run` on.
fn runs(page: &str) -> Vec<Vec<&str>> {
    let blocks = page.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("\n```").next().unwrap_or_default().lines());
    let arguments = lines.filter_map(|line| line.strip_prefix("cargo run -- "));
    arguments.map(|line| line.split(' ').collect()).collect()
}

/// A line of the page without the parts that vary from run to run: numbers, and parts that the page
/// leaves out.
fn steady(line: &str) -> String {
    let (start, _) = line.split_once('…').unwrap_or((line, ""));
    let words = start.split_whitespace();
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let words = words.map(|word| match word.rsplit_once(':') {
        Some((url, port)) if is_number(port) => format!("{url}:#"),
        _ if is_number(word) => "#".to_owned(),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The steps of a reader of the page after its program is there, in one folder.
#[test]
fn the_commands_of_getting_started_work_in_their_order() {
    let page = getting_started();
    assert_eq!(program(&page), program(&readme()));
    let program = &*PROGRAM;
    let new = NewCrate::new("hour", env!("CARGO_TARGET_TMPDIR"));
    new.write("src/main.rs", self::program(&page));
    let folder = new.folder();
    let manifest = folder.join("manifest.yml");
    let _ = fs::remove_file(&manifest);
    new.write("fixtures.yml", block(&page, "```yaml\n# fixtures.yml"));

    let (mut dev, mut outputs) = (None, Vec::new());
    for arguments in runs(&page) {
        let mut run = command(program, folder);
        run.args(&arguments);
        if arguments[0] == "dev" && !arguments.contains(&"--once") {
            drop(dev.take());
            dev = Some(DevProcess::start(&mut run));
            continue;
        }
        if arguments[0] == "invoke" {
            // The page: "without `--once` it serves".
            let dev =
                dev.get_or_insert_with(|| DevProcess::start(command(program, folder).arg("dev")));
            run.args(["--platform", &dev.platform]);
        }
        let output = run.output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "{arguments:?}\n{text}");
        outputs.push((arguments, text));
    }
    let of = |arguments: &str| -> &str {
        let found = outputs.iter().find(|(all, _)| all.join(" ") == arguments);
        found.map(|(_, text)| text.as_str()).expect(arguments)
    };
    let first = of("dev --once");
    let printed: Vec<String> = first.lines().map(steady).collect();
    let sample = block(&page, "```text").lines().map(steady);
    for line in sample.filter(|line| !line.is_empty()) {
        let is_it = |one: &String| one.starts_with(&line);
        assert!(printed.iter().any(is_it), "{line}\n{first}");
    }
    assert!(of("routes").contains("list-pages-trigger"));
    let written = fs::read_to_string(&manifest).expect("`dev --write` writes it");
    assert!(written.contains("key: list-pages-trigger"), "{written}");
    let last = of("dev --once --fixtures fixtures.yml");
    assert!(last.lines().any(|line| line == "Stale"), "{last}");
    assert!(!last.contains("manifest-drift"), "{last}");
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("CARGO_MANIFEST_DIR", folder)
        .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
        .env_remove("FORGE_REMOTE_MANIFEST")
        .env_remove("FORGE_REMOTE_APP_ID");
    command
}
