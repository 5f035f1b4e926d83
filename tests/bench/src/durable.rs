//! Durable jobs on SQLite: the acknowledgement of a call, jobs per second, an idle process, fairness.

use std::process::Command;
use std::time::Duration;

use crate::load;
use crate::process::{Server, build, serve_key_set};
use crate::spread::Spread;
use crate::tokens::Signer;

/// The number of calls over one connection.
const CALLS: usize = 2000;
const IDLE: Duration = Duration::from_secs(20);

pub(crate) fn measure(rounds: usize) {
    let folder = build(&[
        "-p",
        "forge-remote-bench",
        "--bin",
        "durable_jobs",
        "--features",
        "durable",
    ]);
    let program = format!("{folder}/durable_jobs");
    let signer = Signer::new();
    let url = serve_key_set(signer.key_set());
    let requests: &'static [Vec<u8>] = signer.requests(CALLS, "/tick", "tick").leak();

    let (mut median, mut slowest, mut idle) = (vec![], vec![], vec![]);
    let (mut rate, mut backlog, mut delay) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        let file = File::new();
        let environment = [
            ("FORGE_REMOTE_JWKS_URL", url.as_str()),
            (
                "FORGE_REMOTE_TOKEN_KEY",
                "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            ),
            ("JOBS_DB", file.0.as_str()),
        ];
        let server = Server::start(&program, &environment, &requests[0]);
        let figures = load::run(&server.address, &requests[1..], 1);
        median.push(figures.latency(50).as_secs_f64() * 1e3);
        slowest.push(figures.latency(99).as_secs_f64() * 1e3);
        // The accepted jobs have run.
        std::thread::sleep(Duration::from_secs(5));
        let before = server.cpu();
        std::thread::sleep(IDLE);
        idle.push((server.cpu() - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0);
        server.stop();
        rate.push(alone(&program, "drain"));
        backlog.push(alone(&program, "backlog"));
        delay.push(alone(&program, "fairness"));
    }
    let print = |what: &str, values: Vec<f64>, target: &str| {
        println!("{what}: {}   (target: {target})", Spread::of(values));
    };
    print("acknowledgement, median, ms", median, "at most 2.5");
    print("acknowledgement, 99 of 100, ms", slowest, "none");
    print("an idle process, % of a core", idle, "under 1");
    print("jobs that do nothing, a second", rate, "at least 1,000");
    print(
        "jobs of 5 ms a second, of two installations with 3,000 each that may run two at once",
        backlog,
        "none",
    );
    print(
        "delay by another installation's 2,000 jobs, median, ms",
        delay,
        "under 100",
    );
}

/// Runs the engine alone on a new file, and returns the figure that it prints.
fn alone(program: &str, what: &str) -> f64 {
    let file = File::new();
    let output = Command::new(program)
        .arg(what)
        .env("JOBS_DB", &file.0)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A database file, which is removed on drop.
struct File(String);

impl File {
    fn new() -> Self {
        let name = format!("forge-remote-bench-jobs-{}.db", std::process::id());
        let file = Self(std::env::temp_dir().join(name).display().to_string());
        file.remove();
        file
    }

    fn remove(&self) {
        for end in ["", "-wal", "-shm", ".lock", ".setup"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.0));
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.remove();
    }
}
