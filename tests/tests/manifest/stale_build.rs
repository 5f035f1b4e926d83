//! The build script warns about a stale manifest, in a real package that cargo builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use forge_remote::manifest::ManifestFile;
use forge_remote::prelude::*;
use forge_remote::registry::Registry;
use forge_remote::token::MemoryTokens;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[endpoint]
async fn page() -> Result<()> {
    Ok(())
}

#[endpoint]
async fn rebuild_the_search_index_of_everything() -> Result<()> {
    Ok(())
}

#[scheduled_trigger(interval = "day")]
async fn tick() -> Result<()> {
    Ok(())
}

#[test]
fn the_examples_are_not_stale() {
    for example in ["quickstart", "page-notes", "issue-sync", "page-search"] {
        let package = root().join("examples").join(example);
        let manifest = package.join("manifest.yml");
        assert_eq!(
            forge_remote_build::problems(&package, example, &manifest),
            [""; 0]
        );
        // The check does report a stale manifest.
        let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{example}.yml"));
        fs::write(&empty, "app: {}\n").unwrap();
        assert!(!forge_remote_build::problems(&package, example, &empty).is_empty());
    }
}

/// A key may be a variable, as for `manifest --check`.
#[test]
fn keys_are_compared_by_the_defaults_of_variables() {
    let package = root().join("examples/quickstart");
    let text = fs::read_to_string(package.join("manifest.yml")).unwrap();
    let (_, rest) = text.split_once("    - key: ").unwrap();
    let key = rest.lines().next().unwrap();
    let with_variable = format!(
        "environment:\n  variables:\n    - key: KEY\n      default: {key}\n{}",
        text.replacen(&format!("    - key: {key}\n"), "    - key: ${KEY}\n", 1)
    );
    let manifest = Path::new(env!("CARGO_TARGET_TMPDIR")).join("keys.yml");
    fs::write(&manifest, &with_variable).unwrap();
    let problems = || forge_remote_build::problems(&package, "quickstart", &manifest);
    assert_eq!(problems(), [""; 0]);
    let other = with_variable.replace("default: ", "default: other-");
    fs::write(&manifest, other).unwrap();
    assert_ne!(problems(), [""; 0]);
}

/// The build script and `manifest --check` read the same keys.
#[test]
fn the_defaults_of_keys_are_read_as_by_the_check() {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stale-defaults");
    fs::create_dir_all(package.join("src")).unwrap();
    let source = "#[forge_remote::endpoint(key = \"KEY\", path = \"/job\")]\nasync fn job() {}\nfn main() { forge_remote::Remote::new(\"backend\"); }\n";
    let manifest = package.join("manifest.yml");
    for (variables, key, read) in [
        ("{key: N, default: 3}", "job-${N}", "job-3"),
        ("{key: N, default: true}", "job-${N}", "job-true"),
        (
            "{key: N, default: a}, {key: N, default: b}",
            "job-${N}${N}",
            "job-aa",
        ),
        (
            "N, {key: N, default: b}, {key: M, default: m}",
            "${M}-${M}",
            "m-m",
        ),
        (
            "{key: A, default: x}, {key: B, default: y}",
            "job-${A}-${B}",
            "job-x-y",
        ),
    ] {
        let text = format!(
            "environment:\n  variables: [{variables}]\nmodules:\n  endpoint:\n    - {{key: \"{key}\", remote: backend, route: {{path: /job}}}}\nremotes:\n  - {{key: backend, baseUrl: https://a.example.com}}\n"
        );
        fs::write(&manifest, &text).unwrap();
        let problems = |code: &str| {
            fs::write(package.join("src/main.rs"), source.replace("KEY", code)).unwrap();
            forge_remote_build::problems(&package, "app", &manifest)
        };
        assert_eq!(problems(read), [""; 0], "{text}");
        assert_ne!(problems("job-other"), [""; 0], "{text}");
        let file = ManifestFile::parse("manifest.yml", Some(text)).unwrap();
        let remote = Remote::new("backend").base_url("https://a.example.com");
        let mut wanted = Registry::default().desired_manifest(&[remote]);
        assert_eq!(
            file.differences(&wanted),
            [format!(
                "modules.endpoint[{read}] has no handler in this binary"
            )]
        );
        wanted.foreign.insert(read.to_owned());
        assert_eq!(file.differences(&wanted), [""; 0]);
    }
    // A default is not read again, and a variable without one stays.
    for (variables, key) in [
        (
            "{key: A, default: \"${B}\"}, {key: B, default: y}",
            "job-${A}",
        ),
        (
            "{key: B, default: \"${A}\"}, {key: A, default: y}",
            "job-${B}",
        ),
        ("N, {key: N, default: y}", "job-${N}"),
    ] {
        let text = format!(
            "environment:\n  variables: [{variables}]\nmodules:\n  endpoint:\n    - {{key: \"{key}\", remote: backend, route: {{path: /job}}}}\n"
        );
        fs::write(&manifest, &text).unwrap();
        fs::write(package.join("src/main.rs"), source.replace("KEY", "job-y")).unwrap();
        let problems = forge_remote_build::problems(&package, "app", &manifest);
        assert!(
            problems.iter().any(|one| one.contains("lacks `job-y`")),
            "{text}{problems:?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_an_absent_one() {
    let manifest = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unreadable.yml");
    fs::write(&manifest, "modules: [\n").unwrap();
    let reason = forge_remote_build::unreadable(&manifest).unwrap();
    assert!(reason.contains("line 2"), "{reason}");
    assert_eq!(
        forge_remote_build::unreadable(Path::new("absent.yml")),
        None
    );
}

#[test]
fn each_function_of_a_provider_is_checked() {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stale-provider");
    fs::create_dir_all(package.join("src")).unwrap();
    let source = r#"
#[forge_remote::security_info_provider(function = "fetchWorkspaces", name = "S", home_url = "https://s.example.com")]
async fn workspaces() {}
#[forge_remote::security_info_provider(function = "fetchContainers")]
async fn containers() {}
fn main() { forge_remote::Remote::new("backend"); }
"#;
    fs::write(package.join("src/main.rs"), source).unwrap();
    let manifest = package.join("manifest.yml");
    let problems = |text: &str| {
        fs::write(&manifest, text).unwrap();
        forge_remote_build::problems(&package, "app", &manifest)
    };
    const FRESH: &str = "modules:
  devops:securityInfoProvider:
    - key: security-info-provider
      name: {value: S}
      homeUrl: https://s.example.com
      fetchWorkspaces: {endpoint: workspaces}
      fetchContainers: {endpoint: containers}
  endpoint:
    - {key: containers, remote: backend, route: {path: /containers}}
    - {key: workspaces, remote: backend, route: {path: /workspaces}}
";
    assert_eq!(problems(FRESH), [""; 0]);
    for stale in [
        FRESH.replace(
            "fetchContainers: {endpoint: containers}",
            "fetchContainers: {endpoint: workspaces}",
        ),
        FRESH.replace("      fetchContainers: {endpoint: containers}\n", ""),
    ] {
        assert_eq!(
            problems(&stale),
            [
                "modules.devops:securityInfoProvider[security-info-provider].fetchContainers.endpoint is not `containers`, which `containers` in src/main.rs declares"
            ]
        );
    }
}

/// A manifest that `manifest --check` accepts is not stale: a page's endpoint without a route, endpoints of other
/// services, modules that are registered at run time.
#[test]
fn an_existing_apps_manifest_is_not_stale() {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stale-adopted");
    fs::create_dir_all(package.join("src")).unwrap();
    let lock = "[[package]]\nname = \"app\"\nversion = \"0.0.0\"\n";
    fs::write(package.join("Cargo.lock"), lock).unwrap();
    let manifest = package.join("manifest.yml");
    let text = "modules:
  endpoint:
    - {key: page-api, remote: backend}
    - {key: chosen, remote: backend, route: {path: /chosen}}
    - {key: other-service, remote: backend, route: {path: /other}}
";
    fs::write(&manifest, text).unwrap();
    let problems = |foreign: &str| {
        let source = format!(
            "#[forge_remote::endpoint]\nasync fn page_api() {{}}\n#[forge_remote::trigger(dynamic)]\nasync fn chosen() {{}}\n\
             fn main() {{ App::new().remote(Remote::new(\"backend\")){foreign}; }}\n"
        );
        fs::write(package.join("src/main.rs"), source).unwrap();
        forge_remote_build::problems(&package, "app", &manifest)
    };
    assert_eq!(
        problems(""),
        ["modules.endpoint[other-service] has no handler in src"]
    );
    assert_eq!(problems(".foreign_endpoints([\"other-service\"])"), [""; 0]);
    assert_eq!(problems(".foreign_endpoints(theirs())"), [""; 0]);
}

/// The framework's own handlers are known: `manifest --write` leaves nothing to report, and handlers
/// that `App` no longer adds are reported.
#[test]
fn the_frameworks_own_handlers_are_known() {
    const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stale-built-in");
    fs::create_dir_all(package.join("src")).unwrap();
    // A lock file without other packages of the workspace, whose handlers would not be seen.
    let lock = "[[package]]\nname = \"app\"\nversion = \"0.0.0\"\n";
    fs::write(package.join("Cargo.lock"), lock).unwrap();
    let manifest = package.join("manifest.yml");
    let handlers = |builder: &str| {
        let source = format!(
            "fn app() -> App {{ App::new().remote(Remote::new(\"backend\")){builder} }}\nfn main() {{}}\n"
        );
        fs::write(package.join("src/main.rs"), source).unwrap();
    };
    let problems = || forge_remote_build::problems(&package, "app", &manifest);
    let fresh = {
        let file = ManifestFile::parse("manifest.yml", None).unwrap();
        let app = App::empty()
            .app_id(APP_ID)
            .remote(Remote::new("backend").base_url("https://backend.example.com"))
            .token_store(MemoryTokens::new())
            .keep_tokens_fresh();
        let app = app.build().unwrap();
        file.merged_with(&app.desired_manifest(), Some(APP_ID))
            .unwrap()
    };
    fs::write(&manifest, &fresh).unwrap();
    handlers(".keep_tokens_fresh()");
    assert_eq!(problems(), [""; 0]);

    fs::write(
        &manifest,
        fresh.replace("key: tokens-life", "key: tokens-deaf"),
    )
    .unwrap();
    assert_eq!(
        problems(),
        [
            "modules.endpoint lacks `tokens-life` of `App::keep_tokens_fresh`",
            "modules.endpoint[tokens-deaf] has no handler in src"
        ]
    );

    fs::write(&manifest, &fresh).unwrap();
    handlers("");
    let gone = ["goodbye", "hourly", "life"];
    let gone = gone.map(|one| format!("modules.endpoint[tokens-{one}] has no handler in src"));
    assert_eq!(problems(), gone);

    handlers(".keep_tokens_fresh_by(\"other\")");
    assert_eq!(
        problems(),
        ["modules.endpoint[tokens-hourly] has no handler in src"]
    );
    // The app may have its own handlers instead.
    fs::write(&manifest, "app: {}\n").unwrap();
    assert_eq!(problems(), [""; 0]);
    fs::write(&manifest, &fresh).unwrap();
    handlers("");

    // A call in a test neither adds the handlers nor makes their entries stale.
    let test = "#[test]\nfn kept() { App::new().keep_tokens_fresh(); }\n";
    let main = fs::read_to_string(package.join("src/main.rs")).unwrap();
    fs::write(package.join("src/main.rs"), format!("{main}{test}")).unwrap();
    assert_eq!(problems(), [""; 0]);
    fs::write(&manifest, "app: {}\n").unwrap();
    assert_eq!(problems(), [""; 0]);
}

/// One endpoint stands for all handlers with `cron`.
#[test]
fn handlers_with_cron_have_the_entries_of_the_clock() {
    const APP_ID: &str = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107";
    #[scheduled_trigger(cron = "@daily")]
    async fn nightly() {}

    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stale-cron");
    fs::create_dir_all(package.join("src")).unwrap();
    let lock = "[[package]]\nname = \"app\"\nversion = \"0.0.0\"\n";
    fs::write(package.join("Cargo.lock"), lock).unwrap();
    let manifest = package.join("manifest.yml");
    let source = |attribute: &str| {
        let source = format!(
            "#[scheduled_trigger({attribute})]\nasync fn nightly() {{}}\nfn main() {{ Remote::new(\"backend\"); }}\n"
        );
        fs::write(package.join("src/main.rs"), source).unwrap();
    };
    let app = App::empty()
        .app_id(APP_ID)
        .handler(forge_remote::handler!(nightly))
        .remote(Remote::new("backend").base_url("https://backend.example.com"));
    let file = ManifestFile::parse("manifest.yml", None).unwrap();
    let desired = app.build().unwrap().desired_manifest();
    let fresh = file.merged_with(&desired, Some(APP_ID)).unwrap();
    fs::write(&manifest, &fresh).unwrap();
    let problems = || forge_remote_build::problems(&package, "app", &manifest);
    source("cron = \"@daily\"");
    assert_eq!(problems(), [""; 0]);
    source("interval = \"day\"");
    assert_eq!(
        problems(),
        [
            "modules.scheduledTrigger lacks `nightly-trigger` of `nightly` in src/main.rs",
            "modules.endpoint lacks `nightly` of `nightly` in src/main.rs",
            "modules.endpoint[cron-clock] has no handler in src",
        ]
    );
    source("cron = \"@daily\"");
    fs::write(
        &manifest,
        fresh.replace("key: cron-clock\n", "key: nightly\n"),
    )
    .unwrap();
    assert_eq!(
        problems(),
        [
            "modules.endpoint lacks `cron-clock` of `nightly` in src/main.rs",
            "modules.endpoint[nightly] has no handler in src",
        ]
    );
}

const MAIN: &str = r#"
use forge_remote::{endpoint, scheduled_trigger};

mod deeper;

#[cfg(test)]
mod checks;

/// Every hour.
#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"])]
async fn refresh_index() {}

#[cfg(feature = "never")]
#[endpoint]
async fn conditional() {}

fn main() {
    let _ = (Remote::new("backend"), refresh_index());
}

struct Remote;
impl Remote {
    fn new(_: &str) {}
}
"#;

const DEEPER: &str = r#"
#[forge_remote::endpoint(key = "page", path = "/page/load")]
pub async fn load() {}
#[forge_remote::endpoint(key = "page", path = "/page/save")]
pub async fn save() {}
#[forge_remote::endpoint]
pub async fn rebuild_the_search_index_of_everything() {}
"#;

/// A handler that only the tests' build has, and the manifest has not.
const CHECKS: &str = "
#[forge_remote::endpoint]
async fn only_in_tests() {}
";

const STALE: &str = "modules:
  scheduledTrigger:
    - key: refresh-index-trigger
      endpoint: refresh-index
      interval: day
  endpoint:
    - key: refresh-index
      remote: backend
      route: {path: /old}
    - key: gone
      remote: backend
    - key: theirs
      remote: elsewhere
";

/// Returns cargo's warnings for a package with this manifest, which compiles anyway.
fn warnings(package: &Path, manifest: &str) -> Vec<String> {
    fs::write(package.join("manifest.yml"), manifest).unwrap();
    warnings_with(package, "")
}

/// Returns cargo's warnings for a package with this `FORGE_REMOTE_MANIFEST`.
fn warnings_with(package: &Path, named: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--color=never"])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .env("FORGE_REMOTE_MANIFEST", named)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines()
        .filter_map(|line| line.strip_prefix("warning: app@0.0.0: "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_build_warns_about_a_stale_manifest_until_it_is_updated() {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stale-build");
    // Files of an earlier run.
    let _ = fs::remove_dir_all(package.join("src"));
    let _ = fs::remove_file(package.join("Cargo.lock"));
    let write = |name: &str, text: &str| {
        let path = package.join(name);
        // Cargo compares times.
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let cargo_toml = "[package]\nname = 'app'\nversion = '0.0.0'\nedition = '2024'\n\
             [features]\nnever = []\n\
             [dependencies]\nforge-remote = { path = 'fake' }\n[workspace]\n";
    write("Cargo.toml", cargo_toml);
    // Only calls `forge_remote_build::warn_if_stale`: as a dependency, it and its own would be built again.
    let script = Path::new(env!("CARGO_BIN_EXE_stale_build"));
    let build = format!(
        "fn main() {{\n    let status = std::process::Command::new({script:?}).status().unwrap();\n    assert!(status.success());\n}}\n"
    );
    write("build.rs", &build);
    write("src/main.rs", MAIN);
    write("src/deeper.rs", DEEPER);
    write("src/checks.rs", CHECKS);
    write("src/bin/other.rs", &format!("{CHECKS}fn main() {{}}\n"));
    // Empty attributes suffice, since a build script reads the source, and compile fast.
    write(
        "fake/Cargo.toml",
        "[package]\nname = 'forge-remote'\nversion = '0.0.0'\nedition = '2024'\n[lib]\nproc-macro = true\n",
    );
    let attribute = |name: &str| {
        format!(
            "#[proc_macro_attribute]\npub fn {name}(_: TokenStream, item: TokenStream) -> TokenStream {{ item }}\n"
        )
    };
    let attributes = attribute("endpoint") + &attribute("scheduled_trigger");
    write(
        "fake/src/lib.rs",
        &format!("use proc_macro::TokenStream;\n{attributes}"),
    );

    // The key that the runtime derives.
    let long = Registry::from_registrations([forge_remote::handler!(
        rebuild_the_search_index_of_everything
    )]);
    let long = long.handlers()[0].endpoint();
    let lacks_long = format!(
        "modules.endpoint lacks `{long}` of `rebuild_the_search_index_of_everything` in src/deeper.rs"
    );
    let found = warnings(&package, STALE);
    let expected = [
        "modules.endpoint lacks `page` of `load` in src/deeper.rs",
        &lacks_long,
        "modules.scheduledTrigger[refresh-index-trigger].interval is not `hour`, which `refresh_index` in src/main.rs declares",
        "modules.endpoint[refresh-index].route.path is not `/refresh-index`, which `refresh_index` in src/main.rs declares",
        "modules.endpoint[gone] has no handler in src",
    ]
    .map(|problem| {
        // An update leaves an entry that may be another service's.
        let option = match problem.ends_with("has no handler in src") {
            true => "--check",
            false => "--write",
        };
        format!("manifest.yml is stale: {problem}: run `cargo run -- manifest {option}`")
    });
    assert_eq!(found, expected);

    let mut fresh = STALE
        .replace("interval: day", "interval: hour")
        .replace("/old", "/refresh-index")
        .replace("key: gone", "key: page");
    fresh.push_str(&format!("    - key: {long}\n      remote: backend\n      route: {{path: /rebuild-the-search-index-of-everything}}\n"));
    assert_eq!(warnings(&package, &fresh), [""; 0]);
    let unreadable = warnings(&package, "modules: [\n");
    assert_eq!(unreadable.len(), 1, "{unreadable:?}");
    assert!(
        unreadable[0].starts_with("manifest.yml is not compared with the code"),
        "{unreadable:?}"
    );
    // A named file is in the package or around it, as in a workspace whose root is the program's working directory.
    let around = package.parent().unwrap().join("stale-deploy");
    fs::create_dir_all(&around).unwrap();
    fs::write(around.join("manifest.yml"), STALE).unwrap();
    let found = warnings_with(&package, "stale-deploy/manifest.yml");
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    let found = warnings_with(&package, "nowhere/manifest.yml");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("FORGE_REMOTE_MANIFEST names ")
            && found[0].contains("which does not exist"),
        "{found:#?}"
    );

    let more = format!("{fresh}    - key: gone\n      remote: backend\n");
    assert_eq!(warnings(&package, &more).len(), 1);
    // Entries whose handler may be elsewhere are not reported: with a macro that may define some,
    let link = "macro_rules! link { () => {} }\nlink!();\n";
    write("src/deeper.rs", &format!("{DEEPER}{link}"));
    assert_eq!(warnings(&package, &more), [""; 0]);
    // which may also define more paths of an endpoint,
    let two = "#[forge_remote::endpoint(key = \"page\", path = \"/page/save\")]\n";
    assert!(DEEPER.contains(two));
    let one = DEEPER.replace(two, "");
    write("src/deeper.rs", &format!("{one}{link}"));
    assert_eq!(warnings(&package, &more), [""; 0]);
    write("src/deeper.rs", DEEPER);
    assert_eq!(warnings(&package, &more).len(), 1);
    // or with another package of the same workspace.
    write(
        "handlers/Cargo.toml",
        "[package]\nname = 'handlers'\nversion = '0.0.0'\nedition = '2024'\n",
    );
    write("handlers/src/lib.rs", "");
    let on_handlers = format!("{cargo_toml}[dependencies.handlers]\npath = 'handlers'\n");
    write("Cargo.toml", &on_handlers);
    assert_eq!(warnings(&package, &more), [""; 0]);
}
