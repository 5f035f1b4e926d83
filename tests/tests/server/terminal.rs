//! The output of the commands, compared with `tests/terminal`. `UPDATE_GOLDEN=1` rewrites the files: review the
//! difference.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use forge_remote_tests::app_command::app_command;
use forge_remote_tests::stores::Folder;

const APP: &str = env!("CARGO_BIN_EXE_terminal_app");
const WIDTH: usize = 100;
/// Time limit for a line of a process.
const PATIENCE: Duration = Duration::from_secs(60);

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("terminal")
}

/// Compares a text with a file of `tests/terminal`.
fn compare(name: &str, text: &str) {
    let text = steady(text);
    let path = golden().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} differs");
}

/// Replaces the parts that differ from run to run: times, durations, ports and ids.
fn steady(text: &str) -> String {
    let mut steady = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        while let Some((start, end)) = duration(&line) {
            line.replace_range(start..end, &format!("{:>6}", "#"));
        }
        for (start, shown) in [
            ("127.0.0.1:", "PORT"),
            ("/console#", "SECRET"),
            ("next at ", "DATE"),
            ("trace_id=\"", "ID"),
            ("installation/", "ID"),
            // Before the time of a cron schedule, its job is planned, too.
            ("  job ", "ID"),
        ] {
            let mut from = 0;
            while let Some(at) = line[from..].find(start).map(|at| from + at + start.len()) {
                let is_id = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
                let is_date = |c: char| c.is_ascii_digit() || "-: ".contains(c);
                let rest = &line[at..];
                let length = match shown {
                    "DATE" => rest.find(|c| !is_date(c)),
                    _ => rest.find(|c| !is_id(c)),
                };
                line.replace_range(at..at + length.unwrap_or(rest.len()), shown);
                from = at;
            }
        }
        // The time of a call or of a log line, which is the first word.
        let first = line.find(' ').unwrap_or(line.len());
        let is_time = |c: char| c.is_ascii_digit() || "-:.TZ".contains(c);
        let word = line[..first]
            .trim_start_matches("\\e[2m")
            .trim_end_matches("\\e[0m");
        if word.ends_with('Z') && word.chars().all(is_time) {
            line = line.replacen(word, "TIME", 1);
        }
        let _ = writeln!(steady, "{}", line.trim_end());
    }
    steady
}

/// Returns the place of the first number before ` ms`, with the spaces that align it.
fn duration(line: &str) -> Option<(usize, usize)> {
    for (end, _) in line.match_indices(" ms") {
        let number = |c: char| c.is_ascii_digit() || c == '.';
        let start = line[..end].trim_end_matches(number).len();
        if start < end {
            return Some((line[..start].trim_end_matches(' ').len() + 1, end));
        }
    }
    None
}

fn command(folder: &Path) -> Command {
    let mut command = app_command(APP, folder, &[]);
    let id = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
    command.env("FORGE_REMOTE_APP_ID", id);
    command
}

/// Runs a command of the app and returns what it prints to standard output.
fn piped(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command of the app on a terminal, which `script` provides, and returns what it prints, with `\e` for the
/// escape character.
#[cfg(target_os = "linux")]
fn on_a_terminal(folder: &Path, arguments: &str, variables: &[(&str, &str)]) -> String {
    let mut plain = command(folder);
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", &format!("{APP} {arguments}"), "/dev/null"])
        .current_dir(folder)
        .stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    plain.env_clear();
    let output = script.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.replace("\r\n", "\n").replace('\u{1b}', "\\e")
}

fn assert_fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}\n{text}");
    }
}

#[test]
fn routes_fit_a_terminal() {
    let folder = Folder::default();
    let text = piped(folder.path(), &["routes"]);
    assert_fits(&text);
    compare("routes.txt", &text);
}

#[test]
#[cfg(target_os = "linux")]
fn the_manifests_report_fits_a_terminal() {
    let folder = Folder::default();
    fs::copy(golden().join("manifest.yml"), folder.file("manifest.yml")).unwrap();
    let report = on_a_terminal(folder.path(), "manifest", &[("NO_COLOR", "1")]);
    assert_fits(&report);
    assert!(!report.contains("\\e"), "{report}");
    compare("manifest.txt", &report);
    // In a pipe, lines are whole, and the words are the same.
    let whole = piped(folder.path(), &["manifest"]);
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&whole), words(&report));
    assert!(whole.lines().any(|line| line.len() > WIDTH), "{whole}");
    let coloured = on_a_terminal(folder.path(), "manifest", &[]);
    assert!(coloured.contains("\\e["), "{coloured}");
    let written = on_a_terminal(folder.path(), "manifest --write", &[("NO_COLOR", "1")]);
    assert_fits(&written);
    compare("manifest-write.txt", &written);
}

/// A success, and a failure with the causes of its error and what Forge would do.
#[test]
fn each_call_is_a_line_with_its_problems_below() {
    let folder = Folder::default();
    compare("dev-once.txt", &piped(folder.path(), &["dev", "--once"]));
}

#[test]
#[cfg(target_os = "linux")]
fn calls_are_coloured_on_a_terminal_alone() {
    let folder = Folder::default();
    // The log is of another stream, so their order differs from run to run.
    let quiet = ("RUST_LOG", "off");
    let text = on_a_terminal(folder.path(), "dev --once", &[quiet]);
    compare("dev-once-on-a-terminal.txt", &text);
    let text = on_a_terminal(folder.path(), "dev --once", &[("NO_COLOR", "1")]);
    assert!(!text.contains("\\e"), "{text}");
    let lines = |text: &str| text.lines().filter(|line| line.contains(" ms  ")).count();
    assert_eq!(
        lines(&text),
        lines(&piped(folder.path(), &["dev", "--once"]))
    );
}

struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of a running `dev`, and what `invoke` prints of the same calls.
#[test]
fn a_running_dev_prints_calls_and_their_retries() {
    let folder = Folder::default();
    let child = command(folder.path())
        .args(["dev", "--platform-port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut dev = Dev(child);
    let output = BufReader::new(dev.0.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody receives the lines after the end of the test.
        let _ = output
            .lines()
            .try_for_each(|line| sender.send(line.unwrap()));
    });
    let mut lines = std::iter::from_fn(|| receiver.recv_timeout(PATIENCE).ok());
    let mut printed = String::new();
    let mut platform = String::new();
    for line in lines.by_ref() {
        let _ = writeln!(printed, "{line}");
        if let Some(rest) = line.strip_prefix("local Forge platform: ") {
            rest.split(' ').next().unwrap().clone_into(&mut platform);
        }
        if line.starts_with("stop with Ctrl-C") {
            break;
        }
    }
    // Two schedules run at the start, in either order.
    let mut scheduled: Vec<String> = Vec::new();
    while scheduled.len() < 2 {
        let line = lines.next().expect("`dev` still runs");
        scheduled.extend(Some(line).filter(|line| line.contains(" ms  ")));
    }
    scheduled.sort_by_key(|line| line.contains("refresh-index"));
    printed.push_str(&scheduled.join("\n"));
    printed.push('\n');
    let mut invoked = String::new();
    for arguments in [
        &["refresh-index-trigger"][..],
        &["copy-issue-trigger"],
        &["copy-issue-trigger", "--retry", "1"],
        &["copy-issue-trigger", "--retry", "3"],
        &["copy-issue-trigger", "--retry", "4"],
    ] {
        let mut invoke = command(folder.path());
        invoke
            .args(["invoke", "--platform", &platform])
            .args(arguments);
        let output = invoke.output().unwrap();
        let text = [output.stderr, output.stdout].concat();
        let _ = writeln!(invoked, "$ invoke {}", arguments.join(" "));
        invoked.push_str(&String::from_utf8(text).unwrap());
        // The same call's lines in `dev`: the last one says what Forge would do.
        loop {
            let line = lines.next().unwrap();
            let is_last = match arguments.len() {
                1 if arguments[0].starts_with("refresh") => line.contains("refresh"),
                _ => line.trim_start().starts_with("Forge would"),
            };
            let _ = writeln!(printed, "{line}");
            if is_last {
                break;
            }
        }
    }
    compare("dev.txt", &printed);
    compare("invoke.txt", &invoked);
}
