//! The signals that stop the process: Ctrl-C and SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use tokio::sync::watch;

/// The exit status of a process that a signal ended at once.
const INTERRUPTED: i32 = 1;

/// A counter of the signals to stop that arrived since its creation.
///
/// The second signal ends the process, unless [`second`](Self::second) is awaited, and the third one always does. After
/// a first signal, this also holds once the counter is dropped, because the process may still wait for blocked threads.
#[derive(Debug)]
pub(crate) struct StopSignals {
    count: watch::Receiver<usize>,
    second_is_awaited: Arc<AtomicBool>,
}

impl StopSignals {
    pub(crate) fn listen() -> Self {
        let (sender, count) = watch::channel(0);
        let second_is_awaited = Arc::new(AtomicBool::new(false));
        let counter = Counter {
            count: sender,
            second_is_awaited: Arc::clone(&second_is_awaited),
        };
        let (ready, is_ready) = mpsc::channel();
        // The app's tasks can block every thread of its runtime.
        let thread = std::thread::Builder::new().name("forge-remote-signals".to_owned());
        if let Err(error) = thread.spawn(move || counter.run(ready)) {
            tracing::error!(%error, "signals to stop cannot be received: their thread does not start");
        }
        // Completes when the thread drops its end, so that no later signal is missed.
        let _ = is_ready.recv();
        Self {
            count,
            second_is_awaited,
        }
    }

    /// Completes at the first signal: the app should stop.
    pub(crate) async fn first(&self) {
        self.reached(1).await;
    }

    /// Completes at the second signal: the process should end at once.
    pub(crate) async fn second(&self) {
        self.second_is_awaited.store(true, Ordering::Relaxed);
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

impl Drop for StopSignals {
    fn drop(&mut self) {
        self.second_is_awaited.store(false, Ordering::Relaxed);
    }
}

/// The thread that counts signals.
struct Counter {
    count: watch::Sender<usize>,
    second_is_awaited: Arc<AtomicBool>,
}

impl Counter {
    /// Counts signals, and drops `ready` once they are received.
    fn run(self, ready: mpsc::Sender<()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.count(ready)),
            Err(error) => tracing::error!(%error, "signals to stop cannot be received"),
        }
    }

    async fn count(self, ready: mpsc::Sender<()>) {
        let mut signals = Signals::receive();
        drop(ready);
        loop {
            tokio::select! {
                () = signals.next() => {}
                () = self.count.closed(), if *self.count.borrow() == 0 => return,
            }
            self.count.send_modify(|count| *count += 1);
            let count = *self.count.borrow();
            match count {
                1 => tracing::info!(
                    "received a signal to stop; a second one ends the process at once"
                ),
                2 if self.second_is_awaited.load(Ordering::Relaxed) => {}
                _ => std::process::exit(INTERRUPTED),
            }
        }
    }
}

/// The received signals, from the creation of this value on.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn receive() -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        let receive = |kind| {
            signal(kind)
                .inspect_err(|error| tracing::error!(%error, "a signal to stop cannot be received"))
                .ok()
        };
        Self {
            interrupt: receive(SignalKind::interrupt()),
            terminate: receive(SignalKind::terminate()),
        }
    }

    async fn next(&mut self) {
        async fn one(signal: &mut Option<tokio::signal::unix::Signal>) {
            match signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = one(&mut self.interrupt) => {}
            () = one(&mut self.terminate) => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn receive() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
