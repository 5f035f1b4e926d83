//! An app on loopback whose server is watched: how it stops, and what is left of it.

use std::net::{Ipv4Addr, SocketAddr};

use forge_remote::axum::body::to_bytes;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::Connection;
use crate::rig::SOON;

/// A served app with a platform that signs for it.
#[derive(Debug)]
pub struct Served {
    /// The platform and the app.
    pub harness: Harness,
    /// Where the app listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<()>>,
}

impl Served {
    /// Serves an app.
    pub async fn start(app: App) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::start_on(listener, app).await
    }

    /// Serves an app on this listener.
    pub async fn start_on(listener: TcpListener, app: App) -> Self {
        let app = app.remote(Remote::new("backend").base_url("https://backend.example.com"));
        let harness = Harness::new(app).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(harness.app().clone().serve(listener, async {
            let _ = stopped.await;
        }));
        Self {
            harness,
            address,
            stop: Some(stop),
            server,
        }
    }

    /// A connection to the app.
    pub async fn open(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    /// The bytes of a signed call of the handler with this key, on a connection that is kept.
    pub async fn call(&self, key: &str) -> Vec<u8> {
        let handler = self.harness.app().registry().find(key).next().unwrap();
        let call = self.harness.platform().call(handler);
        let (parts, body) = call.into_request().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: app\r\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            if name != "content-length" {
                bytes.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
            }
        }
        bytes.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Sends a call of the handler with this key.
    pub async fn begin(&self, key: &str) -> Connection {
        let mut connection = self.open().await;
        assert!(connection.send(&self.call(key).await).await);
        connection
    }

    /// Asks the app to stop.
    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Asks the app to stop, and waits until it accepts no connection.
    pub async fn stop_accepting(&mut self) {
        self.stop();
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Whether the server still runs.
    pub fn is_serving(&self) -> bool {
        !self.server.is_finished()
    }

    /// The server ends soon.
    pub async fn ended(&mut self) {
        let ended = tokio::time::timeout(SOON, &mut self.server).await;
        ended.expect("the server does not end").unwrap().unwrap();
    }
}

/// A listener whose connections have a small send buffer: a peer that does not read blocks it soon.
pub fn small_buffers() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(1024).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    socket.listen(16).unwrap()
}

/// A connection with a small receive buffer.
pub async fn peer_with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    socket.connect(address).await.unwrap()
}
