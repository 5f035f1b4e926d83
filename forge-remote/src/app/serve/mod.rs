//! The server: it accepts connections and shuts down gracefully.

mod activity;
mod connection;
#[cfg(test)]
mod connection_tests;
mod connections;
mod files;
mod run;
mod settings;
mod signals;
mod socket;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[cfg(feature = "cli")]
pub(crate) use files::open_files;
pub use run::ServeError;
#[cfg(feature = "dev")]
pub(crate) use signals::StopSignals;

use self::connections::Connections;
use super::service::Service;
use crate::error::{Result, chain};

/// How long unwritten tokens may take to be written at the end. Together with the default grace for
/// calls it is less than the 30 seconds after which Kubernetes kills the process.
const TOKEN_FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval between attempts to write tokens while calls finish.
const TOKEN_FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// The interval between attempts to close a connection to make room for another.
const ROOM_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The pause after a connection could not be accepted.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The interval between log lines about connections that could not be accepted.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// How long connections are taken from the kernel's queue once the server stops.
const LAST_ACCEPT_TIMEOUT: Duration = Duration::from_millis(10);
const MAX_LAST_ACCEPTS: usize = 1024;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Service {
    /// Serves until `shutdown` completes, then lets calls in flight finish.
    ///
    /// After `shutdown`, the app serves for [`App::drain`](crate::App::drain) with `/readyz` at
    /// 503, and then closes its listener and every connection that has no call. Calls in flight,
    /// handlers that continue without their caller, and [spawned](crate::Invocation::spawn) work
    /// may finish within [`App::shutdown_grace`](crate::App::shutdown_grace). The rest is cancelled: when
    /// this returns, no task of the app is running, unless another of its servers is.
    ///
    /// A task that blocks its thread cannot be cancelled: the result is then an error, and dropping the
    /// runtime waits for the task. [`App::run`](crate::App::run) ends the process. A runtime with one worker thread, the
    /// default on one CPU, can do nothing while a task blocks it, so it does not end either: set `worker_threads` to 2
    /// or more.
    ///
    /// Dropping the future ends the server at once; tokens that are not written yet are lost.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        serve_boxed(self, listener, Box::pin(shutdown)).await
    }

    async fn serve_until(self, listener: TcpListener, shutdown: Boxed<'_, ()>) -> Result<()> {
        let limits = self.limits();
        self.is_served();
        let mut upkeep = JoinSet::new();
        for keys in self.verifier().keys().all() {
            upkeep.spawn(keys.keep_fresh());
        }
        if let Some(tokens) = self.tokens() {
            tokens.start_watchers();
        }
        let background = match self.start_background() {
            Ok(background) => Some(background),
            Err(already) => {
                tracing::info!("{already}");
                None
            }
        };
        files::watch_peers(&listener, &limits);
        let max = limits.max_connections(files::raise_limit());
        self.work().limit_calls(limits.max_in_flight(max));
        let mut server = Server {
            listener,
            connections: Connections::new(self.router(), limits, max),
            waiting: None,
            logged: None,
        };
        // Dropped before the server: calls that are cancelled with it do not continue.
        let serving = self.work().serve();

        server.accept_until(shutdown).await;
        if !limits.drain.is_zero() {
            serving.drain();
            tracing::info!(drain = ?limits.drain, "stopping: /readyz is 503, calls are still served");
            server.accept_until(tokio::time::sleep(limits.drain)).await;
        }
        tracing::info!(grace = ?limits.shutdown, "stopping: calls in flight may finish");
        let stopped = Instant::now();
        if let Some(background) = &background {
            background.request_stop();
        }
        let mut connections = server.stop_accepting().await;
        self.await_calls(connections.all_ended()).await;
        drop(serving);
        let connections = connections.cut_off().await;
        let work = self.work().cut_off().await;
        let mut background_ended = Ok(());
        if let Some(background) = background {
            let left = limits.shutdown.saturating_sub(stopped.elapsed());
            background_ended = background.end(left).await;
        }
        self.write_tokens().await;
        Ok(connections.and(work).and(background_ended)?)
    }

    /// Shuts down an app whose [`router`](Self::router) your own server serves. Call it after that
    /// server has sent its last response. [`serve`](Self::serve) does the same.
    ///
    /// Handlers that continue without their caller and [spawned](crate::Invocation::spawn) work may
    /// finish within [`App::shutdown_grace`](crate::App::shutdown_grace); the rest is cancelled.
    /// Unwritten tokens are then written, within another 5 seconds. Without this call, they are lost,
    /// which is logged.
    /// Background tasks that were [started](Self::start_background) end when their handle is dropped.
    ///
    /// ```
    /// # use forge_remote::prelude::*;
    /// # async fn serve(listener: tokio::net::TcpListener, service: forge_remote::Service) -> Result<()> {
    /// axum::serve(listener, service.router()).with_graceful_shutdown(async {
    ///     let _ = tokio::signal::ctrl_c().await;
    /// }).await?;
    /// service.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self) {
        self.await_calls(std::future::ready(())).await;
        // An error was logged.
        let _ = self.work().cut_off().await;
        self.write_tokens().await;
    }

    /// Waits for the connections and for the app's work, at most for the grace. Unwritten tokens are
    /// written meanwhile.
    async fn await_calls(&self, connections: impl Future<Output = ()>) {
        let finished = async {
            connections.await;
            self.work().finished().await;
        };
        let writing = async {
            if let Some(tokens) = self.tokens() {
                while tokens.flush().await.is_err() {
                    tokio::time::sleep(TOKEN_FLUSH_INTERVAL).await;
                }
            }
            std::future::pending::<()>().await;
        };
        let either = async {
            tokio::select! {
                () = finished => {}
                () = writing => {}
            }
        };
        let in_time = tokio::time::timeout(self.limits().shutdown, either).await;
        if in_time.is_err() {
            let work = self.work();
            tracing::warn!(?work, "calls are still in flight and are cancelled");
        }
    }

    async fn write_tokens(&self) {
        let Some(tokens) = self.tokens() else {
            return;
        };
        // Another server of the app may continue.
        let is_end = !self.work().is_served();
        if let Err(error) = tokens.flush_within(TOKEN_FLUSH_TIMEOUT, is_end).await {
            let lost = tokens.stats().pending;
            let error = format_args!("{error}{}", chain(&error));
            tracing::error!(%error, lost, "tokens are lost: their store did not write them in time");
        }
        self.is_shut_down();
    }
}

/// Serves until `shutdown`, boxed. A function that is not asynchronous is compiled with this crate, and not again with
/// each app and each test.
fn serve_boxed(
    service: Service,
    listener: TcpListener,
    shutdown: Boxed<'_, ()>,
) -> Boxed<'_, Result<()>> {
    Box::pin(service.serve_until(listener, shutdown))
}

/// A listener and its connections.
struct Server {
    listener: TcpListener,
    connections: Connections,
    /// The connection that was accepted and waits for room.
    waiting: Option<TcpStream>,
    /// The time of the last log line about connections that cannot be accepted.
    logged: Option<Instant>,
}

impl Server {
    /// Accepts and watches connections until `end` completes.
    async fn accept_until(&mut self, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        let mut tick = pin!(tokio::time::sleep(self.connections.period()));
        loop {
            if self.waiting.is_some() {
                tokio::select! {
                    biased;
                    () = &mut end => return,
                    () = self.admit() => {}
                }
            }
            let accepted = tokio::select! {
                biased;
                () = &mut end => return,
                () = self.connections.one_ended() => continue,
                () = &mut tick, if !self.connections.is_empty() => {
                    self.connections.check();
                    tick.as_mut().reset(Instant::now() + self.connections.period());
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.waiting = Some(stream),
                Err(error) => tokio::select! {
                    biased;
                    () = &mut end => return,
                    () = self.recover(&error) => {}
                },
            }
        }
    }

    /// Serves the waiting connection once there is room for it.
    async fn admit(&mut self) {
        while self.connections.are_full() {
            self.connections.close_oldest();
            tokio::select! {
                () = self.connections.one_ended() => {}
                () = tokio::time::sleep(ROOM_CHECK_INTERVAL) => self.connections.check(),
            }
        }
        self.serve_waiting();
    }

    fn serve_waiting(&mut self) {
        if let Some(stream) = self.waiting.take() {
            self.connections.serve(stream);
        }
    }

    /// Handles an error of `accept`. The error of one connection is ignored; any other, such as too
    /// many open files, is logged, and a pause follows.
    async fn recover(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset
        ) {
            return;
        }
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= ACCEPT_LOG_INTERVAL)
        {
            self.logged = Some(Instant::now());
            tracing::error!(%error, "no connection can be accepted: check the limit of open files \
                                     (`ulimit -n`)");
        }
        self.connections.close_oldest();
        tokio::select! {
            () = self.connections.one_ended() => {}
            () = tokio::time::sleep(ACCEPT_RETRY_DELAY) => {}
        }
    }

    /// Closes the listener and every connection that has no call.
    async fn stop_accepting(mut self) -> Connections {
        self.connections.stop();
        // It may already have a request, too.
        self.serve_waiting();
        // Connections that the kernel has accepted may already have a request.
        let queued = async {
            for _ in 0..MAX_LAST_ACCEPTS {
                match self.listener.accept().await {
                    Ok((stream, _)) if !self.connections.are_full() => {
                        self.connections.serve(stream);
                    }
                    _ => break,
                }
            }
        };
        let _ = tokio::time::timeout(LAST_ACCEPT_TIMEOUT, queued).await;
        self.connections
    }
}
