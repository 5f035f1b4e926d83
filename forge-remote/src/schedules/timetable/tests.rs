//! Cron schedules in three zones over five years, and their skipped occurrences.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZoneDatabase;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// Zones that change their clocks: at 1:00 UTC, at 2:00 local, and by half an hour at 2:00 in the south.
const ZONES: [&str; 3] = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];

fn options(expression: &'static str, tz: &'static str) -> CronOptions {
    CronOptions {
        tz,
        ..CronOptions::new(expression)
    }
}

fn timetable(expression: &'static str, tz: &'static str) -> Timetable {
    Timetable::new(options(expression, tz)).unwrap()
}

fn time(text: &str) -> SystemTime {
    text.parse::<Timestamp>().unwrap().into()
}

fn text(time: SystemTime) -> String {
    Timestamp::try_from(time).unwrap().to_string()
}

/// The times of day around which clocks are changed.
const DAILY: [&str; 9] = [
    "0 0 * * *",
    "30 0 * * *",
    "0 1 * * *",
    "30 1 * * *",
    "45 1 * * *",
    "0 2 * * *",
    "15 2 * * *",
    "30 2 * * *",
    "0 3 * * *",
];

#[test]
fn a_daily_job_runs_once_on_every_local_day_of_five_years() {
    let (start, end) = (time("2025-12-31T12:00:00Z"), time("2031-01-02T12:00:00Z"));
    for zone in ZONES {
        let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
        for expression in DAILY {
            let timetable = timetable(expression, zone);
            let mut days: BTreeMap<Date, Vec<String>> = BTreeMap::new();
            for occurrence in timetable.between(start, end) {
                let local = Timestamp::try_from(occurrence)
                    .unwrap()
                    .to_zoned(tz.clone());
                days.entry(local.date())
                    .or_default()
                    .push(local.to_string());
            }
            let mut day: Date = "2026-01-01".parse().unwrap();
            while day.year() < 2031 {
                let runs = days.get(&day).map_or(&[][..], Vec::as_slice);
                assert_eq!(runs.len(), 1, "{expression} in {zone} on {day}: {runs:?}");
                day = day.tomorrow().unwrap();
            }
        }
    }
}

/// Lists and ranges of times of day.
const LISTS: [(&str, &[(i8, i8)]); 4] = [
    ("30 2,14 * * *", &[(2, 30), (14, 30)]),
    ("0,15,30 2 * * *", &[(2, 0), (2, 15), (2, 30)]),
    ("0 1-3 * * *", &[(1, 0), (2, 0), (3, 0)]),
    ("45 0,1 * * *", &[(0, 45), (1, 45)]),
];

#[test]
fn each_time_of_a_list_runs_once_on_every_local_day_of_five_years() {
    let (start, end) = (time("2025-12-31T00:00:00Z"), time("2031-01-02T00:00:00Z"));
    let mut missing = 0;
    for zone in ZONES {
        let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
        for (expression, times) in LISTS {
            let runs: Vec<Timestamp> = timetable(expression, zone)
                .between(start, end)
                .map(|run| Timestamp::try_from(run).unwrap())
                .collect();
            let mut expected = std::collections::BTreeSet::new();
            let mut day: Date = "2026-01-01".parse().unwrap();
            while day.year() < 2031 {
                for (hour, minute) in times {
                    let local = day.at(*hour, *minute, 0, 0);
                    // The first instant whose local time is not earlier, minute by minute.
                    let mut instant = tz.to_timestamp(local - jiff::Span::new().hours(3)).unwrap();
                    while instant.to_zoned(tz.clone()).datetime() < local {
                        instant += jiff::Span::new().minutes(15);
                    }
                    missing += usize::from(instant.to_zoned(tz.clone()).datetime() != local);
                    expected.insert(instant);
                }
                day = day.tomorrow().unwrap();
            }
            let runs: Vec<Timestamp> = runs
                .into_iter()
                .filter(|run| (2026..2031).contains(&run.to_zoned(tz.clone()).year()))
                .collect();
            let expected: Vec<Timestamp> = expected.into_iter().collect();
            let differs = runs.iter().zip(&expected).find(|(run, due)| run != due);
            assert_eq!(differs, None, "{expression} in {zone}");
            assert_eq!(runs.len(), expected.len(), "{expression} in {zone}");
        }
    }
    assert!(missing > 20, "{missing}");
}

/// An installation's delay and the window of missed occurrences both count from when it is due.
#[test]
fn due_times_stay_close_regardless_of_the_delay() {
    let spread = CronOptions {
        jitter: 12 * HOUR,
        ..options("0 0 * * *", "UTC")
    };
    let timetable = Timetable::new(spread).unwrap();
    let midnight = time("2026-11-28T00:00:00Z");
    let delay = |id: &String| {
        timetable
            .due(midnight, id)
            .duration_since(midnight)
            .unwrap()
    };
    let late = (0..)
        .map(|number| format!("ari:{number}"))
        .find(|id| delay(id) > 9 * HOUR)
        .unwrap();
    let due = timetable.due(midnight, &late);
    for (now, is_around) in [
        (midnight - HOUR, false),
        (midnight + 2 * HOUR, false),
        (due - HOUR, true),
        (due, true),
        (due + HOUR - MINUTE, true),
        (due + HOUR + MINUTE, false),
    ] {
        let found = timetable.around(&late, now, HOUR + HOUR / 2);
        assert_eq!(found.contains(&midnight), is_around, "{}", text(now));
    }
    // No more at once than without a delay.
    let minutely = CronOptions {
        jitter: 12 * HOUR,
        ..options("* * * * *", "UTC")
    };
    let timetable = Timetable::new(minutely).unwrap();
    assert_eq!(timetable.around(&late, midnight, HOUR).len(), 61);
}

/// The ticks of an installation look at overlapping windows. Together they must see what one search over
/// the whole time sees.
#[test]
fn windows_see_what_one_search_sees() {
    for zone in ZONES {
        for expression in ["30 2 * * *", "30 1 * * *", "*/20 * * * *", "15 */2 * * *"] {
            let timetable = timetable(expression, zone);
            for start in [
                "2027-03-13T00:00:00Z",
                "2027-10-02T00:00:00Z",
                "2027-10-30T00:00:00Z",
                "2027-11-06T00:00:00Z",
                "2027-04-03T00:00:00Z",
            ] {
                let (start, end) = (time(start), time(start) + 72 * HOUR);
                let all: Vec<SystemTime> = timetable.between(start, end).collect();
                assert!(all.is_sorted_by(|a, b| a < b));
                // Ticks at odd times, an hour apart.
                let mut tick = start - Duration::from_secs(1234);
                let mut seen = std::collections::BTreeSet::new();
                while tick < end {
                    seen.extend(timetable.between(tick, tick + HOUR + HOUR / 2));
                    tick += HOUR;
                }
                seen.retain(|one| *one > start && *one <= end);
                let seen: Vec<SystemTime> = seen.into_iter().collect();
                assert_eq!(seen, all, "{expression} in {zone}");
                for occurrence in all {
                    let skipped = timetable.skipped(occurrence, "ari:1", occurrence);
                    assert_eq!(skipped, None, "{} in {zone}", text(occurrence));
                }
            }
        }
    }
}

#[test]
fn clocks_that_change_move_or_keep_a_daily_job() {
    let berlin = timetable("30 2 * * *", "Europe/Berlin");
    // 2:30 does not exist: it runs at 3:00 summer time.
    let spring = berlin.next_after(time("2027-03-28T00:00:00Z")).unwrap();
    assert_eq!(text(spring), "2027-03-28T01:00:00Z");
    assert_eq!(berlin.local(spring), "2027-03-28 03:00");
    // 2:30 exists twice: it runs at the first.
    let autumn = berlin.next_after(time("2027-10-30T12:00:00Z")).unwrap();
    assert_eq!(text(autumn), "2027-10-31T00:30:00Z");
    assert_eq!(
        text(berlin.next_after(autumn).unwrap()),
        "2027-11-01T01:30:00Z"
    );
    // A job with a wildcard for the hour runs in both hours.
    let hourly = timetable("30 * * * *", "Europe/Berlin");
    let night: Vec<SystemTime> = hourly
        .between(time("2027-10-31T00:00:00Z"), time("2027-10-31T03:00:00Z"))
        .collect();
    assert_eq!(night.len(), 3);
}

#[test]
fn mistakes_name_the_fix() {
    let now = time("2026-11-28T00:00:00Z");
    let mistake = |expression, tz| Timetable::checked(options(expression, tz), now).unwrap_err();
    assert!(mistake("61 2 * * *", "UTC").message.contains("61 2 * * *"));
    assert!(mistake("30 2 * *", "UTC").message.contains("4 fields"));
    let zone = mistake("30 2 * * *", "Europe/Berln");
    assert!(
        zone.message.contains("Europe/Berln") && zone.help.contains("`Europe/Berlin`"),
        "{zone:?}"
    );
    let never = mistake("0 0 30 2 *", "UTC");
    assert!(never.message.contains("30 2"), "{never:?}");
    for (expression, next) in [
        ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
        ("@weekly", "2026-11-29T00:00:00Z"),
        ("0 9 L * *", "2026-11-30T09:00:00Z"),
        ("0 9 * * MON#1", "2026-12-07T09:00:00Z"),
        ("0 9 * DEC 5", "2026-12-04T09:00:00Z"),
        ("0 9 * * 7", "2026-11-29T09:00:00Z"),
        ("0 9 * * 5L", "2026-12-25T09:00:00Z"),
        ("0 9 13W * *", "2026-12-14T09:00:00Z"),
        // Day of the month or weekday, as cron has it.
        ("0 9 1 * 2", "2026-12-01T09:00:00Z"),
    ] {
        let timetable = Timetable::checked(options(expression, "UTC"), now).unwrap();
        assert_eq!(
            text(timetable.next_after(now).unwrap()),
            next,
            "{expression}"
        );
    }
}

#[test]
fn only_the_last_missed_occurrence_is_around() {
    let timetable = timetable("*/10 * * * *", "UTC");
    let now = time("2026-11-28T10:25:30Z");
    let found: Vec<String> = timetable
        .around("ari:1", now, 30 * MINUTE)
        .into_iter()
        .map(text)
        .collect();
    assert_eq!(
        found,
        [
            "2026-11-28T10:20:00Z",
            "2026-11-28T10:30:00Z",
            "2026-11-28T10:40:00Z",
            "2026-11-28T10:50:00Z"
        ]
    );
    // An occurrence at this second is the last one.
    let found = timetable.around("ari:1", time("2026-11-28T10:30:00Z"), Duration::ZERO);
    assert_eq!(found, [time("2026-11-28T10:30:00Z")]);
    let patient = CronOptions {
        catch_up: Duration::ZERO,
        ..options("*/10 * * * *", "UTC")
    };
    let timetable = Timetable::new(patient).unwrap();
    assert_eq!(
        timetable.around("ari:1", now, 5 * MINUTE),
        [time("2026-11-28T10:30:00Z")]
    );
}

#[test]
fn late_superseded_and_changed_occurrences_are_skipped() {
    let daily = timetable("30 2 * * *", "UTC");
    let at = time("2026-11-28T02:30:00Z");
    let skipped = |late: Duration| daily.skipped(at, "ari:1", at + late);
    assert_eq!(skipped(Duration::ZERO), None);
    assert_eq!(skipped(HOUR + MINUTE), None);
    assert_eq!(skipped(HOUR + 2 * MINUTE), Some(Skipped::Late));
    let other = time("2026-11-28T02:31:00Z");
    assert_eq!(daily.skipped(other, "ari:1", other), Some(Skipped::Changed));
    let often = timetable("*/10 * * * *", "UTC");
    let at = time("2026-11-28T02:30:00Z");
    assert_eq!(often.skipped(at, "ari:1", at + 9 * MINUTE), None);
    assert_eq!(
        often.skipped(at, "ari:1", at + 10 * MINUTE),
        Some(Skipped::Superseded)
    );
}

#[test]
fn occurrences_of_a_paused_schedule_are_skipped() {
    let daily = timetable("30 2 * * *", "UTC");
    let at = time("2026-11-28T02:30:00Z");
    daily.set_paused(true);
    assert_eq!(daily.skipped(at, "ari:1", at), Some(Skipped::Paused));
    daily.set_paused(false);
    assert_eq!(daily.skipped(at, "ari:1", at), None);
}

/// A call that a developer fires after an occurrence's time, and before an installation's turn, is that occurrence.
#[cfg(feature = "dev")]
#[test]
fn the_next_occurrence_is_the_one_that_is_not_due_yet() {
    let spread = CronOptions {
        jitter: 30 * MINUTE,
        ..options("0 * * * *", "UTC")
    };
    let timetable = Timetable::new(spread).unwrap();
    let (at, next) = (time("2026-11-28T02:00:00Z"), time("2026-11-28T03:00:00Z"));
    let due = timetable.due(at, "ari:1");
    assert!(due > at + MINUTE, "the installation has no delay");
    let next_due = |now| timetable.next_due("ari:1", now).unwrap();
    assert_eq!(next_due(at - MINUTE), at);
    assert_eq!(next_due(at + MINUTE), at);
    assert_eq!(next_due(due), next);
}

#[test]
fn the_jitter_spreads_installations_and_stays_the_same() {
    let spread = CronOptions {
        jitter: 10 * MINUTE,
        ..options("0 2 * * *", "UTC")
    };
    let timetable = Timetable::new(spread).unwrap();
    let at = time("2026-11-28T02:00:00Z");
    let delays: Vec<Duration> = (0..200)
        .map(|number| {
            timetable
                .due(at, &format!("ari:{number}"))
                .duration_since(at)
                .unwrap()
        })
        .collect();
    assert!(delays.iter().all(|delay| *delay < 10 * MINUTE));
    let early = delays.iter().filter(|delay| **delay < 5 * MINUTE).count();
    assert!((70..=130).contains(&early), "{early}");
    let tomorrow = at + 24 * HOUR;
    assert_eq!(
        timetable.due(tomorrow, "ari:7") - 24 * HOUR,
        timetable.due(at, "ari:7")
    );
    // An occurrence that is due later is not late yet.
    let due = timetable.due(at, "ari:7");
    assert_eq!(timetable.skipped(at, "ari:7", due + HOUR), None);
}
