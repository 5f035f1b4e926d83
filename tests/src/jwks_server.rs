//! A key-set server that misbehaves on demand and counts its requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::fit::JwksPolicy;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The server's response to each connection.
#[derive(Clone, Debug)]
pub enum JwksResponse {
    /// 200 with this document.
    Keys(Value),
    /// 200 with this document and this `Cache-Control`.
    KeysFor(Value, &'static str),
    /// This status with this content type and body.
    Text(u16, &'static str, String),
    /// This status, leading to this URL.
    Redirect(u16, String),
    /// Exactly these bytes, then the end.
    Bytes(Vec<u8>),
    /// The inner response, after a delay.
    Late(Duration, Box<JwksResponse>),
    /// The inner response, once the semaphore has a permit.
    Held(Arc<Semaphore>, Box<JwksResponse>),
    /// The document, a byte at a time.
    Drip(Value, Duration),
    /// A head that announces a body that is never sent.
    HeadOnly,
    /// A body without end.
    Endless,
    /// Reads the request and sends nothing.
    Hang,
    /// Does not read the request.
    Ignore,
    /// Resets the connection at once.
    Reset,
    /// Resets the connection in the middle of the body.
    ResetInside(Value),
    /// Ends the connection in the middle of the body.
    CutInside(Value),
}

impl JwksResponse {
    /// Returns the default policy. For a response that ends at the time limit of a fetch, the limit is short.
    pub fn jwks_policy(&self) -> JwksPolicy {
        let policy = JwksPolicy::default();
        match self {
            Self::Late(..) | Self::Drip(..) | Self::HeadOnly | Self::Hang | Self::Ignore => {
                policy.fetch_timeout(Duration::from_secs(1))
            }
            _ => policy,
        }
    }

    /// Returns a 200 response with this text as `application/json`, valid or not.
    pub fn json(text: impl Into<String>) -> Self {
        Self::Text(200, "application/json", text.into())
    }
}

#[derive(Debug)]
struct Shared {
    response: Mutex<JwksResponse>,
    requests: AtomicUsize,
    connections: AtomicUsize,
    last: Mutex<Vec<u8>>,
}

/// A key-set server, which stops when it is dropped.
#[derive(Debug)]
pub struct JwksServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap().take() {
            task.abort();
        }
    }
}

impl JwksServer {
    /// Starts a server.
    pub fn start(response: JwksResponse) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let shared = Arc::new(Shared {
                response: Mutex::new(response),
                requests: AtomicUsize::new(0),
                connections: AtomicUsize::new(0),
                last: Mutex::default(),
            });
            let address = listener.local_addr().unwrap();
            let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
            Self {
                address,
                shared,
                task: Mutex::new(Some(task)),
            }
        })
    }

    /// Changes the response to later connections.
    pub fn set_response(&self, response: JwksResponse) {
        *self.shared.response.lock().unwrap() = response;
    }

    /// Stops listening, so that connections are rejected.
    pub async fn down(&self) {
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    /// Listens again on the same port.
    pub fn up(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let listener = TcpListener::bind(self.address).await.unwrap();
            let task = tokio::spawn(accept(listener, Arc::clone(&self.shared)));
            *self.task.lock().unwrap() = Some(task);
        })
    }

    /// Returns the URL of the key set.
    pub fn url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.address)
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Returns the number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns the head of the last request.
    pub fn last_request(&self) -> String {
        String::from_utf8_lossy(&self.shared.last.lock().unwrap()).into_owned()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the accepting task also aborts its connections.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let _ = serve(stream, shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn document(body: &str, more: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let response = shared.response.lock().unwrap().clone();
    match response {
        JwksResponse::Ignore => {
            shared.requests.fetch_add(1, Ordering::SeqCst);
            return std::future::pending().await;
        }
        JwksResponse::Reset => {
            shared.requests.fetch_add(1, Ordering::SeqCst);
            stream.set_zero_linger()?;
            return Ok(());
        }
        _ => {}
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    *shared.last.lock().unwrap() = head;
    respond(stream, response).await
}

async fn respond(mut stream: TcpStream, response: JwksResponse) -> std::io::Result<()> {
    match response {
        JwksResponse::Keys(keys) => stream.write_all(&document(&keys.to_string(), "")).await?,
        JwksResponse::KeysFor(keys, cache) => {
            let cache = format!("Cache-Control: {cache}\r\n");
            stream
                .write_all(&document(&keys.to_string(), &cache))
                .await?;
        }
        JwksResponse::Text(status, content_type, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} Some Reason\r\nContent-Type: {content_type}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
        }
        JwksResponse::Redirect(status, location) => {
            let head = format!(
                "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
        }
        JwksResponse::Bytes(bytes) => stream.write_all(&bytes).await?,
        JwksResponse::Late(delay, response) => {
            tokio::time::sleep(delay).await;
            return Box::pin(respond(stream, *response)).await;
        }
        JwksResponse::Held(semaphore, response) => {
            let _permit = semaphore.acquire().await;
            return Box::pin(respond(stream, *response)).await;
        }
        JwksResponse::Drip(keys, pause) => {
            for byte in document(&keys.to_string(), "") {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(pause).await;
            }
        }
        JwksResponse::HeadOnly => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
                .await?;
            return until_closed(stream).await;
        }
        JwksResponse::Endless => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        JwksResponse::Hang | JwksResponse::Ignore => return until_closed(stream).await,
        JwksResponse::Reset => stream.set_zero_linger()?,
        JwksResponse::ResetInside(keys) => {
            let bytes = document(&keys.to_string(), "");
            stream.write_all(&bytes[..bytes.len() / 2]).await?;
            stream.flush().await?;
            // Lets the sent bytes leave before the reset.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.set_zero_linger()?;
        }
        JwksResponse::CutInside(keys) => {
            let bytes = document(&keys.to_string(), "");
            stream.write_all(&bytes[..bytes.len() - 2]).await?;
        }
    }
    Ok(())
}

async fn until_closed(mut stream: TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
