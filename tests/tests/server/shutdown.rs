//! A stopping server waits for calls and spawned work within the grace period, then stops them.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forge_remote::axum::Router;
use forge_remote::axum::routing::get as axum_get;
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote_tests::http::exchange;
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, published};
use forge_remote_tests::plain_process::PlainProcess;
use forge_remote_tests::served_app::{ServedApp, peer_with_small_buffer, small_buffers};
use forge_remote_tests::test_app::SOON;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Semaphore;

/// The time in which a process has to end that does not wait for its grace period of 30 seconds.
const ENDS: Duration = Duration::from_secs(20);

/// A gate for work: it adds a permit to the first semaphore when it begins, takes one of the second
/// to end, and adds one to the third when it is dropped.
#[derive(Clone)]
struct Gate(Arc<Semaphore>, Arc<Semaphore>, Arc<Semaphore>);

struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl Gate {
    async fn pass(self) {
        let _dropped = Dropped(self.2);
        self.0.add_permits(1);
        self.1.acquire().await.unwrap().forget();
    }

    async fn begun(&self) {
        let begun = tokio::time::timeout(SOON, self.0.acquire()).await;
        begun.expect("nothing begins").unwrap().forget();
    }

    fn dropped(&self) -> usize {
        self.2.available_permits()
    }
}

#[scheduled_trigger(interval = "hour")]
async fn held(State(gate): State<Gate>) {
    gate.pass().await;
}

#[scheduled_trigger(interval = "hour")]
async fn spawns(call: Invocation, State(gate): State<Gate>) {
    call.spawn(async move {
        gate.pass().await;
        Ok(())
    });
}

/// Work adds a permit when it begins, and blocks its thread until the flag is set.
#[derive(Clone)]
struct Blocking(Arc<Semaphore>, Arc<AtomicBool>);

impl Default for Blocking {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)), Arc::default())
    }
}

/// Sets the flag when a test ends or fails, because its runtime waits for blocked threads.
struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Blocking {
    fn block(&self) {
        self.0.add_permits(1);
        while !self.1.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[scheduled_trigger(interval = "hour")]
async fn blocks(State(gate): State<Blocking>) {
    gate.block();
}

#[scheduled_trigger(interval = "hour")]
async fn spawns_blocking(call: Invocation, State(gate): State<Blocking>) {
    call.spawn(async move {
        gate.block();
        Ok(())
    });
}

#[scheduled_trigger(interval = "hour")]
async fn tick() {}

async fn served(change: impl FnOnce(App) -> App) -> (ServedApp, Gate) {
    let none = || Arc::new(Semaphore::new(0));
    let gate = Gate(none(), none(), none());
    let app = App::empty()
        .handler(handler!(held))
        .handler(handler!(spawns))
        .state(gate.clone());
    (ServedApp::start(change(app)).await, gate)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: app\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn half_a_head_and_idle_connections_do_not_delay_the_end() {
    let (mut served, _) = served(|app| app).await;
    let (mut half, mut idle) = (served.open().await, served.open().await);
    idle.send(&get("/healthz")).await;
    assert_eq!(idle.response().await.unwrap().unwrap().status, 200);
    half.send(b"GET /healthz HTTP/1.1\r\n").await;
    // The server has read the half once it responds on a later connection.
    exchange(served.address, &get("/healthz")).await.unwrap();
    let started = Instant::now();
    served.stop();
    served.ended().await;
    assert!(started.elapsed() < SOON);
    // The half request is not served later.
    half.send(b"Host: app\r\n\r\n").await;
    assert!(half.response().await.unwrap().is_none());
}

#[tokio::test]
async fn a_peer_that_does_not_read_delays_the_end_only_briefly() {
    use tokio::io::AsyncWriteExt as _;

    let mut served =
        ServedApp::start_on(small_buffers(), App::empty().handler(handler!(tick))).await;
    let mut peer = peer_with_small_buffer(served.address).await;
    let requests = get("/healthz").repeat(1000);
    let short = Duration::from_millis(300);
    while tokio::time::timeout(short, peer.write_all(&requests))
        .await
        .is_ok()
    {}
    served.stop();
    served.ended().await;
}

#[tokio::test]
async fn a_call_in_flight_gets_its_response() {
    let (mut served, gate) = served(|app| app).await;
    let mut call = served.begin("held").await;
    gate.begun().await;
    served.stop_accepting().await;
    assert!(served.is_serving());
    gate.1.add_permits(1);
    let response = call.response().await.unwrap().unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("connection"), Some("close"));
    // The server waits for that, because the handler has not read the body.
    drop(call);
    served.ended().await;
}

#[tokio::test]
async fn a_call_that_the_kernel_has_accepted_is_served() {
    let (mut served, gate) = served(|app| app).await;
    gate.1.add_permits(1);
    // The server does not run between these and the stop.
    let call = served.call("held").await;
    let mut connection = std::net::TcpStream::connect(served.address).unwrap();
    std::io::Write::write_all(&mut connection, &call).unwrap();
    served.stop();
    connection.set_nonblocking(true).unwrap();
    let mut connection = TcpStream::from_std(connection).unwrap();
    let mut response = [0; 12];
    let read = tokio::time::timeout(SOON, connection.read_exact(&mut response)).await;
    read.expect("no response").unwrap();
    assert_eq!(response, *b"HTTP/1.1 200");
    // As above.
    drop(connection);
    served.ended().await;
}

#[tokio::test]
async fn a_connection_that_waits_for_room_is_served() {
    let (mut served, gate) = served(|app| app.max_connections(1).max_in_flight(2)).await;
    let mut first = served.begin("held").await;
    gate.begun().await;
    let mut waiting = served.begin("held").await;
    assert!(served.runs_for(Duration::from_millis(50)).await);
    served.stop();
    gate.begun().await;
    gate.1.add_permits(2);
    for call in [&mut first, &mut waiting] {
        assert_eq!(call.response().await.unwrap().unwrap().status, 200);
    }
    drop((first, waiting));
    served.ended().await;
}

#[tokio::test]
async fn spawned_work_is_waited_for() {
    let (mut served, gate) = served(|app| app).await;
    let mut call = served.begin("spawns").await;
    assert_eq!(call.response().await.unwrap().unwrap().status, 200);
    gate.begun().await;
    served.stop_accepting().await;
    assert!(served.is_serving() && gate.dropped() == 0);
    gate.1.add_permits(1);
    served.ended().await;
    assert_eq!(gate.dropped(), 1);
}

/// A request to a route of the app's own is a call like any other.
#[tokio::test]
async fn a_route_of_your_own_is_waited_for_and_cancelled_after_the_grace() {
    for in_time in [true, false] {
        let none = || Arc::new(Semaphore::new(0));
        let gate = Gate(none(), none(), none());
        let held = {
            let gate = gate.clone();
            async move || {
                gate.clone().pass().await;
                "own"
            }
        };
        let grace = if in_time { 10_000 } else { 200 };
        let app = App::empty()
            .handler(handler!(tick))
            .routes(Router::new().route("/own", axum_get(held)))
            .shutdown_grace(Duration::from_millis(grace));
        let mut served = ServedApp::start(app).await;
        let mut call = served.open().await;
        assert!(call.send(&get("/own")).await);
        gate.begun().await;
        served.stop_accepting().await;
        assert!(served.runs_for(Duration::from_millis(100)).await);
        assert_eq!(gate.dropped(), 0);
        if in_time {
            gate.1.add_permits(1);
            assert_eq!(call.response().await.unwrap().unwrap().status, 200);
        }
        served.ended().await;
        assert_eq!(gate.dropped(), 1, "it runs after the server has ended");
    }
}

/// A handler that continues without its caller has no connection, but shutdown waits for it.
#[tokio::test]
async fn a_handler_without_its_caller_is_waited_for() {
    let (mut served, gate) = served(|app| app.response_timeout(Duration::from_millis(50))).await;
    let mut overdue = served.begin("held").await;
    assert_eq!(overdue.response().await.unwrap().unwrap().status, 503);
    gate.begun().await;
    served.stop_accepting().await;
    assert!(served.runs_for(Duration::from_millis(100)).await);
    assert_eq!(gate.dropped(), 0);
    gate.1.add_permits(1);
    served.ended().await;
    assert_eq!(gate.dropped(), 1);
}

/// Cancelled work ends at its next await. The server waits for work that blocks its thread instead, for
/// at most two seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_server_waits_for_cancelled_work_that_blocks() {
    for key in ["blocks", "spawns-blocking"] {
        let gate = Blocking::default();
        let _release = Release(Arc::clone(&gate.1));
        let app = App::empty()
            .handler(handler!(blocks))
            .handler(handler!(spawns_blocking))
            .state(gate.clone())
            .shutdown_grace(Duration::from_millis(20));
        let mut served = ServedApp::start(app).await;
        let _call = served.begin(key).await;
        let begun = tokio::time::timeout(SOON, gate.0.acquire()).await;
        begun.expect("it does not begin").unwrap().forget();
        served.stop();
        assert!(served.runs_for(Duration::from_millis(400)).await, "{key}");
        gate.1.store(true, Ordering::SeqCst);
        served.ended().await;
    }
}

#[tokio::test]
async fn nothing_runs_after_the_grace_period() {
    let limits = |app: App| {
        let app = app.shutdown_grace(Duration::from_millis(100));
        app.response_timeout(Duration::from_millis(50))
    };
    let (mut served, gate) = served(limits).await;
    let mut overdue = served.begin("held").await;
    assert_eq!(overdue.response().await.unwrap().unwrap().status, 503);
    let mut spawned = served.begin("spawns").await;
    assert_eq!(spawned.response().await.unwrap().unwrap().status, 200);
    gate.begun().await;
    gate.begun().await;
    let mut in_flight = served.begin("held").await;
    gate.begun().await;
    served.stop();
    served.ended().await;
    assert_eq!(gate.dropped(), 3, "work runs after the server has ended");
    assert!(in_flight.response().await.is_ok());

    // The app can be served again.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    served.address = listener.local_addr().unwrap();
    let again = served.harness.app().clone();
    let again = tokio::spawn(again.serve(listener, std::future::pending()));
    gate.1.add_permits(1);
    let mut call = served.begin("spawns").await;
    assert_eq!(call.response().await.unwrap().unwrap().status, 200);
    gate.begun().await;
    again.abort();
}

#[tokio::test]
async fn nothing_runs_after_the_server_is_dropped() {
    let (served, gate) = served(|app| app).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // The app's other server has ended.
    let mut served = served;
    served.stop();
    served.ended().await;
    let app = served.harness.app().clone();
    let server = tokio::spawn(app.serve(listener, std::future::pending()));
    served.address = address;
    let mut spawned = served.begin("spawns").await;
    assert_eq!(spawned.response().await.unwrap().unwrap().status, 200);
    let _in_flight = served.begin("held").await;
    gate.begun().await;
    gate.begun().await;
    server.abort();
    let all = tokio::time::timeout(SOON, gate.2.acquire_many(2)).await;
    assert!(all.is_ok(), "work runs after its server was dropped");
}

#[tokio::test]
async fn a_draining_app_serves_and_is_not_ready() {
    let (mut served, gate) = served(|app| app.drain(Duration::from_secs(2))).await;
    gate.1.add_permits(10);
    let mut connection = served.begin("held").await;
    assert_eq!(connection.response().await.unwrap().unwrap().status, 200);
    let status = async |path: &str| {
        let response = exchange(served.address, &get(path)).await.unwrap();
        response.unwrap().status
    };
    while status("/readyz").await != 200 {
        tokio::task::yield_now().await;
    }
    served.stop();
    let status = async |path: &str| {
        let response = exchange(served.address, &get(path)).await.unwrap();
        response.unwrap().status
    };
    while status("/readyz").await != 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(status("/healthz").await, 200);
    let mut new = served.begin("held").await;
    assert_eq!(new.response().await.unwrap().unwrap().status, 200);
    assert!(connection.send(&served.call("held").await).await);
    assert_eq!(connection.response().await.unwrap().unwrap().status, 200);
    assert!(served.is_serving());
    served.ended().await;
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    for second in ["TERM", "INT"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
        command.env("STAYS", "1");
        let mut app = PlainProcess::start(command, &keys).await;
        app.signal("TERM").await;
        app.logs("stopping").await;
        app.signal(second).await;
        let ended = tokio::time::timeout(ENDS, app.child.wait()).await;
        let status = ended.expect("the process still runs").unwrap();
        assert_eq!(status.code(), Some(1), "{second}");
    }
}

/// A process that connects its state, which never completes.
struct Connecting {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Connecting {
    /// Starts a command of an app whose state hangs in this way. It ignores SIGTERM, unless it receives it.
    async fn start(command: &str, hangs: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_plain_app");
        let mut child = Command::new("sh")
            .args(["-c", &format!("trap '' TERM; exec {program} {command}")])
            .env("HANGS", hangs)
            .env("FORGE_REMOTE_APP_ID", APP_ID)
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
            .env_remove("FORGE_REMOTE_MANIFEST")
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut connecting = Self { child, log };
        connecting.logs("connecting").await;
        connecting
    }

    async fn logs(&mut self, text: &str) {
        let logged = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                if line.contains(text) {
                    return;
                }
            }
            panic!("the process has ended");
        };
        let logged = tokio::time::timeout(ENDS, logged).await;
        assert!(logged.is_ok(), "`{text}` is not logged");
    }

    async fn terminate(&self) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(sent.await.unwrap().success());
    }

    async fn status(mut self) -> Option<i32> {
        let ended = tokio::time::timeout(ENDS, self.child.wait()).await;
        ended.expect("the process still runs").unwrap().code()
    }
}

/// As process 1 of a container, a process ignores the signals that it does not receive.
#[tokio::test]
async fn a_signal_while_the_app_connects_ends_it() {
    for (command, status) in [("serve", 0), ("dev", 0), ("dev --once", 2)] {
        let app = Connecting::start(command, "").await;
        app.terminate().await;
        assert_eq!(app.status().await, Some(status), "{command}");
    }
}

/// The first signal stops the app at its next await point, which a start that blocks its thread does not reach. A start
/// that blocks another thread is cancelled, but the process waits for that thread.
#[tokio::test]
async fn a_second_signal_ends_a_start_that_blocks_a_thread() {
    for (command, hangs) in [
        ("serve", "thread"),
        ("dev", "thread"),
        ("dev --once", "thread"),
        ("serve", "pool"),
        ("dev", "pool"),
    ] {
        let mut app = Connecting::start(command, hangs).await;
        app.terminate().await;
        app.logs("a second one ends the process").await;
        app.terminate().await;
        assert_eq!(app.status().await, Some(1), "{command}, {hangs}");
    }
}

/// Such a program retries while its database is down. The signals have no default action any more.
#[tokio::test]
async fn a_signal_between_two_starts_that_fail_ends_the_process() {
    let mut app = Connecting::start("", "retries").await;
    app.logs("pausing").await;
    if cfg!(target_os = "linux") {
        let tasks = format!("/proc/{}/task", app.child.id().unwrap());
        let names = std::fs::read_dir(tasks).unwrap().map(|task| {
            let name = task.unwrap().path().join("comm");
            std::fs::read_to_string(name).unwrap_or_default()
        });
        let of_signals = names.filter(|name| name.starts_with("forge-remote-si"));
        assert_eq!(of_signals.count(), 1, "threads for signals");
    }
    app.terminate().await;
    assert_eq!(app.status().await, Some(1));
}

/// The signal that has stopped one server of a process is not the first of two for the next server.
#[tokio::test]
async fn one_signal_stops_a_second_server_of_a_process() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command.env("SERVES_BEFORE", "1");
    let mut app = PlainProcess::start(command, &keys).await;
    app.logs("FITs are verified with the keys of this source")
        .await;
    app.signal("TERM").await;
    app.logs("FITs are verified with the keys of this source")
        .await;
    app.signal("TERM").await;
    let ended = tokio::time::timeout(ENDS, app.child.wait()).await;
    let status = ended.expect("the process still runs").unwrap();
    assert_eq!(status.code(), Some(0));
}

/// A task that blocks its thread cannot be cancelled, but does not keep the process alive.
#[tokio::test]
async fn a_task_that_blocks_its_thread_does_not_keep_the_process() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command.env("BLOCKS", "1");
    let mut app = PlainProcess::start(command, &keys).await;
    app.signal("TERM").await;
    app.logs("blocks its thread").await;
    let ended = tokio::time::timeout(ENDS, app.child.wait()).await;
    let status = ended.expect("the process still runs").unwrap();
    assert_eq!(status.code(), Some(1));
}
