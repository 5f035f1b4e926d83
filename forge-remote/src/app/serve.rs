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

/// How long tokens may take to be written at the end.
const LAST_WRITES: Duration = Duration::from_secs(5);

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
        let finished = async {
            graceful.shutdown().await;
            self.all_finished().await;
        };
        if tokio::time::timeout(limits.shutdown, finished)
            .await
            .is_err()
        {
            tracing::warn!("calls were still under way and are cut off");
        }
        if let Some(background) = background {
            let left = limits.shutdown.saturating_sub(told.elapsed());
            background.stop(left).await;
        }
        if let Some(tokens) = self.tokens() {
            match tokio::time::timeout(LAST_WRITES, tokens.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(error = %format_args!("{error}{}", chain(&error)), "tokens are lost")
                }
                Err(_) => tracing::error!("tokens are lost: their store did not answer in time"),
            }
        }
        Ok(())
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
