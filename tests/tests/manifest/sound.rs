//! Valid manifests in the manner of published apps have no findings: `tests/field/sound`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use forge_remote::manifest::{DesiredManifest, ManifestFile, Severity, check, render};

#[test]
fn valid_manifests_have_no_findings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("field/sound");
    let mut reports = String::new();
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = ManifestFile::read(entry.unwrap().path()).unwrap();
        let mut findings = check(&file, &DesiredManifest::default(), &BTreeSet::new());
        findings.retain(|one| one.severity > Severity::Note);
        reports.push_str(&render(&file, &findings, false));
        cases += 1;
    }
    assert!(cases >= 12, "{cases}");
    assert!(reports.is_empty(), "{reports}");
}

/// A manifest of almost 200 KB is checked in about a second, and in minutes if each item is compared with
/// each other one.
#[test]
fn long_lists_are_checked_promptly() {
    let names = |form: fn(u32) -> String, count: u32| -> String {
        let names = (10_000..10_000 + count).map(form);
        names.collect::<Vec<_>>().join(", ")
    };
    let addresses = names(|n| format!("i{n}"), 20_000);
    // Each of those is a mistake, and these are valid.
    let hosts = names(|n| format!("i{n}.com"), 15_000);
    let (actions, named) = (
        names(|n| format!("{{key: a{n}}}"), 7000),
        names(|n| format!("a{n}"), 7000),
    );
    for text in [
        format!("permissions:\n  external:\n    images: [{addresses}]\n"),
        format!("permissions:\n  external:\n    images: [{hosts}]\n"),
        format!(
            "modules:\n  rovo:agent:\n    - {{key: a, name: A, prompt: P, actions: [{named}]}}\n  action: [{actions}]\n"
        ),
    ] {
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        let started = Instant::now();
        check(&file, &DesiredManifest::default(), &BTreeSet::new());
        let elapsed = started.elapsed();
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    }
}
