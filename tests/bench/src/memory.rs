//! The memory that a server has after load: with the default features, and without.

use crate::process::{Server, build, serve_key_set};
use crate::spread::Spread;
use crate::tokens::Signer;
use crate::{compile, load};

/// The requests of one round.
const REQUESTS: usize = 20_000;

/// Measures the resident memory of the quickstart after load, and of the same app without default features.
pub(crate) fn measure(rounds: usize) {
    let folder = build(&["-p", "quickstart", "-p", "forge-remote-bench", "--bins"]);
    let programs = [
        ("forge-remote (quickstart)", format!("{folder}/quickstart")),
        ("without default features", compile::lean_quickstart()),
        ("axum + jsonwebtoken, by hand", format!("{folder}/baseline")),
    ];
    let signer = Signer::new();
    let requests: &'static [Vec<u8>] = signer
        .requests(REQUESTS, "/frc-trigger", "remote-trigger-node")
        .leak();
    let url = serve_key_set(signer.key_set());
    let environment = [("FORGE_REMOTE_JWKS_URL", url.as_str())];
    for (name, program) in programs {
        let (mut resident, mut anonymous, mut peak) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let server = Server::start(&program, &environment, &requests[0]);
            load::run(&server.address, requests, load::CONNECTIONS);
            server.settle();
            resident.push(server.memory() / 1024.0);
            anonymous.push(server.anonymous_memory() / 1024.0);
            peak.push(server.peak_memory());
        }
        println!(
            "{name:28} {} MiB resident after load, of which {} are anonymous and the rest the program's file; {} at the peak",
            Spread::of(resident),
            Spread::of(anonymous),
            Spread::of(peak)
        );
    }
    println!("target: at most 9.54 MiB (10 MB)");
}
