//! The signals that stop the process: Ctrl-C and SIGTERM.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

/// The exit status of a process that a signal ended at once.
const INTERRUPTED: i32 = 1;

/// The counter of the process. Its thread starts with the first [`StopSignals`], and never ends: a signal that the
/// process has received once has no default action any more.
static COUNTER: OnceLock<Counter> = OnceLock::new();

/// The signals to stop that arrive from its creation on.
///
/// The second signal ends the process, unless [`second`](Self::second) is awaited, and the third one always does. Once
/// this is dropped, and no other one exists, the next signal ends the process, because it may still wait for blocked
/// threads, or try another start. After an app that has served and was not stopped by a signal it has no effect: the
/// program decides.
#[derive(Debug)]
pub(crate) struct StopSignals {
    count: watch::Receiver<usize>,
    listener: Arc<Listener>,
}

/// The progress of an app, for the counter.
#[derive(Debug)]
struct Listener {
    /// The number of signals before it.
    before: usize,
    second_is_awaited: AtomicBool,
    has_served: AtomicBool,
}

impl StopSignals {
    pub(crate) fn listen() -> Self {
        let counter = COUNTER.get_or_init(Counter::start);
        let mut listeners = counter.listeners();
        let count = counter.count.subscribe();
        let listener = Arc::new(Listener {
            before: *count.borrow(),
            second_is_awaited: AtomicBool::new(false),
            has_served: AtomicBool::new(false),
        });
        listeners.live.push(Arc::clone(&listener));
        Self { count, listener }
    }

    /// Completes at the first signal: the app should stop.
    pub(crate) async fn first(&self) {
        self.reached(1).await;
    }

    /// Completes at the second signal: the process should end at once.
    pub(crate) async fn second(&self) {
        self.listener.has_served.store(true, Ordering::Relaxed);
        let is_awaited = &self.listener.second_is_awaited;
        is_awaited.store(true, Ordering::Relaxed);
        self.reached(2).await;
    }

    async fn reached(&self, signals: usize) {
        let reached = self.listener.before + signals;
        let mut count = self.count.clone();
        // This cannot fail: the counter holds the sender, and is never dropped.
        let _ = count.wait_for(|count| *count >= reached).await;
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        let Some(counter) = COUNTER.get() else { return };
        let mut listeners = counter.listeners();
        let this = &self.listener;
        listeners.live.retain(|one| !Arc::ptr_eq(one, this));
        let has_served = this.has_served.load(Ordering::Relaxed);
        let is_stopped = *self.count.borrow() > this.before;
        listeners.next_ends_process = is_stopped || !has_served;
    }
}

/// Counts the signals of the process.
struct Counter {
    count: watch::Sender<usize>,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    live: Vec<Arc<Listener>>,
    /// Whether the next signal ends the process if none is left.
    next_ends_process: bool,
}

/// The effect of a signal.
enum Effect {
    None,
    /// It is the first one for an app.
    Stops,
    EndsProcess,
}

impl Counter {
    /// Starts the thread, and waits until signals are received.
    fn start() -> Self {
        let (ready, is_ready) = std::sync::mpsc::channel::<()>();
        // The app's tasks can block every thread of its runtime.
        let thread = std::thread::Builder::new().name("forge-remote-signals".to_owned());
        if let Err(error) = thread.spawn(move || count_signals(ready)) {
            tracing::error!(%error, "signals to stop cannot be received: their thread does not start");
        }
        // Completes when the thread drops its end, so that no later signal is missed.
        let _ = is_ready.recv();
        Self {
            count: watch::Sender::new(0),
            listeners: Mutex::default(),
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        let listeners = self.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) -> Effect {
        let listeners = self.listeners();
        self.count.send_modify(|count| *count += 1);
        let count = *self.count.borrow();
        let mut effect = match listeners.live.is_empty() && listeners.next_ends_process {
            true => Effect::EndsProcess,
            false => Effect::None,
        };
        for listener in &listeners.live {
            match count - listener.before {
                1 if matches!(effect, Effect::None) => effect = Effect::Stops,
                1 => {}
                2 if listener.second_is_awaited.load(Ordering::Relaxed) => {}
                _ => effect = Effect::EndsProcess,
            }
        }
        effect
    }
}

/// Counts signals, and drops `ready` once they are received.
fn count_signals(ready: std::sync::mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "signals to stop cannot be received"),
    };
    runtime.block_on(async {
        let mut signals = Signals::receive();
        drop(ready);
        loop {
            signals.next().await;
            // The thread that starts this one may still be setting it.
            let effect = COUNTER.wait().add();
            match effect {
                Effect::None => {}
                Effect::Stops => tracing::info!(
                    "received a signal to stop; a second one ends the process at once"
                ),
                Effect::EndsProcess => std::process::exit(INTERRUPTED),
            }
        }
    })
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
