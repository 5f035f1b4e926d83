//! The store of the simulation, and the network between it and a process.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::fit::Clock;
use crate::token::store::{
    MemoryTokens, PageRequest, SealedToken, StoreError, StoreFuture, TokenPage, TokenStore,
    from_millis,
};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Random numbers that a seed determines (SplitMix64).
#[derive(Clone)]
pub(super) struct Random(Arc<Mutex<u64>>);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// Returns a number below this.
    pub(super) fn below(&self, end: u64) -> u64 {
        let mut state = lock(&self.0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// The beginning of the simulation, in true time.
pub(super) const BEGINNING: Duration = Duration::from_secs(1_800_000_000);

/// The clock of a process: its machine's wall clock may be wrong, and may be set.
#[derive(Clone)]
pub(super) struct SimulatedClock {
    /// The start, in the virtual time of the process's runtime.
    started: Instant,
    /// The true time when it started, since the beginning.
    started_at: Duration,
    /// The offset, in milliseconds.
    wrong_by: Arc<Mutex<i64>>,
}

impl SimulatedClock {
    /// Creates a clock; must be called in the process's runtime.
    pub(super) fn new(started_at: Duration, wrong_by: Arc<Mutex<i64>>) -> Self {
        Self {
            started: Instant::now(),
            started_at,
            wrong_by,
        }
    }

    fn true_now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + BEGINNING + self.started_at + self.started.elapsed()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> SystemTime {
        let wrong_by = *lock(&self.wrong_by);
        let by = Duration::from_millis(wrong_by.unsigned_abs());
        match wrong_by {
            0.. => self.true_now() + by,
            _ => self.true_now() - by,
        }
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The state of the network between a process and the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    /// Every call fails.
    Rejected,
    /// Some calls fail, before or after they are executed.
    Flaky,
    /// Calls don't arrive, and get no response.
    Silent,
    /// Calls are executed, but get no response.
    Deaf,
    /// Writes arrive long after the caller has stopped waiting.
    Late,
}

type Command = Box<dyn FnOnce(&MemoryTokens) + Send>;

/// The store that all processes share.
#[derive(Clone)]
pub(super) struct SharedStore {
    pub(super) kept: MemoryTokens,
    pub(super) random: Random,
    /// Writes in transit, with the true time of their arrival.
    late: Arc<Mutex<Vec<(Duration, Command)>>>,
    /// Whether it is a server, with a clock that is right.
    pub(super) has_clock: bool,
    pub(super) calls: Arc<Mutex<u64>>,
}

impl SharedStore {
    pub(super) fn new(random: Random, has_clock: bool) -> Self {
        Self {
            kept: MemoryTokens::new(),
            random,
            late: Arc::default(),
            has_clock,
            calls: Arc::default(),
        }
    }

    pub(super) fn has_late(&self) -> bool {
        !lock(&self.late).is_empty()
    }

    /// Executes the writes that have arrived by this time.
    pub(super) fn deliver_late(&self, now: Duration) {
        let mut late = lock(&self.late);
        let (arrived, waiting) = std::mem::take(&mut *late)
            .into_iter()
            .partition(|one| one.0 <= now);
        *late = waiting;
        drop(late);
        let arrived: Vec<(Duration, Command)> = arrived;
        for (_, command) in arrived {
            command(&self.kept);
        }
    }
}

/// The store, as a process reaches it.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) store: SharedStore,
    pub(super) link: Arc<Mutex<Link>>,
    pub(super) clock: SimulatedClock,
}

impl Connection {
    fn call<T: Send + 'static>(
        &self,
        is_write: bool,
        command: impl FnOnce(&MemoryTokens) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        *lock(&self.store.calls) += 1;
        let this = self.clone();
        Box::pin(async move {
            let outbound = Duration::from_millis(this.store.random.below(40));
            tokio::time::sleep(outbound).await;
            let link = *lock(&this.link);
            let fate = this.store.random.below(6);
            let response = match link {
                Link::Flaky if fate == 0 => return Err(StoreError::new("it fails")),
                Link::Up | Link::Deaf | Link::Flaky => command(&this.store.kept),
                Link::Late if !is_write => command(&this.store.kept),
                Link::Rejected => return Err(StoreError::new("rejected")),
                Link::Silent => return std::future::pending().await,
                Link::Late => {
                    let by = Duration::from_secs(5 + this.store.random.below(300));
                    let at = this.clock.started_at + this.clock.elapsed() + by;
                    let command: Command = Box::new(|kept| drop(command(kept)));
                    lock(&this.store.late).push((at, command));
                    return std::future::pending().await;
                }
            };
            if link == Link::Deaf {
                return std::future::pending().await;
            }
            let inbound = Duration::from_millis(this.store.random.below(40));
            tokio::time::sleep(inbound).await;
            if link == Link::Flaky && fate == 1 {
                return Err(StoreError::new("its response is lost"));
            }
            response.await
        })
    }
}

impl TokenStore for Connection {
    fn name(&self) -> String {
        "the simulated store".to_owned()
    }

    fn compare_and_swap_key_check(
        &self,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        self.call(true, |kept| kept.compare_and_swap_key_check(expected, new))
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>> {
        self.call(true, |kept| kept.put(tokens))
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        self.call(true, |kept| kept.replace_if(expected, new))
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        let id = installation_id.to_owned();
        self.call(true, move |kept| kept.remove_if(&id, expected))
    }

    fn server_time(&self) -> StoreFuture<Option<SystemTime>> {
        let (has_clock, clock) = (self.store.has_clock, self.clock.clone());
        self.call(false, move |_| {
            let millis = crate::token::store::to_millis(clock.true_now());
            let time = has_clock.then(|| from_millis(millis));
            Box::pin(std::future::ready(Ok(time)))
        })
    }

    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>> {
        let id = installation_id.to_owned();
        self.call(false, move |kept| kept.get(&id))
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        let id = cloud_id.to_owned();
        self.call(false, move |kept| kept.find_by_site(&id))
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        self.call(false, |kept| kept.list(page))
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
        self.call(true, move |kept| kept.purge(ended_before))
    }
}
