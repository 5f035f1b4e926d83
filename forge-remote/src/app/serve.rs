//! The server: connections in, and an orderly end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Built;
use crate::error::{Result, chain};
use crate::fit::MAX_TOKEN_BYTES;

/// The largest request head, in bytes: a FIT, two OAuth tokens and the rest.
const MAX_HEAD: usize = MAX_TOKEN_BYTES + 64 * 1024;

/// How long tokens may take to be written at the end. With the grace for calls it is less than the
/// 30 seconds after which Kubernetes kills.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// Between two attempts to write them while calls finish.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

impl Built {
    /// Serves until `shutdown` completes; calls under way may then finish, within
    /// [`App::shutdown_grace`](crate::App::shutdown_grace).
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<()> {
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
        let limits = self.limits();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.keep_alive)
            .max_buf_size(MAX_HEAD)
            // A caller that has sent its request and closed its side still gets its answer.
            .half_close(true);
        let http = Arc::new(http);
        let service = TowerToHyperService::new(self.router());
        let graceful = GracefulShutdown::new();
        let mut shutdown = pin!(shutdown);

        loop {
            let stream = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        pause_after(&error).await;
                        continue;
                    }
                },
            };
            // Small answers leave at once.
            let _ = stream.set_nodelay(true);
            let connection = http.serve_connection(TokioIo::new(stream), service.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        drop(listener);
        tracing::info!(grace = ?limits.shutdown, "stopping: calls under way may finish");
        let told = Instant::now();
        if let Some(background) = &background {
            background.tell();
        }
        self.await_calls(graceful.shutdown()).await;
        if let Some(background) = background {
            let left = limits.shutdown.saturating_sub(told.elapsed());
            background.stop(left).await;
        }
        self.write_tokens().await;
        Ok(())
    }

    /// The orderly end, for a [`router`](Self::router) that is served by somebody else: call it once
    /// that server has answered its last request. [`serve`](Self::serve) does the same by itself.
    ///
    /// Handlers that go on without their caller may finish, within
    /// [`App::shutdown_grace`](crate::App::shutdown_grace), and kept tokens are written, within
    /// another 5 seconds. Background tasks that were [started](Self::start_background) end with what
    /// that gave. Without it, tokens of the last moments are lost, and all that wait for a
    /// store that is down.
    ///
    /// ```
    /// # use forge_remote::prelude::*;
    /// # async fn serve(listener: tokio::net::TcpListener, built: forge_remote::Built) -> Result<()> {
    /// axum::serve(listener, built.router()).with_graceful_shutdown(async {
    ///     let _ = tokio::signal::ctrl_c().await;
    /// }).await?;
    /// built.finish().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn finish(&self) {
        self.await_calls(std::future::ready(())).await;
        self.write_tokens().await;
    }

    /// Waits for the server and for handlers without a caller, for as long as the grace is. What
    /// tokens wait for their store use the time as well.
    async fn await_calls(&self, server: impl Future<Output = ()>) {
        let finished = async {
            server.await;
            self.all_finished().await;
        };
        let writing = async {
            if let Some(tokens) = self.tokens() {
                while tokens.flush().await.is_err() {
                    tokio::time::sleep(WRITE_AGAIN).await;
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
            tracing::warn!("calls were still under way and are cut off");
        }
    }

    async fn write_tokens(&self) {
        let Some(tokens) = self.tokens() else {
            return;
        };
        if let Err(error) = tokens.flush_within(LAST_WRITES).await {
            let lost = tokens.counts().pending;
            let error = format_args!("{error}{}", chain(&error));
            tracing::error!(%error, lost, "tokens are lost: their store did not take them in time");
        }
    }
}

/// One connection's fault isn't the listener's; being out of files passes, but not at once.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        tracing::error!(%error, "no connection can be accepted at the moment");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Completes when the process is told to stop: Ctrl-C, or SIGTERM.
pub(crate) async fn told_to_stop() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
