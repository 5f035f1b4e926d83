//! Which calls are stored, and when those of a schedule run.

use std::collections::HashMap;
use std::sync::Arc;

use super::cron::{CronHandler, Schedules, Shared, timetables};
use super::durable::{DurableHandler, Intake, Runs};
use super::target::{KnownKeys, stored_target};
use crate::app::builder::App;
use crate::client::CallingHandler;
use crate::jobs::{JobPolicy, Sender};
use crate::log::LogLimits;
use crate::registry::Handler;
use crate::schedules::Timetable;
use crate::token::JobSeal;
use crate::work::Work;

/// How the calls of handlers are stored and run, by the handlers' keys.
pub(super) struct CallPlan {
    policies: HashMap<String, JobPolicy>,
    timetables: HashMap<String, Arc<Timetable>>,
    /// `None` without an engine.
    pub(super) sender: Option<Sender>,
    pub(super) runs: Arc<Runs>,
}

impl CallPlan {
    pub(super) fn new(app: &App, seal: Option<JobSeal>) -> Self {
        let sender = app.jobs.as_ref().zip(seal).map(|(jobs, seal)| {
            Sender::new(Arc::clone(&jobs.engine), seal, Arc::clone(&app.clock))
        });
        let handlers = app.registry.handlers().iter();
        let policy = |one: &Handler| Some((one.key().to_owned(), app.job_policy(one)?));
        Self {
            policies: handlers.filter_map(policy).collect(),
            timetables: timetables(&app.registry),
            sender,
            runs: Arc::new(Runs::new(Arc::clone(&app.clock))),
        }
    }

    /// Returns the schedules of the handlers with `cron`.
    pub(super) fn schedules(
        &self,
        app: &App,
        work: &Arc<Work>,
        log_limits: &LogLimits,
    ) -> Schedules {
        let handlers = app.registry.handlers().iter();
        let handlers = handlers.filter_map(|handler| {
            let timetable = self.timetables.get(handler.key())?;
            let policy = self.policies.get(handler.key()).copied();
            let policy = policy.unwrap_or(JobPolicy::DEFAULT);
            let calling = calling(app, handler);
            Some(CronHandler::new(handler, timetable, policy, calling))
        });
        let shared = Shared {
            clock: Arc::clone(&app.clock),
            runs: Arc::clone(&self.runs),
            work: Arc::clone(work),
            log_limits: log_limits.clone(),
            #[cfg(feature = "dev")]
            is_local: app.serves_cron,
        };
        let interval = app.clock_interval().duration();
        Schedules::new(handlers.collect(), interval, self.sender.clone(), shared)
    }

    /// Returns the intake that stores the calls of a handler; `None` if they are not stored.
    pub(super) fn intake(&self, handler: &Handler) -> Option<Arc<Intake>> {
        let policy = self.policies.get(handler.key())?;
        let intake = Intake::new(handler, policy, self.sender.as_ref()?);
        Some(Arc::new(intake))
    }

    /// Returns the handlers of stored calls and the jobs, by the keys under which calls are stored.
    pub(super) fn durable_handlers(
        &self,
        app: &App,
        keys: &KnownKeys,
    ) -> HashMap<String, DurableHandler> {
        let mut durable = HashMap::new();
        for handler in app.registry.handlers() {
            let Some(policy) = self.policies.get(handler.key()) else {
                continue;
            };
            let target = stored_target(handler, keys);
            let mut stored = DurableHandler::new(handler, *policy, target);
            stored.calling = calling(app, handler);
            stored.timetable = self.timetables.get(handler.key()).cloned();
            // Calls that are stored under a former key run too.
            for former in handler.former_keys() {
                let entry = durable.entry(former.clone());
                entry.or_insert_with(|| stored.clone());
            }
            durable.insert(handler.key().to_owned(), stored);
        }
        for job in app.registry.jobs() {
            let stored = DurableHandler::job(job);
            durable.entry(job.key.to_owned()).or_insert(stored);
        }
        durable
    }
}

/// Returns the handler for its calls to Atlassian, if its scopes are checked before them.
pub(super) fn calling(app: &App, handler: &Handler) -> Option<CallingHandler> {
    app.app_managed.then(|| CallingHandler {
        name: handler.registration().function,
        scopes: handler.registration().scopes,
    })
}
