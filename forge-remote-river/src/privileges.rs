//! The privileges of the PostgreSQL role.

use sqlx::PgConnection;

use crate::engine::Lacking;
use crate::tables::{CREATE_VERSION_TABLE, IDENTITY, MIGRATIONS};

/// Returns the privileges that the engine needs and the role lacks: `CREATE TABLE IF NOT EXISTS` at each launch needs
/// the privilege to create, even where everything exists; a migration needs the ownership of the tables, as does River
/// when it builds an index again.
pub(crate) async fn lacking(
    schema: Option<&str>,
    connection: &mut PgConnection,
) -> Result<Option<Lacking>, sqlx::Error> {
    // A schema that is missing or that the role may not use is not part of the path.
    let (role, usable, may_create): (String, Option<String>, Option<bool>) = sqlx::query_as(
        "SELECT current_user::text, current_schema()::text, has_schema_privilege(current_schema(), 'CREATE')",
    )
    .fetch_one(&mut *connection)
    .await?;
    let lacking = |what: String, fix| {
        Ok(Some(Lacking {
            what: format!("the role `{role}` {what}"),
            fix,
        }))
    };
    let Some(usable) = usable else {
        let (exists, may_create): (bool, bool) = sqlx::query_as(
            "SELECT to_regnamespace($1) IS NOT NULL, has_database_privilege(current_database(), 'CREATE')",
        )
        .bind(schema)
        .fetch_one(&mut *connection)
        .await?;
        return match schema {
            None => lacking(
                "may use no schema of the URL's `search_path`, or none exists".to_owned(),
                "create the schema, and grant USAGE and CREATE on it to the role",
            ),
            Some(name) if exists => lacking(
                format!("may not use the schema `{name}`"),
                "grant USAGE and CREATE on the schema to the role",
            ),
            Some(name) if !may_create => lacking(
                format!("may not create the schema `{name}`, which is missing"),
                "create it with `AUTHORIZATION` of the role, or grant CREATE on the database to the role",
            ),
            Some(_) => Ok(None),
        };
    };
    if may_create != Some(true) {
        let fix = "grant CREATE on the schema to the role";
        return lacking(
            format!("may not create tables in the schema `{usable}`"),
            fix,
        );
    }
    let of_others: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
             AND (relname LIKE 'river\\_%' OR relname = ANY($1))
             AND NOT pg_has_role(relowner, 'USAGE')
         ORDER BY relname",
    )
    .bind(table_names())
    .fetch_all(&mut *connection)
    .await?;
    match of_others.first() {
        None => Ok(None),
        Some(first) => lacking(
            format!(
                "does not own {} of the tables, such as `{first}`",
                of_others.len()
            ),
            "let the role own them: `ALTER TABLE … OWNER TO`",
        ),
    }
}

/// Returns the names of this crate's tables, without River's.
fn table_names() -> Vec<&'static str> {
    let tables = MIGRATIONS
        .concat()
        .into_iter()
        .chain([CREATE_VERSION_TABLE]);
    let named = tables
        .chain(IDENTITY.iter().copied())
        .filter_map(|statement| statement.strip_prefix("CREATE TABLE IF NOT EXISTS "));
    named
        .filter_map(|rest| rest.split_whitespace().next())
        .collect()
}
