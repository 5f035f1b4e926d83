//! The engine of durable handlers, and their checks at launch.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builder::{App, NO_TOKENS};
use super::engine::JobsSetting;
use crate::diagnostic::{CodeLocation, Diagnostic, Location, Rule};
use crate::jobs::{Guarantees, JobEngine, JobPolicy};
use crate::registry::{Handler, Requirement};
use crate::schedules::Overlap;
use crate::token::JobSeal;

/// The rules of this file.
#[cfg(feature = "cli")]
pub(super) const RULES: &[&Rule] = &[
    &NO_JOBS,
    &UNENFORCED_LIMIT,
    &UNMET_GUARANTEE,
    &NO_JOB_KEY,
    &NOT_DURABLE,
    &DIVIDED_DURABLE,
    &DUPLICATE_JOB,
];

fn has(needs: &[Requirement], wanted: fn(&Requirement) -> bool) -> bool {
    needs.iter().any(wanted)
}

const NO_JOBS: Rule = Rule::launch(
    "no-jobs",
    "The calls of durable handlers are stored before they are acknowledged, and jobs before they run, but the app \
    has no job engine. Set one with `App::jobs`, or remove `durable` from the handler's attribute.",
);

const UNENFORCED_LIMIT: Rule = Rule::launch(
    "unenforced-limit",
    "A durable handler has a `per_installation`, and the engine given to `App::jobs` does not enforce it. Use another \
    engine, or remove the option.",
);

const UNMET_GUARANTEE: Rule = Rule::launch(
    "unmet-guarantee",
    "The app requires guarantees with `App::require_guarantees`, and the engine given to `App::jobs` does not enforce one of \
    them. Use another engine, or remove the requirement. The chapter `long_work` of the documentation has a table of the engines.",
);

const NO_JOB_KEY: Rule = Rule::launch(
    "no-job-key",
    "The calls of durable handlers are encrypted before they are stored, and there is no valid key. Set \
    FORGE_REMOTE_TOKEN_KEY to the output of `openssl rand -base64 32`, the same for every instance of the app.",
);

const NOT_DURABLE: Rule = Rule::launch(
    "not-durable",
    "A handler takes `Attempt`, which only the stored calls of durable handlers have. Write `durable` in its attribute.",
);

const DIVIDED_DURABLE: Rule = Rule::launch(
    "divided-durable",
    "A function has several attributes that share an endpoint, and they differ in `durable` or its options. A FIT \
    names the endpoint and not the module, so a call cannot be assigned to one of the attributes. Write the same \
    `durable` in all of them.",
);

const DUPLICATE_JOB: Rule = Rule::launch(
    "duplicate-job",
    "Two jobs, or a job and a handler, have the same key, and a stored job is found by its key. The default key is \
    the function's name; set another with `key = \"…\"`.",
);

impl App {
    /// Sets the engine that stores and runs [jobs](macro@crate::job) and the calls of [durable](crate::jobs)
    /// handlers. An app with such functions does not start without an engine.
    ///
    /// The engine is opened when the app starts to serve, and not for commands such as `manifest`. It
    /// runs calls while the app serves, as a [`background`](Self::background) task.
    ///
    /// ```
    /// use forge_remote::jobs::MemoryJobs;
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().jobs(MemoryJobs::new());
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn jobs(mut self, engine: impl JobEngine) -> Self {
        self.jobs = Some(JobsSetting {
            engine: Arc::new(engine),
            place: std::panic::Location::caller(),
        });
        self
    }

    /// Requires that the engine given to [`jobs`](Self::jobs) enforces these guarantees: the launch fails otherwise. A handler
    /// with `per_installation` requires [`limits_installations`](Guarantees::limits_installations) without
    /// this.
    ///
    /// A later call replaces an earlier one. `dev`, whose jobs are in memory, does not check it.
    ///
    /// ```
    /// use forge_remote::jobs::{Guarantees, MemoryJobs};
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new()
    ///     .jobs(MemoryJobs::new())
    ///     .require_guarantees(Guarantees::new().shares_fairly().ends_installations());
    /// # let _ = app;
    /// ```
    pub fn require_guarantees(mut self, required: Guarantees) -> Self {
        self.required_guarantees = required;
        self
    }

    /// Returns the seal of stored calls, if the app has an engine for them.
    pub(crate) fn job_seal(&self) -> Result<Option<JobSeal>, Box<Diagnostic>> {
        let Some(jobs) = &self.jobs else {
            return Ok(None);
        };
        let outlives = jobs.engine.guarantees().outlives_process;
        let seal = JobSeal::new(&jobs.engine.name(), outlives, self.token_store.as_ref());
        seal.map(Some).map_err(|error| {
            let help = "set FORGE_REMOTE_TOKEN_KEY to the output of `openssl rand -base64 32`";
            let problem = Diagnostic::error(&NO_JOB_KEY, error.to_string(), help);
            Box::new(problem.at([Location::from(jobs.place)]))
        })
    }

    /// Returns the policy of a handler whose calls are stored: it is durable, or has `cron` in an app with
    /// an engine.
    pub(super) fn job_policy(&self, handler: &Handler) -> Option<JobPolicy> {
        let record = handler.registration();
        let cron = record.kind.cron();
        let jobs = self.jobs.as_ref();
        let default = || cron.and(jobs).map(|_| JobPolicy::DEFAULT);
        let policy = record.durable.or_else(default)?;
        let skips = cron.is_some_and(|options| options.overlap == Overlap::Skip);
        let limits = jobs.is_some_and(|jobs| jobs.engine.guarantees().limits_installations);
        // So that an occurrence does not overlap the one before on another machine.
        Some(match skips && limits {
            true => policy.with_per_installation(1),
            false => policy,
        })
    }

    /// Returns the problems of durable handlers and of jobs.
    pub(super) fn durable_problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        for handler in self.registry.handlers() {
            let record = handler.registration();
            match self.job_policy(handler) {
                Some(policy) => {
                    let what = format!("`{}` is durable", record.function);
                    let place = CodeLocation::from(handler);
                    problems.extend(self.unmet(&what, &policy, record.mount.needs(), place));
                }
                None if has(record.mount.needs(), |need| {
                    matches!(need, Requirement::Attempt)
                }) =>
                {
                    let name = record.function;
                    let message = format!("`{name}` takes `Attempt`, but it is not durable");
                    let help = "write `durable` in its attribute, or take `RetryContext` for Forge's own retries";
                    problems.push(Diagnostic::error(&NOT_DURABLE, message, help).at([handler]));
                }
                None => {}
            }
        }
        for job in self.registry.jobs() {
            let what = format!("`{}` is a job", job.function);
            let place = CodeLocation::from(job);
            problems.extend(self.unmet(&what, &job.policy, job.mount.needs(), place));
        }
        problems.extend(self.divided_problems());
        problems.extend(self.duplicate_jobs());
        problems.extend(self.unmet_guarantees());
        problems
    }

    /// Returns a problem for each guarantee that the app requires and its engine does not enforce.
    fn unmet_guarantees(&self) -> Vec<Diagnostic> {
        let Some(jobs) = &self.jobs else {
            return Vec::new();
        };
        let lacking = jobs.engine.guarantees().lacking(self.required_guarantees);
        let problem = |name: &str| {
            let engine = jobs.engine.name();
            let message =
                format!("the app requires `{name}`, which the engine {engine} does not enforce");
            let help = "remove the requirement from `App::require_guarantees`, or use an engine that enforces it";
            Diagnostic::error(&UNMET_GUARANTEE, message, help).at([Location::from(jobs.place)])
        };
        lacking.into_iter().map(problem).collect()
    }

    /// Returns the problem of a sender of jobs, if the app has no engine.
    pub(super) fn missing_engine(&self, who: &str) -> Option<Diagnostic> {
        let problem = || {
            let message = format!("{who} sends jobs, but the app has no engine to store them");
            let help = "give the app an engine with `App::jobs`; `forge_remote::jobs` lists them";
            Diagnostic::error(&NO_JOBS, message, help)
        };
        self.jobs.is_none().then(problem)
    }

    /// Returns the problems of a durable handler or a job whose policy or arguments the app does not
    /// satisfy.
    fn unmet(
        &self,
        what: &str,
        policy: &JobPolicy,
        needs: &[Requirement],
        place: CodeLocation,
    ) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let takes_token = has(needs, |need| {
            matches!(
                need,
                Requirement::SystemToken | Requirement::OptionalSystemToken
            )
        });
        if takes_token && self.token_store.is_none() {
            let message = format!(
                "{what} and takes a `SystemToken`, but the app has no token store to take it from"
            );
            let help = "give the app a store: `.token_store(SqliteTokens::new(\"tokens.db\"))`";
            problems.push(Diagnostic::error(&NO_TOKENS, message, help));
        }
        match &self.jobs {
            None => problems.push(Diagnostic::error(
                &NO_JOBS,
                format!("{what}, but the app has no job engine to store its calls"),
                "give the app an engine with `App::jobs`; `forge_remote::jobs` lists them",
            )),
            Some(jobs) => {
                let limits = jobs.engine.guarantees().limits_installations;
                if policy.per_installation().is_some() && !limits {
                    let message = format!(
                        "{what} and has `per_installation`, which the engine {} does not enforce",
                        jobs.engine.name()
                    );
                    let help = "remove the option, or use an engine that enforces it";
                    problems.push(Diagnostic::error(&UNENFORCED_LIMIT, message, help));
                }
            }
        }
        let at_place = |problem: Diagnostic| problem.at([place]);
        problems.into_iter().map(at_place).collect()
    }

    /// Returns a problem for each job whose key another job or a durable handler has: a stored job would
    /// not show which of them it is for.
    fn duplicate_jobs(&self) -> Vec<Diagnostic> {
        let mut owners: BTreeMap<&str, Vec<CodeLocation>> = BTreeMap::new();
        for job in self.registry.jobs() {
            let place = CodeLocation::from(job);
            owners.entry(job.key).or_default().push(place);
        }
        for handler in self.registry.handlers() {
            let own = std::iter::once(handler.key());
            for key in own.chain(handler.former_keys().iter().map(String::as_str)) {
                if let Some(places) = owners.get_mut(key) {
                    places.push(CodeLocation::from(handler));
                }
            }
        }
        let shared = owners.into_iter().filter(|(_, places)| places.len() > 1);
        let problem = |(key, places)| {
            let message = format!("the key `{key}` of a job is not its alone");
            let help = "write another `key = \"…\"` in one of the attributes; the other keeps the jobs that are stored";
            Diagnostic::error(&DUPLICATE_JOB, message, help).at(places)
        };
        shared.map(problem).collect()
    }

    /// Returns a problem for each function whose attributes share an endpoint and differ in `durable`: a
    /// token that names the endpoint does not show which of them it is for.
    fn divided_problems(&self) -> Vec<Diagnostic> {
        let mut shared: BTreeMap<(&str, &str), Vec<&Handler>> = BTreeMap::new();
        let handlers = self.registry.handlers().iter();
        for handler in handlers.filter(|one| !one.is_cron()) {
            let function = handler.registration().mount.path();
            shared
                .entry((function, handler.endpoint()))
                .or_default()
                .push(handler);
        }
        let differ = |handlers: &Vec<&Handler>| {
            let mut policies = handlers
                .iter()
                .map(|handler| handler.registration().durable);
            let first = policies.next();
            policies.any(|policy| Some(policy) != first)
        };
        let divided = shared.into_iter().filter(|(_, handlers)| differ(handlers));
        let problem = |((_, endpoint), handlers): ((&str, &str), Vec<&Handler>)| {
            let name = handlers
                .first()
                .map_or("", |handler| handler.registration().function);
            let message = format!(
                "attributes of `{name}` share the endpoint `{endpoint}` and differ in `durable`"
            );
            let help = "write the same `durable` in each of them, or give each its own endpoint and function";
            Diagnostic::error(&DIVIDED_DURABLE, message, help).at(handlers)
        };
        divided.map(problem).collect()
    }
}
