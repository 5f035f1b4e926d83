//! The machines and schedules of the simulation.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use super::network::{BEGINNING, Connection, Link, Random, SharedStore, SimulatedClock, lock};
use crate::token::installation::{About, Sites};
use crate::token::store::from_millis;
use crate::token::{Tokens, removal::SETTLES};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(super) const MACHINES: usize = 3;
const STEPS: u64 = 18;
pub(super) const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
/// Upper bound on the error of a clock that still accepts invocation tokens, in milliseconds.
const TOLERANCE: i64 = 20_000;
/// The time after which a delivery shows every machine that an installation still exists.
pub(super) const RETURNS: Duration = Duration::from_secs(SETTLES.as_secs() + 50);
/// Upper bound on the duration of a schedule: the record of a removal must outlast it.
const MAX_DURATION: Duration = Duration::from_secs(16 * 3600);

/// The course of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The installation stays.
    Stays,
    /// The installation is removed.
    Leaves,
    /// The installation is removed, and Forge calls for it later.
    Returns,
}

pub(super) const FATES: [Fate; 3] = [Fate::Stays, Fate::Leaves, Fate::Returns];

pub(super) fn id(number: usize) -> String {
    format!("ari:cloud:ecosystem::installation/{number}")
}

/// The observed state of an installation.
#[derive(Default)]
pub(super) struct Known {
    pub(super) removed_at: Option<Duration>,
    /// The end of the newest token that a `flush` has confirmed, in milliseconds.
    pub(super) durable: i64,
    pub(super) is_removal_durable: bool,
    /// The time since which no write of the removal is in progress.
    pub(super) is_quiet_since: Option<Duration>,
    /// The end of the last token in the store.
    pub(super) stored: Option<i64>,
    pub(super) reported: u32,
}

pub(super) type Shared = Arc<Mutex<BTreeMap<usize, Known>>>;

/// The tokens and removals that a machine has accepted since its last `flush`.
#[derive(Clone, Default)]
pub(super) struct Unconfirmed {
    tokens: Vec<(usize, i64)>,
    removals: Vec<usize>,
}

pub(super) struct Machine {
    pub(super) runtime: Runtime,
    pub(super) tokens: Tokens,
    pub(super) link: Arc<Mutex<Link>>,
    pub(super) unconfirmed: Unconfirmed,
    /// The running calls of `flush` and `remove`, with their start.
    pub(super) running: Arc<Mutex<BTreeMap<u64, Duration>>>,
}

pub(super) struct World {
    pub(super) is_verbose: bool,
    pub(super) random: Random,
    pub(super) store: SharedStore,
    pub(super) now: Duration,
    pub(super) machines: Vec<Machine>,
    /// One for each machine; all machines share one if the store is a file.
    pub(super) clocks: Vec<Arc<Mutex<i64>>>,
    pub(super) known: Shared,
    pub(super) calls: u64,
}

impl World {
    pub(super) fn new(seed: u64, is_verbose: bool) -> Self {
        let random = Random::new(seed);
        let has_clock = random.below(2) == 0;
        let one: Arc<Mutex<i64>> = Arc::default();
        let clock = |_| {
            if has_clock {
                Arc::default()
            } else {
                Arc::clone(&one)
            }
        };
        let mut this = Self {
            is_verbose,
            store: SharedStore::new(random.clone(), has_clock),
            random,
            now: Duration::ZERO,
            machines: Vec::new(),
            clocks: (0..MACHINES).map(clock).collect(),
            known: Arc::new(Mutex::new(
                (0..FATES.len()).map(|at| (at, Known::default())).collect(),
            )),
            calls: 0,
        };
        for at in 0..MACHINES {
            let machine = this.start(at);
            this.machines.push(machine);
        }
        this
    }

    pub(super) fn log(&self, line: impl FnOnce() -> String) {
        if self.is_verbose {
            eprintln!("{:>12.3} {}", self.now.as_secs_f64(), line());
        }
    }

    pub(super) fn start(&self, at: usize) -> Machine {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
        let wrong_by = Arc::clone(&self.clocks[at]);
        let link = Arc::new(Mutex::new(Link::Up));
        let (known, random) = (Arc::clone(&self.known), self.random.clone());
        let tokens = runtime.block_on(async {
            let clock = SimulatedClock::new(self.now, wrong_by);
            let connection = Connection {
                store: self.store.clone(),
                link: Arc::clone(&link),
                clock: clock.clone(),
            };
            let tokens = Tokens::new(connection).keys(KEY).clock(clock.clone());
            tokens.on_removed(move |id| {
                let (known, random) = (Arc::clone(&known), random.clone());
                async move {
                    tokio::time::sleep(Duration::from_millis(random.below(3000))).await;
                    if random.below(3) == 0 {
                        return Err("the callback's own database is down");
                    }
                    let number = id.rsplit('/').next().and_then(|text| text.parse().ok());
                    let number = number.unwrap_or(usize::MAX);
                    if let Some(known) = lock(&known).get_mut(&number) {
                        known.reported += 1;
                    }
                    Ok(())
                }
            });
            let opening = tokens.clone();
            tokio::spawn(async move { opening.open_or_wait().await });
            tokens
        });
        Machine {
            runtime,
            tokens,
            link,
            unconfirmed: Unconfirmed::default(),
            running: Arc::default(),
        }
    }

    /// Runs the schedule, heals everything, and checks the result.
    pub(super) fn run(mut self) {
        for _ in 0..STEPS {
            self.act();
            let short = self.random.below(3) > 0;
            let length = if short {
                1 + self.random.below(80)
            } else {
                let lengths = [
                    SECOND,
                    5 * SECOND,
                    12 * SECOND,
                    61 * SECOND,
                    2 * MINUTE,
                    10 * MINUTE,
                ];
                self.random.pick(&lengths)
            };
            self.step(Duration::from_millis(length));
            if self.random.below(24) == 0 && self.now < MAX_DURATION {
                self.step(Duration::from_millis(HOUR));
            }
        }
        self.heal();
        self.check();
    }

    pub(super) fn millis(&self) -> i64 {
        i64::try_from((BEGINNING + self.now).as_millis()).unwrap_or(0)
    }

    fn is_sane(&self, at: usize) -> bool {
        lock(&self.clocks[at]).abs() <= TOLERANCE
    }

    /// Executes one random action.
    fn act(&mut self) {
        let at = self.random.below(MACHINES as u64) as usize;
        let number = self.random.below(FATES.len() as u64) as usize;
        match self.random.below(26) {
            0..=8 => self.deliver(at, number),
            9 | 22 => self.remove(at, number),
            23..=25 => self.return_everywhere(),
            10 | 11 => self.read(at),
            12 | 13 => self.flush(at),
            14 => {
                let links = [
                    Link::Up,
                    Link::Rejected,
                    Link::Flaky,
                    Link::Silent,
                    Link::Deaf,
                    Link::Late,
                ];
                let link = self.random.pick(&links);
                self.log(|| format!("{at} link {link:?}"));
                *lock(&self.machines[at].link) = link;
            }
            15 | 16 => {
                self.log(|| "links up".to_owned());
                for machine in &self.machines {
                    *lock(&machine.link) = Link::Up;
                }
            }
            17 => {
                let hours = 3_600_000;
                let wrong_by = [
                    0,
                    0,
                    -15_000,
                    15_000,
                    -hours,
                    hours,
                    -30 * hours,
                    30 * hours,
                ];
                let wrong_by = self.random.pick(&wrong_by);
                self.log(|| format!("{at} clock {wrong_by}"));
                *lock(&self.clocks[at]) = wrong_by;
            }
            18 => {
                self.log(|| "clocks right".to_owned());
                for clock in &self.clocks {
                    *lock(clock) = 0;
                }
            }
            _ => {
                if self.random.below(3) == 0 {
                    self.crash(at);
                }
            }
        }
    }

    fn crash(&mut self, at: usize) {
        self.log(|| format!("{at} crash"));
        let machine = self.start(at);
        // Dropping the old runtime cancels all its tasks.
        self.machines[at] = machine;
    }

    /// Delivers a token as a call of Forge: machines with a wrong clock reject it.
    fn deliver(&mut self, at: usize, number: usize) {
        let removed = lock(&self.known)[&number].removed_at;
        let since = removed.map(|removed| self.now - removed);
        let calls = match (FATES[number], since) {
            (_, None) => true,
            (Fate::Returns, Some(since)) => since < Duration::from_secs(60) || since > RETURNS,
            (_, Some(since)) => since < Duration::from_secs(60),
        };
        if !calls {
            return;
        }
        let life = 2 * HOUR + self.random.below(2 * HOUR);
        self.deliver_for(at, number, life, since.is_none_or(|since| since > RETURNS));
    }

    /// Delivers tokens of the returning installation to every machine, while all of them know of its
    /// removal: each replaces the record, and the newest token has to stay.
    fn return_everywhere(&mut self) {
        const RETURNING: usize = 2;
        let removed = lock(&self.known)[&RETURNING].removed_at;
        if removed.is_none() {
            let at = self.random.below(MACHINES as u64) as usize;
            return self.remove(at, RETURNING);
        }
        if removed.is_some_and(|removed| self.now - removed <= RETURNS) {
            return;
        }
        for at in 0..MACHINES {
            self.read(at);
        }
        self.step(Duration::from_secs(1));
        for at in 0..MACHINES {
            let life = 2 * HOUR + self.random.below(2 * HOUR);
            self.deliver_for(at, RETURNING, life, true);
        }
        for _ in 0..9 {
            let length = 1 + self.random.below(30);
            self.step(Duration::from_millis(length));
        }
    }

    pub(super) fn deliver_for(&mut self, at: usize, number: usize, life: u64, counts: bool) {
        let sane = self.is_sane(at);
        let end = self.millis() + i64::try_from(life).unwrap_or(0);
        let machine = &mut self.machines[at];
        let Some(keeper) = machine.tokens.0.keeper.get() else {
            return;
        };
        if !sane {
            keeper.clock_health.doubt();
            return;
        }
        keeper.clock_health.confirm();
        let about = About {
            installation_id: id(number),
            app_id: "app".to_owned(),
            environment_type: None,
            environment_id: None,
            api_base_url: Some(format!("https://api.atlassian.com/ex/jira/site-{number}")),
            contexts: Some(r#"[{"name":"jira"}]"#.to_owned()),
            isolated_cloud_label: None,
            sites: Sites::default(),
        };
        let token = Zeroizing::new(end.to_string());
        machine
            .runtime
            .block_on(async { keeper.keep(Arc::new(about), token, from_millis(end)) });
        if counts {
            machine.unconfirmed.tokens.push((number, end));
        }
        self.log(|| format!("{at} delivers {number}, end {end}"));
    }

    fn remove(&mut self, at: usize, number: usize) {
        // The call before an uninstallation is verified too; the app itself may remove at any time.
        let is_possible = self.is_sane(at) || self.store.has_clock;
        let is_first = lock(&self.known)[&number].removed_at.is_none();
        if FATES[number] == Fate::Stays
            || !is_first
            || !is_possible
            || !self.machines[at].tokens.is_open()
        {
            return;
        }
        self.log(|| format!("{at} removes {number}"));
        if let Some(known) = lock(&self.known).get_mut(&number) {
            known.removed_at = Some(self.now);
        }
        self.machines[at].unconfirmed.removals.push(number);
        let known = Arc::clone(&self.known);
        let tokens = self.machines[at].tokens.clone();
        self.spawn(at, async move {
            if tokens.remove(&id(number)).await.is_ok()
                && let Some(known) = lock(&known).get_mut(&number)
            {
                known.is_removal_durable = true;
            }
        });
    }

    fn spawn(&mut self, at: usize, task: impl Future<Output = ()> + Send + 'static) {
        let (number, began) = (self.random.below(u64::MAX), self.now);
        let machine = &self.machines[at];
        lock(&machine.running).insert(number, began);
        let running = Arc::clone(&machine.running);
        let _inside = machine.runtime.enter();
        tokio::spawn(async move {
            task.await;
            lock(&running).remove(&number);
        });
    }

    pub(super) fn read(&mut self, at: usize) {
        self.log(|| format!("{at} reads"));
        let tokens = self.machines[at].tokens.clone();
        let _inside = self.machines[at].runtime.enter();
        tokio::spawn(async move {
            for number in 0..FATES.len() {
                let _ = tokens.system(&id(number)).await;
            }
            let _ = tokens.installations().await;
            let _ = tokens.find_by_site("site-0").await;
        });
    }

    pub(super) fn flush(&mut self, at: usize) {
        self.log(|| format!("{at} flushes"));
        let confirmed = std::mem::take(&mut self.machines[at].unconfirmed);
        if !self.machines[at].tokens.is_open() {
            self.machines[at].unconfirmed = confirmed;
            return;
        }
        let tokens = self.machines[at].tokens.clone();
        let known = Arc::clone(&self.known);
        self.spawn(at, async move {
            if tokens.flush().await.is_err() {
                return;
            }
            let mut known = lock(&known);
            for (number, end) in confirmed.tokens {
                if let Some(known) = known.get_mut(&number) {
                    known.durable = known.durable.max(end);
                }
            }
            for number in confirmed.removals {
                if let Some(known) = known.get_mut(&number) {
                    known.is_removal_durable = true;
                }
            }
        });
    }
}
