//! Engines of jobs for tests: the same tests run on every engine.

use std::sync::Arc;

use forge_remote::jobs::{JobEngine, MemoryJobs};
use forge_remote_river::{PostgresJobs, SqliteJobs};

use crate::restate_server::RestateServer;
use crate::stores::{Folder, postgres_url};

/// An empty engine, which accepts any number of connections.
pub struct TestEngine {
    /// The name in messages.
    pub name: &'static str,
    connect: Box<dyn Fn() -> Arc<dyn JobEngine> + Send + Sync>,
}

impl std::fmt::Debug for TestEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl TestEngine {
    /// Returns a new connection, as another process has.
    pub fn connect(&self) -> Arc<dyn JobEngine> {
        (self.connect)()
    }
}

/// Returns the engine in memory.
pub fn memory() -> TestEngine {
    let jobs = MemoryJobs::new();
    TestEngine {
        name: "memory",
        connect: Box::new(move || Arc::new(jobs.clone())),
    }
}

/// Returns the engine in an SQLite file, which is removed on drop.
pub fn sqlite() -> TestEngine {
    let folder = Folder::default();
    TestEngine {
        name: "SQLite",
        connect: Box::new(move || Arc::new(SqliteJobs::new(folder.file("jobs.db")))),
    }
}

/// Returns the engine in PostgreSQL, in a database whose defaults it must not rely on; `None` without a server.
pub async fn postgres() -> Option<TestEngine> {
    let url = postgres_url().await?;
    let url = format!("{url}&options[default_transaction_isolation]=serializable");
    Some(TestEngine {
        name: "PostgreSQL",
        connect: Box::new(move || Arc::new(PostgresJobs::new(&url))),
    })
}

/// Returns the engine on a new Restate server, each connection behind its load balancer; `None` without its
/// program.
pub async fn restate() -> Option<TestEngine> {
    let server = RestateServer::start().await?;
    Some(TestEngine {
        name: "Restate",
        connect: Box::new(move || Arc::new(server.engine())),
    })
}
