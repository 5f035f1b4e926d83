//! `manifest --write` turns realistic manifests into their golden results.
//!
//! `.ci/conformance` runs Atlassian's validation on the results.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use forge_remote::manifest::{ManifestFile, Remote, Severity, check, render};
use forge_remote::prelude::*;
use forge_remote::registry::Registry;

#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"])]
async fn refresh_index(_token: SystemToken) -> Result<()> {
    Ok(())
}

#[scheduled_trigger(interval = "day", licensed_only)]
async fn sweep() -> Result<()> {
    Ok(())
}

#[endpoint(auth = [system, user], scopes = ["read:jira-work"])]
async fn lookup(_user: UserToken) -> Result<()> {
    Ok(())
}

/// `UPDATE_GOLDEN=1` rewrites the results: review the difference before you commit it.
#[test]
fn realistic_manifests_match_their_golden_results() {
    let registry = Registry::from_registrations([
        forge_remote::handler!(refresh_index),
        forge_remote::handler!(sweep),
        forge_remote::handler!(lookup),
    ]);
    let mut wanted = registry
        .desired_manifest(&[Remote::new("backend").base_url("https://backend.example.com")]);
    wanted.removable = ["rebuild-all", "old-job"].map(str::to_owned).into();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let mut cases = 0;
    for case in fs::read_dir(folder).unwrap() {
        let case = case.unwrap().path();
        let before = fs::read_to_string(case.join("before.yml")).unwrap();
        let file = ManifestFile::parse(case.join("before.yml"), Some(before)).unwrap();
        let after = file.merged_with(&wanted, None).unwrap();
        let golden = case.join("manifest.yml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &after).unwrap();
        }
        assert_eq!(
            after,
            fs::read_to_string(&golden).unwrap_or_default(),
            "{}",
            case.display()
        );
        let again = ManifestFile::parse(golden, Some(after.clone())).unwrap();
        assert_eq!(again.differences(&wanted), [""; 0]);
        // Atlassian accepts these manifests, so no rule may report them.
        let mut findings = check(&again, &wanted, &BTreeSet::new());
        findings.retain(|one| one.severity > Severity::Note);
        assert!(findings.is_empty(), "{}", render(&again, &findings, false));
        assert_eq!(again.merged_with(&wanted, None).unwrap(), after);
        cases += 1;
    }
    assert!(cases >= 6);
}
