//! `manifest --adopt`: the program for every manifest compiles as printed, and has no difference from its
//! manifest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use forge_remote_tests::new_crate::{NewCrate, block};
use forge_remote_tests::stores::Folder;

/// The manifests without an endpoint that a remote serves.
const WITHOUT_ENDPOINTS: &[&str] = &[
    "manifests-connect-on-forge-before",
    "manifests-multi-region-before",
    "manifests-ui-kit-before",
];

/// The manifests without such an endpoint, whose functions call remotes: the program's first comment has the handlers to
/// write.
const CALLED_BY_FUNCTIONS: &[&str] = &[
    "adopt-23-functions",
    "sound-03-three-remotes",
    "sound-12-customer-managed",
];

/// The manifests with parts that no attribute has; the file next to it with the ending `gaps` lists
/// them.
const WITH_GAPS: &[&str] = &["adopt-90-gaps", "adopt-91-mistakes"];

/// Every manifest of `manifests`, `field/sound` and `adopt`, by a name for its program.
fn manifests() -> Vec<(String, PathBuf)> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![tests.join("manifests"), tests.join("adopt")];
    folders.push(tests.join("field/sound"));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yml") {
                let name = path.strip_prefix(tests).unwrap().with_extension("");
                let name = name.display().to_string().replace('/', "-");
                found.push((name.replace("field-", ""), path));
            }
        }
    }
    found.sort();
    found
}

fn command(program: &Path, manifest: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("FORGE_REMOTE_MANIFEST", manifest)
        .env("REMOTE_BASE_URL", "https://backend.example.com")
        .env_remove("FORGE_REMOTE_APP_ID");
    command
}

fn run(program: &Path, manifest: &Path, arguments: &[&str]) -> Output {
    command(program, manifest, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn adopt(manifest: &Path) -> Output {
    let app = Path::new(env!("CARGO_BIN_EXE_plain_app"));
    run(app, manifest, &["manifest", "--adopt"])
}

/// Returns the parts that the program does not have, a line for each, with positions in the file.
fn gaps(program: &str, manifest: &Path) -> String {
    let start = format!("// - {}:", manifest.display());
    let others = [
        "// These values are variables",
        "// Forge functions",
        "// Connect",
    ];
    let end = others.iter().filter_map(|title| program.find(title)).min();
    let lines = program[..end.unwrap_or(program.len())].lines();
    let lines = lines.filter_map(|line| line.strip_prefix(&start));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Returns the program with the handlers that its comment describes.
fn with_function_calls(program: &str) -> String {
    let mut program = program.to_owned();
    let attributes: Vec<String> = program
        .lines()
        .filter_map(|line| {
            line.split_once("#[function_call(method = \"…\", path = \"/…\"")?
                .1
                .split_once(")]`")
        })
        .map(|(options, _)| options.to_owned())
        .collect();
    assert!(!attributes.is_empty(), "{program}");
    for (at, options) in attributes.iter().enumerate() {
        program.push_str(&format!(
            "\n#[function_call(path = \"/call-{at}\"{options})]\nasync fn call_{at}() {{}}\n"
        ));
    }
    program
}

/// The program that is built as it is printed; it has many kinds of handlers. The others are modules of one
/// binary, which is built much sooner than forty: each takes only its own module's handlers.
const AS_PRINTED: &str = "adopt-14-events";

/// The start of the binary with all programs: the environment names the one that runs.
const ALL: &str = r#"
fn main() -> forge_remote::Result<()> {
    let name = std::env::var("ADOPTED").unwrap_or_default();
    PROGRAMS.iter().find(|(known, _)| *known == name).expect("its name").1()
}

/// Returns an app with the handlers of one module.
fn app_of(module: &str) -> forge_remote::App {
    let linked = forge_remote::registry::Registry::linked();
    let own = linked.handlers().iter().map(|handler| handler.registration());
    let own = own.filter(|one| one.mount.path().rsplit_once("::").is_some_and(|(path, _)| path == module));
    // An attribute brings the function's other ones along.
    let first = own.filter(|one| one.attribute == 0);
    first.fold(forge_remote::App::empty(), |app, one| app.handler(one.clone()))
}
"#;

#[test]
fn every_manifests_program_has_no_difference() {
    let new = NewCrate::new("adopted", env!("CARGO_TARGET_TMPDIR"));
    let _ = fs::remove_dir_all(new.folder().join("src"));
    let mut programs = Vec::new();
    for (name, manifest) in manifests() {
        let output = adopt(&manifest);
        let error = text(&output.stderr);
        if WITHOUT_ENDPOINTS.contains(&name.as_str()) {
            assert_eq!(output.status.code(), Some(2), "{name}");
            assert!(
                error.contains("has no endpoints of remotes"),
                "{name}: {error}"
            );
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{name}: {error}");
        let program = text(&output.stdout);
        let golden = manifest.with_extension("gaps");
        let gaps = gaps(program, &manifest);
        if std::env::var_os("UPDATE_GOLDEN").is_some() && WITH_GAPS.contains(&name.as_str()) {
            fs::write(&golden, &gaps).unwrap();
        }
        assert_eq!(
            gaps,
            fs::read_to_string(golden).unwrap_or_default(),
            "{name}"
        );
        let program = match CALLED_BY_FUNCTIONS.contains(&name.as_str()) {
            true => with_function_calls(program),
            false => program.to_owned(),
        };
        new.write(&format!("src/bin/{name}.rs"), &program);
        programs.push((name, manifest));
    }
    let mut all = String::new();
    for (name, _) in &programs {
        let module = name.replace('-', "_");
        let program = fs::read_to_string(new.folder().join(format!("src/bin/{name}.rs"))).unwrap();
        let program = program
            .replace("App::new()", "crate::app_of(module_path!())")
            .replace("async fn main()", "pub async fn main()");
        new.write(&format!("src/{module}.rs"), &program);
        all.push_str(&format!("mod {module};\n"));
    }
    all.push_str("const PROGRAMS: &[(&str, fn() -> forge_remote::Result<()>)] = &[\n");
    for (name, _) in &programs {
        let module = name.replace('-', "_");
        all.push_str(&format!("    (\"{name}\", {module}::main),\n"));
    }
    all.push_str("];\n");
    new.write("src/main.rs", &(all + ALL));
    assert!(programs.len() >= 35, "{}", programs.len());

    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--check", "--edition", "2024", "--color", "never"]);
    for (name, _) in &programs {
        rustfmt.arg(new.folder().join(format!("src/bin/{name}.rs")));
    }
    let output = rustfmt.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));

    // A crate's own warnings would be in the way of its author.
    let as_printed = format!("src/bin/{AS_PRINTED}.rs");
    let [all, as_printed] = ["src/main.rs", &as_printed].map(|root| {
        let (program, built) = new.compile(root);
        let messages = text(&built.stderr);
        assert!(built.status.success() && messages.is_empty(), "{messages}");
        program
    });

    let copies = Folder::default();
    let mut reports = String::new();
    for (name, original) in programs {
        let program = if name == AS_PRINTED {
            &as_printed
        } else {
            &all
        };
        let run = |manifest: &Path, arguments: &[&str]| {
            let mut command = command(program, manifest, arguments);
            command.env("ADOPTED", &name).output().unwrap()
        };
        let manifest = copies.path().join(format!("{name}.yml"));
        fs::copy(&original, &manifest).unwrap();
        let has_gaps = WITH_GAPS.contains(&name.as_str());
        let check = run(&manifest, &["manifest", "--check"]);
        let expected = if has_gaps { 1 } else { 0 };
        if check.status.code() != Some(expected) {
            reports.push_str(&format!(
                "{name}: {}{}",
                text(&check.stdout),
                text(&check.stderr)
            ));
            continue;
        }
        if has_gaps {
            continue;
        }
        let write = run(&manifest, &["manifest", "--write"]);
        assert_eq!(
            write.status.code(),
            Some(0),
            "{name}: {}",
            text(&write.stdout)
        );
        assert!(
            fs::read(&manifest).unwrap() == fs::read(&original).unwrap(),
            "{name}"
        );
        let original = original.display().to_string();
        let against = run(&manifest, &["manifest", "--against", &original]);
        let report = text(&against.stdout);
        assert!(
            report.starts_with("no new version needed"),
            "{name}: {report}"
        );
        assert_eq!(against.status.code(), Some(0), "{name}");
    }
    assert!(reports.is_empty(), "{reports}");
}

#[test]
fn a_manifest_that_cannot_be_adopted_is_an_error() {
    let folder = Folder::default();
    let manifest = folder.path().join("manifest.yml");
    let error = |manifest: &Path| {
        let output = adopt(manifest);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        text(&output.stderr).to_owned()
    };
    assert!(error(&manifest).contains("does not exist"));
    fs::write(&manifest, "modules:\n  endpoint: {\n").unwrap();
    assert!(error(&manifest).contains("manifest.yml:"));
    fs::write(&manifest, "modules: {}\n").unwrap();
    let message = error(&manifest);
    assert!(message.contains("annotate functions"), "{message}");
}

#[test]
fn a_manifest_whose_endpoints_all_have_mistakes_is_not_adopted() {
    let folder = Folder::default();
    let manifest = folder.file("mani\nfest.yml");
    let endpoint = "modules:\n  endpoint:\n    - {key: a, remote: nobody, route: {path: /a}}\n";
    fs::write(&manifest, endpoint).unwrap();
    let output = adopt(&manifest);
    assert_eq!(output.status.code(), Some(1));
    let program = text(&output.stdout);
    assert!(program.contains("`remotes` has no `nobody`"), "{program}");
    let error = text(&output.stderr);
    for part in ["the program lacks 1 part of", "can be adopted"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // A line break in the file's name does not end a comment.
    let head = program.lines().take_while(|line| !line.starts_with("use "));
    let mut head = head.filter(|line| !line.is_empty());
    assert!(head.all(|line| line.starts_with("//")), "{program}");
}

#[test]
fn options_that_adopt_does_not_take_are_errors() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("adopt/01-jira-pages.yml");
    let app = Path::new(env!("CARGO_BIN_EXE_plain_app"));
    for other in [&["--prune", "x"][..], &["--write"], &["--json"]] {
        let arguments = [&["manifest", "--adopt"], other].concat();
        let output = run(app, &manifest, &arguments);
        assert_eq!(output.status.code(), Some(2), "{other:?}");
        assert!(text(&output.stderr).contains("cannot be used with"));
    }
}

/// A program that is cut off would compile without the missing handlers.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_is_not_written_is_an_error() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("adopt/01-jira-pages.yml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command
        .args(["manifest", "--adopt"])
        .env("FORGE_REMOTE_MANIFEST", manifest)
        .stdout(fs::File::create("/dev/full").unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("the output is incomplete"), "{error}");
}

#[test]
fn the_chapters_example_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../forge-remote/src/docs/adopting.md");
    let page = fs::read_to_string(page).unwrap();
    let folder = Folder::default();
    fs::write(folder.file("manifest.yml"), block(&page, "```yaml\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
    command
        .args(["manifest", "--adopt"])
        .current_dir(folder.path());
    let output = command
        .env_remove("FORGE_REMOTE_MANIFEST")
        .output()
        .unwrap();
    let printed = block(&page, "```rust,no_run\n// The handlers of");
    assert_eq!(
        text(&output.stdout),
        format!("// The handlers of{printed}\n")
    );
}

/// A comment of the program is no text for users, and a variable's default is no secret.
#[test]
fn the_program_names_what_it_does_not_have() {
    let program = |name: &str| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("adopt")
            .join(name);
        text(&adopt(&manifest).stdout).to_owned()
    };
    let agents = program("20-without-description.yml");
    for line in [
        "\n// Serves `rovo:agentConnector[triage]`.\n#[agent_connector",
        "\n/// Serves `rovo:agentConnector[sorter]`.\n#[agent_connector",
        "\n// Serves these modules:\n//\n// - `bitbucket:mergeCheck[tested]`\n",
    ] {
        assert!(agents.contains(line), "{line}: {agents}");
    }
    let variables = program("19-variable-values.yml");
    let line = "modules.endpoint[sync-calls].route.path: `${SYNC_PATH}` is `/sync` here\n";
    assert!(variables.contains(line), "{variables}");
    for name in ["22-token-scopes.yml", "../manifests/roundbook/before.yml"] {
        let program = program(name);
        assert!(program.contains(".without_token_scopes()"), "{program}");
    }
    let kept = program("22-token-scopes.yml");
    assert!(
        kept.contains(".scopes([\"read:app-system-token\"])"),
        "{kept}"
    );
    assert!(
        kept.contains(".impersonation_scopes([\"read:jira-work\"])"),
        "{kept}"
    );
}

#[test]
fn rolling_releases_are_adopted() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("adopt/18-free-paths.yml");
    let program = adopt(&manifest).stdout;
    assert!(text(&program).contains(".app_managed_permissions()"));
}

/// Calls that no part of the manifest lists: their paths are in the functions' code, or in Connect's modules.
#[test]
fn the_program_names_the_calls_of_functions_and_of_connect() {
    let printed = |name: &str| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("adopt");
        let manifest = manifest.join(name);
        let output = adopt(&manifest);
        assert_eq!(output.status.code(), Some(0), "{name}");
        let start = format!("// - {}:", manifest.display());
        let program = text(&output.stdout).replace(&start, "// - ");
        (program, text(&output.stderr).to_owned())
    };
    let (program, error) = printed("23-functions.yml");
    let expected = "//
// Forge functions may call these remotes, at paths that only the functions have:
// - 17:5: remotes[backend].operations: search the functions for `invokeRemote(\"backend\", …)` (a `GET`, unless it names a method), and serve each path by \
                    a handler with `#[function_call(method = \"…\", path = \"/…\", auth = [system, user])]`
// - 22:5: remotes[reports].operations: search the functions for `invokeRemote(\"reports\", …)` (a `GET`, unless it names a method), and serve each path by \
                    a handler with `#[function_call(method = \"…\", path = \"/…\", remote = \"reports\")]`
";
    assert!(program.contains(expected), "{program}");
    assert!(!program.contains("unfinished"), "{program}");
    assert!(
        error.starts_with("note: Forge functions may call 2 remotes of"),
        "{error}"
    );
    assert!(!error.contains("error"), "{error}");
    // Also in a manifest with endpoints: their paths are not all.
    let (program, error) = printed("04-two-remotes.yml");
    assert!(program.contains("`invokeRemote("), "{program}");
    assert!(error.contains("may call 1 remote of"), "{error}");

    let (program, error) = printed("11-connect-hybrid.yml");
    let expected = "// - 9:3: connectModules.jira:lifecycle[lifecycle]: `/installed`, `/uninstalled` at `connect`
// - 11:3: connectModules.jira:webhooks[hooks]: `/created` at `connect`
";
    assert!(program.contains(expected), "{program}");
    assert!(error.contains("Connect calls 2 modules of"), "{error}");
}
