//! Connects an app to the local platform instead of Atlassian's.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use forge_remote_schema::did_you_mean;

use super::apis::Declared;
use super::local::Platform;
use crate::app::App;
use crate::app::AppIdError;
use crate::client::AtlassianClient;
use crate::diagnostic::{Diagnostic, Rule};
use crate::error::Result;
use crate::fit::AppId;
use crate::jobs::{Guarantees, MemoryJobs};

/// The rules of this file.
pub(crate) const RULES: &[&Rule] = &[&OPENED_TOKENS, &UNKNOWN_SAMPLE];

const OPENED_TOKENS: Rule = Rule::launch(
    "opened-tokens",
    "`dev` replaces the app's token store by one in memory, but the store is already open. The app opens its tokens \
    when it starts: don't call `Tokens::open`.",
);

const UNKNOWN_SAMPLE: Rule = Rule::launch(
    "unknown-sample",
    "`App::sample_body` names a key that no handler has, so its body is never sent. Write the key of a module or an \
    endpoint; `routes` lists them.",
);

impl App {
    /// Returns a warning for each sample body that no handler gets.
    pub(crate) fn unused_samples(&self) -> Vec<Diagnostic> {
        let registry = self.registry();
        let keys = registry.labels();
        let samples = self.sample_bodies.keys();
        let unused = samples.filter(|key| registry.find(key).next().is_none());
        let warning = |key: &String| {
            let message = format!("`App::sample_body(\"{key}\", …)`: no handler has this key");
            let help = did_you_mean(key, keys.iter().map(String::as_str))
                .unwrap_or_else(|| format!("the keys are: {}", keys.join(", ")));
            Diagnostic::error(&UNKNOWN_SAMPLE, message, help).into_warning()
        };
        unused.map(warning).collect()
    }

    /// Returns the bodies that `dev` sends, by key.
    pub(crate) fn samples(&self) -> BTreeMap<String, Vec<serde_json::Value>> {
        self.sample_bodies.clone()
    }

    /// Returns the app's client for Atlassian's APIs.
    pub(crate) fn atlassian_of(&self) -> &AtlassianClient {
        &self.client
    }

    /// Replaces the token store by one in memory: Atlassian does not accept a local platform's tokens,
    /// so they must not get into the app's store.
    pub(crate) fn tokens_in_memory(mut self) -> Self {
        if self
            .token_store
            .as_ref()
            .is_some_and(|tokens| !tokens.use_memory())
        {
            self.problems.push(Diagnostic::error(&OPENED_TOKENS,
                "a local platform's tokens are kept in memory, but the store given to `App::token_store` is \
                 already open and would get them",
                "don't call `Tokens::open`; the app opens its tokens when it starts",
            ));
        }
        // A local platform's calls are no work for the app's own engine.
        let is_durable =
            |handler: &crate::registry::Handler| handler.registration().durable.is_some();
        let has_jobs = !self.registry.jobs().is_empty();
        if self.jobs.is_some() || has_jobs || self.registry.handlers().iter().any(is_durable) {
            self = self
                .jobs(MemoryJobs::new())
                .require_guarantees(Guarantees::new());
        }
        self
    }

    /// Returns the engine of the app's jobs, if it is the one in memory.
    pub(crate) fn jobs_in_memory(&self) -> Option<MemoryJobs> {
        let engine: &dyn Any = &*self.jobs.as_ref()?.engine;
        engine.downcast_ref().cloned()
    }

    /// Returns the declarations that a local platform enforces.
    fn declared(&self) -> Declared {
        let manifest = self.settings().read_manifest().ok();
        let manifest = manifest
            .filter(|file| file.exists())
            .map(|file| file.to_json());
        let manifest = manifest.filter(|value| !value.is_null());
        Declared::new(!self.impersonation_scopes.is_empty(), manifest.as_ref())
    }

    /// Creates a local platform, whose key set replaces Atlassian's.
    pub(crate) fn with_platform(mut self, default_app_id: &str) -> Result<(Platform, Self)> {
        let ids = self.app_ids_or(default_app_id)?;
        let first = ids.first().cloned().ok_or(AppIdError::Missing)?;
        let platform = Platform::with_clock(first, Arc::clone(&self.clock))?;
        platform.apis().set_declared(self.declared());
        let desired = self.desired_manifest();
        platform.apis().grant_scopes(desired.possible_scopes());
        for fixtures in std::mem::take(&mut self.fixtures) {
            platform.apis().set_fixtures(&fixtures)?;
        }
        let app = self.on_platform(&platform)?;
        Ok((platform, app))
    }

    /// Replaces Atlassian's key set by the one of a local platform.
    pub(crate) fn on_platform(mut self, platform: &Platform) -> Result<Self> {
        let ids = self.app_ids_or(platform.app_id().as_str())?;
        self.app_ids = ids.iter().map(|id| id.as_str().to_owned()).collect();
        self.key_source = Some(Box::new(platform.key_source()));
        self.serves_cron = true;
        Ok(self)
    }

    /// Returns the ids of the apps; the default id if none was set.
    fn app_ids_or(&self, default: &str) -> Result<Vec<AppId>> {
        Ok(match self.settings().app_ids() {
            // `dev` serves while the manifest is edited, and reports one that cannot be read.
            Err(AppIdError::Missing | AppIdError::UnreadableManifest(_)) => vec![default.parse()?],
            ids => ids?,
        })
    }
}
