//! One connection: HTTP/1.1 on a socket, until the peer or the server ends it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response, StatusCode, Version, header};
use axum::routing::future::RouteFuture;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service as _;

use super::activity::{Activity, Phase};
use super::socket::Socket;
use crate::response;

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
            // Read before the HTTP layer runs, which has then seen that the body was dropped.
            let has_body = this.activity.has_body();
            match &mut this.state {
                State::Http(http) => {
                    if let Poll::Ready(ended) = Pin::new(http).poll(context) {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "a connection ended early");
                        }
                        this.state = State::Ended;
                    }
                }
                State::Resting(socket, _) => {
                    if socket.poll_readable(context).is_ready() {
                        this.resume();
                        continue;
                    }
                }
                State::Ended => return Poll::Ready(()),
            }
            if this.activity.must_close() {
                return Poll::Ready(());
            }
            match &mut this.state {
                State::Ended => return Poll::Ready(()),
                _ if !this.activity.is_stopping() => {}
                _ if matches!(this.activity.phase(), Phase::Idle | Phase::Head) => {
                    return Poll::Ready(());
                }
                State::Http(http) if !this.is_last_call => {
                    this.is_last_call = true;
                    Pin::new(&mut **http).graceful_shutdown();
                    continue;
                }
                _ => {}
            }
            let is_resting = matches!(this.state, State::Resting(..));
            if is_resting || has_body || !this.activity.must_rest() {
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
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = Call;

    fn call(&self, request: Request<Incoming>) -> Call {
        self.activity.enter(Phase::Call);
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

/// A request's body. While it is incomplete, the rest of the connection's bytes belong to it.
struct RequestBody {
    body: Incoming,
    activity: Option<Arc<Activity>>,
}

impl RequestBody {
    fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        let is_incomplete = !body.is_end_stream();
        if is_incomplete {
            activity.add_body();
        }
        Self {
            body,
            activity: is_incomplete.then(|| Arc::clone(activity)),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(activity) = &self.activity {
            activity.remove_body();
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
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
