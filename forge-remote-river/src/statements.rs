//! SQL statements for both databases, with integer and text parameters `$1`, `$2`, ….

use forge_remote::jobs::EngineError;

use crate::error::database_failed;

/// The value of a parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Integer(i64),
    Text(&'a str),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// Returns parameters, in the order of their numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::statements::Value::from($value)),*] };
}
pub(crate) use values;

/// A connection of one of the databases.
pub(crate) trait Statements: Send {
    /// Runs a statement, and returns how many rows it changed.
    fn execute(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, EngineError>> + Send;

    /// Returns the integer in the first row, if there is one.
    fn integer(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Option<i64>, EngineError>> + Send;

    /// Returns the rows, which have a text and an integer.
    fn named_integers(
        &mut self,
        sql: &'static str,
    ) -> impl Future<Output = Result<Vec<(String, i64)>, EngineError>> + Send;
}

macro_rules! statements {
    ($connection:ty) => {
        impl Statements for $connection {
            async fn execute(
                &mut self,
                sql: &'static str,
                values: &[Value<'_>],
            ) -> Result<u64, EngineError> {
                let mut query = sqlx::query(sql);
                for value in values {
                    query = match *value {
                        Value::Integer(number) => query.bind(number),
                        Value::Text(text) => query.bind(text.to_owned()),
                    };
                }
                let done = query.execute(self).await.map_err(database_failed)?;
                Ok(done.rows_affected())
            }

            async fn integer(
                &mut self,
                sql: &'static str,
                values: &[Value<'_>],
            ) -> Result<Option<i64>, EngineError> {
                let mut query = sqlx::query_scalar(sql);
                for value in values {
                    query = match *value {
                        Value::Integer(number) => query.bind(number),
                        Value::Text(text) => query.bind(text.to_owned()),
                    };
                }
                let row = query.fetch_optional(self).await;
                row.map_err(database_failed)
            }

            async fn named_integers(
                &mut self,
                sql: &'static str,
            ) -> Result<Vec<(String, i64)>, EngineError> {
                let rows = sqlx::query_as(sql).fetch_all(self).await;
                rows.map_err(database_failed)
            }
        }
    };
}

#[cfg(feature = "postgres")]
statements!(sqlx::PgConnection);
#[cfg(feature = "sqlite")]
statements!(sqlx::SqliteConnection);
