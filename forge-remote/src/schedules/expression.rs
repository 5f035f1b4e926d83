//! Cron expressions in a time zone, read by croner and jiff.

use std::time::{Duration, SystemTime};

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use forge_remote_schema::{Mistake, cron, did_you_mean};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

/// A valid expression, and its time zone.
#[derive(Debug)]
pub(super) struct Expression {
    cron: Cron,
    zone: TimeZone,
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
        Ok(Self { cron, zone })
    }

    /// Returns the first occurrence after this time, at a full minute; `None` if it is too far away.
    pub(super) fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let start = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
        let start = start.to_zoned(self.zone.clone());
        let next: Zoned = self.cron.find_next_occurrence(&start, false).ok()?;
        let seconds = u64::try_from(next.timestamp().as_second()).ok()?;
        let next = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        (next > time).then_some(next)
    }

    /// Returns a time in the expression's time zone, as text: `2026-11-30 02:30`.
    #[cfg(feature = "cli")]
    pub(super) fn local(&self, time: SystemTime) -> Option<String> {
        let zoned = Timestamp::try_from(time).ok()?.to_zoned(self.zone.clone());
        Some(zoned.strftime("%Y-%m-%d %H:%M").to_string())
    }
}
