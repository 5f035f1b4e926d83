use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake};

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

    /// Has the connection rest if it is idle, as the server does after a quarter of a second, and returns whether it rests.
    async fn rests(&mut self) -> bool {
        self.activity.rest_if(self.activity.snapshot());
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
    assert_eq!(served.activity.phase(), Phase::Idle);
    // The HTTP layer has read the beginning of a head: it is read again, and the connection waits for the rest.
    assert!(!served.rests().await);
    assert_eq!(served.activity.phase(), Phase::Head);
    let response = served.exchange(&format!("{rest}again"), "again").await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}

#[tokio::test]
async fn line_breaks_between_requests_do_not_keep_a_connection_from_resting() {
    let mut served = Served::new(echo()).await;
    let request = format!("{REQUEST}first\r\n");
    served.exchange(&request, "first").await;
    assert!(served.rests().await);
    served.peer.write_all(b"\r\n\r\n").await.unwrap();
    drive(&mut served.connection, tokio::task::yield_now()).await;
    assert!(served.rests().await);
    let response = served.exchange(&format!("{REQUEST}again"), "again").await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}

/// Returns a handler that responds at once, and keeps the body for a task.
fn holder() -> (Router, Arc<Mutex<Option<Body>>>) {
    let held: Arc<Mutex<Option<Body>>> = Arc::default();
    let holder = Arc::clone(&held);
    let hold = move |body: Body| {
        *holder.lock().unwrap() = Some(body);
        std::future::ready("held")
    };
    (Router::new().route("/", post(hold)), held)
}

#[tokio::test]
async fn a_connection_with_an_incomplete_body_does_not_rest() {
    let (router, held) = holder();
    let mut served = Served::new(router).await;
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

#[tokio::test]
async fn a_body_that_arrives_after_the_response_is_no_head() {
    let (router, held) = holder();
    let mut served = Served::new(router).await;
    served.exchange(REQUEST, "held").await;
    let waiting = served.activity.snapshot();
    assert_eq!(waiting.phase(), Phase::Body);
    served.peer.write_all(b"two").await.unwrap();
    let body = held.lock().unwrap().take().unwrap();
    let mut parts = body.into_data_stream();
    let part = drive(&mut served.connection, parts.next()).await;
    assert_eq!(part.unwrap().unwrap(), "two");
    // The time limit has begun again.
    assert_eq!(served.activity.phase(), Phase::Body);
    assert_ne!(served.activity.snapshot(), waiting);
    served.peer.write_all(b" b").await.unwrap();
    let part = drive(&mut served.connection, parts.next()).await;
    assert_eq!(part.unwrap().unwrap(), " b");
    // The body was read in a task of the handler's: the server wakes the connection.
    served.activity.wake_after_body();
    drive(&mut served.connection, tokio::task::yield_now()).await;
    assert_eq!(served.activity.phase(), Phase::Idle);
    assert!(served.rests().await);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_no_head() {
    let mut served = Served::new(Router::new().route("/", post("left"))).await;
    served.exchange(&format!("{REQUEST}first"), "left").await;
    assert_eq!(served.activity.phase(), Phase::Idle);
    assert!(served.rests().await);

    let (router, held) = holder();
    let mut served = Served::new(router).await;
    served.exchange(&format!("{REQUEST}tw"), "held").await;
    served.peer.write_all(b"o b").await.unwrap();
    drive(&mut served.connection, tokio::task::yield_now()).await;
    // The HTTP layer reads the rest if it is there already, and closes the connection otherwise.
    drop(held.lock().unwrap().take());
    drive(&mut served.connection, tokio::task::yield_now()).await;
    let phase = served.activity.phase();
    assert!(matches!(phase, Phase::Idle | Phase::Closing), "{phase:?}");
}

/// Records whether a body counts as held when the connection is woken, and whether the request counts as read.
struct Woken {
    activity: Arc<Activity>,
    is_body_held: AtomicBool,
    is_read: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        let is_held = self.activity.is_body_held();
        self.is_body_held.fetch_or(is_held, Ordering::Relaxed);
        let is_read = !self.activity.is_unread();
        self.is_read.fetch_or(is_read, Ordering::Relaxed);
    }
}

/// If the body counted as gone before the HTTP layer could see that it was dropped, the connection could rest in between,
/// and take the rest of the body for a request. If the request did not count as unread by then, a stopping connection could
/// be reset.
#[tokio::test]
async fn a_dropped_body_is_gone_only_once_the_http_layer_can_see_it() {
    let (router, held) = holder();
    let mut served = Served::new(router).await;
    served.exchange(&format!("{REQUEST}tw"), "held").await;
    let woken = Arc::new(Woken {
        activity: Arc::clone(&served.activity),
        is_body_held: AtomicBool::new(false),
        is_read: AtomicBool::new(false),
    });
    let waker = Arc::clone(&woken).into();
    let polled = Pin::new(&mut served.connection).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    // The HTTP layer's end of the body wakes the connection.
    drop(held.lock().unwrap().take());
    assert!(woken.is_body_held.load(Ordering::Relaxed));
    assert!(!woken.is_read.load(Ordering::Relaxed));
    // The rest of the body is missing: the connection ends, and what the peer still sends is not a request.
    drive(&mut served.connection, tokio::task::yield_now()).await;
    assert_eq!(served.activity.phase(), Phase::Closing);
    served.peer.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut received = String::new();
    let reading = served.peer.read_to_string(&mut received);
    drive(&mut served.connection, reading).await.unwrap();
    assert_eq!(received, "");
    let Served {
        connection, peer, ..
    } = served;
    drop(peer);
    connection.await;
}

#[tokio::test]
async fn a_body_that_work_reads_is_complete_although_the_server_stops() {
    let (router, held) = holder();
    let mut served = Served::new(router).await;
    served.exchange(&format!("{REQUEST}tw"), "held").await;
    served.activity.stop();
    drive(&mut served.connection, tokio::task::yield_now()).await;
    let body = held.lock().unwrap().take().unwrap();
    served.peer.write_all(b"o bi").await.unwrap();
    let read = axum::body::to_bytes(body, 5);
    let (read, ()) = tokio::join!(read, served.connection);
    assert_eq!(read.unwrap(), "two bi"[..5]);
}

#[tokio::test]
async fn a_request_counts_as_unread_for_its_own_body_alone() {
    let mut served = Served::new(Router::new().route("/", post("left"))).await;
    served.exchange(&format!("{REQUEST}first"), "left").await;
    assert!(served.activity.is_unread());
    let request = "GET / HTTP/1.1\r\nhost: app\r\n\r\n";
    let response = served.exchange(request, "\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 405"), "{response}");
    assert!(!served.activity.is_unread());
}
