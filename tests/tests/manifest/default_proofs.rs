//! The default of a variable proves nothing: other environments may have another value.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use forge_remote::handler;
use forge_remote::manifest::{ManifestFile, check};
use forge_remote::registry::Registration;
use forge_remote_tests::stores::Folder;

use crate::uses::{self, HEAD, PLAIN, endpoint, panel, schedule, wanted};

/// Updates a manifest with these variables and modules, and returns the modules or the error.
fn updated(
    variables: &str,
    modules: &str,
    handlers: impl IntoIterator<Item = Registration>,
) -> Result<String, String> {
    let start = format!("environment:\n  variables: {variables}\n{HEAD}");
    let text = format!("{start}{modules}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let merged = file.merged_with(&wanted(handlers), None);
    let merged = merged.map_err(|error| error.to_string())?;
    Ok(merged.strip_prefix(&start).unwrap_or(&merged).to_owned())
}

/// A page whose endpoint is a variable may name the entry.
#[test]
fn an_entry_that_a_variable_may_name_is_kept() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let modules = format!(
        "{}  scheduledTrigger:\n{}  endpoint:\n{}{}",
        panel("${EP}"),
        schedule("tick-trigger", "tick"),
        endpoint("tick", "/tick"),
        endpoint("gone", "/gone")
    );
    let prune = |variables: &str, here: Option<&str>| {
        let text = format!("environment:\n  variables: {variables}\n{HEAD}{modules}");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(PLAIN);
        command.args(["manifest", "--write", "--prune", "gone"]);
        command.env("FORGE_REMOTE_MANIFEST", &file).env_remove("EP");
        if let Some(here) = here {
            command.env("EP", here);
        }
        let output = command.env_remove("FORGE_REMOTE_APP_ID").output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let is_kept = fs::read_to_string(&file).unwrap().contains("key: gone");
        (is_kept, text)
    };
    for (variables, here) in [
        ("[EP]", None),
        ("[EP]", Some("tick")),
        ("[{key: EP, default: tick}]", Some("gone")),
    ] {
        let (is_kept, text) = prune(variables, here);
        assert!(is_kept, "{variables} {here:?}: {text}");
        assert!(
            text.contains("(manifest.yml:") || text.contains("manifest.yml:"),
            "{text}"
        );
        assert!(text.contains("may name it, by a variable"), "{text}");
    }
    let (is_kept, text) = prune("[{key: EP, default: gone}]", Some("tick"));
    assert!(is_kept && text.contains(" names it"), "{text}");
    let (is_kept, text) = prune("[{key: EP, default: tick}]", None);
    assert!(!is_kept, "{text}");

    // A former key, without `--prune`.
    let former = format!(
        "{}  endpoint:\n{}",
        panel("${EP}"),
        endpoint("votes", "/votes")
    );
    let after = updated("[EP]", &former, [handler!(uses::votes)]).unwrap();
    assert_eq!(after, format!("{former}{}", endpoint("votes-v2", "/votes")));
}

/// Only a default shows which entry the page names.
#[test]
fn the_reports_name_the_variable_without_a_default() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let modules = |called: &str| {
        format!(
            "{}  scheduledTrigger:\n{}  endpoint:\n{}{}",
            panel(called),
            schedule("tick-trigger", "tick"),
            endpoint("tick", "/tick"),
            endpoint("gone", "/gone")
        )
    };
    let way_out =
        "give `EP` a default in `environment.variables`, or write the name instead of the variable";
    for (variables, called) in [("[EP]", "${EP}"), ("[OTHER]", "${EP}"), ("[EP]", "go${EP}")] {
        let text = format!(
            "environment:\n  variables: {variables}\n{HEAD}{}",
            modules(called)
        );
        fs::write(&file, text).unwrap();
        let (_, text) = uses::manifest(PLAIN, &file, &["--check"]);
        for part in [
            "`modules.jira:issuePanel[panel]` (",
            "may name it, by a variable, so `manifest --write` keeps it",
            "list the endpoint in `App::foreign_endpoints`; if it is no longer served, give `EP`",
            &format!("{way_out}, then remove it with `manifest --write --prune gone`"),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let (_, text) = uses::manifest(PLAIN, &file, &["--write"]);
        let line = format!(
            "a variable without a default may name them: gone. To see which they are, {way_out}"
        );
        assert!(text.contains(&line), "{text}");
        let (status, text) = uses::manifest(PLAIN, &file, &["--write", "--prune", "gone"]);
        assert_eq!(status, Some(2), "{text}");
        let fix = format!("nothing was written: {way_out}");
        assert!(text.contains(&fix), "{text}");
    }
    // No value of the variable makes this name.
    for called in ["x-${EP}", "${EP}-gone", "gone${EP}-"] {
        let text = format!("environment:\n  variables: [EP]\n{HEAD}{}", modules(called));
        fs::write(&file, text).unwrap();
        let (_, text) = uses::manifest(PLAIN, &file, &["--write", "--prune", "gone"]);
        let after = fs::read_to_string(&file).unwrap();
        assert!(!after.contains("key: gone"), "{called}: {text}");
    }
    // The recommended default.
    let text = format!(
        "environment:\n  variables: [{{key: EP, default: tick}}]\n{HEAD}{}",
        modules("${EP}")
    );
    fs::write(&file, text).unwrap();
    let (_, text) = uses::manifest(PLAIN, &file, &["--write", "--prune", "gone"]);
    let after = fs::read_to_string(&file).unwrap();
    assert!(!after.contains("key: gone"), "{text}");
}

/// Each page may name each endpoint, and a report has the first pages.
#[test]
fn a_report_lists_some_of_many_entries_that_may_name_one() {
    let mut modules = "  jira:issuePanel:\n".to_owned();
    for at in 0..100 {
        modules += &format!("    - {{key: p{at}, resolver: {{endpoint: \"${{EP}}-gone\"}}}}\n");
    }
    modules += "  endpoint:\n";
    for at in 0..100 {
        modules += &endpoint(&format!("e{at}-gone"), "/gone");
    }
    let text = format!("environment:\n  variables: [EP]\n{HEAD}{modules}");
    let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
    let findings = check(&file, &wanted([]), &BTreeSet::new());
    let findings: Vec<_> = findings.iter().filter(|one| one.code == "stale").collect();
    assert_eq!(findings.len(), 100);
    for one in findings {
        let text = one.notes.concat();
        assert!(text.contains("[p2]` (manifest.yml:"), "{text}");
        assert!(
            text.contains(" and 97 more may name it, by a variable"),
            "{text}"
        );
        assert!(text.len() < 400, "{text}");
    }
}

/// Neither a key nor the name of an endpoint.
#[test]
fn an_entry_with_a_variable_is_no_proof() {
    let variables = "[{key: K, default: votes}]";
    let former = format!("  endpoint:\n{}", endpoint("${K}", "/votes"));
    let after = updated(variables, &former, [handler!(uses::votes)]).unwrap();
    assert_eq!(after, format!("{former}{}", endpoint("votes-v2", "/votes")));

    // A module of another kind, whose handler would be `tick`'s.
    let action = |key: &str, endpoint: &str| {
        format!("  action:\n    - {{key: \"{key}\", endpoint: \"{endpoint}\"}}\n")
    };
    let endpoints = format!("  endpoint:\n{}", endpoint("tick", "/tick"));
    let variables = "[{key: K, default: tick-trigger}, {key: EP, default: tick}]";
    for (key, called, is_ours) in [
        ("tick-trigger", "tick", true),
        ("${K}", "tick", false),
        ("tick-trigger", "${EP}", false),
    ] {
        let modules = format!("{}{endpoints}", action(key, called));
        let after = updated(variables, &modules, [handler!(uses::tick)]);
        assert_eq!(after.is_ok(), is_ours, "{key} {called}: {after:?}");
    }

    // It does not go with an endpoint either.
    let modules = format!(
        "{}  endpoint:\n{}",
        action("${K}", "gone"),
        endpoint("gone", "/gone")
    );
    let text =
        format!("environment:\n  variables: [{{key: K, default: gone-action}}]\n{HEAD}{modules}");
    let file = ManifestFile::parse("manifest.yml", Some(text.clone())).unwrap();
    let mut wanted = wanted([]);
    wanted.removable.insert("gone".to_owned());
    assert_eq!(file.merged_with(&wanted, None).unwrap(), text);
    // Its own key is named.
    wanted.removable.insert("gone-action".to_owned());
    assert!(!file.merged_with(&wanted, None).unwrap().contains("action:"));
}
