//! The bounds on requests, connections and a shutdown.

use std::time::Duration;

/// The default maximum of handlers that run at the same time.
pub(crate) const MAX_IN_FLIGHT: usize = 1024;
/// The default maximum of connections; a lower limit of open files lowers it.
const MAX_CONNECTIONS: usize = 4096;

/// The bounds on a request, a connection and a shutdown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) body: usize,
    pub(crate) body_time: Duration,
    pub(crate) header: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) write: Duration,
    pub(crate) connections: Option<usize>,
    pub(crate) in_flight: Option<usize>,
    pub(crate) response: Option<Duration>,
    pub(crate) drain: Duration,
    pub(crate) shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1024 * 1024,
            body_time: Duration::from_secs(30),
            header: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write: Duration::from_secs(30),
            connections: None,
            in_flight: None,
            response: None,
            drain: Duration::ZERO,
            shutdown: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// Returns the maximum of connections for a process with this limit of open files: half of it,
    /// because calls to Atlassian, stores and the app itself need files too.
    pub(super) fn max_connections(&self, files: Option<u64>) -> usize {
        let by_files = files.map_or(MAX_CONNECTIONS, |files| {
            usize::try_from(files / 2).unwrap_or(MAX_CONNECTIONS)
        });
        let default = by_files.min(MAX_CONNECTIONS);
        self.connections.unwrap_or(default).max(1)
    }

    /// Returns the maximum of handlers in flight for this many connections: fewer, so that some
    /// connections are left for `/healthz` and for 503 responses.
    pub(super) fn max_in_flight(&self, connections: usize) -> usize {
        let default = MAX_IN_FLIGHT.min(connections - connections / 4);
        self.in_flight.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_leave_a_connection_free() {
        let limits = Limits::default();
        assert_eq!(limits.max_connections(Some(300)), 150);
        assert_eq!(limits.max_connections(Some(u64::MAX)), MAX_CONNECTIONS);
        assert_eq!(limits.max_connections(None), MAX_CONNECTIONS);
        for connections in [4, 150, 4096] {
            assert!(limits.max_in_flight(connections) < connections);
        }
    }
}
