//! The memory of idle connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::process::{Server, build, serve_key_set};
use crate::tokens::Signer;

/// How many connections are opened; `CONNECTIONS` sets another number, below the limit of open files.
const CONNECTIONS: usize = 900;

/// Measures what an idle keep-alive connection costs, after a verified POST on it.
pub(crate) fn measure() {
    let folder = build(&["-p", "quickstart"]);
    let count = std::env::var("CONNECTIONS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(CONNECTIONS);
    let signer = Signer::new();
    let requests = signer.requests(2, "/frc-trigger", "remote-trigger-node");
    let url = serve_key_set(signer.key_set());
    let environment = [("FORGE_REMOTE_JWKS_URL", url.as_str())];
    let server = Server::start(&format!("{folder}/quickstart"), &environment, &requests[0]);
    let before = server.memory();
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = TcpStream::connect(&server.address)
            .unwrap_or_else(|error| panic!("connection {number}: {error}; see `ulimit -n`"));
        stream.write_all(&requests[1]).expect("the server reads");
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
    println!("{count} idle connections: {each:.1} KiB each   (target: at most 12)");
}
