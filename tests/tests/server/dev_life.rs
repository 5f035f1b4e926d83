//! `dev` plays an installation's life, fills its APIs from fixtures, and keeps the manifest in step.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use forge_remote_tests::app_command::{app_command, run};
use forge_remote_tests::dev_process::DevProcess;

/// Returns a new directory for one test's files.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("dev_life")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn app(folder: &Path, arguments: &[&str]) -> Command {
    app_command(env!("CARGO_BIN_EXE_life_app"), folder, arguments)
}

#[test]
fn an_installation_begins_first_and_ends_last() {
    let (good, text) = run(&mut app(&folder("order"), &["dev", "--once"]));
    assert!(good, "{text}");
    let calls: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("ok "))
        .map(|line| {
            let key = line.split_whitespace().nth(1).unwrap();
            let event = line.split_whitespace().last().unwrap();
            if event.starts_with("avi:") {
                event
            } else {
                key
            }
        })
        .collect();
    assert_eq!(
        calls,
        [
            "avi:forge:installed:app",
            "avi:forge:installed:app",
            "avi:forge:upgraded:app",
            "avi:forge:upgraded:app",
            "sweep-trigger",
            "tokens-hourly-trigger",
            "triage-trigger",
            "tokens-goodbye-pre-uninstall",
        ],
        "{text}"
    );
}

#[test]
fn every_start_has_the_same_installation_and_bodies_name_it() {
    let starts: Vec<Vec<String>> = (0..2)
        .map(|_| {
            let (_, text) = run(&mut app(&folder("same"), &["dev", "--once"]));
            let events = text.lines().filter(|line| line.starts_with("event of "));
            events.map(str::to_owned).collect()
        })
        .collect();
    assert_eq!(starts[0].len(), 2, "{starts:?}");
    assert_eq!(starts[0], starts[1]);
    for line in starts.iter().flatten() {
        let (ari, body) = line
            .strip_prefix("event of ari:cloud:ecosystem::installation/")
            .and_then(|rest| rest.split_once(": "))
            .unwrap();
        assert_eq!(body, format!("{ari} on ari:cloud:jira::site/its site"));
    }
}

const FIXTURES: &str = r#"
pages:
  - id: 7
    title: Of the file
    version: { createdAt: "2025-01-31T09:00:00.000Z" }
issues:
  - key: OPS-7
    fields: { summary: Of the file }
responses:
  - path: /rest/api/3/issue/OPS-7/votes
    body: { votes: 7 }
"#;

#[test]
fn the_apis_are_filled_from_code_and_from_a_file() {
    let created = "2026-01-01T12:00:00.000Z";
    let folder = folder("fixtures");
    let (good, text) = run(&mut app(&folder, &["dev", "--once"]));
    assert!(good, "{text}");
    let page = format!("page 98304 A local page of {created}, {created}, 557058:local\n");
    assert!(text.contains(&page), "{text}");
    let issue = "issue DEV-1 Try forge-remote, To Do, 2026-01-01T12:00:00.000+0000\n";
    assert!(text.contains(issue), "{text}");

    let (good, text) = run(app(&folder, &["dev", "--once"]).env("WITH_FIXTURES", "1"));
    assert!(good, "{text}");
    assert!(text.contains("page 98304 Of the code of "), "{text}");
    assert!(text.contains("issue DEV-1 Of the code, "), "{text}");
    assert!(!text.contains("A local page"), "{text}");

    fs::write(folder.join("fixtures.yml"), FIXTURES).unwrap();
    let mut command = app(&folder, &["dev", "--once", "--fixtures", "fixtures.yml"]);
    command.env("WITH_FIXTURES", "1").env("WITH_VOTES", "1");
    let (good, text) = run(&mut command);
    assert!(good, "{text}");
    let page = format!("page 7 Of the file of {created}, 2025-01-31T09:00:00.000Z, 557058:local\n");
    assert!(text.contains(&page), "{text}");
    assert!(text.contains("issue OPS-7 Of the file, To Do, "), "{text}");
    assert!(text.contains("votes 7\n"), "{text}");
    assert!(!text.contains("Of the code"), "{text}");
}

#[test]
fn fixtures_with_a_mistake_are_rejected_by_name() {
    let folder = folder("mistakes");
    for (fixtures, expected) in [
        (
            "page: []",
            "unknown field `page`, expected one of `pages`, `issues`, `responses`",
        ),
        (
            "pages: [{ id: seven }]",
            "the page id \"seven\" is not a number",
        ),
        (
            "pages: [{ id: 7 }, { id: '7' }]",
            "the page id \"7\" is there twice",
        ),
        (
            "issues: [{ key: A-1 }, { key: A-1 }]",
            "the issue key `A-1` is there twice",
        ),
        (
            "responses: [{ path: rest }]",
            "the response's path `rest` does not start with `/`",
        ),
        (
            "responses: [{ path: /rest, status: 7 }]",
            "no HTTP status: 7",
        ),
        ("pages: 7", "fixtures.yml"),
        ("", "fixtures.yml has no fixtures: write a section"),
        ("# pages:\n", "fixtures.yml has no fixtures"),
        ("{}", "fixtures.yml has no fixtures"),
    ] {
        fs::write(folder.join("fixtures.yml"), fixtures).unwrap();
        let (good, text) = run(&mut app(
            &folder,
            &["dev", "--once", "--fixtures", "fixtures.yml"],
        ));
        assert!(!good && text.contains(expected), "{fixtures}\n{text}");
    }
    let (good, text) = run(&mut app(
        &folder,
        &["dev", "--once", "--fixtures", "none.yml"],
    ));
    assert!(
        !good && text.contains("the fixtures in none.yml cannot be read"),
        "{text}"
    );
}

#[test]
fn dev_reports_how_the_manifest_differs_and_keeps_it_in_step() {
    let folder = folder("manifest");
    let file = folder.join("manifest.yml");
    let (good, text) = run(&mut app(&folder, &["dev", "--once"]));
    assert!(good, "{text}");
    assert!(
        text.contains("note: manifest.yml does not exist; `dev --write` writes it"),
        "{text}"
    );

    let id = "ari:cloud:ecosystem::app/11111111-1111-4111-a111-111111111111";
    let own = format!("# Mine.\napp:\n  id: {id}\n");
    fs::write(&file, &own).unwrap();
    let (good, text) = run(&mut app(&folder, &["dev", "--once"]));
    assert!(good, "{text}");
    assert!(text.contains("warning[manifest-drift]"), "{text}");
    assert!(
        text.contains("modules.scheduledTrigger[sweep-trigger]"),
        "{text}"
    );
    assert!(
        text.contains("`dev --write` updates the file at every start"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), own);

    let (good, text) = run(&mut app(&folder, &["dev", "--once", "--write"]));
    assert!(good, "{text}");
    assert!(!text.contains("manifest-drift"), "{text}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with(&own), "{written}");
    for key in ["sweep-trigger", "tokens-hourly-trigger", "follow-trigger"] {
        assert!(written.contains(&format!("key: {key}")), "{written}");
    }
    // An edit of the code moves the file along: here, of the file away from the code.
    fs::write(&file, written.replace("interval: day", "interval: hour")).unwrap();
    let (good, _) = run(&mut app(&folder, &["dev", "--once", "--write"]));
    assert!(good);
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
}

/// Returns the commands of this program that a text advises, in backquotes.
fn advised(text: &str) -> Vec<Vec<String>> {
    let quoted = text.split('`').skip(1).step_by(2);
    let commands = quoted.map(|one| one.strip_prefix("cargo run -- ").unwrap_or(one));
    let is_command = |one: &&str| one.starts_with("dev -") || one.starts_with("manifest --");
    let mut commands: Vec<&str> = commands.filter(is_command).collect();
    commands.sort_unstable();
    commands.dedup();
    let words = |command: &str| command.split(' ').map(str::to_owned).collect();
    commands.into_iter().map(words).collect()
}

/// Each command that is advised works in the state in which it is printed.
#[test]
fn each_advised_command_works_in_its_state() {
    let id = "app:\n  id: ari:cloud:ecosystem::app/11111111-1111-4111-a111-111111111111\n";
    let left_over = format!(
        "{id}modules:\n  endpoint:\n    - {{key: theirs, remote: backend, route: {{path: /theirs}}}}\n\
         remotes:\n  - {{key: backend, baseUrl: https://backend.example.com}}\n"
    );
    let states = [
        ("none", None, "dev --write"),
        ("empty", Some(""), "manifest --write"),
        (
            "no-id",
            Some("app:\n  runtime: {name: nodejs22.x}\n"),
            "dev --write",
        ),
        ("other", Some(id), "manifest --write"),
        ("left-over", Some(&*left_over), "manifest --write"),
    ];
    std::thread::scope(|scope| {
        for (state, manifest, expected) in states {
            scope.spawn(move || advised_commands_work(state, manifest, expected));
        }
    });
}

/// Checks that each command works that is advised with this manifest, and that one of them is the expected one.
fn advised_commands_work(state: &str, manifest: Option<&str>, expected: &str) {
    let begin = |name: &str| {
        let folder = folder(&format!("advice-{state}-{name}"));
        if let Some(manifest) = manifest {
            fs::write(folder.join("manifest.yml"), manifest).unwrap();
        }
        folder
    };
    let mut commands = Vec::new();
    for arguments in [
        &["dev", "--once"][..],
        &["manifest"],
        &["manifest", "--write"],
    ] {
        let (_, text) = run(&mut app(&begin("asked"), arguments));
        commands.extend(advised(&text));
    }
    commands.sort();
    commands.dedup();
    let expected: Vec<String> = expected.split(' ').map(str::to_owned).collect();
    assert!(commands.contains(&expected), "{state}: {commands:?}");
    for mut command in commands {
        let folder = begin("tried");
        if command[0] == "dev" {
            command.push("--once".to_owned());
        }
        // `--prune theirs` follows `manifest --write`.
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let (good, text) = run(&mut app(&folder, &arguments));
        let may_be_incomplete = state == "left-over" && !arguments.contains(&"--prune");
        assert!(good || may_be_incomplete, "{state}: {arguments:?}\n{text}");
        if state == "left-over" {
            continue;
        }
        assert!(
            !text.contains("error[") && !text.contains("error:"),
            "{state}: {arguments:?}\n{text}"
        );
        let (_, after) = run(&mut app(&folder, &["dev", "--once"]));
        assert!(
            !after.contains("does not exist"),
            "{state}: {arguments:?}\n{after}"
        );
        assert!(
            !after.contains("manifest-drift"),
            "{state}: {arguments:?}\n{after}"
        );
    }
}

/// `dev` serves while the manifest is edited.
#[test]
fn a_manifest_that_cannot_be_updated_does_not_end_dev() {
    let taken = "modules:\n  function:\n    - key: sweep\n      handler: index.run\n";
    for (state, manifest, warning) in [
        ("unreadable", "app: [\n", "warning[bad-manifest]"),
        ("taken", taken, "the key `sweep` is taken by"),
    ] {
        for write in [false, true] {
            let folder = folder(&format!("kept-{state}-{write}"));
            let file = folder.join("manifest.yml");
            fs::write(&file, manifest).unwrap();
            let arguments: &[&str] = if write {
                &["dev", "--once", "--write"]
            } else {
                &["dev", "--once"]
            };
            let (good, text) = run(&mut app(&folder, arguments));
            assert!(good, "{state}: {text}");
            if write || state == "unreadable" {
                assert_eq!(text.matches(warning).count(), 1, "{state}: {text}");
                assert!(!text.contains("at every start"), "{state}: {text}");
            }
            assert_eq!(fs::read_to_string(&file).unwrap(), manifest);
        }
    }
}

/// As for each command that could not run.
#[test]
fn dev_has_another_exit_status_if_it_cannot_start() {
    let folder = folder("no-fixtures");
    let mut dev = app(&folder, &["dev", "--once", "--fixtures", "absent.json"]);
    assert_eq!(dev.output().unwrap().status.code(), Some(2));
}

/// An editor that saves in place has emptied the file before it writes its text.
#[test]
fn dev_does_not_fill_an_empty_manifest() {
    let note = "manifest.yml is empty";
    for (name, empty) in [("empty", ""), ("blank", "\u{feff}\n \n")] {
        let folder = folder(name);
        let file = folder.join("manifest.yml");
        fs::write(&file, empty).unwrap();
        let (good, text) = run(&mut app(&folder, &["dev", "--once", "--write"]));
        assert!(good, "{text}");
        assert_eq!(fs::read_to_string(&file).unwrap(), empty);
        assert_eq!(text.matches(note).count(), 1, "{text}");
        assert!(!text.contains("`dev --write`"), "{text}");
        let (_, text) = run(&mut app(&folder, &["manifest", "--write"]));
        assert!(!text.contains(note), "{text}");
        let written = fs::read_to_string(&file).unwrap();
        assert!(written.contains("key: sweep-trigger"), "{written}");
    }
    let folder = folder("missing");
    let (good, text) = run(&mut app(&folder, &["dev", "--once", "--write"]));
    assert!(good && !text.contains(note), "{text}");
    let written = fs::read_to_string(folder.join("manifest.yml")).unwrap();
    assert!(written.contains("key: sweep-trigger"), "{written}");
}

/// An app that is not registered yet has a manifest; with the id that `forge register` adds, it is checked.
#[test]
fn a_new_manifest_gets_its_id_from_forge_register() {
    let folder = folder("unregistered");
    let file = folder.join("manifest.yml");
    let (good, text) = run(&mut app(&folder, &["manifest", "--write"]));
    assert!(good, "{text}");
    let written = "manifest.yml is written, without `app.id`: `forge register` writes it before the first `forge deploy`";
    assert!(text.contains(written), "{text}");
    // One problem, which ends the launch too.
    for arguments in [&["manifest", "--check"][..], &["serve"]] {
        let (good, text) = run(&mut app(&folder, arguments));
        assert!(!good, "{text}");
        assert!(text.contains("error[no-app-id]"), "{text}");
        assert!(text.contains("1 problem"), "{text}");
        assert!(
            text.contains("`forge register`, which writes `app.id` to manifest.yml"),
            "{text}"
        );
    }
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.starts_with("app:\n  runtime:\n"), "{before}");
    let id = "ari:cloud:ecosystem::app/11111111-1111-4111-a111-111111111111";
    fs::write(
        &file,
        before.replacen("app:\n", &format!("app:\n  id: {id}\n"), 1),
    )
    .unwrap();
    let (good, text) = run(&mut app(&folder, &["manifest", "--check"]));
    assert!(good, "{text}");
}

#[test]
fn a_page_may_name_an_endpoint_that_the_code_has_and_the_file_lacks() {
    let folder = folder("new_endpoint");
    let id = "ari:cloud:ecosystem::app/11111111-1111-4111-a111-111111111111";
    for (endpoint, help) in [
        (
            "sweep",
            "its handler is in the code: `manifest --write` adds the endpoint",
        ),
        (
            "nobody",
            "annotate a handler with `#[endpoint(key = \"nobody\")]`",
        ),
    ] {
        let page = format!(
            "app:\n  id: {id}\nmodules:\n  confluence:globalPage:\n    - key: page\n      title: Page\n      \
             resource: main\n      resolver:\n        endpoint: {endpoint}\n"
        );
        fs::write(folder.join("manifest.yml"), page).unwrap();
        let (good, text) = run(&mut app(&folder, &["manifest", "--check"]));
        assert!(!good && text.contains(help), "{text}");
    }
}

/// A new app's first report is long enough.
#[test]
fn a_missing_entry_is_printed_once() {
    let folder = folder("report");
    let id = "ari:cloud:ecosystem::app/11111111-1111-4111-a111-111111111111";
    fs::write(folder.join("manifest.yml"), format!("app:\n  id: {id}\n")).unwrap();
    let (_, text) = run(&mut app(&folder, &["manifest"]));
    let lines = ["key: sweep-trigger", "interval: day", "path: /sweep"];
    for line in lines.into_iter().chain(["baseUrl: "]) {
        assert_eq!(text.matches(line).count(), 1, "{line}\n{text}");
    }
    let place = "modules.scheduledTrigger[sweep-trigger] is missing";
    assert!(text.contains(place), "{text}");
}

#[test]
fn routes_have_their_events_and_intervals_and_the_places_are_the_apps() {
    let folder = folder("routes");
    let (good, text) = run(&mut app(&folder, &["routes"]));
    assert!(good, "{text}");
    let below = |key: &str| {
        let mut lines = text.lines().skip_while(|line| !line.contains(key)).skip(1);
        let details: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.starts_with("    "))
            .map(str::trim)
            .collect();
        details
    };
    // The line of the function's name.
    let source = include_str!("../../src/bin/life_app.rs");
    let place = |function: &str| {
        let line = source.lines().position(|line| line.contains(function));
        format!("source: tests/src/bin/life_app.rs:{}", line.unwrap() + 1)
    };
    assert_eq!(
        below(" sweep-trigger "),
        [
            "Fails without a stored token.",
            "interval: day",
            "scopes: read:page:confluence",
            &place("async fn sweep(")
        ]
    );
    assert_eq!(
        below(" follow-trigger "),
        [
            "events: avi:forge:upgraded:app, avi:forge:installed:app",
            &place("async fn follow(")
        ]
    );
    for key in [" tokens-hourly-trigger ", " tokens-life-trigger "] {
        let is_place = |line: &&str| line.starts_with("source: tests/src/bin/life_app.rs:");
        assert!(below(key).iter().any(is_place), "{text}");
    }

    let (good, json) = run(&mut app(&folder, &["routes", "--json"]));
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(good);
    let row = |key: &str| {
        let mut rows = rows.as_array().unwrap().iter();
        rows.find(|row| row["key"] == key).unwrap()
    };
    assert_eq!(row("triage-trigger")["interval"], "week");
    assert_eq!(
        row("tokens-life-trigger")["events"][0],
        "avi:forge:installed:app"
    );
}

#[test]
fn the_routes_in_json_have_limits_former_paths_and_dynamic_handlers() {
    let output = Command::new(env!("CARGO_BIN_EXE_plain_app"))
        .args(["routes", "--json"])
        .env("DYNAMIC", "1")
        .output()
        .unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |endpoint: &str| {
        let mut rows = rows.as_array().unwrap().iter();
        rows.find(|row| row["endpoint"] == endpoint).unwrap()
    };
    let (tick, follow) = (row("tick"), row("follow"));
    assert_eq!(tick["bodyLimit"], 20 * 1024, "{tick}");
    assert_eq!(tick["alsoAt"], serde_json::json!(["/tick-v1", "/tick-v2"]));
    assert_eq!(tick["dynamic"], false);
    assert_eq!(follow["bodyLimit"], 1024 * 1024, "the app's");
    assert_eq!(follow["alsoAt"], serde_json::json!([]));
    assert_eq!(follow["dynamic"], true);
}

fn plain_app(arguments: &[&str], variable: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command.args(arguments).env(variable, "1");
    run(command.env("FORGE_REMOTE_BIND", "127.0.0.1:0"))
}

#[test]
fn cron_handlers_are_listed_with_their_next_occurrence() {
    let (good, text) = plain_app(&["routes"], "CRON");
    assert!(good, "{text}");
    let line = text
        .lines()
        .find(|line| line.contains("report-trigger"))
        .unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[1..4], ["report-trigger", "-", "-"], "{text}");
    let below = text
        .lines()
        .skip_while(|line| !line.contains("report-trigger"));
    let schedule = below.map(str::trim).nth(2).unwrap();
    let next = schedule.strip_prefix("cron: 30 2 29 2 * in Europe/Berlin, next at 20");
    assert!(
        next.is_some_and(|next| next.ends_with(" 02:30") || next.ends_with(" 03:00")),
        "{schedule}"
    );

    let (_, json) = plain_app(&["routes", "--json"], "CRON");
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut rows = rows.as_array().unwrap().iter();
    let row = rows.find(|row| row["key"] == "report-trigger").unwrap();
    assert_eq!(row["cron"]["expression"], "30 2 29 2 *");
    assert_eq!(row["cron"]["tz"], "Europe/Berlin");
    assert!(
        row.get("path").is_none() && row.get("endpoint").is_none(),
        "{row}"
    );

    let (good, text) = plain_app(&["routes"], "BAD_CRON");
    assert!(!good && text.contains("[bad-cron]"), "{text}");
    let (_, text) = plain_app(&["explain", "bad-cron"], "CRON");
    assert!(text.contains("five fields"), "{text}");
}

#[test]
fn a_local_platform_ticks_the_clock_and_calls_cron_handlers() {
    let (good, text) = plain_app(&["dev", "--once"], "CRON");
    assert!(good, "{text}");
    for key in ["cron-clock-trigger", "report-trigger", "hourly-trigger"] {
        let mut lines = text.lines().filter(|line| line.starts_with("ok "));
        assert!(lines.any(|line| line.contains(key)), "{key}: {text}");
    }
    assert!(text.contains("report SystemTime"), "{text}");
    assert!(text.contains("no job engine (`App::jobs`)"), "{text}");
}

/// An installation whose admin has not approved a scope yet.
#[test]
fn fixtures_withhold_scopes() {
    let folder = folder("withheld");
    let withheld = "withheldScopes: [\"read:page:confluence\"]";
    for (fixtures, expected) in [("pages: []", true), (withheld, false)] {
        fs::write(folder.join("fixtures.yml"), fixtures).unwrap();
        let mut command = app(&folder, &["dev", "--once", "--fixtures", "fixtures.yml"]);
        let (_, text) = run(command.env("WITH_SCOPES", "1"));
        let line = format!("has read:page:confluence: {expected}\n");
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn a_second_dev_names_the_first() {
    let folder = folder("second");
    let first = DevProcess::start(&mut app(&folder, &["dev"]));
    let (_, port) = first.platform.rsplit_once(':').unwrap();
    let (good, text) = run(&mut app(&folder, &["dev", "--platform-port", port]));
    assert!(!good, "{text}");
    let taken =
        format!("cannot listen on 127.0.0.1:{port} (--platform-port): stop the other program");
    assert!(text.contains(&taken), "{text}");
}

#[test]
fn a_sample_body_for_no_handler_is_reported() {
    let mut command = app(&folder("sample"), &["dev", "--once"]);
    let (good, text) = run(command.env("WITH_MISSPELLED_SAMPLE", "1"));
    assert!(good, "{text}");
    assert!(
        text.contains("warning[unknown-sample]: `App::sample_body(\"sweep-triger\", …)`"),
        "{text}"
    );
    assert!(text.contains("did you mean `sweep-trigger`?"), "{text}");
}
