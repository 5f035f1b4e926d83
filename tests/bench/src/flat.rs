//! A long run at full load: whether speed and memory stay flat.

use std::time::{Duration, Instant};

use crate::load;
use crate::process::{Server, build, serve_key_set};
use crate::spread::Spread;
use crate::tokens::Signer;

/// The tokens of the requests, which are sent repeatedly; they are valid for 25 minutes.
const REQUESTS: usize = 20_000;
/// The parts of the run that are compared.
const PARTS: u32 = 10;

/// Sends verified POSTs to the quickstart for ten minutes (`MINUTES` sets another duration, at most 20), and
/// compares the tenths.
pub(crate) fn measure() {
    let folder = build(&["-p", "quickstart"]);
    let minutes = std::env::var("MINUTES")
        .ok()
        .and_then(|minutes| minutes.parse().ok())
        .unwrap_or(10);
    assert!(minutes <= 20, "the tokens are valid for 25 minutes");
    let signer = Signer::new();
    let requests: &'static [Vec<u8>] = signer
        .requests(REQUESTS, "/frc-trigger", "remote-trigger-node")
        .leak();
    let url = serve_key_set(signer.key_set());
    let environment = [("FORGE_REMOTE_JWKS_URL", url.as_str())];
    let server = Server::start(&format!("{folder}/quickstart"), &environment, &requests[0]);
    load::run(&server.address, requests, load::CONNECTIONS);

    let part = Duration::from_secs(minutes * 60) / PARTS;
    let (mut cost, mut rate, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=PARTS {
        let (started, before, mut count) = (Instant::now(), server.cpu(), 0.0);
        while started.elapsed() < part {
            load::run(&server.address, requests, load::CONNECTIONS);
            count += REQUESTS as f64;
        }
        cost.push((server.cpu() - before).as_secs_f64() * 1e6 / count);
        rate.push(count / started.elapsed().as_secs_f64());
        memory.push(server.memory() / 1024.0);
        let at = number as usize - 1;
        println!(
            "part {number:2}: {:5.1} µs CPU a request  {:7.0}/s  {:5.2} MiB",
            cost[at], rate[at], memory[at]
        );
    }
    for (what, values) in [("CPU", cost), ("rate", rate), ("memory", memory)] {
        let middle = Spread::of(values.iter().copied()).median();
        let relative = Spread::of(values.iter().map(|value| value / middle));
        println!("{what} of the parts : their median = {relative}   (target: 0.97 to 1.03)");
    }
}
