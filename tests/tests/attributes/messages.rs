//! The compiler's messages for every mistake that the macros know: no `.rs` file below `tests/ui/fail` compiles,
//! and the messages are in the `.stderr` file next to it.
//!
//! The compiler is called for each case with the libraries that the workspace's tests have, so that nothing else is
//! built for them. After a change of a message: `UPDATE_GOLDEN=1 cargo test --workspace --test attributes
//! messages`, then read the difference.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

#[rustversion::attr(not(stable(1.95)), ignore = "the messages are those of Rust 1.95")]
#[test]
fn each_mistake_has_its_message() {
    let compiler = Compiler {
        forge_remote: library("forge_remote", &["--workspace", "--lib"]),
        without_cron: library("forge_remote_macros", &["-p", "forge-remote-macros"]),
    };
    let cases = cases();
    assert!(cases.len() >= 68, "{} cases", cases.len());

    let failures = Mutex::new(String::new());
    let waiting = Mutex::new(cases.iter());
    let check_cases = || {
        loop {
            let Some(case) = waiting.lock().unwrap().next() else {
                return;
            };
            if let Err(failure) = compiler.check(case) {
                let _ = writeln!(failures.lock().unwrap(), "{case}: {failure}");
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(check_cases);
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures}");
}

/// With another compiler the cases are ignored, which nobody would notice in CI.
#[rustversion::not(stable(1.95))]
#[test]
fn ci_has_the_compiler_of_the_messages() {
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "CI needs Rust 1.95, or new messages");
}

/// The directory with the cases, relative to the repository, where the compiler is called.
const FOLDER: &str = "tests/ui/";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns each `fail/GROUP/CASE.rs`. Only their messages are next to them.
fn cases() -> Vec<String> {
    let folder = repository().join(FOLDER);
    let mut found = Vec::new();
    for group in fs::read_dir(folder.join("fail")).unwrap() {
        for file in fs::read_dir(group.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            assert!(file.with_extension("rs").exists(), "{}", file.display());
            if file.extension().is_some_and(|end| end == "rs") {
                found.push(file.strip_prefix(&folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Returns the path of a library that cargo builds with these arguments. Those of the workspace are built already.
fn library(name: &str, arguments: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--offline", "--quiet", "--message-format=json"])
        .args(arguments)
        .current_dir(repository())
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo build {arguments:?}");
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages = messages.lines().map(serde_json::from_str::<Value>);
    let built = messages.flatten().find(|message| {
        message["reason"] == "compiler-artifact" && message["target"]["name"] == name
    });
    // The last one is the library's metadata; a macro has one file.
    let files = built.unwrap()["filenames"].take();
    let file = files.as_array().unwrap().last().unwrap();
    file.as_str().unwrap().into()
}

struct Compiler {
    forge_remote: PathBuf,
    /// The macros as forge-remote has them without its feature `cron`.
    without_cron: PathBuf,
}

impl Compiler {
    /// Compares the messages for a case with the expected ones.
    fn check(&self, case: &str) -> Result<(), String> {
        let forge_remote = match case.starts_with("fail/cron/") {
            true => &self.without_cron,
            false => &self.forge_remote,
        };
        let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .args(["--edition=2024", "--emit=metadata", "--out-dir"])
            .arg(env!("CARGO_TARGET_TMPDIR"))
            .arg(format!("--extern=forge_remote={}", forge_remote.display()))
            .arg("-L")
            .arg(forge_remote.with_file_name(""))
            // Without it, the compiler cuts off the names of long types.
            .args(["--verbose", "--diagnostic-width=140", "-Adead_code"])
            .arg(format!("{FOLDER}{case}"))
            .current_dir(repository())
            .output()
            .unwrap();
        if output.status.success() {
            return Err("it compiles".to_owned());
        }
        let messages = normalized(&String::from_utf8(output.stderr).unwrap());
        let path = repository()
            .join(FOLDER)
            .join(case)
            .with_extension("stderr");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &messages).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        match messages == expected {
            true => Ok(()),
            false => Err(format!("expected\n\n{expected}\nfound\n\n{messages}")),
        }
    }
}

/// Returns the messages without the parts that differ between machines, and without the line numbers in files other
/// than the case.
fn normalized(printed: &str) -> String {
    let summaries = [
        "error: aborting",
        "For more information",
        "Some errors have",
    ];
    let messages = printed.trim_end().split("\n\n");
    let messages = messages.filter(|one| !summaries.iter().any(|start| one.starts_with(start)));
    let messages: Vec<String> = messages.map(message).collect();
    messages.join("\n\n") + "\n"
}

fn message(printed: &str) -> String {
    let mut lines = Vec::new();
    let mut elsewhere = false;
    let mut listed_types = None;
    for line in printed.lines() {
        let text = line.trim_start();
        let margin = &line[..line.len() - text.len()];
        if let Some((arrow @ ("-->" | ":::"), place)) = text.split_once(' ') {
            let case = place.strip_prefix(FOLDER);
            elsewhere = case.is_none();
            let place = case.map_or_else(|| without_position(place), str::to_owned);
            lines.push(format!("{margin}{arrow} {place}"));
            continue;
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        elsewhere &= digits > 0 || text.starts_with(['|', '.']);
        if elsewhere {
            lines.push(margin.to_owned() + &" ".repeat(digits) + &text[digits..]);
            continue;
        }
        // The list has the types of every dependency, so it differs with their versions.
        listed_types = match listed_types {
            Some(number) if margin.len() >= 12 => Some(number + 1),
            _ => text.contains(" other types implement trait ").then_some(0),
        };
        match listed_types {
            Some(9) => lines.push(format!("{}and $N others", &margin[2..])),
            Some(10..) => {}
            _ => lines.push(line.to_owned()),
        }
    }
    narrowed(&lines)
}

/// Returns the file of a `file:line:column`, by its path in this repository or the standard library.
fn without_position(place: &str) -> String {
    let file = place.split(':').next().unwrap_or(place);
    let relative = Path::new(file).strip_prefix(repository());
    match (file.split_once("/library/"), relative) {
        (Some((_, file)), _) => format!("$RUST/{file}"),
        (_, Ok(file)) => format!("$WORKSPACE/{}", file.display()),
        _ => format!("$WORKSPACE/{file}"),
    }
}

/// Makes the margin as wide as the longest line number that is left.
fn narrowed(lines: &[String]) -> String {
    let is_arrow = |line: &String| line.trim_start().starts_with("--> ");
    let first = lines.iter().position(is_arrow).unwrap_or(lines.len());
    let (title, excerpts) = lines.split_at(first);
    let width = excerpts.first().map_or(0, |line| line.find('-').unwrap());
    let numbers = excerpts.iter().filter_map(|line| line.get(..width));
    let numbers = numbers.filter(|number| number.trim().parse::<u32>().is_ok());
    let needed = numbers.map(|number| number.trim().len()).max().unwrap_or(1);
    let spaces = " ".repeat(width.saturating_sub(needed));
    let narrow = |line: &String| match line.strip_prefix("...") {
        Some(rest) => format!("...{}", rest.strip_prefix(&spaces).unwrap_or(rest)),
        None => line.strip_prefix(&spaces).unwrap_or(line).to_owned(),
    };
    let excerpts = excerpts.iter().map(narrow);
    let lines: Vec<String> = title.iter().cloned().chain(excerpts).collect();
    lines.join("\n")
}
