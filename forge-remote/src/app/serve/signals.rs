//! The signals that stop the process: Ctrl-C and SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::sync::watch;

/// The exit status of a process that a signal ended at once.
const INTERRUPTED: i32 = 1;

/// The number of [`StopSignals`] in this process.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// A counter of the signals to stop that arrived since its creation.
///
/// The second signal ends the process, unless [`second`](Self::second) is awaited, and the third one always does. After
/// a first signal, and if the app has not served, this also holds once the counter is dropped, because the process may
/// still wait for blocked threads; unless another counter exists then.
#[derive(Debug)]
pub(crate) struct StopSignals {
    count: watch::Receiver<usize>,
    flags: Arc<Flags>,
}

/// The progress of the app, for the thread that counts.
#[derive(Debug, Default)]
struct Flags {
    second_is_awaited: AtomicBool,
    has_served: AtomicBool,
}

impl StopSignals {
    pub(crate) fn listen() -> Self {
        LIVE.fetch_add(1, Ordering::Relaxed);
        let (sender, count) = watch::channel(0);
        let flags = Arc::new(Flags::default());
        let counter = Counter {
            count: sender,
            flags: Arc::clone(&flags),
        };
        let (ready, is_ready) = mpsc::channel();
        // The app's tasks can block every thread of its runtime.
        let thread = std::thread::Builder::new().name("forge-remote-signals".to_owned());
        if let Err(error) = thread.spawn(move || counter.run(ready)) {
            tracing::error!(%error, "signals to stop cannot be received: their thread does not start");
        }
        // Completes when the thread drops its end, so that no later signal is missed.
        let _ = is_ready.recv();
        Self { count, flags }
    }

    /// Completes at the first signal: the app should stop.
    pub(crate) async fn first(&self) {
        self.reached(1).await;
    }

    /// Completes at the second signal: the process should end at once.
    pub(crate) async fn second(&self) {
        self.flags.has_served.store(true, Ordering::Relaxed);
        self.flags.second_is_awaited.store(true, Ordering::Relaxed);
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
        self.flags.second_is_awaited.store(false, Ordering::Relaxed);
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The thread that counts signals.
struct Counter {
    count: watch::Sender<usize>,
    flags: Arc<Flags>,
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
        let mut ends_with_app = true;
        loop {
            tokio::select! {
                () = signals.next() => {}
                () = self.count.closed(), if ends_with_app => {
                    if self.flags.has_served.load(Ordering::Relaxed) && *self.count.borrow() == 0 {
                        return;
                    }
                    ends_with_app = false;
                    continue;
                }
            }
            // The process serves again, and this signal is for that server.
            if self.count.is_closed() && LIVE.load(Ordering::Relaxed) > 0 {
                return;
            }
            self.count.send_modify(|count| *count += 1);
            let count = *self.count.borrow();
            match count {
                1 => tracing::info!(
                    "received a signal to stop; a second one ends the process at once"
                ),
                2 if self.flags.second_is_awaited.load(Ordering::Relaxed) => {}
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
