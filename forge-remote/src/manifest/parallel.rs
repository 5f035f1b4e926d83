//! Runs two functions concurrently, for large manifests.

use std::thread;

/// Runs two functions, the second in a separate thread if possible, and returns their values; `None` if the
/// second panicked.
pub(crate) fn in_parallel<A, B: Send>(
    here: impl FnOnce() -> A,
    second: impl Fn() -> B + Sync,
) -> (A, Option<B>) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &second);
        let value = here();
        match thread {
            Ok(thread) => (value, thread.join().ok()),
            Err(_) => (value, Some(second())),
        }
    })
}
