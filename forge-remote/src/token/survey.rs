//! The contents of a store, read without changing anything, for the command `doctor`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::error::OpenError;
use super::handle::Tokens;
use super::keeper::{Keeper, in_time};
use super::limits::PAGE;
use super::records::Peeked;
use super::seal::KeyId;
use super::store::{Guarded, PageRequest, SealedToken, StoreError, TokenStore as _};
use crate::credentials::issued_at;
use crate::diagnostic::Check;

/// The number of installations that are named.
const MAX_NAMED: usize = 3;

/// The stored tokens of a store.
#[derive(Default)]
pub(crate) struct Survey {
    /// The number of installations.
    pub(crate) installations: u64,
    /// When the oldest and the newest valid token were issued; `None` if no token shows it.
    pub(crate) issued: Option<(SystemTime, SystemTime)>,
    /// The next expiry of a valid token.
    pub(crate) next_expiry: Option<SystemTime>,
    /// The number of records of tokens and removals that are sealed under each key, by its id.
    pub(crate) sealed_under: BTreeMap<String, u64>,
    /// Installations whose token has expired.
    pub(crate) expired: Group,
    /// Installations whose token Atlassian rejected.
    pub(crate) rejected: Group,
    /// Installations whose token does not open with the app's keys.
    pub(crate) shut: Group,
}

/// Some installations.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) count: u64,
    /// The first few ids.
    pub(crate) named: Vec<String>,
}

impl Group {
    fn add(&mut self, installation_id: &str) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(installation_id.to_owned());
        }
    }
}

impl Tokens {
    /// Returns the name of the store.
    pub(crate) fn store_name(&self) -> String {
        self.settings().store.name()
    }

    /// Returns whether the tokens are on disk or a server.
    pub(crate) fn are_stored(&self) -> bool {
        self.settings().store.outlives_process()
    }

    /// Returns the store's checks of itself.
    pub(crate) async fn store_checks(&self) -> Vec<Check> {
        let store = Guarded::new(self.settings().store.clone());
        store.checks().await
    }

    /// Reads every stored token. Nothing is opened, migrated, written or started.
    ///
    /// # Errors
    ///
    /// The keys are invalid, or the store cannot be read.
    pub(crate) async fn survey(&self) -> Result<Survey, SurveyError> {
        let keeper = self.new_keeper()?;
        let mut survey = Survey::default();
        let mut after = None;
        loop {
            let page = PageRequest {
                after,
                ..PageRequest::first(PAGE)
            };
            let page = in_time(keeper.store().list(page)).await?;
            for record in &page.tokens {
                survey.add(&keeper, record);
            }
            after = page.next;
            if after.is_none() {
                return Ok(survey);
            }
        }
    }
}

/// An error of [`Tokens::survey`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum SurveyError {
    #[error(transparent)]
    Keys(#[from] OpenError),
    #[error("the stored tokens cannot be listed")]
    Store(#[from] StoreError),
}

impl Survey {
    fn add(&mut self, keeper: &Keeper, record: &SealedToken) {
        if let Some(key) = KeyId::of(&record.sealed) {
            *self.sealed_under.entry(key.to_string()).or_default() += 1;
        }
        let (token, standing) = match keeper.peek(record) {
            Peeked::NotOurs => return,
            Peeked::Token { token, standing } => (token, standing),
            Peeked::Shut => {
                self.installations += 1;
                return self.shut.add(&record.installation_id);
            }
        };
        self.installations += 1;
        if record.expires_at <= keeper.clock.now() {
            return self.expired.add(&record.installation_id);
        }
        if standing.rejected {
            self.rejected.add(&record.installation_id);
        }
        let next = self.next_expiry.unwrap_or(record.expires_at);
        self.next_expiry = Some(next.min(record.expires_at));
        if let Some(issued) = issued_at(&token) {
            let (oldest, newest) = self.issued.unwrap_or((issued, issued));
            self.issued = Some((oldest.min(issued), newest.max(issued)));
        }
    }
}
