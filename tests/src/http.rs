//! An HTTP client that sends exactly the given bytes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time limit for a response; a server that exceeds it hangs.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(8);

/// An HTTP response.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Returns the first header with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON; null when it isn't JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the start of the body, for a message.
    pub fn excerpt(&self) -> String {
        self.text().chars().take(120).collect()
    }
}

/// A request, of which a test controls every byte.
#[derive(Clone, Debug)]
pub struct Call {
    method: String,
    target: String,
    host: String,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    framed: bool,
    close: bool,
}

impl Call {
    /// Returns a request with `Host`, Forge's trace headers, a length, and `Connection: close`.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: "backend.example.com".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            framed: true,
            close: true,
        }
    }

    /// Returns a POST request.
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Sets the `Host` header.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Adds `Authorization: Bearer` with this token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Adds a header of any bytes.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sets a JSON body and its content type.
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json")
            .body(body.to_string())
    }

    /// Omits `Content-Length`. The body is sent as it is, and other headers may declare its length.
    pub fn unframed(mut self) -> Self {
        self.framed = false;
        self
    }

    /// Sends the body in chunks of this size.
    pub fn chunked(mut self, size: usize) -> Self {
        let mut chunked = Vec::new();
        for chunk in self.body.chunks(size) {
            chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunked.extend_from_slice(chunk);
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        self.body = chunked;
        self.unframed().header("Transfer-Encoding", "chunked")
    }

    /// Omits `Connection: close`.
    pub fn keep_alive(mut self) -> Self {
        self.close = false;
        self
    }

    /// Returns the bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.target, self.host
        )
        .into_bytes();
        out.extend_from_slice(
            b"x-b3-traceid: a523b7549f0b88c9\r\nx-b3-spanid: 2a2436c64727923f\r\n",
        );
        for (name, value) in &self.headers {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        if self.framed {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        if self.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

/// An HTTP/1.1 connection that sends and receives raw bytes.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    writing_failed: bool,
}

impl Connection {
    /// Opens a connection.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            writing_failed: false,
        })
    }

    /// Sends these bytes. Returns false when the server stopped reading, which is not an error: its
    /// response counts.
    pub fn send<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Self {
                stream,
                buffer,
                writing_failed,
            } = self;
            let (mut reader, mut writer) = stream.split();
            let mut chunk = vec![0; 16 * 1024];
            // A response may arrive during the write: read it, or both sides wait forever.
            let write = async {
                let written = timeout(RESPONSE_TIMEOUT, writer.write_all(bytes)).await;
                matches!(written, Ok(Ok(())))
            };
            tokio::pin!(write);
            loop {
                tokio::select! {
                    biased;
                    done = &mut write => {
                        *writing_failed |= !done;
                        return done;
                    }
                    read = reader.read(&mut chunk) => match read {
                        Ok(0) | Err(_) => return (&mut write).await,
                        Ok(count) => buffer.extend_from_slice(&chunk[..count]),
                    },
                }
            }
        })
    }

    /// Closes the sending side.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Returns the next response; `None` when the connection ends first, an error on a timeout.
    pub async fn response(&mut self) -> io::Result<Option<HttpResponse>> {
        self.response_to("POST").await
    }

    /// Returns the next response to a request with this method.
    pub fn response_to<'a>(
        &'a mut self,
        method: &'a str,
    ) -> BoxFuture<'a, io::Result<Option<HttpResponse>>> {
        Box::pin(async move {
            match timeout(RESPONSE_TIMEOUT, self.read_response(method)).await {
                Ok(response) => response,
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no response in time",
                )),
            }
        })
    }

    /// Returns whether the server closes the connection within this time without sending a byte.
    pub async fn is_closed_within(&mut self, time: Duration) -> bool {
        let mut byte = [0];
        self.buffer.is_empty()
            && matches!(
                timeout(time, self.stream.read(&mut byte)).await,
                Ok(Ok(0) | Err(_))
            )
    }

    /// Returns whether the server sends a byte or closes the connection within this time.
    pub async fn has_response_within(&mut self, time: Duration) -> bool {
        !self.buffer.is_empty() || timeout(time, self.more()).await.is_ok()
    }

    async fn read_response(&mut self, method: &str) -> io::Result<Option<HttpResponse>> {
        loop {
            let Some(response) = self.read_one(method).await? else {
                return Ok(None);
            };
            // "100 Continue" is not the final response.
            if !(100..200).contains(&response.status) {
                return Ok(Some(response));
            }
        }
    }

    async fn read_one(&mut self, method: &str) -> io::Result<Option<HttpResponse>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if !self.more().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(bad("cut off in the head"))
                };
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).map_err(|_| bad("the head is not text"))?;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = status.and_then(|line| line.get(2..5)?.parse().ok());
        let status: u16 = status.ok_or_else(|| bad("no status line"))?;
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        });
        let mut response = HttpResponse {
            status,
            headers: headers.collect(),
            body: Vec::new(),
        };
        if method == "HEAD" || (100..200).contains(&status) || status == 204 || status == 304 {
            return Ok(Some(response));
        }
        if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().map_err(|_| bad("no length"))?;
            while self.buffer.len() < length {
                if !self.more().await? {
                    return Err(bad("cut off in the body"));
                }
            }
            response.body = self.buffer.drain(..length).collect();
        } else if response.header("transfer-encoding").is_some() {
            response.body = self.read_chunks().await?;
        } else {
            while self.more().await? {}
            response.body = std::mem::take(&mut self.buffer);
        }
        Ok(Some(response))
    }

    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                    break self.buffer.drain(..at + 2).collect::<Vec<u8>>();
                }
                if !self.more().await? {
                    return Err(bad("cut off before a chunk"));
                }
            };
            let size = std::str::from_utf8(&line).ok();
            let size = size.and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
            let size = size.ok_or_else(|| bad("no chunk size"))?;
            while self.buffer.len() < size + 2 {
                if !self.more().await? {
                    return Err(bad("cut off in a chunk"));
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn more(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let count = match self.stream.read(&mut chunk).await {
            Ok(count) => count,
            // A server that rejects a request without reading it all resets the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error),
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Sends bytes on a new connection and returns the first response.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<Option<HttpResponse>> {
    let mut connection = Connection::open(address).await?;
    connection.send(bytes).await;
    let method = if bytes.starts_with(b"HEAD ") {
        "HEAD"
    } else {
        "POST"
    };
    connection.response_to(method).await
}

/// Sends a call and returns its response.
pub async fn send(address: SocketAddr, call: &Call) -> io::Result<HttpResponse> {
    exchange(address, &call.bytes())
        .await?
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a response"))
}
