//! Limits of the operating system: open files, and the detection of peers that have vanished.

use tokio::net::TcpListener;

use crate::app::limits::Limits;

/// The highest value that the soft limit of open files is raised to.
#[cfg(unix)]
const MAX_FILES: u64 = 65_536;

/// Raises the soft limit of open files, and returns it.
#[cfg(unix)]
pub(super) fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    let soft = limit.current?;
    let wanted = limit.maximum.unwrap_or(MAX_FILES).min(MAX_FILES);
    if soft >= wanted {
        return Some(soft);
    }
    limit.current = Some(wanted);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => Some(wanted),
        Err(error) => {
            tracing::debug!(%error, soft, "the limit of open files could not be raised");
            Some(soft)
        }
    }
}

/// Returns the number of files that the process may open at most.
#[cfg(all(unix, feature = "cli"))]
pub(crate) fn open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};

    // A server raises its soft limit to the hard one.
    let hard = getrlimit(Resource::Nofile).maximum;
    Some(hard.unwrap_or(MAX_FILES).min(MAX_FILES))
}

#[cfg(all(not(unix), feature = "cli"))]
pub(crate) fn open_files() -> Option<u64> {
    None
}

#[cfg(not(unix))]
pub(super) fn raise_limit() -> Option<u64> {
    None
}

/// Sets socket options with which the kernel detects vanished peers of this listener's connections.
///
/// Connections inherit these options on Linux. On other systems, or if the kernel rejects an option,
/// the server's own time limits close such connections later.
#[cfg(target_os = "linux")]
pub(super) fn watch_peers(listener: &TcpListener, limits: &Limits) {
    use rustix::net::sockopt::{
        set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
    };
    use std::time::Duration;

    let silence = u32::try_from(limits.write.as_millis()).unwrap_or(0);
    let _ = set_tcp_user_timeout(listener, silence);
    let _ = set_socket_keepalive(listener, true);
    let _ = set_tcp_keepidle(listener, Duration::from_secs(60));
    let _ = set_tcp_keepintvl(listener, Duration::from_secs(15));
}

#[cfg(not(target_os = "linux"))]
pub(super) fn watch_peers(_: &TcpListener, _: &Limits) {}
