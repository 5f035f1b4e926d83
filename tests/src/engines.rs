//! Engines of jobs for tests: the same tests run on every engine.

use std::sync::Arc;
use std::time::Duration;

use forge_remote::jobs::{JobEngine, MemoryJobs};
use forge_remote_river::{PostgresJobs, SqliteJobs};

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

/// Returns every engine that is available on this machine.
pub async fn test_engines() -> Vec<TestEngine> {
    let memory = MemoryJobs::new();
    let folder = Folder::default();
    let mut engines = vec![
        TestEngine {
            name: "memory",
            connect: Box::new(move || Arc::new(memory.clone())),
        },
        TestEngine {
            name: "SQLite",
            connect: Box::new(move || Arc::new(SqliteJobs::new(folder.file("jobs.db")))),
        },
    ];
    if let Some(url) = postgres_url().await {
        engines.push(TestEngine {
            name: "PostgreSQL",
            connect: Box::new(move || Arc::new(PostgresJobs::new(&url))),
        });
    }
    engines
}

/// The longest wait for an engine to do what it has to.
pub const ENGINE_WAIT: Duration = Duration::from_secs(30);
