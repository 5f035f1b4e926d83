//! When Forge last called each scheduled trigger, as far as the stores show it.

use std::time::{Duration, SystemTime};

use super::line::{Line, Minutes};
use crate::app::App;
use crate::jobs::LastAccepted;

/// A system token lives 4 hours at most, and Forge delivers one with at least 2 hours left: so a delivered token
/// was issued up to 2 hours before.
/// Source: <https://developer.atlassian.com/platform/forge/remote/calling-product-apis/>
const TOKEN_REUSE: Duration = Duration::from_secs(2 * 3600);
/// How long an engine remembers a call at least.
const REMEMBERED: Duration = crate::jobs::Repeats::LONGEST_WINDOW;

/// The schedules of an app.
pub(super) struct Schedules(Vec<Schedule>);

struct Schedule {
    key: String,
    /// `None` for a cron expression.
    interval: Option<Duration>,
    /// Whether its calls are stored.
    is_stored: bool,
    /// Whether no other handler brings system tokens.
    brings_every_token: bool,
}

/// The calls that are visible in the stores.
#[derive(Default)]
pub(super) struct Seen {
    /// When the newest system token was issued.
    pub(super) newest_token: Option<SystemTime>,
    /// When the last call of each durable handler was stored; `None` if it is not known.
    pub(super) accepted: Option<LastAccepted>,
}

impl Schedules {
    pub(super) fn of(app: &App) -> Self {
        let handlers = app.registry().handlers();
        let bringing = handlers
            .iter()
            .filter(|one| one.registration().auth.system)
            .count();
        let has_engine = app.jobs.is_some();
        let schedules = handlers.iter().filter_map(|handler| {
            let record = handler.registration();
            let interval = record.kind.interval();
            let is_cron = handler.is_cron();
            (is_cron || interval.is_some()).then(|| Schedule {
                key: handler.key().to_owned(),
                interval,
                is_stored: has_engine && (is_cron || record.durable.is_some()),
                brings_every_token: bringing == 1 && record.auth.system && !is_cron,
            })
        });
        Self(schedules.collect())
    }

    /// Returns a line for each schedule that the stores show, and one for the others.
    pub(super) fn checked(&self, seen: &Seen, now: SystemTime) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut unknown = Vec::new();
        for schedule in &self.0 {
            match schedule.line(seen, now) {
                Some(line) => lines.push(line),
                None => unknown.push(format!("`{}`", schedule.key)),
            }
        }
        if !unknown.is_empty() {
            lines.push(Line::unknown(
                "schedules",
                format!("no store shows when Forge last called {}", unknown.join(", ")),
                "the metric `forge_remote.schedule.last_seen_age` and the log show it; calls of durable handlers are stored",
            ));
        }
        lines
    }
}

impl Schedule {
    /// Returns the line of this schedule; `None` if no store shows its calls.
    fn line(&self, seen: &Seen, now: SystemTime) -> Option<Line> {
        const FIX: &str = "check that the manifest with it is deployed, that the app is installed, and that Forge's calls reach \
            the app: `doctor --url`";
        let key = &self.key;
        if self.is_stored
            && let Some(accepted) = &seen.accepted
        {
            let Some(last) = accepted.get(key) else {
                // A call of a rarer schedule may be forgotten.
                self.interval.filter(|interval| *interval < REMEMBERED)?;
                let detail = format!("no call of `{key}` is stored");
                return Some(Line::warning("schedules", detail, FIX));
            };
            let age = Minutes::since(*last, now);
            let is_late = self.interval.is_some_and(|interval| age.0 > 2 * interval);
            let detail = format!("the last call of `{key}` was stored {age} ago");
            return Some(match is_late {
                true => Line::warning("schedules", detail, FIX),
                false => Line::passed("schedules", detail),
            });
        }
        let (interval, newest) = (self.interval?, seen.newest_token?);
        if !self.brings_every_token {
            return None;
        }
        let age = Minutes::since(newest, now);
        let detail = format!("the newest token, which `{key}` brings, was issued {age} ago");
        Some(match age.0 > interval + TOKEN_REUSE {
            true => Line::warning("schedules", detail, FIX),
            false => Line::passed("schedules", detail),
        })
    }
}
