//! The rows of tokens and their sites.

use std::collections::{BTreeSet, HashMap};

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::error::failed;
use crate::token::store::interface::{MAX_LEAD_MILLIS, from_millis, to_millis};
use crate::token::store::rows::BadRow;
use crate::token::store::{SealedToken, StoreError};

/// The most rows of one statement, because SQLite limits its parameters (to 32,766).
pub(super) const MAX_ROWS: usize = 128;

/// A record's sites.
macro_rules! sites {
    () => {
        "(
            SELECT group_concat(cloud_id) FROM forge_remote_token_sites AS sites
            WHERE sites.installation_id = forge_remote_tokens.installation_id
        )"
    };
}

/// The columns that [`token`] reads.
macro_rules! select {
    () => {
        concat!(
            "SELECT installation_id, expires_at, sealed, ",
            sites!(),
            " FROM forge_remote_tokens"
        )
    };
}

/// Writes records of different installations by few statements: each one wakes the connection's thread and
/// waits for it, which costs more than a row. Returns the installations that have a later record.
pub(super) async fn put_rows(
    connection: &mut SqliteConnection,
    tokens: &[SealedToken],
) -> Result<Vec<String>, StoreError> {
    let mut put = QueryBuilder::<Sqlite>::new(
        "INSERT INTO forge_remote_tokens (installation_id, expires_at, sealed) ",
    );
    put.push_values(tokens, |mut row, token| {
        row.push_bind(&token.installation_id)
            .push_bind(to_millis(token.expires_at))
            .push_bind(&token.sealed);
    });
    put.push(
        " ON CONFLICT (installation_id) DO UPDATE
         SET expires_at = excluded.expires_at, sealed = excluded.sealed
         WHERE forge_remote_tokens.expires_at <= excluded.expires_at
            -- true for values that are not numbers, too
            OR forge_remote_tokens.expires_at > excluded.expires_at + ",
    );
    put.push_bind(MAX_LEAD_MILLIS);
    put.push(concat!(" RETURNING installation_id, ", sites!()));
    // Its text depends on the number of rows, so only two of them are worth a place among the prepared statements.
    let is_frequent = [1, MAX_ROWS].contains(&tokens.len());
    let written = put.build_query_as().persistent(is_frequent);
    let written: Vec<(String, Option<String>)> =
        written.fetch_all(&mut *connection).await.map_err(failed)?;
    let sites: HashMap<&str, Option<&str>> = written
        .iter()
        .map(|(id, sites)| (id.as_str(), sites.as_deref()))
        .collect();
    let is_moved = |token: &&SealedToken| {
        let sites = sites.get(token.installation_id.as_str());
        sites.is_some_and(|sites| !are_sites(*sites, token))
    };
    let moved: Vec<&SealedToken> = tokens.iter().filter(is_moved).collect();
    put_sites(connection, &moved).await?;
    let ids = tokens.iter().map(|token| &token.installation_id);
    Ok(ids
        .filter(|id| !sites.contains_key(id.as_str()))
        .cloned()
        .collect())
}

/// Returns whether these sites, as [`sites!`] returns them, are a token's.
fn are_sites(sites: Option<&str>, token: &SealedToken) -> bool {
    let sites: BTreeSet<&str> = sites.iter().flat_map(|ids| ids.split(',')).collect();
    sites == token.cloud_ids.iter().map(String::as_str).collect()
}

/// Writes the sites of records that were just written. Rows of unchanged sites are not written again.
pub(super) async fn put_sites(
    connection: &mut SqliteConnection,
    tokens: &[&SealedToken],
) -> Result<(), StoreError> {
    if tokens.is_empty() {
        return Ok(());
    }
    let sites = tokens.iter().flat_map(|token| {
        let sites = token.cloud_ids.iter();
        sites.map(|cloud_id| (cloud_id, &token.installation_id))
    });
    let sites: Vec<(&String, &String)> = sites.collect();
    let mut remove = QueryBuilder::<Sqlite>::new(
        "DELETE FROM forge_remote_token_sites WHERE installation_id IN (",
    );
    let mut ids = remove.separated(", ");
    for token in tokens {
        ids.push_bind(&token.installation_id);
    }
    remove.push(")");
    if !sites.is_empty() {
        remove.push(" AND (cloud_id, installation_id) NOT IN (");
        remove.push_values(&sites, |mut row, (cloud_id, id)| {
            row.push_bind(*cloud_id).push_bind(*id);
        });
        remove.push(")");
    }
    let remove = remove.build().persistent(false);
    remove.execute(&mut *connection).await.map_err(failed)?;
    if sites.is_empty() {
        return Ok(());
    }
    let mut add = QueryBuilder::<Sqlite>::new(
        "INSERT OR IGNORE INTO forge_remote_token_sites (cloud_id, installation_id) ",
    );
    add.push_values(&sites, |mut row, (cloud_id, id)| {
        row.push_bind(*cloud_id).push_bind(*id);
    });
    let add = add.build().persistent(false);
    add.execute(connection).await.map_err(failed).map(drop)
}

/// Reads a row of `select!`.
pub(super) fn token(row: &SqliteRow) -> Result<SealedToken, BadRow> {
    let id: String = row
        .try_get(0)
        .map_err(|error| BadRow::of("", error.to_string()))?;
    let bad = |error: sqlx::Error| BadRow::of(&id, error.to_string());
    let sites: Option<String> = row.try_get(3).map_err(bad)?;
    Ok(SealedToken {
        expires_at: from_millis(row.try_get(1).map_err(bad)?),
        sealed: row.try_get(2).map_err(bad)?,
        cloud_ids: sites
            .iter()
            .flat_map(|sites| sites.split(','))
            .map(str::to_owned)
            .collect(),
        installation_id: id,
    })
}
