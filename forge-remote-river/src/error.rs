//! The errors of the database.

use forge_remote::jobs::EngineError;

/// Returns the error of a statement or a connection.
pub(crate) fn database_failed(error: sqlx::Error) -> EngineError {
    failed("the database failed", error)
}

/// Returns an error with its cause.
pub(crate) fn failed(
    what: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> EngineError {
    EngineError::new(what.to_owned()).with_source(error)
}
