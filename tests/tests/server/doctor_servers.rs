//! `doctor` and the servers of stores: PostgreSQL with its roles, and Redis.

use forge_remote::jobs::JobEngine as _;
use forge_remote::token::{PostgresTokens, TokenStore as _};
use forge_remote_river::PostgresJobs;
use forge_remote_tests::stores::{Folder, postgres_url, redis_url};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::doctor::lines;
use crate::doctor_stores::{all_lines, deployed, doctor};

#[tokio::test]
async fn postgres_is_checked() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let environment = [("POSTGRES", url.as_str()), ("JOBS", url.as_str())];
    let folder = deployed(&environment).await;
    let (status, text) = doctor(&folder, &environment).await;
    let migrations = all_lines(&text, "migrations");
    assert_eq!(migrations.len(), 2, "{text}");
    assert!(
        migrations.iter().all(|line| line.starts_with("warn")),
        "{text}"
    );
    assert_eq!(status, 0, "{text}");

    PostgresTokens::new(&url).open().await.unwrap();
    PostgresJobs::new(&url).open().await.unwrap();
    let (status, text) = doctor(&folder, &environment).await;
    assert!(
        all_lines(&text, "migrations")
            .iter()
            .all(|line| line.starts_with("ok  ")),
        "{text}"
    );
    assert!(lines(&text, "jobs").0.starts_with("ok  "), "{text}");
    // The server of the tests may run without fsync.
    if text.contains("fsync is off") {
        assert!(
            all_lines(&text, "durability")
                .iter()
                .all(|line| line.starts_with("FAIL")),
            "{text}"
        );
        assert_eq!(status, 1, "{text}");
        return;
    }
    assert!(
        all_lines(&text, "durability")
            .iter()
            .all(|line| line.starts_with("ok  ")),
        "{text}"
    );
    // The jobs' connections switch it on, regardless of the default.
    let unsafe_url = format!("{url}&options[synchronous_commit]=off");
    let environment = [("POSTGRES", url.as_str()), ("JOBS", unsafe_url.as_str())];
    let (status, text) = doctor(&folder, &environment).await;
    let durability = all_lines(&text, "durability");
    assert!(durability[1].starts_with("ok  "), "{text}");
    assert!(durability[1].contains("synchronous_commit is on"), "{text}");
    assert_eq!(status, 0, "{text}");
}

/// A role of the server, without any right.
struct Role {
    admin: PgConnection,
    name: String,
    schema: String,
    url: String,
}

impl Role {
    async fn create(url: &str) -> Self {
        let mut admin = PgConnection::connect(url).await.unwrap();
        let schema = sqlx::query_scalar("SELECT current_schema()::text");
        let schema: String = schema.fetch_one(&mut admin).await.unwrap();
        let name = format!("role_{schema}");
        let mut theirs = reqwest::Url::parse(url).unwrap();
        theirs.set_username(&name).unwrap();
        let url = theirs.to_string();
        let mut role = Self {
            admin,
            name,
            schema,
            url,
        };
        role.run("CREATE ROLE {role} LOGIN").await;
        role
    }

    /// Runs statements for the role and the schema.
    async fn run(&mut self, statements: &str) {
        let statements = statements.replace("{role}", &self.name);
        let statements = statements.replace("{schema}", &self.schema);
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        statements.execute(&mut self.admin).await.unwrap();
    }

    /// Runs `doctor` as this role.
    async fn doctor(&self, folder: &Folder) -> (i32, String) {
        doctor(folder, &[("POSTGRES", &self.url), ("JOBS", &self.url)]).await
    }

    /// Checks that `doctor` fails with this for the tokens, and with this for the jobs.
    async fn lacks(&self, folder: &Folder, tokens: &str, jobs: &str) {
        let (status, text) = self.doctor(folder).await;
        let found = all_lines(&text, "store");
        assert_eq!(found.len(), 2, "{text}");
        for (line, expected) in found.iter().zip([tokens, jobs]) {
            assert!(
                line.starts_with("FAIL") && line.contains(expected),
                "{text}"
            );
            assert!(line.contains("fix: "), "{text}");
        }
        assert_eq!(status, 1, "{text}");
    }

    /// Returns whether the engine of jobs can be opened.
    async fn opens_jobs(&self) -> bool {
        PostgresJobs::new(&self.url).open().await.is_ok()
    }
}

#[tokio::test]
async fn the_rights_of_a_role_in_postgres_are_checked() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let folder = deployed(&[("POSTGRES", &url), ("JOBS", &url)]).await;
    let mut role = Role::create(&url).await;
    role.lacks(
        &folder,
        "may use no schema of its `search_path`",
        "may use no schema of the URL's `search_path`",
    )
    .await;

    role.run("GRANT USAGE ON SCHEMA {schema} TO {role}").await;
    let no_create = format!("may not create tables in the schema `{}`", role.schema);
    let tokens = "the tables are missing, and the role";
    role.lacks(&folder, tokens, &no_create).await;

    // Another role has created the tables.
    PostgresTokens::new(&url).open().await.unwrap();
    PostgresJobs::new(&url).open().await.unwrap();
    role.lacks(&folder, "permission denied", "permission denied")
        .await;

    role.run("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
        .await;
    role.lacks(
        &folder,
        "lacks INSERT, UPDATE, DELETE on `forge_remote_tokens`",
        &no_create,
    )
    .await;
    assert!(!role.opens_jobs().await);

    // The grants of the documentation are enough for the tokens. The jobs' tables have to be the role's own.
    role.run(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
         GRANT CREATE ON SCHEMA {schema} TO {role}",
    )
    .await;
    let (status, text) = role.doctor(&folder).await;
    let found = all_lines(&text, "store");
    assert_eq!(found.len(), 1, "{text}");
    assert!(
        found[0].starts_with("FAIL") && found[0].contains("does not own"),
        "{text}"
    );
    assert_eq!(status, 1, "{text}");
    PostgresTokens::new(&role.url).open().await.unwrap();

    let owned = "SELECT format('ALTER TABLE %I OWNER TO %I', relname, $1) FROM pg_class
         WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
             AND relname NOT IN ('forge_remote_tokens', 'forge_remote_schema')";
    let owned = sqlx::query_scalar(owned).bind(role.name.clone());
    let owned: Vec<String> = owned.fetch_all(&mut role.admin).await.unwrap();
    role.run(&owned.join(";\n")).await;
    let (_, text) = role.doctor(&folder).await;
    assert_eq!(all_lines(&text, "store"), [""; 0], "{text}");
    let migrations = all_lines(&text, "migrations");
    assert_eq!(migrations.len(), 2, "{text}");
    assert!(
        migrations.iter().all(|line| line.starts_with("ok  ")),
        "{text}"
    );
    assert!(role.opens_jobs().await);
}

/// Without a schema in the URL, the jobs have a separate one, which is created at the first launch.
#[tokio::test]
async fn a_role_that_may_not_create_the_schema_of_jobs_fails() {
    let Some(url) = postgres_url().await else {
        return;
    };
    let folder = deployed(&[("JOBS", &url)]).await;
    let role = Role::create(&url).await;
    let (url, _) = role.url.split_once("options").unwrap();
    let url = url.trim_end_matches(['?', '&']);
    let (status, text) = doctor(&folder, &[("JOBS", url)]).await;
    let (line, fix) = lines(&text, "store");
    assert!(line.starts_with("FAIL"), "{text}");
    // Another test may have created it.
    let is_named = ["may not create the schema", "may not use the schema"]
        .into_iter()
        .any(|what| line.contains(&format!("{what} `forge_remote_jobs`")));
    assert!(is_named, "{text}");
    assert!(fix.contains("to the role"), "{text}");
    assert_eq!(status, 1, "{text}");
}

#[tokio::test]
async fn a_server_that_is_down_fails() {
    let down = "postgres://nobody@127.0.0.1:1/none";
    let environment = [("POSTGRES", down), ("JOBS", down)];
    let folder = deployed(&environment).await;
    let (status, text) = doctor(&folder, &environment).await;
    let found = all_lines(&text, "store");
    assert_eq!(found.len(), 2, "{text}");
    assert!(
        found
            .iter()
            .all(|line| line.starts_with("FAIL") && line.contains("fix: start")),
        "{text}"
    );
    assert_eq!(status, 1, "{text}");
}

#[tokio::test]
async fn redis_is_checked() {
    let Some((url, prefix)) = redis_url() else {
        return;
    };
    let url = format!("{url}#{prefix}");
    let environment = [("REDIS", url.as_str())];
    let folder = deployed(&environment).await;
    let (status, text) = doctor(&folder, &environment).await;
    let (line, _) = lines(&text, "durability");
    assert!(
        line.starts_with("ok  ") && line.contains("appendonly is"),
        "{text}"
    );
    assert_eq!(status, 0, "{text}");
}
