//! `scheduledTrigger`: calls by Forge, once per interval and installation, or by the app's clock, by a cron
//! expression.

use std::time::Duration;

use forge_remote_schema::durable::seconds;
use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};

use super::items::{item, module, nested};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Module, SampleCall};
use crate::schedules::{CronOptions, Overlap};

/// The options of `#[scheduled_trigger]`.
///
/// A handler that needs the body takes `Event<`[`ScheduledEvent`]`>`; one with `cron` takes
/// [`Occurrence`](crate::schedules::Occurrence), the time that the expression names.
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledTrigger {
    /// The interval between two calls of Forge. A handler has this or `cron`.
    pub interval: Option<Interval>,
    /// Whether sites without an active licence are skipped (`filter.appIsLicensed`).
    pub licensed_only: bool,
    /// The cron expression: five fields, or a nickname such as `@daily`. See
    /// [`schedules`](crate::schedules).
    pub cron: Option<&'static str>,
    /// The time zone of `cron`, by its name in the IANA database (default: `UTC`).
    pub tz: Option<&'static str>,
    /// The time over which the runs of the installations are spread, from `1s` to `12h` (default: none).
    pub jitter: Option<&'static str>,
    /// How late an occurrence of `cron` may start, from `0s` to `12h` (default: `1h`).
    pub catch_up: Option<&'static str>,
    /// Whether an occurrence of `cron` is skipped while the previous one of the same installation runs
    /// (`skip`), or runs too (`allow`; default: `skip`).
    pub overlap: Option<&'static str>,
}

impl ScheduledTrigger {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        interval: None,
        licensed_only: false,
        cron: None,
        tz: None,
        jitter: None,
        catch_up: None,
        overlap: None,
    };

    /// Returns the options of a schedule with this interval.
    ///
    /// ```
    /// use forge_remote::kinds::{Interval, ScheduledTrigger};
    ///
    /// assert_eq!(ScheduledTrigger::every(Interval::Hour).cron, None);
    /// ```
    pub const fn every(interval: Interval) -> Self {
        Self {
            interval: Some(interval),
            ..Self::NONE
        }
    }
}

/// The interval of a scheduled trigger. Forge has only these four; for other times, use `cron`.
///
/// The first call comes about 5 minutes after `forge deploy`; a change to any scheduled trigger
/// resets all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Every five minutes.
    FiveMinute,
    /// Every hour: a good default, because a system token lives 2 to 4 hours.
    Hour,
    /// Every day.
    Day,
    /// Every week.
    Week,
}

impl Interval {
    /// Returns the interval's name in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinute => "fiveMinute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// Returns the interval's length.
    pub fn duration(self) -> Duration {
        const MINUTE: u64 = 60;
        Duration::from_secs(match self {
            Self::FiveMinute => 5 * MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
            Self::Week => 7 * 24 * 60 * MINUTE,
        })
    }
}

impl Kind for ScheduledTrigger {
    fn spec(&self) -> &'static KindSpec {
        &kinds::SCHEDULED_TRIGGER
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        // The clock's module serves all handlers with `cron`.
        let Some(interval) = self.interval.filter(|_| self.cron.is_none()) else {
            return Vec::new();
        };
        let mut item = item(names);
        item.insert("interval".into(), interval.as_str().into());
        if self.licensed_only {
            item.insert("filter".into(), nested("appIsLicensed", true.into()));
        }
        module(self.spec(), item)
    }

    fn interval(&self) -> Option<Duration> {
        let interval = self.interval.filter(|_| self.cron.is_none());
        interval.map(Interval::duration)
    }

    fn cron(&self) -> Option<CronOptions> {
        // The macros have checked the times.
        let time = |text: Option<&str>| text.and_then(seconds).map(Duration::from_secs);
        let default = CronOptions::new(self.cron?);
        Some(CronOptions {
            tz: self.tz.unwrap_or(default.tz),
            jitter: time(self.jitter).unwrap_or(default.jitter),
            catch_up: time(self.catch_up).unwrap_or(default.catch_up),
            overlap: match self.overlap {
                Some("allow") => Overlap::Allow,
                _ => Overlap::Skip,
            },
            ..default
        })
    }

    fn calls_every_site(&self) -> bool {
        !self.licensed_only
    }

    fn documented_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }

    fn sample_call(&self) -> SampleCall {
        // Atlassian documents no body for a remote.
        SampleCall::from_platform(serde_json::json!({}))
    }
}

/// The payload of a scheduled trigger.
///
/// Atlassian documents a body only for functions. So every field may be missing, and so may the whole
/// body.
///
/// ```
/// use forge_remote::kinds::ScheduledEvent;
/// use forge_remote::prelude::*;
///
/// #[scheduled_trigger(interval = "day")]
/// async fn tidy(call: Invocation, Event(event): Event<ScheduledEvent>) -> Result<()> {
///     println!("{}: {:?}", call.installation_id(), event.context);
///     Ok(())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/events-reference/scheduled-trigger/>
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ScheduledEvent {
    /// The context: `cloudId` and `moduleKey`, as far as is known.
    pub context: Option<serde_json::Value>,
    /// All other members, without the `contextToken` that functions get.
    pub rest: Rest,
}

payload!(ScheduledEvent { context: "context" });
