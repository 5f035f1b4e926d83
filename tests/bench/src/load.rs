//! Load from prepared requests over keep-alive connections, with every response checked.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The number of connections where it doesn't matter.
pub(crate) const CONNECTIONS: usize = 64;

pub(crate) struct Figures {
    pub(crate) took: Duration,
    latencies: Vec<Duration>,
}

impl Figures {
    pub(crate) fn latency(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() - 1) * percent / 100]
    }
}

/// Sends every request once over this many connections, about in their order, and panics at a response that isn't 2xx.
pub(crate) fn run(address: &str, requests: &'static [Vec<u8>], connections: usize) -> Figures {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let started = Instant::now();
        let mut tasks = Vec::new();
        for first in 0..connections {
            let part = requests.iter().skip(first).step_by(connections);
            tasks.push(tokio::spawn(connection(address.to_owned(), part)));
        }
        let mut latencies = Vec::with_capacity(requests.len());
        for task in tasks {
            latencies.extend(task.await.expect("a connection"));
        }
        let took = started.elapsed();
        latencies.sort();
        Figures { took, latencies }
    })
}

async fn connection(
    address: String,
    requests: impl ExactSizeIterator<Item = &'static Vec<u8>>,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(&address)
        .await
        .expect("the server listens");
    stream.set_nodelay(true).expect("TCP");
    let mut latencies = Vec::with_capacity(requests.len());
    let mut response = vec![0; 4096];
    for request in requests {
        let started = Instant::now();
        stream.write_all(request).await.expect("the server reads");
        let mut read = 0;
        // The responses have no body, or a short one that arrives with the head.
        while !response[..read].windows(4).any(|end| end == b"\r\n\r\n") {
            let more = stream
                .read(&mut response[read..])
                .await
                .expect("the server responds");
            assert!(more > 0, "the server hung up");
            read += more;
        }
        assert!(
            response.starts_with(b"HTTP/1.1 2"),
            "{}",
            String::from_utf8_lossy(&response[..read])
        );
        latencies.push(started.elapsed());
    }
    latencies
}
