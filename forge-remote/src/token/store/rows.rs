//! Parts of every store on a server or in a file: rows that cannot be read, and checks for `doctor`.

use super::interface::{SealedToken, StoreError};
use crate::diagnostic::Check;
use crate::error::chain;
use crate::fit::BoxFuture;

/// A row that cannot be read as a token.
#[derive(Debug, thiserror::Error)]
#[error("the stored token of {installation_id} cannot be read: {problem}")]
pub(super) struct BadRow {
    pub(super) installation_id: String,
    problem: String,
}

impl BadRow {
    /// Creates the error with this problem, which must not contain the row's content.
    pub(super) fn of(installation_id: &str, problem: impl Into<String>) -> Self {
        Self {
            installation_id: installation_id.to_owned(),
            problem: problem.into(),
        }
    }
}

impl From<BadRow> for StoreError {
    fn from(bad: BadRow) -> Self {
        Self::new(bad.to_string()).unreadable()
    }
}

/// Returns the readable tokens among rows. An unreadable row is logged and skipped, so that it doesn't
/// block the others.
pub(super) fn readable(store: &str, rows: Vec<Result<SealedToken, BadRow>>) -> Vec<SealedToken> {
    let log = |bad: &BadRow| {
        tracing::warn!(
            store,
            installation = bad.installation_id,
            problem = bad.problem,
            "a stored token cannot be read; the next one that Forge delivers replaces it"
        );
    };
    let rows = rows.into_iter();
    rows.filter_map(|row| row.inspect_err(log).ok()).collect()
}

/// Returns a store's checks, or the one that it cannot be read.
pub(super) fn checks_of(
    store: String,
    checks: impl Future<Output = Result<Vec<Check>, StoreError>> + Send + 'static,
) -> BoxFuture<Vec<Check>> {
    Box::pin(async move {
        checks.await.unwrap_or_else(|error| {
            let detail = format!("{store}: {error}{}", chain(&error));
            let fix = "start the store, or correct its URL or its permissions";
            vec![Check::failed("store", detail, fix)]
        })
    })
}
