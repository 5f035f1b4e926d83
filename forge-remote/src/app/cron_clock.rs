//! The clock of the handlers with `cron`: one scheduled trigger that Forge calls for all of them.

use forge_remote_schema::built_in;

use super::builder::App;
use super::service::Tick;
use crate::diagnostic::{Diagnostic, Rule};
use crate::kinds::{Interval, ScheduledTrigger};
use crate::private::{Fallback as _, mount_1, no_user_requests_none};
use crate::registry::{Auth, Handler, Kind, Location, Registration, Requirement};
use crate::schedules::Timetable;

/// The rules of this file.
#[cfg(feature = "cli")]
pub(crate) const RULES: &[&Rule] = &[&BAD_CRON, &NO_OCCURRENCE];

const BAD_CRON: Rule = Rule::launch(
    "bad-cron",
    "A handler's `cron` is not an expression of five fields (minute, hour, day of the month, month, weekday), its `tz` is \
    not a time zone of the IANA database, or there is no occurrence in the next 8 years, as with the 30th of February. \
    The chapter `schedules` of the documentation has the syntax.",
);

const NO_OCCURRENCE: Rule = Rule::launch(
    "no-occurrence",
    "A handler takes `Occurrence`, the time that a cron expression names, and has none. Write `cron` in its attribute in \
    place of `interval`.",
);

static HOURLY: ScheduledTrigger = ScheduledTrigger::every(Interval::Hour);
static FIVE_MINUTES: ScheduledTrigger = ScheduledTrigger::every(Interval::FiveMinute);

impl App {
    /// Makes Forge call the clock of the `cron` handlers every five minutes instead of every hour.
    ///
    /// With an [engine](Self::jobs) both are accurate to a minute: an hourly clock stores the occurrences
    /// of the next 90 minutes. A five-minute clock serves new installations and changed expressions sooner,
    /// and stores fewer occurrences ahead. Without an engine, the handlers are accurate to the clock's
    /// interval.
    ///
    /// Forge accepts one scheduled trigger with `fiveMinute` in an app.
    /// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// let app = App::new().five_minute_cron();
    /// # let _ = app;
    /// ```
    pub fn five_minute_cron(mut self) -> Self {
        self.has_five_minute_cron = true;
        self.set_clock();
        self
    }

    /// Adds the clock's handler, instead of an earlier one, if there are handlers with `cron`.
    pub(super) fn set_clock(&mut self) {
        let cron = || self.registry.handlers().iter().filter(|one| one.is_cron());
        let Some(first) = cron().next() else {
            return;
        };
        let keeps_fresh = |(key, _): &(String, _)| {
            key.strip_suffix("-trigger").unwrap_or(key) == built_in::CRON_CLOCK
        };
        let needs_token = cron().any(|one| one.registration().auth.system)
            || self.kept_fresh_by.iter().any(keeps_fresh);
        let kind: &'static dyn Kind = match self.clock_interval() {
            Interval::FiveMinute => &FIVE_MINUTES,
            _ => &HOURLY,
        };
        let auth = match needs_token {
            true => Auth::SYSTEM,
            false => Auth::NONE,
        };
        let clock = clock(kind, auth, first.registration().location);
        self.registry.replace(clock);
    }

    /// Returns the interval of the clock's calls.
    pub(super) fn clock_interval(&self) -> Interval {
        match self.has_five_minute_cron {
            true => Interval::FiveMinute,
            false => Interval::Hour,
        }
    }

    /// Returns the problems of cron schedules.
    pub(super) fn cron_problems(&self) -> Vec<Diagnostic> {
        let now = self.clock.now();
        let problem = |handler: &Handler| {
            let record = handler.registration();
            let Some(options) = record.kind.cron() else {
                let mut needs = record.mount.needs().iter();
                let takes = needs.any(|need| matches!(need, Requirement::Occurrence));
                let message = format!(
                    "`{}` takes `Occurrence`, but it has no `cron`",
                    record.function
                );
                let help = "write `cron = \"30 2 * * 1-5\"` instead of `interval`";
                return takes
                    .then(|| Diagnostic::error(&NO_OCCURRENCE, message, help).at([handler]));
            };
            let mistake = Timetable::checked(options, now).err()?;
            Some(Diagnostic::error(&BAD_CRON, mistake.message, mistake.help).at([handler]))
        };
        self.registry
            .handlers()
            .iter()
            .filter_map(problem)
            .collect()
    }
}

/// Returns the clock's handler.
fn clock(kind: &'static dyn Kind, auth: Auth, location: Location) -> Registration {
    let call = no_user_requests_none::forge_remote_probe::<Tick>::forge_remote_last();
    let reply =
        no_user_requests_none::forge_remote_probe::<axum::response::Response>::forge_remote_reply;
    let mount = mount_1(tick, call, reply);
    Registration {
        docs: "Calls the handlers with `cron`.",
        endpoint: Some(built_in::CRON_CLOCK),
        ..Registration::new(kind, "cron_clock", location, auth, mount)
    }
}

async fn tick(tick: Tick) -> axum::response::Response {
    tick.run().await
}
