//! The compile-time cost of the framework: a first build, many handlers, and a change of one line.
//!
//! Each figure is CPU time of cargo and everything that it starts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::cpu_time;
use crate::spread::Spread;

const MANY_HANDLERS: usize = 500;
const FEW_HANDLERS: usize = 50;
/// How many packages of a first build are printed.
const DEAREST: usize = 24;

const AXUM: &str = "axum = { version = \"0.8\", default-features = false, features = [\"http1\", \"json\", \"query\", \"tokio\"] }
serde = { version = \"1\", features = [\"derive\"] }
serde_json = \"1\"
tokio = { version = \"1\", features = [\"macros\", \"rt-multi-thread\", \"net\", \"io-util\"] }
";

/// Compares `cargo check` of many handlers with that of as many plain axum routes.
pub(crate) fn check(rounds: usize) {
    let work = Workspace::new("check");
    let ours = work.package("ours", Some(true), AXUM, &with_macros(MANY_HANDLERS));
    let plain = work.package("plain", None, AXUM, &by_hand(MANY_HANDLERS));
    // A full check: an incremental one would skip code that did not change.
    let command = |folder: &Path| {
        let mut command = work.cargo(folder, &["check"]);
        command.env("CARGO_INCREMENTAL", "0");
        command
    };
    for folder in [&ours, &plain] {
        cpu_time(&mut command(folder));
    }
    let mut measured = (Vec::new(), Vec::new());
    let mut unchanged = (Vec::new(), Vec::new());
    let seconds = |folder: &Path| cpu_time(&mut command(folder)).as_secs_f64();
    let round = |folder: &Path, into: &mut Vec<f64>, unchanged: &mut Vec<f64>| {
        append(folder, "// again\n");
        into.push(seconds(folder));
        // Without a change, cargo calls no compiler: this is its own work for the dependency tree.
        unchanged.push(seconds(folder));
    };
    for _ in 0..rounds {
        round(&ours, &mut measured.0, &mut unchanged.0);
        round(&plain, &mut measured.1, &mut unchanged.1);
    }
    let ratio = Spread::of(measured.0.iter().zip(&measured.1).map(|(a, b)| a / b));
    for (name, measured, unchanged) in [
        ("handlers of mixed kinds", &measured.0, &unchanged.0),
        ("plain axum routes", &measured.1, &unchanged.1),
    ] {
        println!(
            "cargo check of {MANY_HANDLERS} {name}: {} s of CPU, of which {} s are cargo's own",
            Spread::of(measured.iter().copied()),
            Spread::of(unchanged.iter().copied())
        );
    }
    println!("ratio {ratio}   (target: at most 1.25)");
}

/// Measures `cargo check` and `cargo build` after a change of one line in an app of few handlers.
pub(crate) fn edit(rounds: usize) {
    let work = Workspace::new("edit");
    let app = work.package("ours", Some(true), AXUM, &with_macros(FEW_HANDLERS));
    for (subcommand, target) in [("check", 1.0), ("build", 3.0)] {
        let round = |count: usize| {
            append(
                &app,
                &format!("pub fn change_{subcommand}_{count}() {{}}\n"),
            );
            cpu_time(&mut work.cargo(&app, &[subcommand])).as_secs_f64()
        };
        round(0);
        let measured = Spread::of((1..=rounds).map(round));
        println!(
            "cargo {subcommand} after a change of one line, {FEW_HANDLERS} handlers: {measured} s of CPU   (target: at most {target})"
        );
    }
}

/// Compares a first `dev --once` of the quickstart with a first build of the hand-written server.
/// Both build every dependency, with the workspace's profile.
pub(crate) fn first() {
    let quickstart = include_str!("../../../examples/quickstart/src/main.rs");
    // Without its tests, which need the test kit.
    let app = quickstart
        .split("// `cargo test`")
        .next()
        .unwrap_or_default();
    let tokio = "tokio = { version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }\n";
    let ours = Workspace::new("first-ours");
    let package = ours.package("quickstart", Some(true), tokio, app);
    let run = ["run", "--timings", "--", "dev", "--once"];
    let timings = ours.folder.join("target/cargo-timings/cargo-timing.html");
    // Cargo compiles packages of a registry in this way, and only those of a path incrementally.
    let from_registry = ("CARGO_INCREMENTAL", "0");
    let mut command = ours.cargo(&package, &run);
    let ours = cpu_time(command.env(from_registry.0, from_registry.1)).as_secs_f64();
    println!("first `cargo run -- dev --once` of the quickstart: {ours:.1} s of CPU");
    print_dearest(&fs::read_to_string(timings).unwrap());

    // A server fetches its keys over HTTPS.
    let dependencies = format!(
        "{AXUM}jsonwebtoken = {{ version = \"11\", default-features = false, features = [\"aws_lc_rs\"] }}\n\
         aws-lc-rs = {{ version = \"1\", default-features = false, features = [\"aws-lc-sys\"] }}\n\
         base64 = {{ version = \"0.22\", default-features = false, features = [\"std\"] }}\n\
         reqwest = {{ version = \"0.13\", default-features = false, features = [\"rustls\"] }}\n"
    );
    let plain = Workspace::new("first-plain");
    let baseline = include_str!("bin/baseline.rs");
    let package = plain.package("baseline", None, &dependencies, baseline);
    let mut command = plain.cargo(&package, &["build"]);
    let plain = cpu_time(command.env(from_registry.0, from_registry.1)).as_secs_f64();
    println!("first `cargo build` of the hand-written server: {plain:.1} s of CPU");
    println!("ratio {:.2}   (target: at most 1.25)", ours / plain);
}

/// Builds the quickstart without default features in release mode, and returns the program.
pub(crate) fn lean_quickstart() -> String {
    let quickstart = include_str!("../../../examples/quickstart/src/main.rs");
    let app = quickstart.split("// `cargo test`").next();
    let app = app
        .unwrap_or_default()
        .replace("app().run().await", "Ok(app().serve().await?)");
    let work = Workspace::kept("lean");
    let dependencies =
        "tokio = { version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }\n";
    let package = work.package("lean", Some(false), dependencies, &app);
    let status = work.cargo(&package, &["build", "--release"]).status();
    assert!(status.is_ok_and(|status| status.success()), "cargo build");
    work.folder
        .join("target/release/lean")
        .display()
        .to_string()
}

/// Prints the packages that take most of a build, by the report of `--timings`: elapsed time of the compiler and
/// the build script, while other packages are built.
fn print_dearest(report: &str) {
    let units = report.split("const UNIT_DATA = ").nth(1).unwrap();
    let units = units.split(";\n").next().unwrap();
    let units: Vec<serde_json::Value> = serde_json::from_str(units).unwrap();
    let mut packages: BTreeMap<&str, f64> = BTreeMap::new();
    for unit in &units {
        let name = unit["name"].as_str().unwrap();
        *packages.entry(name).or_default() += unit["duration"].as_f64().unwrap();
    }
    let all: f64 = packages.values().sum();
    let mut packages: Vec<_> = packages.into_iter().collect();
    packages.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (name, seconds) in packages.iter().take(DEAREST) {
        println!("{seconds:6.1} s {:4.1} % {name}", seconds / all * 100.0);
    }
}

/// A directory for generated packages and what cargo builds of them.
struct Workspace {
    root: PathBuf,
    folder: PathBuf,
}

impl Workspace {
    /// Creates the directory; earlier contents are removed.
    fn new(name: &str) -> Self {
        let work = Self::kept(name);
        let _ = fs::remove_dir_all(&work.folder);
        work
    }

    /// Creates the directory, and keeps its build.
    fn kept(name: &str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().unwrap();
        let folder = root.join("target/bench-compile").join(name);
        Self { root, folder }
    }

    /// Writes a package, with this workspace's profiles and locked versions, and returns its folder.
    /// `default_features` is for forge-remote, on which it depends if it is not `None`.
    fn package(
        &self,
        name: &str,
        default_features: Option<bool>,
        dependencies: &str,
        code: &str,
    ) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        let path = self.root.join("forge-remote");
        let forge_remote = default_features.map_or_else(String::new, |default_features| {
            format!(
                "forge-remote = {{ path = \"{}\", default-features = {default_features} }}\n",
                path.display()
            )
        });
        let workspace = fs::read_to_string(self.root.join("Cargo.toml")).unwrap();
        let profile = workspace
            .find("[profile.release]")
            .unwrap_or(workspace.len());
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
             [dependencies]\n{forge_remote}{dependencies}{}",
            &workspace[profile..]
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::copy(self.root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        fs::write(folder.join("src/main.rs"), code).unwrap();
        folder
    }

    /// Returns a call of cargo in a package.
    fn cargo(&self, package: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command
            .args([arguments[0], "-q", "--offline"])
            .args(&arguments[1..])
            .current_dir(package)
            .env("CARGO_TARGET_DIR", self.folder.join("target"));
        command
    }
}

/// Adds a line to a package's code, so that cargo compiles it again.
fn append(package: &Path, line: &str) {
    let main = package.join("src/main.rs");
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, format!("{text}{line}")).unwrap();
}

const BODY: &str = "#[derive(serde::Deserialize, serde::Serialize)]\nstruct Body { value: u32 }\n#[derive(Clone)]\nstruct Db;\n";

/// Handlers of mixed kinds: the attribute, and the code after the function's name.
const KINDS: [(&str, &str); 8] = [
    (
        "#[scheduled_trigger(interval = \"hour\", auth = system)]",
        "(call: Invocation, token: SystemToken, State(_): State<Db>) -> Result<()> { let _ = (call, token); Ok(()) }",
    ),
    (
        "#[endpoint]",
        "(call: Invocation, State(_): State<Db>, Json(body): Json<Body>) -> Result<Json<Body>> { let _ = call; Ok(Json(body)) }",
    ),
    (
        "#[trigger(events = [\"avi:jira:created:issue\", \"avi:jira:updated:issue\"], ignore_self)]",
        "(retry: RetryContext, State(_): State<Db>, Event(body): Event<Body>) -> Result<()> { let _ = (retry, body); Ok(()) }",
    ),
    (
        "#[consumer(queue = \"q\")]",
        "(call: Invocation, State(_): State<Db>, Event(body): Event<Body>) -> Result<()> { let _ = (call, body); Ok(()) }",
    ),
    (
        "#[action(verb = \"GET\", description = \"d\", inputs = [\"value: integer - A value\"])]",
        "(call: Invocation, State(_): State<Db>, Event(body): Event<Body>) -> Result<Json<Body>> { let _ = call; Ok(Json(body)) }",
    ),
    (
        "#[web_trigger(outputs = [\"ok=200\"])]",
        "(call: Invocation, State(_): State<Db>, Json(body): Json<Body>) -> Result<Json<Body>> { let _ = call; Ok(Json(body)) }",
    ),
    (
        "#[jql_function(name = \"fNUMBER\", types = [\"issue\"], operators = [\"in\"])]",
        "(call: Invocation, State(_): State<Db>, Json(body): Json<Body>) -> Result<Json<Body>> { let _ = call; Ok(Json(body)) }",
    ),
    (
        "#[merge_check(name = \"n\", description = \"d\", triggers = [\"on-merge\"])]",
        "(call: Invocation, State(_): State<Db>, Json(body): Json<Body>) -> Result<Json<Body>> { let _ = call; Ok(Json(body)) }",
    ),
];

fn with_macros(handlers: usize) -> String {
    let mut code = format!("use forge_remote::prelude::*;\n{BODY}");
    for at in 0..handlers {
        let (attribute, rest) = KINDS[at % KINDS.len()];
        let attribute = attribute.replace("NUMBER", &at.to_string());
        let _ = writeln!(code, "{attribute}\nasync fn h{at}{rest}");
    }
    code.push_str("#[tokio::main]\nasync fn main() -> Result<()> { App::new().remote(Remote::new(\"b\")).state(Db).run().await }\n");
    code
}

fn by_hand(handlers: usize) -> String {
    let mut code = format!(
        "use axum::{{Json, Router, extract::State, http::{{HeaderMap, StatusCode, Method}}, routing::post}};\n{BODY}"
    );
    let mut routes = String::new();
    for at in 0..handlers {
        let (_, ours) = KINDS[at % KINDS.len()];
        // The same arguments and responses in plain axum.
        let rest = match (ours.contains("body"), ours.contains("Ok(Json")) {
            (false, _) => {
                "headers: HeaderMap, method: Method, State(_): State<Db>) -> Result<(), StatusCode> { let _ = (headers, method); Ok(()) }"
            }
            (true, false) => {
                "headers: HeaderMap, State(_): State<Db>, Json(body): Json<Body>) -> Result<(), StatusCode> { let _ = (headers, body); Ok(()) }"
            }
            (true, true) => {
                "headers: HeaderMap, State(_): State<Db>, Json(body): Json<Body>) -> Result<Json<Body>, StatusCode> { let _ = headers; Ok(Json(body)) }"
            }
        };
        let _ = writeln!(code, "async fn h{at}({rest}");
        let _ = write!(routes, ".route(\"/h{at}\", post(h{at}))");
    }
    let _ = writeln!(
        code,
        "#[tokio::main]\nasync fn main() {{ let router: Router = Router::new(){routes}.with_state(Db);\nlet listener = tokio::net::TcpListener::bind(\"127.0.0.1:0\").await.unwrap();\naxum::serve(listener, router).await.unwrap(); }}"
    );
    code
}
