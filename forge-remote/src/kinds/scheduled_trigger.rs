//! `scheduledTrigger`: Forge calls once per interval and installation.

use std::time::Duration;

use serde_yaml::{Mapping, Value};

use crate::registry::{Handler, Kind, Module, Owned, Simulation};

/// The options of `#[scheduled_trigger]`.
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledTrigger {
    /// How often.
    pub interval: Interval,
    /// Whether sites without an active licence are left out (`filter.appIsLicensed`).
    pub licensed_only: bool,
}

/// How often a scheduled trigger fires. Forge has these four only.
///
/// The first call comes about 5 minutes after `forge deploy`; a change to any scheduled trigger
/// resets all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Every five minutes.
    FiveMinute,
    /// Every hour: the good default, as a system token lives 2 to 4 hours.
    Hour,
    /// Every day.
    Day,
    /// Every week.
    Week,
}

impl Interval {
    /// The manifest's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinute => "fiveMinute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// Its length.
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
    fn name(&self) -> &'static str {
        "scheduledTrigger"
    }

    fn module_suffix(&self) -> Option<&'static str> {
        Some("trigger")
    }

    fn modules(&self, handler: &Handler) -> Vec<Module> {
        let mut item = Mapping::new();
        item.insert("key".into(), handler.key().into());
        item.insert("endpoint".into(), handler.endpoint().into());
        item.insert("interval".into(), self.interval.as_str().into());
        if self.licensed_only {
            let mut filter = Mapping::new();
            filter.insert("appIsLicensed".into(), true.into());
            item.insert("filter".into(), Value::Mapping(filter));
        }
        vec![Module {
            module_type: "scheduledTrigger",
            item,
            owned: Owned::All,
        }]
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.interval.duration())
    }

    fn simulation(&self) -> Simulation {
        // Atlassian documents no body; a handler reads none.
        Simulation::of_platform(serde_json::json!({}))
    }
}
