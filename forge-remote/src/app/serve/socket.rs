//! A connection's socket, which records what happens on it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::activity::{Activity, Phase};

/// A socket that records its reads and writes in an [`Activity`].
pub(super) struct Socket {
    stream: TcpStream,
    /// Bytes that were read already and are read again first.
    unread: Bytes,
    activity: Arc<Activity>,
    is_blocked: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            unread: Bytes::new(),
            activity,
            is_blocked: false,
        }
    }

    /// Records whether writing is blocked by the peer.
    fn record_write<T>(&mut self, written: Poll<T>) -> Poll<T> {
        if self.is_blocked != written.is_pending() {
            self.is_blocked = written.is_pending();
            self.activity.toggle_blocked();
        }
        written
    }

    /// Returns bytes to the socket, which are read next. They are copied: the block that they come from may be much
    /// larger, even if they are none. Line breaks before a request are skipped.
    ///
    /// Source: RFC 9112, section 2.2
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        let blank = bytes.iter().take_while(|byte| is_line_break(**byte));
        let bytes = bytes.get(blank.count()..).unwrap_or_default();
        self.unread = [bytes, &self.unread[..]].concat().into();
    }

    /// Returns the size of the block that the unread bytes are in, and drops them.
    #[cfg(test)]
    pub(super) fn take_unread(&mut self) -> usize {
        let unread = std::mem::take(&mut self.unread);
        unread.try_into_mut().map_or(0, |block| block.capacity())
    }

    /// Reads some bytes and discards them. Returns their number, 0 at the end.
    pub(super) fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); 8 * 1024];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }

    /// Completes when the peer has sent data, or has closed or reset the connection.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.unread.is_empty() {
            return Poll::Ready(());
        }
        self.stream.poll_read_ready(context).map(drop)
    }

    /// Returns whether the peer has reset the connection. Wakes the task when it does, or when it
    /// sends data.
    ///
    /// A peer that has only closed its own side still waits for its response.
    fn poll_reset(&self, context: &mut Context<'_>) -> bool {
        if self.stream.poll_read_ready(context).is_pending() {
            return false;
        }
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
        match self.stream.ready(interest).now_or_never() {
            Some(Ok(ready)) => ready.is_error() || ready.is_write_closed(),
            Some(Err(_)) => true,
            None => false,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = if self.unread.is_empty() {
            Pin::new(&mut self.stream).poll_read(context, buffer)
        } else {
            let length = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread.split_to(length));
            Poll::Ready(Ok(()))
        };
        let read = buffer.filled().get(before..).unwrap_or_default();
        match self.activity.phase() {
            Phase::Idle if !read.iter().all(|byte| is_line_break(*byte)) => {
                self.activity.enter(Phase::Head);
            }
            // The time limit of a connection without a call begins again.
            Phase::Body if !read.is_empty() => self.activity.enter(Phase::Body),
            _ => {}
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.record_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.record_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The HTTP layer calls this whenever it is polled and has nothing left to write.
        match self.activity.phase() {
            Phase::Flush if self.activity.has_body() => self.activity.enter(Phase::Body),
            Phase::Flush | Phase::Body if !self.activity.has_body() => {
                self.activity.enter(Phase::Idle);
            }
            Phase::Call if self.poll_reset(context) => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}
