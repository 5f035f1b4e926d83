//! Connects an app to the local platform instead of Atlassian's.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::apis::Declared;
use super::local::Platform;
use crate::app::App;
use crate::app::AppIdError;
use crate::client::AtlassianClient;
use crate::diagnostic::{Diagnostic, Rule};
use crate::error::Result;
use crate::fit::AppId;
use crate::manifest::read_value;

/// The rules of this file.
pub(crate) const RULES: &[&Rule] = &[&OPENED_TOKENS];

const OPENED_TOKENS: Rule = Rule::launch(
    "opened-tokens",
    "The local platform's tokens are not Atlassian's, so they must not be written to the app's store; but the store was \
    opened before the local platform could replace it. The app opens its tokens when it starts: don't call `Tokens::open`.",
);

impl App {
    /// Returns the bodies that `dev` sends, by key.
    pub(crate) fn samples(&self) -> BTreeMap<String, Vec<serde_json::Value>> {
        self.samples.clone()
    }

    /// Returns the app's client for Atlassian's APIs.
    pub(crate) fn atlassian_of(&self) -> &AtlassianClient {
        &self.atlassian
    }

    /// Replaces the token store by one in memory: Atlassian does not accept a local platform's tokens,
    /// so they must not get into the app's store.
    pub(crate) fn tokens_in_memory(mut self) -> Self {
        if self
            .tokens
            .as_ref()
            .is_some_and(|tokens| !tokens.use_memory())
        {
            self.problems.push(Diagnostic::error(&OPENED_TOKENS,
                "a local platform's tokens are kept in memory, but the store given to `App::token_store` is \
                 already open and would get them",
                "don't call `Tokens::open`; the app opens its tokens when it starts",
            ));
        }
        self
    }

    /// Returns the declarations that a local platform enforces.
    fn declared(&self) -> Declared {
        let manifest = read_value(&self.settings().manifest);
        let manifest = manifest.and_then(|value| serde_json::to_value(value).ok());
        Declared::new(!self.impersonation.is_empty(), manifest.as_ref())
    }

    /// Creates a local platform, whose key set replaces Atlassian's.
    pub(crate) fn with_platform(mut self, default_app_id: &str) -> Result<(Platform, Self)> {
        let ids = match self.settings().app_ids() {
            Err(AppIdError::Missing) => vec![default_app_id.parse::<AppId>()?],
            ids => ids?,
        };
        let first = ids.first().cloned().ok_or(AppIdError::Missing)?;
        let platform = Platform::with_clock(first, Arc::clone(&self.clock))?;
        platform.apis().set_declared(self.declared());
        self.app_ids = ids.iter().map(|id| id.as_str().to_owned()).collect();
        self.key_source = Some(Box::new(platform.key_source()));
        Ok((platform, self))
    }
}
