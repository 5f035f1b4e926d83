//! A deployment for `doctor --url`: an app as a process behind a proxy, which may have a fault.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use forge_remote::axum::Router;
use forge_remote::axum::body::{Body, Bytes, to_bytes};
use forge_remote::axum::http::request::Parts;
use forge_remote::axum::http::{HeaderName, Method, Request, Response, header};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, published};
use forge_remote_tests::plain_process::PlainProcess;
use forge_remote_tests::stores::Folder;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

/// The response of a proxy that does not forward a request.
pub(crate) type Fault = fn(&mut Parts, &Bytes) -> Option<Response<Body>>;

/// A proxy in front of a deployment, which counts the requests.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Proxy {
    async fn start(upstream: SocketAddr, fault: Fault) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let router = Router::new().fallback(async move |request: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let (mut parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            // As Google's, Akamai's and Microsoft's front ends do.
            let has_length = |name| parts.headers.contains_key(name);
            if parts.method == Method::POST
                && !has_length(header::CONTENT_LENGTH)
                && !has_length(header::TRANSFER_ENCODING)
            {
                return text(411, "text/html", "<h1>411</h1>").unwrap();
            }
            match fault(&mut parts, &body) {
                Some(response) => response,
                None => forward(&client, upstream, parts, body).await,
            }
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { forge_remote::axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            requests,
            _server: server,
        }
    }
}

async fn forward(
    client: &reqwest::Client,
    upstream: SocketAddr,
    parts: Parts,
    body: Bytes,
) -> Response<Body> {
    let url = format!("http://{upstream}{}", parts.uri);
    let mut headers = parts.headers;
    for name in [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
    let request = client.request(parts.method, url).headers(headers);
    let answer = request.body(body).send().await.unwrap();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    response.headers_mut().remove(header::TRANSFER_ENCODING);
    if let Some(Removed(name)) = parts.extensions.get() {
        response.headers_mut().remove(name);
    }
    *response.body_mut() = answer.bytes().await.unwrap().into();
    response
}

pub(crate) fn text(status: u16, content_type: &str, text: &'static str) -> Option<Response<Body>> {
    let response = Response::builder().status(status);
    let response = response.header(header::CONTENT_TYPE, content_type);
    Some(response.body(Body::from(text)).unwrap())
}

/// A manifest with an endpoint at these base URLs, and another party's service.
pub(crate) fn manifest(base_url: &str) -> String {
    format!(
        "app:
  id: {APP_ID}
modules:
  endpoint:
    - key: tick
      remote: backend
remotes:
  - key: backend
    baseUrl: {base_url}
  - key: weather
    baseUrl: https://weather.example.com
"
    )
}

/// A deployment: the app as a process, behind a proxy.
pub(crate) struct Deployment {
    pub(crate) proxy: Proxy,
    pub(crate) folder: Folder,
    pub(crate) keys: JwksServer,
    pub(crate) app: PlainProcess,
}

pub(crate) fn plain_app() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command.env_remove("CARGO_MANIFEST_DIR");
    command
}

impl Deployment {
    pub(crate) async fn start(fault: Fault) -> Self {
        Self::of(plain_app(), JwksResponse::Keys(published()), fault).await
    }

    pub(crate) async fn of(app: Command, keys: JwksResponse, fault: Fault) -> Self {
        let keys = JwksServer::start(keys).await;
        let app = PlainProcess::start(app, &keys).await;
        let proxy = Proxy::start(app.address, fault).await;
        let folder = Folder::default();
        let urls = format!(
            "\n      default: http://{}\n      EU: https://eu.example.com",
            proxy.address
        );
        fs::write(folder.file("manifest.yml"), manifest(&urls)).unwrap();
        Self {
            proxy,
            folder,
            keys,
            app,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.proxy.address)
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.doctor(arguments).output().await.unwrap()
    }

    pub(crate) fn doctor(&self, arguments: &[&str]) -> Command {
        let mut command = plain_app();
        command
            .arg("doctor")
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("FORGE_REMOTE_APP_ID")
            .env_remove("FORGE_REMOTE_MANIFEST")
            .env("FORGE_REMOTE_JWKS_URL", self.keys.url())
            .env("INSTANT_CLOCK", "1")
            .stdin(Stdio::null());
        command
    }

    /// Returns the codes of the failed checks.
    pub(crate) async fn codes(&self) -> Vec<String> {
        self.codes_of(&self.attack().output().await.unwrap())
    }

    pub(crate) fn codes_of(&self, output: &Output) -> Vec<String> {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let failed = in_state(&report, "failed");
        assert_eq!(report["sound"], failed.is_empty(), "{report}");
        assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())));
        assert!(
            failed.iter().all(|check| check["fix"].is_string()),
            "{report}"
        );
        let sent = self.proxy.requests.load(Ordering::Relaxed);
        assert!(sent <= 60, "{sent} requests");
        codes(&failed)
    }

    /// Returns the codes of the warnings of a deployment where no check failed.
    pub(crate) async fn warnings(&self, mut doctor: Command) -> Vec<String> {
        let output = doctor.output().await.unwrap();
        assert_eq!(self.codes_of(&output), [""; 0], "{}", stdout(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut warnings = codes(&in_state(&report, "warning"));
        // The tests have only their own keys.
        let own = warnings.iter().position(|code| code == "own-keys").unwrap();
        warnings.remove(own);
        warnings
    }

    /// Returns `doctor --url` with a report for machines.
    pub(crate) fn attack(&self) -> Command {
        self.doctor(&["--url", &self.url(), "--yes", "--json"])
    }
}

pub(crate) fn in_state<'a>(report: &'a Value, state: &str) -> Vec<&'a Value> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["state"] == state).collect()
}

pub(crate) fn codes(checks: &[&Value]) -> Vec<String> {
    let code = |check: &&Value| check["code"].as_str().unwrap_or("none").to_owned();
    checks.iter().map(code).collect()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A header that the proxy removes from responses.
#[derive(Clone)]
pub(crate) struct Removed(pub(crate) HeaderName);
