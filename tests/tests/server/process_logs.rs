//! An app process recovers when certificates appear late, and does not block on an unread log.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use forge_remote_tests::http::{Call, Connection, send};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, Fit, published};
use forge_remote_tests::stores::Folder;
use forge_remote_tests::test_app::eventually;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// A root certificate whose key was discarded.
const ROOT: &str = "-----BEGIN CERTIFICATE-----
MIIBmTCCAT+gAwIBAgIUARtHeefQ2uiWMtMtHMw487feq4gwCgYIKoZIzj0EAwIw
ITEfMB0GA1UEAwwWZm9yZ2UtcmVtb3RlIHRlc3Qgcm9vdDAgFw0yNjExMjgxMDM4
MjdaGA8yMTI2MTEwNDEwMzgyN1owITEfMB0GA1UEAwwWZm9yZ2UtcmVtb3RlIHRl
c3Qgcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMSKMpbcrKZc1kgDu43G
Tl41BFSPPfw9c6TeKQ6lEKFzmog2A34Z0np4PYpKeJMVlJA9MBB48jTv9C6cbBLr
slajUzBRMB0GA1UdDgQWBBRsw6K73sYO+C1PRh5hXk7RW3Fq5jAfBgNVHSMEGDAW
gBRsw6K73sYO+C1PRh5hXk7RW3Fq5jAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49
BAMCA0gAMEUCIG+Lx5mFU2b9r6kpAAVIUd0RJDr5UghRfP0jbmV6LZyzAiEAjlrO
imu7PU472yF2GDo7jZc0nJsgqnz3AzZzcv56RXQ=
-----END CERTIFICATE-----
";

struct App {
    child: Child,
    address: SocketAddr,
}

impl App {
    async fn start(keys: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_logs_app"))
            .env("FORGE_REMOTE_APP_ID", APP_ID)
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
            .env("FORGE_REMOTE_JWKS_URL", keys)
            .env_remove("FORGE_REMOTE_MANIFEST")
            .env_remove("SSL_CERT_DIR")
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().unwrap();
            }
        };
        Self { child, address }
    }

    /// Collects the lines that the process logs from now on.
    fn log(&mut self) -> Arc<Mutex<String>> {
        let mut lines = BufReader::new(self.child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let writes = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = writes.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        log
    }
}

/// The HTTP client is built once certificates are readable, and the log names the problem before.
#[tokio::test]
async fn the_client_is_built_once_certificates_appear() {
    let folder = Folder::default();
    let certificates = folder.path().join("ca.pem");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/jwks.json", listener.local_addr().unwrap());
    let variables = [
        ("SSL_CERT_FILE", certificates.to_str().unwrap()),
        ("NO_PROXY", "127.0.0.1"),
    ];
    let mut app = App::start(&url, &variables).await;
    let log = app.log();
    let has = |text: &str| log.lock().unwrap().contains(text);
    assert!(
        eventually(|| has("No CA certificates were loaded")).await,
        "{log:?}"
    );
    assert!(has(&url) && has("not Atlassian's default"), "{log:?}");
    let ready = Call::new("GET", "/readyz");
    assert_eq!(send(app.address, &ready).await.unwrap().status, 503);

    std::fs::write(&certificates, ROOT).unwrap();
    // A TLS handshake shows that the client was built. Its backoff is 5 seconds at most.
    let hello = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap()
    };
    let first = tokio::time::timeout(Duration::from_secs(10), hello).await;
    assert_eq!(first.expect("no attempt after 10 s"), 22, "a TLS handshake");
}

/// The proxy is logged, without its password.
#[tokio::test]
async fn a_proxy_is_logged() {
    let variables = [("HTTPS_PROXY", "http://user:s3cret@127.0.0.1:9")];
    let mut app = App::start("https://keys.example.com/jwks.json", &variables).await;
    let log = app.log();
    let has = |text: &str| log.lock().unwrap().contains(text);
    assert!(eventually(|| has("through a proxy")).await, "{log:?}");
    assert!(has("http://127.0.0.1:9") && !has("s3cret"), "{log:?}");
}

#[tokio::test]
async fn a_filter_that_is_not_valid_is_reported() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut app = App::start(&keys.url(), &[("RUST_LOG", "forge_remote=loud")]).await;
    let log = app.log();
    let has = |text: &str| log.lock().unwrap().contains(text);
    assert!(eventually(|| has("RUST_LOG is not valid")).await, "{log:?}");
}

/// While nobody reads the log, the app keeps serving and counts the lines it could not write.
#[tokio::test]
async fn an_unread_log_does_not_block_the_app() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut app = App::start(&keys.url(), &[]).await;
    // 5.4 MB of lines, more than the pipe (64 KiB) and the queue (4 MiB) hold.
    let body = "x".repeat(3_900);
    let calls = (0..4).map(|_| async {
        let mut connection = Connection::open(app.address).await.unwrap();
        let mut call = Vec::new();
        for at in 0..350 {
            if at % 100 == 0 {
                let fit = Fit::page(SystemTime::now()).token();
                let post = Call::post("/quote").bearer(&fit).body(&body);
                call = post.keep_alive().bytes();
            }
            assert!(connection.send(&call).await);
            assert_eq!(connection.response().await.unwrap().unwrap().status, 500);
        }
    });
    let started = Instant::now();
    let all = futures_util::future::join_all(calls);
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("the app is blocked");
    // More panics than the runtime has threads.
    let page = Fit::page(SystemTime::now()).token();
    let call = Call::post("/panics").bearer(&page).body("on\npurpose");
    let panics = (0..64).map(|_| send(app.address, &call));
    let panics = futures_util::future::join_all(panics);
    let panics = tokio::time::timeout(Duration::from_secs(10), panics).await;
    for response in panics.expect("panics block the app") {
        assert_eq!(response.unwrap().status, 500);
    }
    let health = Call::new("GET", "/healthz");
    let health = send(app.address, &health);
    let health = tokio::time::timeout(Duration::from_secs(5), health).await;
    assert_eq!(health.expect("/healthz stands still").unwrap().status, 200);
    assert!(started.elapsed() < Duration::from_secs(60));

    // Once read, the log names the number of lost lines, and its last lines are complete.
    let log = app.log();
    let has = |text: &str| log.lock().unwrap().contains(text);
    assert!(eventually(|| has("log lines were lost")).await);
    assert_eq!(send(app.address, &call).await.unwrap().status, 500);
    assert!(eventually(|| has("a thread panicked") && has("logs_app.rs:")).await);
    let pid = app.child.id().unwrap().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(killed.unwrap().success());
    assert!(app.child.wait().await.unwrap().success());
    assert!(eventually(|| has("stopping")).await);
    for line in log.lock().unwrap().lines() {
        let line: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(line.is_ok(), "{line:?}");
    }
}

/// A line repeats none of what spans have for traces.
#[tokio::test]
async fn a_line_has_the_handler_and_the_trace_alone() {
    let keys = JwksServer::start(JwksResponse::Keys(published())).await;
    let mut app = App::start(&keys.url(), &[]).await;
    let log = app.log();
    let fit = Fit::page(SystemTime::now()).token();
    let call = Call::post("/quote").bearer(&fit).body("on purpose");
    let call = call.header("x-b3-traceid", "a523b7549f0b88c9");
    assert_eq!(send(app.address, &call).await.unwrap().status, 500);
    let failed = || {
        let log = log.lock().unwrap();
        let mut lines = log.lines();
        lines
            .find(|line| line.contains("on purpose"))
            .map(str::to_owned)
    };
    assert!(eventually(|| failed().is_some()).await, "{log:?}");
    let line: serde_json::Value = serde_json::from_str(&failed().unwrap()).unwrap();
    let expected = serde_json::json!({
        "handler": "quote", "name": "invocation", "trace_id": "a523b7549f0b88c9",
    });
    assert_eq!(line["span"], expected);
}
