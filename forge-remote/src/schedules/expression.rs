//! Cron expressions in a time zone, read by croner and jiff.

use std::time::{Duration, SystemTime};

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use forge_remote_schema::{Mistake, cron, did_you_mean};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _, Zoned};

/// A valid expression, and its time zone.
#[derive(Debug)]
pub(super) struct Expression {
    cron: Cron,
    zone: TimeZone,
    /// Whether the hours and minutes are numbers, without a wildcard or step. Each of their local times
    /// occurs once on a day when clocks change.
    has_fixed_times: bool,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// The expression is invalid, or there is no such time zone.
    pub(super) fn parse(text: &str, zone: &str) -> Result<Self, Mistake> {
        cron::check_expression(text)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(text).map_err(|error| {
            Mistake::new(
                format!("`cron = \"{text}\"` is not a cron expression: {error}"),
                "the fields are minute (0-59), hour (0-23), day of the month (1-31), month (1-12) and weekday (0-7)",
            )
        })?;
        // The bundled zones alone: with the system's, instances could differ.
        let zones = TimeZoneDatabase::bundled();
        let zone = zones.get(zone).map_err(|_| {
            let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
            let near = did_you_mean(zone, names.iter().map(String::as_str));
            let help = near.unwrap_or_else(|| {
                "write a name of the IANA database, such as `tz = \"Europe/Berlin\"`".to_owned()
            });
            Mistake::new(format!("there is no time zone `{zone}`"), help)
        })?;
        Ok(Self {
            cron,
            zone,
            has_fixed_times: has_fixed_times(text),
        })
    }

    /// Returns the first occurrence after this time, at a full minute; `None` if it is too far away.
    pub(super) fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let start = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
        let next = match self.has_fixed_times {
            true => self.next_local_time(start)?,
            false => {
                let start = start.to_zoned(self.zone.clone());
                let next: Zoned = self.cron.find_next_occurrence(&start, false).ok()?;
                next.timestamp()
            }
        };
        let seconds = u64::try_from(next.as_second()).ok()?;
        let next = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        (next > time).then_some(next)
    }

    /// Returns the first instant of a local time after this one. The search is in local times, as if clocks
    /// were never changed, because croner skips lists of times in the gap and repeats them in the overlap.
    fn next_local_time(&self, after: Timestamp) -> Option<Timestamp> {
        // The first instant of an earlier local time is not after this one.
        let local = after.to_zoned(self.zone.clone()).datetime();
        let mut time = local.to_zoned(TimeZone::UTC).ok()?;
        loop {
            time = self.cron.find_next_occurrence(&time, false).ok()?;
            let instant = self.first_instant(time.datetime())?;
            if instant > after {
                return Some(instant);
            }
        }
    }

    /// Returns the first instant of a local time; the end of the gap if the time does not exist.
    fn first_instant(&self, local: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        let is_in_gap = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        let instant = ambiguous.compatible().ok()?;
        match is_in_gap {
            // The last change of the clocks up to the time that the gap moved forward.
            true => {
                let after = instant.checked_add(1.second()).ok()?;
                Some(self.zone.preceding(after).next()?.timestamp())
            }
            false => Some(instant),
        }
    }

    /// Returns a time in the expression's time zone, as text: `2026-11-30 02:30`.
    #[cfg(feature = "cli")]
    pub(super) fn local(&self, time: SystemTime) -> Option<String> {
        let zoned = Timestamp::try_from(time).ok()?.to_zoned(self.zone.clone());
        Some(zoned.strftime("%Y-%m-%d %H:%M").to_string())
    }
}

/// Returns whether the minutes and hours of a valid expression are numbers, without a wildcard or step.
fn has_fixed_times(text: &str) -> bool {
    let is_number = |field: &str| !field.contains(['*', '/', '?']);
    match text.strip_prefix('@') {
        Some(nickname) => nickname != "hourly",
        None => text.split_whitespace().take(2).all(is_number),
    }
}
