//! What is checked before an app serves: everything, and all problems at once.

use std::collections::BTreeSet;
use std::fmt;

use serde_yaml::Value;

use super::App;
use crate::manifest::{MAX_PROPERTIES, Remote, included_paths};
use crate::registry::{Need, Problem};

/// Why an app doesn't start: every problem, not the first.
#[derive(Clone, PartialEq, Eq)]
pub struct LaunchError {
    problems: Vec<Problem>,
}

impl LaunchError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write!(f, "{problem}\n\n")?;
        }
        let count = self.problems.len();
        write!(
            f,
            "the app can't start: {count} problem{}",
            if count == 1 { "" } else { "s" }
        )
    }
}

impl fmt::Debug for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for LaunchError {}

impl App {
    /// What is wrong with what the code declares: enough to know before writing a manifest.
    pub(crate) fn declaration_problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.clone();
        problems.extend(self.registry.problems());
        self.check_remotes(&mut problems);
        self.check_properties(&mut problems);
        problems
    }

    /// More entity properties in all triggers' `property_paths` than Forge adds to events.
    fn check_properties(&self, problems: &mut Vec<Problem>) {
        let mut paths = BTreeSet::new();
        let mut naming = Vec::new();
        for handler in self.registry.handlers() {
            for module in handler.registration().kind.modules(handler) {
                let item = Value::Mapping(module.item);
                if included_paths(&item).next().is_some() {
                    naming.push(handler);
                }
                paths.extend(included_paths(&item).map(str::to_owned));
            }
        }
        if paths.len() > MAX_PROPERTIES {
            let message = format!(
                "the app's triggers have {} different `property_paths`, and Forge takes {MAX_PROPERTIES} of an app",
                paths.len()
            );
            let help = "name fewer, or read the properties when the event is there";
            problems.push(Problem::new("too-many-properties", message, help).at(&naming));
        }
    }

    /// What is wrong with what the handlers need at run time.
    pub(super) fn state_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, _) in &self.pending_state {
            problems.push(Problem::new(
                "unconnected-state",
                format!("the state `{name}` is not connected"),
                "call `App::connect().await` before `App::build()`; `App::run()` does it by itself",
            ));
        }
        if let Some(tokens) = &self.tokens {
            tokens.use_clock(&self.clock);
            match tokens.open_at_once() {
                Ok(true) => {}
                Ok(false) => problems.push(Problem::new(
                    "unopened-tokens",
                    "the store given to `App::tokens` is not connected",
                    "call `App::connect().await` before `App::build()`; `App::run()` does it by itself",
                )),
                Err(error) => problems.push(Problem::new(
                    "bad-tokens",
                    error.to_string(),
                    "correct what is given to `App::tokens`",
                )),
            }
        }
        for handler in self.registry.handlers() {
            let record = handler.registration();
            for need in record.mount.needs() {
                let who = format!("`{}`", record.function);
                let problem = self.lacks(&who, need);
                problems.extend(problem.map(|problem| problem.at([&handler])));
            }
        }
        for task in &self.background {
            for need in &task.needs {
                let problem = self.lacks("the background task", need);
                problems.extend(problem.map(|problem| problem.at_place(task.place)));
            }
        }
        problems
    }

    /// What the app hasn't got that somebody takes.
    fn lacks(&self, who: &str, need: &Need) -> Option<Problem> {
        match need {
            Need::Tokens if self.tokens.is_none() => Some(Problem::new(
                "no-tokens",
                format!("{who} takes `Tokens`, but the app keeps none"),
                "give the app a store: `.tokens(SqliteTokens::at(\"tokens.db\"))`; \
                 `forge_remote::token` lists them",
            )),
            Need::State { id, name } => {
                let (id, name) = (id(), name());
                let mut pending = self.pending_state.iter();
                if self.state.contains(id) || pending.any(|(pending, _)| *pending == name) {
                    return None;
                }
                Some(Problem::new(
                    "missing-state",
                    format!("{who} takes `State<{name}>`, but the app has no such value"),
                    "give it to the app: `.state(value)`, or `.state_from(async { … })`",
                ))
            }
            _ => None,
        }
    }

    fn check_remotes(&self, problems: &mut Vec<Problem>) {
        let mut keys = BTreeSet::new();
        for remote in &self.remotes {
            if let Some(problem) = remote.problem() {
                problems.push(Problem::new(
                    "bad-remote",
                    problem,
                    "correct the `Remote` given to the app",
                ));
            }
            if !keys.insert(remote.key()) {
                problems.push(Problem::new(
                    "duplicate-remote",
                    format!("two remotes have the key `{}`", remote.key()),
                    "give each remote a key of its own; Forge would take the first without a word",
                ));
            }
        }
        if self.remotes.is_empty() && !self.registry.handlers().is_empty() {
            problems.push(Problem::new(
                "no-remote",
                "the app has no remote, so Forge would not know where to call",
                "add `.remote(Remote::new(\"backend\").base_url(\"https://backend.example.com\"))`",
            ));
        }
        let names: Vec<&str> = self.remotes.iter().map(Remote::key).collect();
        for handler in self.registry.handlers() {
            let Some(remote) = handler.registration().remote else {
                continue;
            };
            if !self.remotes.is_empty() && !names.contains(&remote) {
                problems.push(
                    Problem::new(
                        "unknown-remote",
                        format!(
                            "`{}` names the remote `{remote}`, which the app doesn't have",
                            handler.registration().function
                        ),
                        format!("the app's remotes are: {}", names.join(", ")),
                    )
                    .at([&handler]),
                );
            }
        }
    }
}
