//! Valid manifests in the manner of published apps have no findings: `tests/field/sound`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
