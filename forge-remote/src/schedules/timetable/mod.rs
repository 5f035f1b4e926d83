//! Computes the times of `cron` handlers.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use forge_remote_schema::Mistake;

#[cfg(feature = "cron")]
use super::expression::Expression;
#[cfg(not(feature = "cron"))]
use super::no_expression::Expression;
use super::options::{CronOptions, Overlap};

/// An expression without an occurrence in this time is a mistake: `0 0 29 2 *` can take eight years.
const FAR: Duration = Duration::from_secs(8 * 366 * 24 * 3600);
/// How much later than its time an occurrence always may start: an engine does not look at every second.
const GRACE: Duration = Duration::from_secs(60);

/// The occurrences of a handler with `cron`.
#[derive(Debug)]
pub(crate) struct Timetable {
    expression: Expression,
    options: CronOptions,
    is_paused: AtomicBool,
}

/// Why an occurrence does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// The time is no longer an occurrence of the handler's expression.
    Changed,
    /// The run is later than `catch_up` allows.
    Late,
    /// The next one is due as well.
    Superseded,
    /// The one before was running when it was due.
    Overlapping,
    /// The app was uninstalled.
    Uninstalled,
    /// A developer has paused the schedule.
    Paused,
}

impl Skipped {
    /// Logs that an occurrence is skipped.
    pub(crate) fn log(self) {
        let reason = match self {
            Self::Changed => "the handler's cron expression has changed",
            Self::Late => "it is later than `catch_up` allows",
            Self::Superseded => "the next occurrence is due as well",
            Self::Overlapping => "the occurrence before was still running",
            Self::Uninstalled => "the app was uninstalled",
            Self::Paused => "the schedule is paused",
        };
        tracing::info!(reason, "an occurrence of a schedule is skipped");
    }
}

impl Timetable {
    /// Creates the timetable of these options.
    ///
    /// # Errors
    ///
    /// The expression or the time zone is invalid.
    pub(crate) fn new(options: CronOptions) -> Result<Self, Mistake> {
        let expression = Expression::parse(options.expression, options.tz)?;
        Ok(Self {
            expression,
            options,
            is_paused: AtomicBool::new(false),
        })
    }

    /// Creates the timetable of these options, which has an occurrence in the next years.
    ///
    /// # Errors
    ///
    /// The expression or the time zone is invalid, or there is no such occurrence.
    pub(crate) fn checked(options: CronOptions, now: SystemTime) -> Result<Self, Mistake> {
        let timetable = Self::new(options)?;
        if timetable
            .next_after(now)
            .is_some_and(|next| next <= now + FAR)
        {
            return Ok(timetable);
        }
        Err(Mistake::new(
            format!(
                "`cron = \"{}\"` has no occurrence in the next 8 years",
                options.expression
            ),
            "check the day of the month against the month",
        ))
    }

    /// Returns the first occurrence after this time.
    pub(crate) fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        self.expression.next_after(time)
    }

    /// Returns the next occurrence of an installation that is not due yet.
    #[cfg(feature = "dev")]
    pub(crate) fn next_due(&self, installation_id: &str, now: SystemTime) -> Option<SystemTime> {
        let first = self.next_after(now - self.options.jitter);
        let mut all = std::iter::successors(first, |last| self.next_after(*last));
        all.find(|occurrence| self.due(*occurrence, installation_id) > now)
    }

    /// Returns a time in the schedule's time zone, as text.
    #[cfg(feature = "cli")]
    pub(crate) fn local(&self, time: SystemTime) -> String {
        self.expression.local(time).unwrap_or_default()
    }

    /// Returns the occurrences after the first time, up to and including the second.
    pub(crate) fn between(
        &self,
        from: SystemTime,
        to: SystemTime,
    ) -> impl Iterator<Item = SystemTime> {
        let first = self.next_after(from);
        let all = std::iter::successors(first, |last| self.next_after(*last));
        all.take_while(move |next| *next <= to)
    }

    /// Returns the last occurrence of an installation that is due and may still start, and the ones that are
    /// due within the time `ahead`.
    pub(crate) fn around(
        &self,
        installation_id: &str,
        now: SystemTime,
        ahead: Duration,
    ) -> Vec<SystemTime> {
        let CronOptions {
            catch_up, jitter, ..
        } = self.options;
        let due = |occurrence: &SystemTime| self.due(*occurrence, installation_id);
        let mut found: Vec<SystemTime> = self
            .between(now - catch_up - jitter, now + ahead)
            .filter(|occurrence| due(occurrence) + catch_up > now && due(occurrence) <= now + ahead)
            .collect();
        // All occurrences of an installation have the same delay.
        let past = found.partition_point(|occurrence| due(occurrence) <= now);
        found.drain(..past.saturating_sub(1));
        found
    }

    /// Returns when an occurrence of an installation is due: installations are spread over the jitter.
    pub(crate) fn due(&self, occurrence: SystemTime, installation_id: &str) -> SystemTime {
        let jitter = self.options.jitter.as_secs();
        if jitter == 0 {
            return occurrence;
        }
        let spread = format!("{}\0{installation_id}", self.options.expression);
        let hash = digest(&SHA256, spread.as_bytes());
        let hash = hash.as_ref().iter().take(8);
        let hash = hash.fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
        occurrence + Duration::from_secs(hash % jitter)
    }

    /// Returns why an occurrence that could start now does not run.
    pub(crate) fn skipped(
        &self,
        occurrence: SystemTime,
        installation_id: &str,
        now: SystemTime,
    ) -> Option<Skipped> {
        if self.next_after(occurrence - Duration::from_secs(1)) != Some(occurrence) {
            return Some(Skipped::Changed);
        }
        if self.is_paused() {
            return Some(Skipped::Paused);
        }
        if self.is_late(self.due(occurrence, installation_id), now) {
            return Some(Skipped::Late);
        }
        let next = self.next_after(occurrence);
        let next_due = next.map(|next| self.due(next, installation_id));
        (next_due? <= now).then_some(Skipped::Superseded)
    }

    /// Pauses or resumes the schedule: occurrences in the meantime are skipped.
    #[cfg(feature = "dev")]
    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Relaxed);
    }

    /// Returns whether the schedule is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Relaxed)
    }

    /// Returns whether now is too late to start an occurrence that was due at this time.
    pub(crate) fn is_late(&self, due: SystemTime, now: SystemTime) -> bool {
        now > due + self.options.catch_up + GRACE
    }

    /// Returns whether an occurrence is skipped while the one before runs.
    pub(crate) fn skips_overlaps(&self) -> bool {
        self.options.overlap == Overlap::Skip
    }
}

#[cfg(all(test, feature = "cron"))]
mod tests;
