//! One connection: HTTP/1.1 on a socket, until the peer or the server ends it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, StatusCode, Version, header};
use axum::routing::future::RouteFuture;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;
use tower_service::Service as _;

use super::activity::{Activity, Phase};
use super::socket::Socket;
use crate::response;

/// How many bytes a closing connection discards at most, if its request has announced no more.
const MAX_DISCARDED: u64 = 8 * 1024 * 1024;

/// The task that serves one connection.
pub(super) struct Connection {
    builder: Arc<http1::Builder>,
    state: State,
    activity: Arc<Activity>,
    waker: Option<Waker>,
    is_last_call: bool,
}

enum State {
    Http(Box<http1::Connection<TokioIo<Socket>, Calls>>),
    /// The connection waits for a request, without the buffers of the HTTP layer.
    Resting(Socket, Calls),
    /// The peer has its last response, and may still send a body that nobody reads. If the socket were dropped before that,
    /// the kernel would reset the connection, and the peer might lose the response.
    ///
    /// Source: RFC 9112, section 9.6
    Closing {
        socket: Socket,
        /// How many bytes are still discarded.
        left: u64,
    },
    Ended,
}

impl Connection {
    pub(super) fn new(
        builder: Arc<http1::Builder>,
        stream: TcpStream,
        router: Router,
        activity: Arc<Activity>,
    ) -> Self {
        let socket = Socket::new(stream, Arc::clone(&activity));
        let calls = Calls {
            router,
            activity: Arc::clone(&activity),
            announced: AtomicU64::new(0),
        };
        Self {
            state: State::Resting(socket, calls),
            builder,
            activity,
            waker: None,
            is_last_call: false,
        }
    }

    #[cfg(test)]
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.state, State::Resting(..))
    }

    /// Returns the size of the buffer that a resting connection holds, and drops it.
    #[cfg(test)]
    pub(super) fn take_buffer(&mut self) -> Option<usize> {
        match &mut self.state {
            State::Resting(socket, _) => Some(socket.take_unread()),
            _ => None,
        }
    }

    /// Gives the socket of a resting connection to the HTTP layer.
    fn resume(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Resting(socket, calls) => {
                let io = TokioIo::new(socket);
                State::Http(Box::new(self.builder.serve_connection(io, calls)))
            }
            other => other,
        };
    }

    /// Takes the socket back from the HTTP layer, with the bytes that it has read and not parsed.
    fn rest(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Http(http) => {
                let parts = http.into_parts();
                let mut socket = parts.io.into_inner();
                socket.unread(&parts.read_buf);
                State::Resting(socket, parts.service)
            }
            other => other,
        };
    }

    /// Takes the socket from the HTTP layer, which has ended and so has written everything, and closes it for writing.
    fn close(&mut self, context: &mut Context<'_>) {
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Http(http) => {
                let parts = http.into_parts();
                let mut socket = parts.io.into_inner();
                // It fails if the peer has closed the connection, which the next read shows.
                let _ = Pin::new(&mut socket).poll_shutdown(context);
                self.activity.enter(Phase::Closing);
                let announced = parts.service.announced.into_inner();
                let left = announced.max(MAX_DISCARDED);
                State::Closing { socket, left }
            }
            other => other,
        };
    }

    /// Polls what the state waits for, and enters the next state.
    fn poll_state(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Http(http) => {
                self.activity.show_bodies();
                let ended = ready!(Pin::new(http).poll(context));
                if let Err(error) = &ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                match ended {
                    // A request that cannot be parsed has got a response as well.
                    Err(error) if !error.is_parse() => self.state = State::Ended,
                    Err(_) => {
                        self.activity.leave_unread();
                        self.close(context);
                    }
                    Ok(()) => self.close(context),
                }
            }
            State::Resting(socket, _) => {
                ready!(socket.poll_readable(context));
                self.resume();
            }
            State::Closing { socket, left } => match ready!(socket.poll_discard(context)) {
                Ok(read @ 1..) if *left > 0 => *left = left.saturating_sub(read as u64),
                _ => self.state = State::Ended,
            },
            State::Ended => {}
        }
        Poll::Ready(())
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let is_known = |waker: &Waker| waker.will_wake(context.waker());
        if !this.waker.as_ref().is_some_and(is_known) {
            this.activity.set_task(context.waker());
            this.waker = Some(context.waker().clone());
        }
        loop {
            if this.poll_state(context).is_ready() {
                match this.state {
                    State::Ended => return Poll::Ready(()),
                    _ => continue,
                }
            }
            if this.activity.must_close() {
                return Poll::Ready(());
            }
            let phase = this.activity.phase();
            if this.activity.is_stopping() {
                let continues = match phase {
                    // Work that continues after the response may read the body.
                    Phase::Call | Phase::Flush | Phase::Body => true,
                    Phase::Closing => this.activity.is_unread(),
                    Phase::Idle | Phase::Head => false,
                };
                if !continues {
                    return Poll::Ready(());
                }
                if let State::Http(http) = &mut this.state
                    && !this.is_last_call
                {
                    this.is_last_call = true;
                    Pin::new(&mut **http).graceful_shutdown();
                    continue;
                }
            }
            if phase == Phase::Body && !this.activity.is_body_held() {
                // It was dropped while the HTTP layer ran, which has to see it.
                continue;
            }
            let is_resting = matches!(this.state, State::Resting(..));
            if is_resting || !this.activity.must_rest() {
                return Poll::Pending;
            }
            this.rest();
        }
    }
}

/// Passes a connection's requests to the routes.
struct Calls {
    router: Router,
    activity: Arc<Activity>,
    /// The length of the last request's body by its head; 0 without one.
    announced: AtomicU64,
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = Call;

    fn call(&self, request: Request<Incoming>) -> Call {
        self.activity.begin_call();
        let announced = request.body().size_hint().exact().unwrap_or_default();
        self.announced.store(announced, Ordering::Relaxed);
        let activity = &self.activity;
        let request = request.map(|body| RequestBody::new(body, activity));
        let routed = if has_host(&request) {
            Routed::Route(self.router.clone().call(request))
        } else {
            Routed::Rejected(Some(response::json_error(
                StatusCode::BAD_REQUEST,
                "bad_request",
                "a request must have exactly one Host header",
            )))
        };
        Call {
            routed,
            activity: Arc::clone(&self.activity),
        }
    }
}

/// Returns whether a request has exactly one `Host` header. HTTP/1.0 requests may have none.
///
/// Source: RFC 9112, section 3.2
fn has_host(request: &Request<RequestBody>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match hosts.next() {
        Some(_) => hosts.next().is_none(),
        None => request.version() < Version::HTTP_11,
    }
}

/// The future of a request's response.
struct Call {
    routed: Routed,
    activity: Arc<Activity>,
}

enum Routed {
    Route(RouteFuture<Infallible>),
    Rejected(Option<Response<Body>>),
}

impl Future for Call {
    type Output = Result<Response<Tracked>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.routed {
            Routed::Route(route) => ready!(Pin::new(route).poll(context)),
            Routed::Rejected(response) => Ok(response.take().unwrap_or_default()),
        };
        let Ok(response) = response;
        let activity = Arc::clone(&self.activity);
        Poll::Ready(Ok(response.map(|body| Tracked { body, activity })))
    }
}

/// A request's body. Until its end, the connection's bytes belong to it.
struct RequestBody {
    body: Incoming,
    /// Dropped after the body: the HTTP layer must see the drop first. `None` at the body's end.
    held: Option<Held>,
}

/// The record that a handler holds a body.
struct Held {
    activity: Arc<Activity>,
    is_read: bool,
}

impl RequestBody {
    fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        let held = (!body.is_end_stream()).then(|| {
            activity.add_body();
            Held {
                activity: Arc::clone(activity),
                is_read: false,
            }
        });
        Self { body, held }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            held.activity.leave_unread();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.activity.remove_body(self.is_read);
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let is_at_end = self.body.is_end_stream() || matches!(polled, Poll::Ready(None));
        if is_at_end && let Some(mut held) = self.held.take() {
            held.is_read = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body. The call ends when it is dropped.
struct Tracked {
    body: Body,
    activity: Arc<Activity>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.activity.enter(Phase::Flush);
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
