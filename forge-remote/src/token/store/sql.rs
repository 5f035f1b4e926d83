//! Shared parts of the SQL stores: the records of one statement, pages of rows, and the schema's migration.

use std::collections::BTreeMap;

use super::interface::{SealedToken, StoreError, TokenPage};
use super::rows::{BadRow, readable};
use crate::diagnostic::{Check, counted};

/// Returns the record with the latest expiry of each installation, sorted: one statement may write each row
/// only once.
pub(super) fn latest(records: Vec<SealedToken>) -> BTreeMap<String, SealedToken> {
    let mut latest: BTreeMap<String, SealedToken> = BTreeMap::new();
    for record in records {
        let later = latest
            .get(&record.installation_id)
            .is_some_and(|other| other.expires_at > record.expires_at);
        if !later {
            latest.insert(record.installation_id.clone(), record);
        }
    }
    latest
}

/// Returns a page of rows, which are sorted by id; a full page may have a next one.
pub(super) fn listed(store: &str, rows: Vec<Result<SealedToken, BadRow>>, limit: u32) -> TokenPage {
    let full = rows.len() >= limit as usize;
    let id = |row: &Result<SealedToken, BadRow>| match row {
        Ok(token) => token.installation_id.clone(),
        Err(bad) => bad.installation_id.clone(),
    };
    // A row without an id cannot be a cursor.
    let last = rows.iter().rev().map(id).find(|id| !id.is_empty());
    TokenPage {
        next: last.filter(|_| full),
        tokens: readable(store, rows),
    }
}

/// Returns the check of a schema with this version. `store` is the store's name.
pub(super) fn check_schema(
    store: &str,
    done: i64,
    steps: &'static [&'static [&'static str]],
) -> Check {
    let known = steps.len();
    match steps_left(done, steps) {
        Err(error) => Check::failed(
            "migrations",
            format!("{store}: {error}"),
            "deploy the newer version of forge-remote that migrated it",
        ),
        Ok(left) => match left.count() {
            0 => Check::passed(
                "migrations",
                format!("{store}: its schema {done} is current"),
            ),
            left => Check::pending(
                "migrations",
                format!(
                    "{store}: left to do: {} of {known}",
                    counted(left, "migration", "migrations")
                ),
                "start the app, which does them",
            ),
        },
    }
}

/// Returns the remaining steps of a schema's migration after this version, each with its version.
pub(super) fn steps_left(
    done: i64,
    steps: &'static [&'static [&'static str]],
) -> Result<impl Iterator<Item = (i64, &'static [&'static str])> + Send, StoreError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if done > known {
        return Err(StoreError::new(format!(
            "its schema has version {done}, but this version of forge-remote supports {known} at \
             most: update forge-remote"
        ))
        .permanent());
    }
    Ok((1..=known)
        .zip(steps.iter().copied())
        .filter(move |(version, _)| *version > done))
}
