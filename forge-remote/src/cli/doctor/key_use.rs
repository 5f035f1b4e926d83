//! The check of `doctor` on the keys of stored tokens and jobs: which of them are still needed.

use super::line::Line;
use crate::diagnostic::counted;
use crate::jobs::KeyCounts;

const CHECK: &str = "token keys";

/// The stored data that needs the keys.
#[derive(Default)]
pub(super) struct KeyUse {
    /// The stored tokens and removals; `None` if the app stores none.
    pub(super) tokens: Option<KeyCounts>,
    pub(super) jobs: JobKeys,
}

/// The unfinished and dead jobs that need each key.
#[derive(Default)]
pub(super) enum JobKeys {
    /// The app stores no jobs.
    #[default]
    NoJobs,
    Counted(KeyCounts),
    /// They are not known, for this reason.
    Unknown(String),
}

impl KeyUse {
    /// Returns the line of the keys with these ids, the sealing one first. A single key that opens everything has none.
    pub(super) fn checked(&self, configured: &[String]) -> Option<Line> {
        if let Some(line) = self.jobs.lacking(configured) {
            return Some(line);
        }
        if configured.len() < 2 {
            return None;
        }
        let uses = configured.iter().enumerate().map(|(at, id)| {
            let role = if at == 0 { " seals, and" } else { "" };
            let users = self.users(id);
            format!("key {} ({id}){role} is needed by {users}", at + 1)
        });
        let uses = uses.collect::<Vec<_>>().join("; ");
        Some(match &self.jobs {
            JobKeys::Unknown(reason) => {
                let fix = "keep every key until the jobs that were stored under it have run, with all retries";
                Line::unknown(CHECK, format!("{uses}; jobs: {reason}"), fix)
            }
            _ => Line::passed(CHECK, uses),
        })
    }

    /// Returns the numbers of the tokens and jobs that need a key.
    fn users(&self, id: &str) -> String {
        let of = |counts: &KeyCounts| counts.get(id).copied().unwrap_or_default();
        let tokens = self.tokens.as_ref();
        let tokens = tokens.map(|counts| some(of(counts), "token", "tokens"));
        let jobs = match &self.jobs {
            JobKeys::Counted(counts) => Some(some(of(counts), "job", "jobs")),
            JobKeys::NoJobs | JobKeys::Unknown(_) => None,
        };
        let users: Vec<String> = tokens.into_iter().chain(jobs).collect();
        users.join(" and ")
    }
}

impl JobKeys {
    /// Returns the line of jobs whose key is not configured.
    fn lacking(&self, configured: &[String]) -> Option<Line> {
        let Self::Counted(counts) = self else {
            return None;
        };
        let lacking = counts.iter().filter(|(id, _)| !configured.contains(id));
        let lacking: Vec<String> = lacking
            .map(|(id, count)| format!("{} under {id}", some(*count, "job", "jobs")))
            .collect();
        if lacking.is_empty() {
            return None;
        }
        let detail = format!(
            "stored jobs need keys that FORGE_REMOTE_TOKEN_KEY lacks: {}",
            lacking.join(", ")
        );
        let fix = "append these keys to FORGE_REMOTE_TOKEN_KEY after a comma, until the jobs have run; if a key is \
                   lost, discard its jobs";
        Some(Line::failed(CHECK, detail, fix))
    }
}

fn some(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        _ => counted(usize::try_from(count).unwrap_or(usize::MAX), one, many),
    }
}
