//! The signals that stop the process: Ctrl-C and SIGTERM.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// A counter of the signals to stop that arrived since its creation.
#[derive(Debug)]
pub(crate) struct StopSignals {
    count: watch::Receiver<usize>,
    _listening: JoinSet<()>,
}

impl StopSignals {
    pub(crate) fn listen() -> Self {
        let (sender, count) = watch::channel(0);
        let mut listening = JoinSet::new();
        listening.spawn(counted(sender));
        Self {
            count,
            _listening: listening,
        }
    }

    /// Completes at the first signal: the app should stop.
    pub(crate) async fn first(&self) {
        self.reached(1).await;
    }

    /// Completes at the second signal: the process should end at once.
    pub(crate) async fn second(&self) {
        self.reached(2).await;
    }

    async fn reached(&self, signals: usize) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count >= signals).await.is_err() {
            // No signal can be received.
            std::future::pending::<()>().await;
        }
    }
}

/// Counts signals. They are received from the call of this function on, not from the first poll.
#[cfg(unix)]
fn counted(count: watch::Sender<usize>) -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    let receive = |kind| {
        signal(kind)
            .inspect_err(|error| tracing::error!(%error, "a signal to stop cannot be received"))
            .ok()
    };
    let mut interrupt = receive(SignalKind::interrupt());
    let mut terminate = receive(SignalKind::terminate());
    async fn next(signal: &mut Option<Signal>) {
        match signal {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
    async move {
        loop {
            tokio::select! {
                () = next(&mut interrupt) => {}
                () = next(&mut terminate) => {}
            }
            count.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(not(unix))]
async fn counted(count: watch::Sender<usize>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        count.send_modify(|count| *count += 1);
    }
}
