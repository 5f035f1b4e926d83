//! The check of `doctor` on the keys of stored tokens and jobs: which of them are still needed.

use super::line::Line;
use crate::diagnostic::counted;
use crate::jobs::{KeyCount, KeyCounts};

const CHECK: &str = "token keys";

/// The stored data that needs the keys.
pub(super) struct KeyUse {
    /// The stored tokens and removals.
    pub(super) tokens: KeyUsers,
    /// The unfinished and dead jobs.
    pub(super) jobs: KeyUsers,
}

/// The sealed records under each key.
pub(super) enum KeyUsers {
    /// The app stores none.
    NoneStored,
    /// The unfinished and dead ones under each key. Tokens and removals count as unfinished.
    Counted(KeyCounts),
    /// They are not known, for this reason.
    Unknown(String),
}

impl KeyUse {
    /// Returns the state before the checks, with the names of the store and the engine: a check that ends early has
    /// counted nothing.
    pub(super) fn unread(tokens: Option<String>, jobs: Option<String>) -> Self {
        let unread = |name: Option<String>| match name {
            Some(name) => KeyUsers::Unknown(format!("{name} was not read")),
            None => KeyUsers::NoneStored,
        };
        Self {
            tokens: unread(tokens),
            jobs: unread(jobs),
        }
    }

    /// Returns the line of the keys with these ids, the sealing one first. A single key that opens everything has none, nor
    /// has an app that stores nothing.
    pub(super) fn checked(&self, configured: &[String]) -> Option<Line> {
        if let Some(line) = self.jobs.lacking(configured) {
            return Some(line);
        }
        let all = [
            (&self.tokens, "token", "tokens"),
            (&self.jobs, "job", "jobs"),
        ];
        let is_stored = |sealed: &KeyUsers| !matches!(sealed, KeyUsers::NoneStored);
        if configured.len() < 2 || !all.iter().any(|(sealed, ..)| is_stored(sealed)) {
            return None;
        }
        let uses = configured.iter().enumerate().map(|(at, id)| {
            let role = if at == 0 { " seals, and" } else { "" };
            let users = all.iter();
            let users = users.filter_map(|(sealed, one, many)| sealed.users(id, one, many));
            let users = users.collect::<Vec<_>>().join(" and ");
            let is_counted = !users.is_empty();
            is_counted.then(|| format!("key {} ({id}){role} is needed by {users}", at + 1))
        });
        let unknown = all.iter().filter_map(|(sealed, _, many)| match sealed {
            KeyUsers::Unknown(reason) => Some(format!("{many}: {reason}")),
            KeyUsers::NoneStored | KeyUsers::Counted(_) => None,
        });
        let unknown: Vec<String> = unknown.collect();
        let is_known = unknown.is_empty();
        let detail = uses.flatten().chain(unknown).collect::<Vec<_>>().join("; ");
        if is_known {
            return Some(Line::passed(CHECK, detail));
        }
        let fix = "keep every key until `doctor` counts both; if it cannot, until the jobs that were stored under the key \
                   have run, with all retries";
        Some(Line::unknown(CHECK, detail, fix))
    }
}

impl KeyUsers {
    /// Returns the number of records that need a key, if it is known.
    fn users(&self, id: &str, one: &str, many: &str) -> Option<String> {
        match self {
            Self::Counted(counts) => {
                let count = counts.get(id).copied().unwrap_or_default();
                Some(needing(count, one, many))
            }
            Self::NoneStored | Self::Unknown(_) => None,
        }
    }

    /// Returns the line of jobs whose key is not configured. Dead ones fail no deployment: they need it only to be retried.
    fn lacking(&self, configured: &[String]) -> Option<Line> {
        let Self::Counted(counts) = self else {
            return None;
        };
        let lacking = counts.iter().filter(|(id, _)| !configured.contains(id));
        let (unfinished, dead): (Vec<_>, Vec<_>) =
            lacking.partition(|(_, count)| count.unfinished > 0);
        let all = || unfinished.iter().chain(&dead);
        let lacking: Vec<String> = all()
            .map(|(id, count)| format!("{} under {id}", needing(**count, "job", "jobs")))
            .collect();
        if lacking.is_empty() {
            return None;
        }
        let detail = format!(
            "stored jobs need keys that FORGE_REMOTE_TOKEN_KEY lacks: {}",
            lacking.join(", ")
        );
        if unfinished.is_empty() {
            let fix = "`jobs list --state dead` shows the key of each: append it to FORGE_REMOTE_TOKEN_KEY after a comma and \
                       run `jobs retry`, or run `jobs discard`";
            return Some(Line::warning(CHECK, detail, fix));
        }
        let fix = "append these keys to FORGE_REMOTE_TOKEN_KEY after a comma, until the jobs have run; if a key is \
                   lost, discard its jobs";
        Some(Line::failed(CHECK, detail, fix))
    }
}

/// Returns the number of records that need a key: `1 job and 2 dead jobs`.
fn needing(count: KeyCount, one: &str, many: &str) -> String {
    let dead = |dead| some(dead, &format!("dead {one}"), &format!("dead {many}"));
    match (count.unfinished, count.dead) {
        (unfinished, 0) => some(unfinished, one, many),
        (0, of_dead) => dead(of_dead),
        (unfinished, of_dead) => format!("{} and {}", some(unfinished, one, many), dead(of_dead)),
    }
}

fn some(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        _ => counted(usize::try_from(count).unwrap_or(usize::MAX), one, many),
    }
}
