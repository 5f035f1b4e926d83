//! Many connections: the memory of idle ones, and the latency of busy ones.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::load;
use crate::process::{Server, build, serve_key_set};
use crate::spread::Spread;
use crate::tokens::Signer;

/// How many idle connections are opened; `CONNECTIONS` sets another number, below the limit of open files.
const IDLE: usize = 900;
/// How many connections send requests without a pause.
const BUSY: usize = 512;
/// The requests of one round over the busy connections.
const REQUESTS: usize = 40_960;

/// Measures what an idle keep-alive connection costs, and the slowest responses over busy ones.
pub(crate) fn measure(rounds: usize) {
    let folder = build(&["-p", "forge-remote-bench", "--bins"]);
    let signer = Signer::new();
    let url = serve_key_set(signer.key_set());
    let requests: &'static [Vec<u8>] = signer
        .requests(REQUESTS, "/frc-trigger", "remote-trigger-node")
        .leak();
    let program = format!("{folder}/many_connections");
    idle(&program, &url, requests, Duration::ZERO);
    idle(&program, &url, requests, Duration::from_secs(1));
    busy(
        &program,
        &format!("{folder}/baseline"),
        &url,
        requests,
        rounds,
    );
}

/// Measures an idle keep-alive connection, after a verified POST on it. They are opened in tenths with a pause between
/// them: the allocator does not return the memory of a burst, but uses it for later connections.
fn idle(program: &str, key_set: &str, requests: &[Vec<u8>], pause: Duration) {
    let count = std::env::var("CONNECTIONS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(IDLE);
    let environment = [("FORGE_REMOTE_JWKS_URL", key_set)];
    let server = Server::start(program, &environment, &requests[0]);
    let before = server.memory();
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        if number % (count / 10).max(1) == 0 {
            std::thread::sleep(pause);
        }
        let mut stream = TcpStream::connect(&server.address)
            .unwrap_or_else(|error| panic!("connection {number}: {error}; see `ulimit -n`"));
        let request = &requests[number % requests.len()];
        stream.write_all(request).expect("the server reads");
        let mut response = Vec::new();
        let mut part = [0; 1024];
        while !response.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut part).expect("the server responds");
            assert!(read > 0, "the server hung up on connection {number}");
            response.extend_from_slice(&part[..read]);
        }
        assert!(response.starts_with(b"HTTP/1.1 2"));
        connections.push(stream);
    }
    let each = (server.memory() - before) / count as f64;
    let opened = match pause.is_zero() {
        true => "opened at once",
        false => "opened in tenths",
    };
    println!("{count} idle connections, {opened}: {each:.1} KiB each   (target: at most 12)");
    // A byte arrives only if the server closed the connection.
    for stream in &mut connections {
        stream.set_nonblocking(true).expect("TCP");
        assert!(stream.read(&mut [0; 1]).is_err(), "a connection was closed");
    }
}

/// Compares the 99th percentile of the latencies with that of a server that checks nothing but signatures.
fn busy(program: &str, baseline: &str, key_set: &str, requests: &'static [Vec<u8>], rounds: usize) {
    let p99 = |program: &str, environment: &[(&str, &str)]| {
        let server = Server::start(program, environment, &requests[0]);
        load::run(&server.address, &requests[..requests.len() / 10], BUSY);
        let figures = load::run(&server.address, requests, BUSY);
        figures.latency(99).as_secs_f64() * 1e3
    };
    let key_set = ("FORGE_REMOTE_JWKS_URL", key_set);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                ours.push(p99(program, &[key_set]));
            } else {
                let environment = [key_set, ("BASELINE_VERIFY", "signature")];
                floor.push(p99(baseline, &environment));
            }
        }
    }
    let ratio = Spread::of(ours.iter().zip(&floor).map(|(a, b)| a / b));
    println!(
        "{BUSY} busy connections, p99: {} ms, and {} ms where only signatures are checked",
        Spread::of(ours),
        Spread::of(floor)
    );
    println!("ratio {ratio}   (target: at most 2)");
}
