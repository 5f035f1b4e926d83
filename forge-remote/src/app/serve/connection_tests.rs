use std::future::Future;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use futures_util::StreamExt as _;
use hyper::server::conn::http1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::activity::{Activity, Phase};
use super::connection::Connection;

const REQUEST: &str = "POST / HTTP/1.1\r\nhost: app\r\ncontent-length: 5\r\n\r\n";

/// A connection that this test polls, and its peer.
struct Served {
    connection: Connection,
    activity: Arc<Activity>,
    peer: TcpStream,
}

impl Served {
    async fn new(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap());
        let (peer, accepted) = tokio::join!(peer, listener.accept());
        let activity = Arc::new(Activity::new());
        let mut http = http1::Builder::new();
        http.half_close(true);
        let stream = accepted.unwrap().0;
        let connection = Connection::new(Arc::new(http), stream, router, Arc::clone(&activity));
        Self {
            connection,
            activity,
            peer: peer.unwrap(),
        }
    }

    /// Sends text, and serves the connection until a response ends with this text.
    async fn exchange(&mut self, sent: &str, end: &str) -> String {
        let Self {
            connection, peer, ..
        } = self;
        let exchanged = async {
            peer.write_all(sent.as_bytes()).await.unwrap();
            let mut text = String::new();
            while !text.ends_with(end) {
                text.push(peer.read_u8().await.unwrap().into());
            }
            text
        };
        drive(connection, exchanged).await
    }

    /// Lets the connection rest, as the server does after a second, and returns whether it does.
    async fn rests(&mut self) -> bool {
        let idle = self.activity.snapshot();
        assert_eq!(idle.phase(), Phase::Idle);
        self.activity.rest_if(idle);
        drive(&mut self.connection, tokio::task::yield_now()).await;
        self.connection.is_resting()
    }
}

/// Polls the connection until the other future completes.
async fn drive<T>(connection: &mut Connection, other: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        () = connection => panic!("the connection ended"),
        value = other => value,
    }
}

fn echo() -> Router {
    Router::new().route("/", post(async |body: String| body))
}

#[tokio::test]
async fn an_idle_connection_rests_and_serves_the_next_request() {
    let mut served = Served::new(echo()).await;
    assert!(served.connection.is_resting(), "before its first request");
    for number in 1..=3 {
        let body = format!("call{number}");
        let response = served.exchange(&format!("{REQUEST}{body}"), &body).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(!served.connection.is_resting());
        assert!(served.rests().await);
    }
}

#[tokio::test]
async fn a_resting_connection_holds_no_buffer() {
    let mut served = Served::new(echo()).await;
    let large = "x".repeat(300_000);
    let head = REQUEST.replace("length: 5", "length: 300000");
    served.exchange(&format!("{head}{large}"), &large).await;
    assert!(served.rests().await);
    assert_eq!(served.connection.take_buffer(), Some(0));
}

#[tokio::test]
async fn a_connection_that_rests_keeps_the_bytes_that_were_read() {
    let mut served = Served::new(echo()).await;
    let (head, rest) = REQUEST.split_at(20);
    served
        .exchange(&format!("{REQUEST}firstPOST{}", &head[4..]), "first")
        .await;
    served.rests().await;
    let response = served.exchange(&format!("{rest}again"), "again").await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}

#[tokio::test]
async fn a_connection_with_an_incomplete_body_does_not_rest() {
    let held: Arc<Mutex<Option<Body>>> = Arc::default();
    let holder = Arc::clone(&held);
    let hold = move |body: Body| {
        *holder.lock().unwrap() = Some(body);
        std::future::ready("held")
    };
    let mut served = Served::new(Router::new().route("/", post(hold))).await;
    // The handler responds before the body is complete, and a separate task reads it later.
    served.exchange(&format!("{REQUEST}tw"), "held").await;
    assert!(!served.rests().await);
    let body = held.lock().unwrap().take().unwrap();
    served.peer.write_all(b"o bi").await.unwrap();
    // hyper signals the end of such a body only at the next request.
    let read = async {
        let mut parts = body.into_data_stream();
        let mut text = Vec::new();
        while text.len() < 5 {
            text.extend(parts.next().await.unwrap().unwrap());
        }
        text
    };
    assert_eq!(drive(&mut served.connection, read).await, b"two b");
    // The byte after the body is the beginning of the next request.
    let response = served
        .exchange(" / HTTP/1.1\r\nhost: app\r\n\r\n", "\r\n\r\n")
        .await;
    assert!(response.starts_with("HTTP/1.1 405"), "{response}");
}
