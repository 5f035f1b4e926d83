//! The engine on one of the databases: it accepts calls, and serves them with River.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use forge_remote::__engines::{counted, with_causes};
use forge_remote::diagnostic::Check;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobCounts, KeyCounts, LastAccepted,
    Repeats,
};
use riverqueue::{Client, MaintenanceConfig, QueueConfig, Retention, Workers};
use sqlx::Transaction;
use tokio::sync::OnceCell;
use tokio::sync::mpsc::unbounded_channel;

use crate::dispatch::{Dispatch, TIMEOUT_SLACK};
use crate::error::failed;
use crate::gate::Gate;
use crate::lead::MachineClock;
use crate::ledger::Ledger;
use crate::quarantine::LONGEST_TURN;
use crate::ranking::Ranking;
use crate::run_times::RunTimes;
use crate::running::Running;
use crate::shares::Shares;
use crate::store::Store;
use crate::stored_call::QUEUE;
use crate::tables::{TableState, too_new};
use crate::upkeep::{decide, note_finished, only_heartbeat, show_life, tidy};
use crate::waker::Waker;

/// When River itself takes a running job for abandoned: never, in practice. It compares the leader's clock with the
/// database's, and knows the time limits of the leader's version of the app only. [`crate::upkeep`] finds such jobs.
const RESCUE_AFTER: Duration = Duration::from_secs(26 * 3600);
/// How often a process looks for jobs that it was not woken for.
const FETCH_POLL_INTERVAL: Duration = Duration::from_millis(500);
const ELECT_INTERVAL: Duration = Duration::from_secs(2);
const SCHEDULER_INTERVAL: Duration = Duration::from_secs(1);
const RESCUER_INTERVAL: Duration = Duration::from_secs(5);

/// The guarantees of the engine on each of the databases.
pub(crate) const GUARANTEES: Guarantees = Guarantees::new()
    .outlives_process()
    .limits_installations()
    .shares_fairly()
    .ends_installations()
    .joins_transactions()
    .retries_early();

/// The settings of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) remember: Duration,
    pub(crate) keep_dead: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 20,
            remember: Repeats::LONGEST_WINDOW,
            keep_dead: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// One of the databases.
pub(crate) trait Database: Clone + Send + Sync + 'static {
    type Store: Store;
    /// Held while this process runs jobs.
    type Lock: Send;

    /// Returns the engine's name, for messages.
    fn name(&self) -> String;

    /// Returns the engine's guarantees.
    fn guarantees(&self) -> Guarantees {
        GUARANTEES
    }

    /// Reads the database without changing it, or any file next to it; `None` if it does not exist.
    fn inspect(
        &self,
    ) -> impl Future<Output = Result<Option<Inspection<Self::Store>>, EngineError>> + Send;

    /// Opens the database, and migrates it.
    fn open(&self) -> impl Future<Output = Result<Ledger<Self::Store>, EngineError>> + Send;

    /// Prepares the database for a process that runs jobs.
    fn enter(
        &self,
        ledger: &Ledger<Self::Store>,
    ) -> impl Future<Output = Result<Self::Lock, EngineError>> + Send;
}

/// A database that is read without changing it.
pub(crate) struct Inspection<S> {
    pub(crate) ledger: Ledger<S>,
    /// The number of River's migrations that are not done yet.
    pub(crate) migrations_left: usize,
    /// The number of tables that this database alone has, and which are missing.
    pub(crate) missing_tables: usize,
    /// The permissions that the engine needs and the app's process lacks.
    pub(crate) lacking: Option<Lacking>,
    /// How calls are stored.
    pub(crate) durability: CrashSafety,
}

/// A permission that the engine needs and has not.
pub(crate) struct Lacking {
    pub(crate) what: String,
    pub(crate) fix: &'static str,
}

impl<S: Store> Inspection<S> {
    /// Returns the migrations that are left before the app runs jobs; `None` if the schema is
    /// current.
    async fn left_to_do(&self) -> Result<Option<String>, EngineError> {
        let missing = self.missing_tables + self.ledger.missing_tables().await?;
        let left = self.migrations_left;
        let steps = match self.ledger.table_state().await? {
            TableState::Behind(steps) => steps,
            TableState::Current | TableState::Ahead(_) => 0,
        };
        let (step, of) = (
            counted(steps, "step", "steps"),
            "of the tables' own migration",
        );
        let parts = [
            (
                left,
                counted(left, "migration", "migrations") + " of River's",
            ),
            (
                missing,
                counted(
                    missing,
                    "missing table or index",
                    "missing tables or indexes",
                ),
            ),
            (steps, format!("{step} {of}")),
        ];
        let parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let parts: Vec<String> = parts.map(|(_, part)| part).collect();
        Ok((!parts.is_empty()).then(|| format!("left to do: {}", parts.join(" and "))))
    }
}

/// Whether a stored call survives a power cut.
pub(crate) enum CrashSafety {
    /// Commits are durable by these settings.
    Durable(String),
    /// Once the engine has opened the database, which has these settings.
    #[cfg(feature = "sqlite")]
    DurableAfterLaunch(String),
    /// Commits are not durable by these settings, and the fix.
    #[cfg(feature = "postgres")]
    Lost(String, &'static str),
}

/// An engine.
pub(crate) struct River<D: Database> {
    pub(crate) database: D,
    pub(crate) settings: Settings,
    opened: OnceCell<Opened<D::Store>>,
}

pub(crate) struct Opened<S> {
    pub(crate) ledger: Ledger<S>,
    /// Inserts jobs.
    inserter: Client,
    /// Wakes the client that runs jobs, while the engine serves.
    waker: RwLock<Option<Waker>>,
}

impl<S> Opened<S> {
    fn set_waker(&self, waker: Option<Waker>) {
        *self.waker.write().unwrap_or_else(PoisonError::into_inner) = waker;
    }

    /// Starts a job that this process has committed. Otherwise it starts when the process next looks for jobs.
    fn wake(&self) {
        let waker = self.waker.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waker {
            waker.wake();
        }
    }
}

impl<D: Database> River<D> {
    pub(crate) fn new(database: D, settings: Settings) -> Self {
        Self {
            database,
            settings,
            opened: OnceCell::new(),
        }
    }

    pub(crate) async fn open(&self) -> Result<(), EngineError> {
        self.opened().await.map(|_| ())
    }

    /// Returns the tables, and a client that inserts, for an operator. They are not created or migrated.
    pub(crate) async fn inspected(&self) -> Result<(&Ledger<D::Store>, Client), EngineError> {
        if self.opened.get().is_none() {
            let name = self.database.name();
            let look = self.database.inspect().await?.ok_or_else(|| {
                EngineError::new(format!(
                    "{name} does not exist: no job was stored there yet (`dev` keeps its jobs in memory), or its path is \
                     relative to another directory"
                ))
            })?;
            if let TableState::Ahead(version) = look.ledger.table_state().await? {
                return Err(too_new(version));
            }
            if let Some(left) = look.left_to_do().await? {
                return Err(EngineError::new(format!(
                    "{name} has no current tables of jobs ({left}): start the app, which migrates it; if it runs \
                     already, it uses another database"
                )));
            }
        }
        let opened = self.opened().await?;
        Ok((&opened.ledger, opened.inserter.clone()))
    }

    async fn opened(&self) -> Result<&Opened<D::Store>, EngineError> {
        let open = async || {
            let ledger = self.database.open().await?;
            let inserter = ledger.store.client().build();
            let inserter = inserter.map_err(|error| failed("River cannot be set up", error))?;
            Ok(Opened {
                ledger,
                inserter,
                waker: RwLock::default(),
            })
        };
        self.opened.get_or_try_init(open).await
    }

    pub(crate) async fn accept(&self, envelope: &Envelope) -> Result<Accepted, EngineError> {
        let opened = self.opened().await?;
        let accepted = opened.ledger.accept(&opened.inserter, envelope).await?;
        let is_due = |time| time <= SystemTime::now();
        if matches!(accepted, Accepted::New(_)) && envelope.not_before.is_none_or(is_due) {
            opened.wake();
        }
        Ok(accepted)
    }

    pub(crate) async fn counts(&self) -> Result<JobCounts, EngineError> {
        self.readable().await?.counts().await
    }

    pub(crate) async fn key_counts(&self) -> Result<KeyCounts, EngineError> {
        self.readable().await?.key_counts().await
    }

    pub(crate) async fn last_accepted(&self) -> Result<LastAccepted, EngineError> {
        self.readable().await?.last_accepted().await
    }

    /// Returns the tables, without creating or migrating them.
    async fn readable(&self) -> Result<Ledger<D::Store>, EngineError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.ledger.clone());
        }
        let look = self.database.inspect().await?;
        let look = look.ok_or_else(|| EngineError::new("the database does not exist yet"))?;
        Ok(look.ledger)
    }

    /// Checks the schema and the settings, without changing anything.
    pub(crate) async fn checks(&self) -> Vec<Check> {
        let name = &self.database.name();
        let checked = self.try_checks(name).await;
        checked.unwrap_or_else(|error| {
            let detail = format!("{name}: {}", with_causes(&error));
            let fix = "start the database, or correct its URL or its permissions";
            vec![Check::failed("store", detail, fix)]
        })
    }

    async fn try_checks(&self, name: &str) -> Result<Vec<Check>, EngineError> {
        let Some(look) = self.database.inspect().await? else {
            return Ok(vec![Check::pending(
                "migrations",
                format!("{name} does not exist"),
                "start the app, which creates it; if it has run before, it used another path: a relative one begins \
                 at the working directory",
            )]);
        };
        if let Some(Lacking { what, fix }) = look.lacking {
            return Ok(vec![Check::failed("store", format!("{name}: {what}"), fix)]);
        }
        if let TableState::Ahead(version) = look.ledger.table_state().await? {
            let detail = format!("{name}: {}", too_new(version));
            let fix = "deploy the newer version of the app that migrated them";
            return Ok(vec![Check::failed("migrations", detail, fix)]);
        }
        if let Some(detail) = look.left_to_do().await? {
            let fix = "start the app, which creates them";
            return Ok(vec![Check::pending(
                "migrations",
                format!("{name}: {detail}"),
                fix,
            )]);
        }
        let durability = match look.durability {
            CrashSafety::Durable(settings) => {
                Check::passed("durability", format!("{name}: {settings}"))
            }
            #[cfg(feature = "sqlite")]
            CrashSafety::DurableAfterLaunch(settings) => Check::pending(
                "durability",
                format!("{name}: {settings}"),
                "start the app, which sets it; no other program may reset it",
            ),
            #[cfg(feature = "postgres")]
            CrashSafety::Lost(settings, fix) => Check::failed(
                "durability",
                format!(
                    "{name}: {settings}: a power cut loses calls that were acknowledged to Forge"
                ),
                fix,
            ),
        };
        let current = Check::passed("migrations", format!("{name}: its schema is current"));
        Ok(vec![current, durability])
    }

    pub(crate) async fn end_installation(&self, installation: &str) -> Result<u64, EngineError> {
        let ledger = &self.opened().await?.ledger;
        let mut all = 0;
        loop {
            match ledger.end_waiting(installation).await? {
                0 => return Ok(all),
                ended => all += ended,
            }
        }
    }

    /// Stores a call in the app's own transaction.
    pub(crate) async fn accept_in(
        &self,
        transaction: &mut Transaction<'_, <D::Store as Store>::Database>,
        envelope: &Envelope,
    ) -> Result<Accepted, EngineError> {
        let client = &self.already_opened()?.inserter;
        Ledger::<D::Store>::accept_in(transaction, client, envelope).await
    }

    /// Returns the database, without opening it: a transaction of the app may have locked it.
    pub(crate) fn already_opened(&self) -> Result<&Opened<D::Store>, EngineError> {
        self.opened.get().ok_or_else(|| {
            EngineError::new("the engine is not open yet: `App::run` and `App::connect` open it")
        })
    }

    pub(crate) async fn serve(&self, context: EngineContext) -> Result<(), EngineError> {
        let opened = self.opened().await?;
        let _presence = self.database.enter(&opened.ledger).await?;
        let setup = |error| failed("River cannot be set up", error);
        let longest = context.runner.longest_timeout();
        let (finished, mut finishing) = unbounded_channel();
        let (applications, applying) = unbounded_channel();
        let running = Running::default();
        let machine = MachineClock::default();
        let mut workers = Workers::new();
        let dispatch = Dispatch {
            runner: context.runner,
            ledger: opened.ledger.clone(),
            gate: Gate::new(Shares::new(self.settings.workers)),
            running: running.clone(),
            machine: machine.clone(),
            applications,
            finished,
            run_times: RunTimes::default(),
        };
        workers.add(dispatch).map_err(setup)?;
        let queue = QueueConfig::new(self.settings.workers)
            .with_fetch_cooldown(Waker::FETCH_COOLDOWN)
            .with_fetch_poll_interval(FETCH_POLL_INTERVAL);
        let job_timeout = longest + LONGEST_TURN + TIMEOUT_SLACK;
        let maintenance = MaintenanceConfig::default()
            .with_elect_interval(ELECT_INTERVAL)
            .with_scheduler_interval(SCHEDULER_INTERVAL)
            .with_rescuer_interval(RESCUER_INTERVAL)
            .with_rescue_after(RESCUE_AFTER)
            .with_completed_job_retention(Retention::DeleteAfter(Duration::from_secs(3600)))
            .with_cancelled_job_retention(Retention::DeleteAfter(Duration::from_secs(3600)))
            .with_discarded_job_retention(Retention::DeleteAfter(self.settings.keep_dead));
        let client = opened
            .ledger
            .store
            .worker()
            .workers(workers)
            .queue(QUEUE, queue.clone())
            .job_timeout(job_timeout)
            .soft_stop_timeout(context.grace.max(Duration::from_millis(1)))
            .maintenance(maintenance)
            .build()
            .map_err(setup)?;
        let process = client.id().to_owned();
        opened.ledger.heartbeat(&process).await?;
        machine.note(opened.ledger.store.lead().await?);
        let mut ranking = Ranking::default();
        ranking.pass(&opened.ledger).await;
        let mut run = client
            .start()
            .map_err(|error| failed("River cannot start", error))?;
        opened.set_waker(Some(Waker::new(client, queue)));
        let upkeep = Ledger {
            store: opened.ledger.store.apart(),
        };
        let deciding = tokio::spawn(decide(upkeep.clone(), applying));
        let life = show_life(&upkeep, &process, &machine);
        let remember = self.settings.remember;
        let tidying = tidy(&opened.ledger, remember, &process, &running, &mut finishing);
        let ended = tokio::select! {
            ended = async {
                tokio::select! {
                    () = context.stop => run.stop().await,
                    ended = run.wait() => ended,
                }
            } => ended.map_err(|error| failed("River ended", error)),
            error = life => {
                // A job that still runs at the end of the grace period is released, and starts again elsewhere, or once
                // the clocks agree.
                tokio::select! {
                    _ = run.stop() => {}
                    never = only_heartbeat(&upkeep, &process) => match never {},
                }
                Err(error)
            }
            never = tidying => match never {},
            never = ranking.run(&opened.ledger) => match never {},
        };
        opened.set_waker(None);
        drop(run);
        deciding.abort();
        note_finished(&opened.ledger, None, &mut finishing).await;
        ended
    }
}
