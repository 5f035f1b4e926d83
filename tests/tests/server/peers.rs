//! Slow, idle, numerous or vanished peers do not starve other connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote_tests::http::{Connection, exchange};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::published;
use forge_remote_tests::log_capture::LogCapture;
use forge_remote_tests::plain_process::PlainProcess;
use forge_remote_tests::served_app::{ServedApp, peer_with_small_buffer, small_buffers};
use forge_remote_tests::test_app::SOON;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::sync::Semaphore;

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: app\r\n\r\n";
const HALF: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: ";
const SHORT: Duration = Duration::from_millis(200);

/// A gate for handlers: they add a permit to the first semaphore when they begin and take one of the
/// second to end.
#[derive(Clone)]
struct Gate(Arc<Semaphore>, Arc<Semaphore>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)))
    }

    async fn begun(&self) {
        let begun = tokio::time::timeout(SOON, self.0.acquire()).await;
        begun.expect("no handler begins").unwrap().forget();
    }
}

#[scheduled_trigger(interval = "hour")]
async fn held(State(gate): State<Gate>) -> StatusCode {
    gate.0.add_permits(1);
    gate.1.acquire().await.unwrap().forget();
    StatusCode::OK
}

async fn served(change: impl FnOnce(App) -> App) -> (ServedApp, Gate) {
    let gate = Gate::new();
    let app = App::empty().handler(handler!(held)).state(gate.clone());
    (ServedApp::start(change(app)).await, gate)
}

async fn status(connection: &mut Connection) -> u16 {
    connection
        .response()
        .await
        .unwrap()
        .expect("a response")
        .status
}

async fn health(connection: &mut Connection) -> u16 {
    assert!(connection.send(HEALTH).await);
    status(connection).await
}

/// Starts a process that may open 300 files.
async fn with_300_files() -> (PlainProcess, JwksServer) {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_plain_app");
    command.args(["-c", &format!("ulimit -n 300; exec {program}")]);
    (PlainProcess::start(command, &keys).await, keys)
}

async fn is_healthy(address: SocketAddr) {
    let started = Instant::now();
    let response = exchange(address, HEALTH).await.unwrap().unwrap();
    assert_eq!(response.status, 200);
    let took = started.elapsed();
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn half_heads_do_not_starve_a_healthy_call() {
    let (app, _keys) = with_300_files().await;
    let mut peers = Vec::new();
    for _ in 0..400 {
        let mut peer = TcpStream::connect(app.address).await.unwrap();
        peer.write_all(HALF).await.unwrap();
        peers.push(peer);
    }
    is_healthy(app.address).await;
    let log = app.end().await;
    let errors = log.iter().filter(|line| line.contains("can be accepted"));
    assert_eq!(errors.count(), 0, "{log:#?}");
}

#[tokio::test]
async fn idle_connections_do_not_starve_a_healthy_call() {
    let (app, _keys) = with_300_files().await;
    let mut peers = Vec::new();
    for number in 0..400 {
        let mut peer = Connection::open(app.address).await.unwrap();
        assert_eq!(health(&mut peer).await, 200, "connection {number}");
        peers.push(peer);
    }
    is_healthy(app.address).await;
}

/// The app raises its limit of open files to the hard limit.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_soft_file_limit_is_raised() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_plain_app");
    command.args([
        "-c",
        &format!("ulimit -Sn 200 && ulimit -Hn 700 && exec {program}"),
    ]);
    let app = PlainProcess::start(command, &keys).await;
    // The limit is raised before the first response.
    is_healthy(app.address).await;
    let limits = format!("/proc/{}/limits", app.child.id().unwrap());
    let limits = std::fs::read_to_string(limits).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let numbers: Vec<&str> = files.unwrap().split_whitespace().skip(3).collect();
    assert_eq!(numbers[..2], ["700", "700"], "{limits}");
}

#[tokio::test]
async fn a_head_and_an_idle_connection_have_separate_limits() {
    let (served, _) = served(|app| app.header_timeout(SHORT)).await;
    let (mut half, mut idle) = (served.open().await, served.open().await);
    assert_eq!(health(&mut idle).await, 200);
    half.send(HALF).await;
    assert!(half.is_closed_within(SOON).await);
    // The time limit of the next head begins with its first byte, not with the last response.
    assert_eq!(health(&mut idle).await, 200);

    let (served, _) = self::served(|app| app.keep_alive(SHORT)).await;
    let (mut half, mut idle) = (served.open().await, served.open().await);
    half.send(HALF).await;
    assert_eq!(health(&mut idle).await, 200);
    assert!(idle.is_closed_within(SOON).await);
    half.send(b"app\r\n\r\n").await;
    assert_eq!(status(&mut half).await, 200);
}

#[tokio::test]
async fn a_handler_may_take_longer_than_a_head_or_an_idle_connection() {
    let short = Duration::from_millis(40);
    let limits = |app: App| {
        let app = app.header_timeout(short).keep_alive(short);
        app.write_timeout(short).body_timeout(short)
    };
    let (served, gate) = served(limits).await;
    let mut call = served.begin("held").await;
    gate.begun().await;
    // Other connections are subject to these limits meanwhile.
    for _ in 0..3 {
        assert!(served.open().await.is_closed_within(SOON).await);
    }
    gate.1.add_permits(1);
    assert_eq!(status(&mut call).await, 200);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed() {
    let app = App::empty().handler(handler!(held)).state(Gate::new());
    let served = ServedApp::start_on(small_buffers(), app.write_timeout(SHORT)).await;
    let mut peer = peer_with_small_buffer(served.address).await;
    // The server stops reading once it cannot write, and then this write blocks too.
    let requests = HEALTH.repeat(1000);
    let closed = async { while peer.write_all(&requests).await.is_ok() {} };
    let closed = tokio::time::timeout(SOON, closed).await;
    assert!(closed.is_ok(), "the connection is not closed");
    // A peer that reads slowly is served.
    let mut slow = peer_with_small_buffer(served.address).await;
    slow.write_all(&HEALTH.repeat(3)).await.unwrap();
    let mut text = String::new();
    while text.matches("ok\n").count() < 3 {
        let byte = slow.read_u8().await.unwrap();
        text.push(byte.into());
    }
}

#[tokio::test]
async fn the_oldest_idle_connection_is_closed_and_never_one_with_a_call() {
    let (served, gate) = served(|app| app.max_connections(3)).await;
    let mut call = served.begin("held").await;
    gate.begun().await;
    let (mut older, mut newer) = (served.open().await, served.open().await);
    assert_eq!(health(&mut older).await, 200);
    assert_eq!(health(&mut newer).await, 200);

    let mut new = served.open().await;
    assert_eq!(health(&mut new).await, 200);
    assert!(older.is_closed_within(SOON).await);
    assert_eq!(health(&mut newer).await, 200);
    gate.1.add_permits(1);
    assert_eq!(status(&mut call).await, 200);
}

/// Of two idle connections, the one whose last request is older is closed, whichever was opened first.
#[tokio::test]
async fn the_connection_that_is_idle_for_longest_makes_room() {
    let limits = |app: App| app.max_connections(2).header_timeout(SHORT);
    let (served, _) = served(limits).await;
    let (mut older, mut newer) = (served.open().await, served.open().await);
    assert_eq!(health(&mut older).await, 200);
    assert_eq!(health(&mut newer).await, 200);
    // The server looks at its connections four times within this limit.
    tokio::time::sleep(SHORT).await;
    assert_eq!(health(&mut older).await, 200);
    let mut new = served.open().await;
    assert_eq!(health(&mut new).await, 200);
    assert!(newer.is_closed_within(SOON).await);
    assert_eq!(health(&mut older).await, 200);
}

/// An idle connection is closed before one whose request is incomplete.
#[tokio::test]
async fn an_idle_connection_makes_room_before_half_a_head() {
    // A shorter limit than the others, so that the server looks at its connections more often.
    let limits = |app: App| app.max_connections(2).write_timeout(SHORT / 4);
    let (served, _) = served(limits).await;
    let (mut half, mut idle) = (served.open().await, served.open().await);
    half.send(HALF).await;
    assert_eq!(health(&mut idle).await, 200);
    // After this time, the incomplete request could be closed as well.
    tokio::time::sleep(SHORT).await;
    let mut new = served.open().await;
    assert_eq!(health(&mut new).await, 200);
    assert!(idle.is_closed_within(SOON).await);
    half.send(b"app\r\n\r\n").await;
    assert_eq!(status(&mut half).await, 200);
}

/// At the limit, a peer that does not read its response is closed long before its time limit.
#[tokio::test]
async fn a_peer_that_does_not_read_makes_room() {
    let app = App::empty().handler(handler!(held)).state(Gate::new());
    let served = ServedApp::start_on(small_buffers(), app.max_connections(1)).await;
    let mut peer = peer_with_small_buffer(served.address).await;
    let requests = HEALTH.repeat(1000);
    while tokio::time::timeout(SHORT, peer.write_all(&requests))
        .await
        .is_ok()
    {}
    let mut new = served.open().await;
    assert!(new.send(HEALTH).await);
    let response = tokio::time::timeout(SOON, status(&mut new)).await;
    assert_eq!(response.expect("there is no room"), 200);
}

#[tokio::test]
async fn a_connection_waits_while_all_others_have_calls() {
    let limits = |app: App| app.max_connections(2).max_in_flight(2);
    let (served, gate) = served(limits).await;
    let (mut first, mut second) = (served.begin("held").await, served.begin("held").await);
    gate.begun().await;
    gate.begun().await;
    let mut waiting = served.open().await;
    assert!(waiting.send(HEALTH).await);
    assert!(!waiting.has_response_within(SHORT).await);
    gate.1.add_permits(2);
    assert_eq!(status(&mut first).await, 200);
    assert_eq!(status(&mut second).await, 200);
    assert_eq!(status(&mut waiting).await, 200);
}

#[tokio::test]
async fn a_request_has_one_host() {
    let (served, _) = served(|app| app).await;
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        ("GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nhOST:\r\n", 200),
        ("GET /healthz HTTP/1.0\r\n", 200),
    ] {
        let bytes = format!("{head}Connection: close\r\n\r\n");
        let response = exchange(served.address, bytes.as_bytes()).await.unwrap();
        assert_eq!(response.unwrap().status, expected, "{head}");
    }
}

/// Callers can disconnect as often as they like.
#[tokio::test]
async fn callers_that_disconnect_do_not_flood_the_log() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let (served, gate) = served(|app| app).await;
    let left = |log: &str| log.matches("the caller has disconnected").count();
    let mut log = String::new();
    for number in 1..=20 {
        let mut caller = TcpStream::connect(served.address).await.unwrap();
        caller.write_all(&served.call("held").await).await.unwrap();
        gate.begun().await;
        caller.set_zero_linger().unwrap();
        drop(caller);
        while left(&log) < number.min(10) {
            log.push_str(&logged.take());
            tokio::task::yield_now().await;
        }
    }
    gate.1.add_permits(20);
    let finished = async {
        while !logged.has("finished after its caller left") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, finished).await.unwrap();
    log.push_str(&logged.take());
    assert_eq!(left(&log), 10, "{log}");
}

#[tokio::test]
async fn a_reset_is_noticed_and_a_half_closed_caller_gets_its_response() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let (served, gate) = served(|app| app).await;

    let mut half_closed = served.begin("held").await;
    gate.begun().await;
    half_closed.finish().await;

    let mut reset = TcpStream::connect(served.address).await.unwrap();
    reset.write_all(&served.call("held").await).await.unwrap();
    gate.begun().await;
    reset.set_zero_linger().unwrap();
    drop(reset);
    let noticed = async {
        while !logged.has("the caller has disconnected") {
            tokio::task::yield_now().await;
        }
    };
    let noticed = tokio::time::timeout(SOON, noticed).await;
    assert!(noticed.is_ok(), "the reset is not noticed");

    // Both handlers run to their end.
    gate.1.add_permits(2);
    assert_eq!(status(&mut half_closed).await, 200);
    let finished = async {
        while !logged.has("finished after its caller left") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, finished).await.unwrap();
    assert!(half_closed.is_closed_within(SOON).await);
}

/// Begins a call without a token and with a body of this length, which the server rejects, and reads the whole response.
async fn rejected(served: &ServedApp, length: usize, status: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    let mut peer = socket.connect(served.address).await.unwrap();
    let begin =
        format!("POST /held HTTP/1.1\r\nHost: app\r\nContent-Length: {length}\r\n\r\n{BEGIN}");
    peer.write_all(begin.as_bytes()).await.unwrap();
    let mut response = String::new();
    let read = peer.read_to_string(&mut response);
    let read = tokio::time::timeout(SOON, read).await;
    read.expect("the server does not close its side").unwrap();
    let line = format!("HTTP/1.1 {status} ");
    assert!(
        response.starts_with(&line) && response.ends_with('}'),
        "{response}"
    );
    peer
}

const BEGIN: &str = "begin";

/// Returns an app whose sockets do not hold a large body.
async fn with_small_buffers() -> ServedApp {
    let app = App::empty().handler(handler!(held)).state(Gate::new());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    ServedApp::start_on(socket.listen(16).unwrap(), app).await
}

async fn send_rest(mut peer: TcpStream, length: usize) {
    let rest = vec![b' '; length - BEGIN.len()];
    peer.write_all(&rest).await.unwrap();
    peer.shutdown().await.unwrap();
}

/// A connection that is closed before its peer has sent everything is reset, and a proxy turns the response into a 502.
#[tokio::test]
async fn the_rest_of_a_rejected_body_is_accepted() {
    let served = with_small_buffers().await;
    for (length, status) in [(1_000_000, 401), (2_000_000, 413)] {
        let peer = rejected(&served, length, status).await;
        send_rest(peer, length).await;
    }
}

#[tokio::test]
async fn the_rest_of_a_large_rejected_body_is_accepted() {
    let (served, _) = served(|app| app.header_timeout(Duration::from_secs(60))).await;
    let length = 20_000_000;
    let peer = rejected(&served, length, 413).await;
    send_rest(peer, length).await;
}

#[tokio::test]
async fn the_rest_of_a_rejected_body_is_accepted_although_the_server_stops() {
    let mut served = with_small_buffers().await;
    let length = 1_000_000;
    let peer = rejected(&served, length, 401).await;
    served.stop_accepting().await;
    send_rest(peer, length).await;
    served.ended().await;
}

/// A peer that does not close its side.
#[tokio::test]
async fn the_rest_of_a_rejected_body_delays_the_end_only_briefly() {
    let mut served = with_small_buffers().await;
    let _peer = rejected(&served, 1_000_000, 401).await;
    served.stop();
    served.ended().await;
}

/// The time of the shutdown is for calls, and none is in flight.
#[tokio::test]
async fn a_rejected_body_does_not_use_up_the_time_of_a_short_shutdown() {
    let logged = LogCapture::default();
    let _listening = logged.start();
    let (mut served, _) = served(|app| app.shutdown_grace(Duration::from_millis(1500))).await;
    let _peer = rejected(&served, 1_000_000, 401).await;
    served.stop();
    served.ended().await;
    let log = logged.take();
    assert!(!log.contains("still in flight"), "{log}");
}

#[tokio::test]
async fn the_rest_of_a_rejected_body_has_a_time_limit() {
    let (served, _) = served(|app| app.header_timeout(SHORT)).await;
    let mut peer = rejected(&served, 1_000_000, 401).await;
    let closed = async {
        while peer.write_all(b" ").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let closed = tokio::time::timeout(SOON, closed).await;
    assert!(closed.is_ok(), "the connection is not closed");
}
