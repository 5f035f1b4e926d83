//! An HTTP client that sends exactly the bytes it is given.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer takes longer, or the server hangs.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first of the body, for a message.
    pub fn excerpt(&self) -> String {
        self.text().chars().take(120).collect()
    }
}

/// A request, written with as little of HTTP as the test wants.
#[derive(Clone, Debug)]
pub struct Call {
    method: String,
    target: String,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    framed: bool,
    close: bool,
}

impl Call {
    /// A request with `Host`, Forge's trace headers, a length, and `Connection: close`.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            framed: true,
            close: true,
        }
    }

    /// POST.
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// With `Authorization: Bearer` and this token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// With one more header, of any bytes.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// With a JSON body and its content type.
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json")
            .body(body.to_string())
    }

    /// Without a `Content-Length`: the body's bytes stand as they are, and a header must say how
    /// long it is, or not.
    pub fn unframed(mut self) -> Self {
        self.framed = false;
        self
    }

    /// With the body in chunks of this size.
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

    /// Without `Connection: close`.
    pub fn keep_alive(mut self) -> Self {
        self.close = false;
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!(
            "{} {} HTTP/1.1\r\nHost: backend.example.com\r\n",
            self.method, self.target
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

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    writing_failed: bool,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            writing_failed: false,
        })
    }

    /// Sends these bytes. A server that has seen enough may stop reading: that isn't an error, its
    /// answer counts. False when it did.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let Self {
            stream,
            buffer,
            writing_failed,
        } = self;
        let (mut reader, mut writer) = stream.split();
        let mut chunk = vec![0; 16 * 1024];
        // An answer may come while we still write: read it, or both sides wait for ever.
        let write = async {
            let written = timeout(PATIENCE, writer.write_all(bytes)).await;
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
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer; `None` when the connection ends before it, an error when it hangs.
    pub async fn reply(&mut self) -> io::Result<Option<Reply>> {
        self.reply_to("POST").await
    }

    /// As [`reply`](Self::reply), for a request of this method.
    pub async fn reply_to(&mut self, method: &str) -> io::Result<Option<Reply>> {
        match timeout(PATIENCE, self.read_reply(method)).await {
            Ok(reply) => reply,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        }
    }

    /// Whether the server ends the connection, within this time and without another byte.
    pub async fn is_closed_within(&mut self, time: Duration) -> bool {
        let mut byte = [0];
        self.buffer.is_empty()
            && matches!(
                timeout(time, self.stream.read(&mut byte)).await,
                Ok(Ok(0) | Err(_))
            )
    }

    /// Whether the server says anything, or ends the connection, within this time.
    pub async fn has_answer_within(&mut self, time: Duration) -> bool {
        !self.buffer.is_empty() || timeout(time, self.more()).await.is_ok()
    }

    async fn read_reply(&mut self, method: &str) -> io::Result<Option<Reply>> {
        loop {
            let Some(reply) = self.read_one(method).await? else {
                return Ok(None);
            };
            // "100 Continue" is no answer.
            if !(100..200).contains(&reply.status) {
                return Ok(Some(reply));
            }
        }
    }

    async fn read_one(&mut self, method: &str) -> io::Result<Option<Reply>> {
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
        let mut reply = Reply {
            status,
            headers: headers.collect(),
            body: Vec::new(),
        };
        if method == "HEAD" || (100..200).contains(&status) || status == 204 || status == 304 {
            return Ok(Some(reply));
        }
        if let Some(length) = reply.header("content-length") {
            let length: usize = length.parse().map_err(|_| bad("no length"))?;
            while self.buffer.len() < length {
                if !self.more().await? {
                    return Err(bad("cut off in the body"));
                }
            }
            reply.body = self.buffer.drain(..length).collect();
        } else if reply.header("transfer-encoding").is_some() {
            reply.body = self.read_chunks().await?;
        } else {
            while self.more().await? {}
            reply.body = std::mem::take(&mut self.buffer);
        }
        Ok(Some(reply))
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
            // A server that refuses what it hasn't read resets the connection afterwards.
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

/// Sends bytes on a connection of their own and takes the first answer.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<Option<Reply>> {
    let mut connection = Connection::open(address).await?;
    connection.send(bytes).await;
    let method = if bytes.starts_with(b"HEAD ") {
        "HEAD"
    } else {
        "POST"
    };
    connection.reply_to(method).await
}

/// Sends a call and takes its answer.
pub async fn send(address: SocketAddr, call: &Call) -> io::Result<Reply> {
    exchange(address, &call.bytes())
        .await?
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"))
}
