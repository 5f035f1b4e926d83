//! The instructions of a verified request, counted by callgrind: unlike times, they do not depend on
//! the machine's load.

use std::path::Path;
use std::process::Command;

use crate::load;
use crate::process::{Server, build, serve_key_set};
use crate::tokens::Signer;

/// The tokens of a measurement, and those of the shorter run that is subtracted from it.
const REQUESTS: usize = 1_000;
const WARM_UP: usize = 200;
/// The process fails above this ratio to the hand-written server.
const MAX_RATIO: f64 = 0.79;
/// The allowed costs of metrics and traces, switched off and on.
const MAX_OFF: f64 = 1.03;
const MAX_ON: f64 = 1.08;
/// Their highest cost in addition to the JSON lines of `tracing-subscriber`, which writes each span's fields for
/// its lines, even if no line follows.
const MAX_LINES: f64 = 1.15;
/// The function of AWS-LC that compares a signature with a text.
const SIGNATURE_CHECK: &str = "EVP_DigestVerify";

/// The instructions of one request.
#[derive(Clone, Copy)]
struct Count {
    all: f64,
    signature: f64,
}

/// Compares a verified POST of the quickstart with that of a hand-written server, and with one that
/// isn't verified.
pub(crate) fn count() {
    let folder = build(&["-p", "quickstart", "-p", "forge-remote-bench", "--bins"]);
    let signer = Signer::new();
    let requests: &'static [Vec<u8>] = signer
        .requests(WARM_UP + REQUESTS, "/frc-trigger", "remote-trigger-node")
        .leak();
    let url = serve_key_set(signer.key_set());
    let verified = [("FORGE_REMOTE_JWKS_URL", url.as_str())];
    let count = |name: &str, program: &str, environment: &[(&str, &str)]| {
        let count = per_request(&format!("{folder}/{program}"), environment, requests);
        println!(
            "{name:28} {:7.0} instructions a request, {:7.0} of them for the signature",
            count.all, count.signature
        );
        count
    };
    let ours = count("forge-remote (quickstart)", "quickstart", &verified);
    let by_hand = count("axum + jsonwebtoken, by hand", "baseline", &verified);
    let floor = count(
        "axum, no verification",
        "baseline",
        &[("BASELINE_VERIFY", "off")],
    );
    let ratio = ours.all / by_hand.all;
    println!(
        "forge-remote : by hand = {ratio:.3}   (target: at most 0.74; fails above {MAX_RATIO})"
    );
    println!(
        "forge-remote outside of the signature check and HTTP: {:.0}   (target: at most 30000)",
        ours.all - ours.signature - floor.all
    );
    assert!(
        ratio <= MAX_RATIO,
        "more than {MAX_RATIO} of the hand-written server"
    );
}

/// Compares a verified POST of the quickstart with that of a build before (`BEFORE=path`), if one is given, and
/// with metrics and traces.
pub(crate) fn count_telemetry() {
    let folder = build(&["-p", "quickstart"]);
    let observed = [
        "-p",
        "forge-remote-bench",
        "--bin",
        "observed",
        "--features",
        "observed",
    ];
    build(&observed);
    let signer = Signer::new();
    let requests: &'static [Vec<u8>] = signer
        .requests(WARM_UP + REQUESTS, "/frc-trigger", "remote-trigger-node")
        .leak();
    let url = serve_key_set(signer.key_set());
    let count = |name: &str, program: &str, mode: &str| {
        let environment = [("FORGE_REMOTE_JWKS_URL", url.as_str()), ("OBSERVED", mode)];
        let count = per_request(program, &environment, requests);
        println!("{name:28} {:7.0} instructions a request", count.all);
        count.all
    };
    let off = count("without the feature", &format!("{folder}/quickstart"), "");
    let program = format!("{folder}/observed");
    let mut ratios = Vec::new();
    if let Ok(before) = std::env::var("BEFORE") {
        let before = count("before", &before, "");
        ratios.push(("without the feature : before", off / before, MAX_OFF));
    }
    for (name, mode, most) in [
        ("nothing installed", "none", MAX_OFF),
        ("metrics", "metrics", MAX_ON),
        ("traces", "traces", MAX_ON),
        ("metrics and traces", "metrics,traces", MAX_ON),
        ("JSON lines", "lines", MAX_LINES),
        ("all three", "metrics,traces,lines", MAX_LINES),
    ] {
        ratios.push((name, count(name, &program, mode) / off, most));
    }
    for (name, ratio, most) in &ratios {
        println!("{name:28} {ratio:.3}   (at most {most})");
    }
    let is_fine = ratios.iter().all(|(_, ratio, most)| ratio <= most);
    assert!(is_fine, "a ratio is too large");
}

/// Counts a request's instructions: the difference of two runs, without the process's start and end.
fn per_request(program: &str, environment: &[(&str, &str)], requests: &'static [Vec<u8>]) -> Count {
    let short = run(program, environment, &requests[..WARM_UP]);
    let long = run(program, environment, requests);
    let each = |of: fn(&Count) -> f64| (of(&long) - of(&short)) / REQUESTS as f64;
    Count {
        all: each(|count| count.all),
        signature: each(|count| count.signature),
    }
}

/// Runs a server under callgrind for these requests, and returns the instructions of the process.
fn run(program: &str, environment: &[(&str, &str)], requests: &'static [Vec<u8>]) -> Count {
    let profile =
        std::env::temp_dir().join(format!("forge-remote-{}.callgrind", std::process::id()));
    let mut command = Command::new("valgrind");
    command
        .args([
            "--tool=callgrind",
            "--compress-strings=no",
            "--compress-pos=no",
        ])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .env("TOKIO_WORKER_THREADS", "1");
    let server = Server::start_command(command, environment, &requests[0]);
    load::run(&server.address, requests, 1);
    server.stop();
    let text =
        std::fs::read_to_string(&profile).expect("valgrind is installed and wrote a profile");
    if let Some(folder) = std::env::var_os("KEEP_PROFILE") {
        let name = program.rsplit('/').next().unwrap_or(program);
        let kept = Path::new(&folder).join(format!("{name}-{}.callgrind", environment[0].0));
        std::fs::copy(&profile, kept).expect("KEEP_PROFILE is a directory");
    }
    std::fs::remove_file(&profile).expect("it was read");
    read(&text)
}

/// Reads a profile of callgrind.
///
/// Source: <https://valgrind.org/docs/manual/cl-format.html>
fn read(profile: &str) -> Count {
    let mut count = Count {
        all: 0.0,
        signature: 0.0,
    };
    let mut lines = profile.lines();
    let mut called = "";
    while let Some(line) = lines.next() {
        if let Some(total) = line.strip_prefix("totals: ") {
            count.all = total.trim().parse().expect("a number of instructions");
        } else if let Some(function) = line.strip_prefix("cfn=") {
            called = function;
        } else if line.starts_with("calls=") && called.ends_with(SIGNATURE_CHECK) {
            // A line, and the instructions of all these calls.
            let cost = lines.next().and_then(|line| line.split(' ').nth(1));
            count.signature += cost
                .and_then(|cost| cost.parse::<f64>().ok())
                .unwrap_or(0.0);
        }
    }
    assert!(count.all > 0.0, "the profile has no total");
    count
}
