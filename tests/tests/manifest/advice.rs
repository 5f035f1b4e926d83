//! The commands that reports and launches recommend: each works, and changes the file.

use std::fs;
use std::process::Command;

use forge_remote::handler;
use forge_remote_tests::stores::Folder;

use crate::uses;
use crate::uses::{HEAD, PLAIN, endpoint, manifest, panel, schedule, trigger, updated};

/// The modules of the handler `tick` of [`PLAIN`].
fn own() -> String {
    format!(
        "  scheduledTrigger:\n{}  endpoint:\n{}",
        schedule("tick-trigger", "tick"),
        endpoint("tick", "/tick")
    )
}

/// `--prune` would reject it.
#[test]
fn a_prune_is_recommended_only_if_it_is_possible() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let own = own();
    let gone = endpoint("gone", "/gone");
    let other = endpoint("other", "/other");
    fs::write(&file, format!("{HEAD}{own}{gone}{other}{}", panel("gone"))).unwrap();
    for arguments in [&["--check"][..], &["--write"]] {
        let (status, text) = manifest(PLAIN, &file, arguments);
        assert_eq!(status, Some(1), "{text}");
        for part in [
            "`modules.jira:issuePanel[panel]` (",
            "names it, so `manifest --write` keeps it",
            "because other parts name them: gone. Change these parts first",
            "Remove them with `--prune other`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("--prune gone"), "{text}");
    }
    let (status, text) = manifest(PLAIN, &file, &["--write", "--prune", "other"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(!fs::read_to_string(&file).unwrap().contains("other"));
    // The key of such an entry is not free either.
    let page = endpoint("tick-trigger", "/old");
    let taken = format!("{}  endpoint:\n{page}", panel("tick-trigger"));
    let error = updated(&taken, [handler!(uses::tick)]).unwrap_err();
    assert!(error.contains("names it: change that first"), "{error}");
}

/// One module may name several of the entries, and be named itself.
#[test]
fn a_rejected_prune_names_every_key_or_the_part_to_change() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let own = format!(
        "  scheduledTrigger:\n{}  endpoint:\n{}{}{}",
        schedule("tick-trigger", "tick"),
        endpoint("tick", "/tick"),
        endpoint("first", "/first"),
        endpoint("second", "/second")
    );
    let provider = "  devops:designInfoProvider:\n    - key: sketches\n      name: {value: Sketches}\n      homeUrl: https://s.example.com\n      handledDomainName: s.example.com\n      getEntityByUrl: {endpoint: first}\n      onEntityAssociated: {endpoint: second}\n";
    fs::write(&file, format!("{HEAD}{own}{provider}")).unwrap();
    let (status, text) = manifest(PLAIN, &file, &["--write", "--prune", "first,second"]);
    assert_eq!(status, Some(2), "{text}");
    let advice = "or remove all: `manifest --write --prune first,second,sketches`";
    assert!(text.contains(advice), "{text}");
    let prune = ["--write", "--prune", "first,second,sketches"];
    let (status, text) = manifest(PLAIN, &file, &prune);
    assert_eq!(status, Some(0), "{text}");

    // The action goes with its endpoint, but an agent names it.
    let action = "  action:\n    - key: first-action\n      name: First\n      endpoint: first\n      actionVerb: GET\n      description: Finds votes\n";
    let agent = "  rovo:agent:\n    - key: agent\n      name: Agent\n      prompt: Count the votes\n      actions: [first-action]\n";
    let before = format!("{HEAD}{own}{action}{agent}");
    fs::write(&file, &before).unwrap();
    let (status, text) = manifest(PLAIN, &file, &["--write", "--prune", "first"]);
    assert_eq!(status, Some(2), "{text}");
    for part in [
        "`modules.endpoint[first]` is still used: `modules.action[first-action]` (",
        "`modules.action[first-action]` is still used: `modules.rovo:agent[agent]` (",
        "nothing was written: change that first",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

/// An entry that an update leaves needs a decision.
#[test]
fn a_launch_recommends_an_update_only_if_it_changes_the_file() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let own = own();
    for (modules, expected) in [
        (
            own.replace("hour", "day"),
            "run the `manifest --write` command",
        ),
        (
            format!("{own}{}", endpoint("gone", "/gone")),
            "Remove them with `--prune gone`",
        ),
        (
            format!("{own}{}{}", endpoint("gone", "/gone"), panel("gone")),
            "because other parts name them: gone",
        ),
    ] {
        fs::write(&file, format!("{HEAD}{modules}")).unwrap();
        for arguments in [&[][..], &["dev", "--once"], &["dev", "--once", "--write"]] {
            let is_resolved = arguments.contains(&"--write") && modules.contains("day");
            let mut command = Command::new(PLAIN);
            command.args(arguments).env("FORGE_REMOTE_MANIFEST", &file);
            command.env("FORGE_REMOTE_BIND", "127.0.0.1:0");
            let output = command.env_remove("FORGE_REMOTE_APP_ID").output().unwrap();
            let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            let is_update = expected.starts_with("run");
            if is_resolved {
                assert!(!text.contains("manifest-drift"), "{text}");
                continue;
            }
            assert!(text.contains("manifest-drift"), "{arguments:?}: {text}");
            let advises =
                text.contains("run the `manifest --write`") || text.contains("`dev --write`");
            assert_eq!(advises, is_update, "{arguments:?}: {text}");
            if !is_update {
                assert!(text.contains(expected), "{arguments:?}: {text}");
            }
        }
    }
}

/// A report ends with an update only if there is one.
#[test]
fn an_update_is_recommended_only_if_it_changes_the_file() {
    let folder = Folder::default();
    let file = folder.file("manifest.yml");
    let own = own();
    let left = format!("{HEAD}{own}{}", endpoint("gone", "/gone"));
    let used = format!(
        "{HEAD}{}  endpoint:\n{}",
        trigger("x", "y"),
        endpoint("tick-trigger", "/o")
    );
    let used = used.replace("    # The", "  trigger:\n    # The");
    for (text, updates, end) in [
        (
            own.replace("hour", "day"),
            true,
            "Update it with `manifest --write`",
        ),
        (
            left.replace(HEAD, ""),
            false,
            "Remove them with `--prune gone`",
        ),
        (used.replace(HEAD, ""), false, "differs from the code: "),
    ] {
        fs::write(&file, format!("{HEAD}{text}")).unwrap();
        for arguments in [&[][..], &["--check"]] {
            let (_, report) = manifest(PLAIN, &file, arguments);
            assert_eq!(report.contains("Update it with"), updates, "{report}");
            assert!(report.contains(end), "{end}: {report}");
        }
    }
}
