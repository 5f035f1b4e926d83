//! Benchmarks, each of which is one command; see this crate's README.md.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod compile;
mod connections;
mod durable;
mod flat;
mod instructions;
mod load;
mod memory;
mod process;
mod spread;
mod tokens;

use std::process::Command;
use std::time::Instant;

use process::{Server, build, respond, send, serve_key_set};
use spread::Spread;
use tokens::Signer;

fn main() {
    let rounds = std::env::var("ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(7);
    match std::env::args().nth(1).as_deref() {
        Some("request") => request(rounds),
        Some("handlers") => handlers(rounds),
        Some("check") => compile::check(rounds),
        Some("edit") => compile::edit(rounds),
        Some("first") => compile::first(),
        Some("tokens") => stored_tokens(rounds),
        Some("durable") => durable::measure(rounds),
        Some("connections") => connections::measure(rounds),
        Some("memory") => memory::measure(rounds),
        Some("flat") => flat::measure(),
        Some("instructions") => instructions::count(),
        Some("telemetry") => instructions::count_telemetry(),
        Some("all") => {
            request(rounds);
            stored_tokens(rounds);
            durable::measure(rounds);
            connections::measure(rounds);
            handlers(rounds);
            compile::check(rounds);
            compile::edit(rounds);
            instructions::count();
            instructions::count_telemetry();
        }
        _ => println!(
            "which benchmark? request, instructions, telemetry, tokens, durable, connections, handlers, check, edit, first, memory, flat or all (ROUNDS=7 by default; `all` is without `first`, `memory` and `flat`)"
        ),
    }
}

/// The measured costs of a server.
struct Cost {
    name: &'static str,
    cpu: Vec<f64>,
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    peak: Vec<f64>,
    resident: Vec<f64>,
    anonymous: Vec<f64>,
    cold: Vec<f64>,
    /// The share of the requests that brought a new token, where tokens are stored.
    renewed: Vec<f64>,
}

impl Cost {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            cpu: vec![],
            rate: vec![],
            p50: vec![],
            p99: vec![],
            peak: vec![],
            resident: vec![],
            anonymous: vec![],
            cold: vec![],
            renewed: vec![],
        }
    }

    fn measure(
        &mut self,
        program: &str,
        environment: &[(&str, &str)],
        requests: &'static [Vec<u8>],
    ) {
        let server = Server::start(program, environment, &requests[0]);
        self.cold.push(server.cold_start.as_secs_f64() * 1e3);
        let (warm_up, requests) = requests.split_at(requests.len() / 10);
        load::run(&server.address, warm_up, load::CONNECTIONS);
        // Tokens are written in the background: those of the warm-up do not belong to the figures, those of the
        // measured requests do.
        server.settle();
        let seen = tokens_seen(&server);
        let before = server.cpu();
        let figures = load::run(&server.address, requests, load::CONNECTIONS);
        server.settle();
        let count = requests.len() as f64;
        self.cpu
            .push((server.cpu() - before).as_secs_f64() * 1e6 / count);
        self.rate.push(count / figures.took.as_secs_f64());
        self.p50.push(figures.latency(50).as_secs_f64() * 1e3);
        self.p99.push(figures.latency(99).as_secs_f64() * 1e3);
        let mebibytes = |kibibytes: f64| kibibytes / 1024.0;
        self.peak.push(server.peak_memory());
        self.resident.push(mebibytes(server.memory()));
        self.anonymous.push(mebibytes(server.anonymous_memory()));
        if let (Some(before), Some(after)) = (seen, tokens_seen(&server)) {
            self.renewed.push((after - before) / count);
        }
    }

    fn print(&self) {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).median();
        println!(
            "{:28} {:7.1} µs CPU a request  {:7.0}/s  p50 {:5.2} ms  p99 {:5.2} ms  cold start {:5.1} ms",
            self.name,
            median(&self.cpu),
            median(&self.rate),
            median(&self.p50),
            median(&self.p99),
            median(&self.cold)
        );
        let (resident, anonymous) = (median(&self.resident), median(&self.anonymous));
        println!(
            "{:28} {resident:5.2} MiB resident after load: {anonymous:.2} anonymous, {:.2} of files; {:.2} MiB at the peak",
            "",
            resident - anonymous,
            median(&self.peak),
        );
        if !self.renewed.is_empty() {
            println!(
                "{:28} {:.2} of the requests had a new token",
                "",
                median(&self.renewed)
            );
        }
    }

    fn ratio(&self, other: &Self) -> Spread {
        Spread::of(self.cpu.iter().zip(&other.cpu).map(|(a, b)| a / b))
    }
}

/// Returns the number of new tokens that an app with a token store has seen.
fn tokens_seen(server: &Server) -> Option<f64> {
    let request = b"GET /seen HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let response = respond(&server.address, request)?;
    response.rsplit("\r\n").next()?.parse().ok()
}

/// Compares a verified POST of the quickstart with that of a hand-written server, in turns.
fn request(rounds: usize) {
    let folder = build(&["-p", "quickstart", "-p", "forge-remote-bench", "--bins"]);
    let signer = Signer::new();
    let count = std::env::var("REQUESTS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(20_000);
    println!("signing {count} tokens …");
    let requests: &'static [Vec<u8>] = signer
        .requests(count, "/frc-trigger", "remote-trigger-node")
        .leak();
    let url = serve_key_set(signer.key_set());
    let environment = [("FORGE_REMOTE_JWKS_URL", url.as_str())];
    let (ours, baseline) = (format!("{folder}/quickstart"), format!("{folder}/baseline"));

    let forged = Signer::new().requests(2, "/frc-trigger", "remote-trigger-node");
    for program in [&ours, &baseline] {
        let server = Server::start(program, &environment, &requests[0]);
        assert_eq!(
            send(&server.address, &forged[0]),
            Some(401),
            "{program} lets a forged FIT in"
        );
    }

    let mut costs = [
        Cost::new("forge-remote (quickstart)"),
        Cost::new("axum + jsonwebtoken, by hand"),
        Cost::new("axum, the signature alone"),
        Cost::new("axum, no verification"),
    ];
    for round in 0..rounds {
        // The order alternates, because the machine's speed drifts.
        let mut order = [0, 1, 2, 3];
        order.rotate_left(round % 4);
        for at in order {
            match at {
                0 => costs[0].measure(&ours, &environment, requests),
                1 => costs[1].measure(&baseline, &environment, requests),
                2 => {
                    let only_signature = [environment[0], ("BASELINE_VERIFY", "signature")];
                    costs[2].measure(&baseline, &only_signature, requests);
                }
                _ => costs[3].measure(&baseline, &[("BASELINE_VERIFY", "off")], requests),
            }
        }
    }
    costs.iter().for_each(Cost::print);
    println!(
        "CPU, forge-remote : by hand = {}   (target: at most 0.75)",
        costs[0].ratio(&costs[1])
    );
    println!(
        "CPU, the signature alone : by hand = {}   (no server can leave it out)",
        costs[2].ratio(&costs[1])
    );
    println!(
        "CPU, no verification : by hand = {}",
        costs[3].ratio(&costs[1])
    );
}

/// Measures an app of a thousand handlers: launch, manifest commands, and a request's cost.
fn handlers(rounds: usize) {
    let folder = build(&[
        "-p",
        "forge-remote-bench",
        "--features",
        "thousand",
        "--bin",
        "thousand",
    ]);
    build(&["-p", "quickstart"]);
    let signer = Signer::new();
    let requests: &'static [Vec<u8>] = signer.requests(10_000, "/h998", "h998").leak();
    let single: &'static [Vec<u8>] = signer
        .requests(10_000, "/frc-trigger", "remote-trigger-node")
        .leak();
    let url = serve_key_set(signer.key_set());
    let environment = [("FORGE_REMOTE_JWKS_URL", url.as_str())];
    let program = format!("{folder}/thousand");

    let alive = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let launches = |environment: &[(&str, &str)]| {
        let launch = |_| Server::start(&program, environment, alive).cold_start;
        Spread::of((0..rounds).map(launch).map(|took| took.as_secs_f64() * 1e3))
    };
    let bare_launch = launches(&environment);
    let stdout = Spread::of((0..rounds).map(|_| {
        let started = Instant::now();
        let output = Command::new(&program)
            .args(["manifest", "--stdout"])
            .output()
            .unwrap();
        assert!(output.status.success() && output.stdout.len() > 100_000);
        started.elapsed().as_secs_f64() * 1e3
    }));
    let file = std::env::temp_dir().join(format!("forge-remote-bench-{}.yml", std::process::id()));
    std::fs::write(&file, large_manifest()).unwrap();
    let timed = |option: &str| {
        let started = Instant::now();
        let output = Command::new(&program)
            .env("FORGE_REMOTE_MANIFEST", &file)
            .args(["manifest", option])
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        started.elapsed().as_secs_f64() * 1e3
    };
    let write = Spread::of((0..rounds).map(|_| {
        std::fs::write(&file, large_manifest()).unwrap();
        timed("--write")
    }));
    let check = Spread::of((0..rounds).map(|_| timed("--check")));
    let lines = std::fs::read_to_string(&file).unwrap().lines().count();
    let launch = launches(&[
        environment[0],
        ("FORGE_REMOTE_MANIFEST", file.to_str().unwrap()),
    ]);
    std::fs::remove_file(&file).unwrap();

    let (mut many, mut one) = (
        Cost::new("1,000 handlers"),
        Cost::new("1 handler (quickstart)"),
    );
    for _ in 0..rounds {
        many.measure(&program, &environment, requests);
        one.measure(&format!("{folder}/quickstart"), &environment, single);
    }
    many.print();
    one.print();
    println!(
        "CPU a request, 1,000 handlers : 1 = {}   (target: about 1)",
        many.ratio(&one)
    );
    println!(
        "launch to the first response: {launch} ms with the manifest, {bare_launch} ms without   (target: under 50)"
    );
    println!("manifest --stdout: {stdout} ms");
    println!(
        "a manifest of {lines} lines: --write {write} ms, --check {check} ms   (target: at most 60 and 35)"
    );
}

/// Compares a verified POST whose token is stored in SQLite with one without a store, for 1,000
/// installations, once with known tokens and once with a new token in every second request.
fn stored_tokens(rounds: usize) {
    let folder = build(&[
        "-p",
        "forge-remote-bench",
        "--bin",
        "stored_tokens",
        "--features",
        "stored-tokens",
    ]);
    let program = format!("{folder}/stored_tokens");
    let signer = Signer::new();
    let url = serve_key_set(signer.key_set());
    // A tenth is the warm-up, which delivers each installation's token twice.
    let count = 20_000;
    println!("signing {count} tokens twice …");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let end = now.unwrap().as_secs() + 3 * 3600;
    let installation = |at: usize| format!("00000000-0000-4000-a000-{:012}", at % 1000);
    let known: &'static [Vec<u8>] = signer
        .requests_of(count, "/tick", "tick", |at| {
            (installation(at), tokens::oauth(end))
        })
        .leak();
    let renewed: &'static [Vec<u8>] = signer
        .requests_of(count, "/tick", "tick", |at| {
            (installation(at), tokens::oauth(end + at as u64 / 2000))
        })
        .leak();

    let file = std::env::temp_dir().join(format!("forge-remote-bench-{}.db", std::process::id()));
    let environment = [
        ("FORGE_REMOTE_JWKS_URL", url.as_str()),
        ("SQLITE", file.to_str().unwrap()),
    ];
    let [key_set, _] = environment;
    for (name, requests) in [("known", known), ("renewed", renewed)] {
        let mut with = Cost::new("stored in SQLite");
        let mut without = Cost::new("not stored");
        for round in 0..rounds {
            for turn in 0..2 {
                if (round + turn) % 2 == 0 {
                    with.measure(&program, &environment, requests);
                    for end in ["", "-wal", "-shm"] {
                        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
                    }
                } else {
                    without.measure(&program, &[key_set], requests);
                }
            }
        }
        println!("tokens are {name}:");
        assert!(without.renewed.is_empty(), "tokens are stored in both");
        with.print();
        without.print();
        println!(
            "CPU, stored : not stored = {}   (target: at most 1.05 with known tokens, 1.25 with a new one in every second request)",
            with.ratio(&without)
        );
    }
}

/// Returns a manifest of 10,000 hand-written lines.
fn large_manifest() -> String {
    let mut text = format!(
        "# forge-remote: allow(manifest-too-large)\napp:\n  id: {}\n  runtime:\n    name: nodejs22.x\nresources:\n  \
         - key: main\n    path: static/main\nmodules:\n  function:\n    - key: resolver\n      handler: index.handler\n  \
         macro:\n",
        tokens::APP_ID
    );
    for at in 0..1250 {
        text.push_str(&format!(
            "    # The page of team {at}\n    - key: macro-{at}\n      title: \"Team {at}: its page\"\n      resource: main\n      \
             resolver:\n        function: resolver\n      description: 'it''s {at}'\n\n"
        ));
    }
    text
}
