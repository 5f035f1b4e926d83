//! The guarantees of engines: in the documentation's table, and at launch.

use forge_remote::jobs::{Guarantees, JobEngine, MemoryJobs};
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote_restate::RestateJobs;
use forge_remote_river::{PostgresJobs, SqliteJobs};

/// A guarantee by its name.
type Named = (&'static str, fn(&Guarantees) -> bool);

const ALL: [Named; 7] = [
    ("outlives_process", |one| one.outlives_process),
    ("limits_installations", |one| one.limits_installations),
    ("spans_machines", |one| one.spans_machines),
    ("shares_fairly", |one| one.shares_fairly),
    ("ends_installations", |one| one.ends_installations),
    ("joins_transactions", |one| one.joins_transactions),
    ("retries_early", |one| one.retries_early),
];

#[test]
fn the_table_of_the_documentation_has_what_the_engines_guarantee() {
    let chapter = include_str!("../../../forge-remote/src/docs/long_work.md");
    let rows = chapter.lines().filter(|line| line.starts_with('|'));
    let cells = |row: &str| -> Vec<String> {
        let row = row.trim_matches('|');
        row.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    let engines: [(&str, Guarantees); 3] = [
        ("SqliteJobs", SqliteJobs::new("unused.db").guarantees()),
        (
            "PostgresJobs",
            PostgresJobs::new("postgres://unused").guarantees(),
        ),
        (
            "RestateJobs",
            RestateJobs::new("http://unused", "http://unused").guarantees(),
        ),
    ];
    let head = rows.iter().find(|row| row.len() == 4).unwrap();
    // A new guarantee needs a row.
    assert_eq!(
        format!("{:?}", Guarantees::new()).matches("false").count(),
        ALL.len()
    );
    for (name, is_given) in ALL {
        let label = format!("`{name}`");
        let mut found = rows
            .iter()
            .filter(|row| row[0].contains(&label) && row.len() == 4);
        let row = found.next().unwrap_or_else(|| panic!("no row of {name}"));
        assert!(found.next().is_none(), "two rows of {name}");
        for (number, (engine, guarantees)) in engines.iter().enumerate() {
            assert!(head[number + 1].contains(engine), "{head:?}");
            let cell = &row[number + 1];
            let expected = if is_given(guarantees) { "yes" } else { "no" };
            assert!(cell.starts_with(expected), "{name} of {engine}: {cell}");
        }
    }
}

#[endpoint(key = "plain-page", path = "/plain-page")]
async fn page() {}

#[test]
fn a_guarantee_that_the_engine_lacks_ends_the_launch() {
    let app = || {
        App::empty()
            .handler(forge_remote::handler!(page))
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .jobs(MemoryJobs::new())
    };
    let met = Guarantees::new().shares_fairly().ends_installations();
    assert!(Harness::new(app().require_guarantees(met)).is_ok());
    let unmet = met.spans_machines().joins_transactions();
    let error = Harness::new(app().require_guarantees(unmet)).unwrap_err();
    let report = format!("{error:?}");
    assert!(report.contains("unmet-guarantee"), "{report}");
    for name in ["`spans_machines`", "`joins_transactions`"] {
        assert!(report.contains(name), "{report}");
    }
    assert!(!report.contains("`shares_fairly`"), "{report}");
    assert!(report.contains("guarantees.rs:"), "{report}");
}
