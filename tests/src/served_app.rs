//! An app served on loopback, whose server a test can stop and observe.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use forge_remote::axum::body::to_bytes;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::Connection;
use crate::test_app::SOON;

/// A served app and the test platform that signs its calls.
#[derive(Debug)]
pub struct ServedApp {
    /// The platform and the app.
    pub harness: Harness,
    /// The address the app listens on.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<()>>,
}

impl ServedApp {
    /// Serves an app on a free port.
    pub async fn start(app: App) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::start_on(listener, app).await
    }

    /// Serves an app on the given listener.
    pub fn start_on(listener: TcpListener, app: App) -> BoxFuture<'static, Self> {
        Box::pin(async move {
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
        })
    }

    /// Opens a connection to the app.
    pub async fn open(&self) -> Connection {
        Connection::open(self.address).await.unwrap()
    }

    /// Returns the bytes of a signed call of the handler with this key, with keep-alive.
    pub fn call<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Vec<u8>> {
        Box::pin(async move {
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
        })
    }

    /// Sends a call of the handler with this key, without waiting for the response.
    pub async fn begin(&self, key: &str) -> Connection {
        let mut connection = self.open().await;
        assert!(connection.send(&self.call(key).await).await);
        connection
    }

    /// Requests the app's shutdown.
    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Requests the app's shutdown and waits until it accepts no connections.
    pub async fn stop_accepting(&mut self) {
        self.stop();
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Returns whether the server is still running.
    pub fn is_serving(&self) -> bool {
        !self.server.is_finished()
    }

    /// Returns whether the server still runs after this time, in which a server that does not wait for
    /// its work would have ended.
    pub async fn runs_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, &mut self.server).await.is_err()
    }

    /// Waits until the server ends, for at most [`SOON`].
    pub async fn ended(&mut self) {
        let ended = tokio::time::timeout(SOON, &mut self.server).await;
        ended.expect("the server does not end").unwrap().unwrap();
    }
}

/// Returns a listener whose connections have a small send buffer, so that a peer that does not
/// read soon blocks them.
pub fn small_buffers() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(1024).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    socket.listen(16).unwrap()
}

/// Opens a connection with a small receive buffer.
pub async fn peer_with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    socket.connect(address).await.unwrap()
}
