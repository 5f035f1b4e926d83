//! The listener that Restate calls: HTTP/2 without TLS, as Restate expects behind an `http` URL.

use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use restate_sdk::endpoint::Endpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long an error of the listener itself, such as too many open files, stops it.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may be silent until it is checked, and then until it is closed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long a connection has for its handshake and first request.
const FIRST_REQUEST: Duration = Duration::from_secs(20);
/// How many connections there are at once. Others wait until one ends.
const MAX_CONNECTIONS: usize = 1_000;

/// Serves Restate's requests until the future is dropped, which ends the connections. After `stop` there are
/// no new connections.
///
/// The connections get no GOAWAY: Restate would give up the requests that run on them.
pub(crate) async fn listen(listener: TcpListener, endpoint: Endpoint, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, endpoint.clone()));
                    if connections.len() == MAX_CONNECTIONS {
                        tracing::warn!(limit = MAX_CONNECTIONS, "the listener is at its limit of connections");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection of Restate was not accepted");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, endpoint: Endpoint) {
    let requested = CancellationToken::new();
    let request_came = requested.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        request_came.cancel();
        let response = endpoint.handle(request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        first = tokio::time::timeout(FIRST_REQUEST, requested.cancelled()) => match first {
            Ok(()) => connection.await,
            Err(_) => {
                tracing::debug!("a connection without a request was closed");
                return;
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of Restate broke");
    }
}
