//! The compile-time cost of the macros: `cargo check` of 500 handlers and of 500 plain axum routes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Spread, time};

const HANDLERS: usize = 500;

pub(crate) fn check(rounds: usize) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let work = root.join("target/bench-compile");
    let ours = package(
        &work,
        "ours",
        &root,
        "forge-remote = { path = \"ROOT/forge-remote\" }\n",
        &with_macros(),
    );
    let plain = package(&work, "plain", &root, "", &by_hand());
    let command = |folder: &Path| {
        let mut command = Command::new("cargo");
        command
            .args(["check", "-q", "--offline"])
            .current_dir(folder)
            // A full check: an incremental one would skip code that did not change.
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TARGET_DIR", work.join("target"));
        command
    };
    for folder in [&ours, &plain] {
        assert!(command(folder).status().unwrap().success());
    }
    let mut measured = (Vec::new(), Vec::new());
    let round = |folder: &Path, into: &mut Vec<f64>| {
        let main = folder.join("src/main.rs");
        let text = fs::read_to_string(&main).unwrap();
        // Changed content, so that cargo checks again.
        fs::write(&main, format!("{text}// again\n")).unwrap();
        into.push(time(&mut command(folder)).as_secs_f64());
    };
    for _ in 0..rounds {
        round(&ours, &mut measured.0);
        round(&plain, &mut measured.1);
    }
    let ratio = Spread::of(measured.0.iter().zip(&measured.1).map(|(a, b)| a / b));
    println!(
        "cargo check of {HANDLERS} handlers of mixed kinds: {} s",
        Spread::of(measured.0.iter().copied())
    );
    println!(
        "cargo check of {HANDLERS} plain axum routes: {} s",
        Spread::of(measured.1.iter().copied())
    );
    println!("ratio {ratio}   (target: at most 1.50)");
}

fn package(work: &Path, name: &str, root: &Path, dependency: &str, code: &str) -> PathBuf {
    let folder = work.join(name);
    fs::create_dir_all(folder.join("src")).unwrap();
    let dependency = dependency.replace("ROOT", &root.display().to_string());
    fs::write(
        folder.join("Cargo.toml"),
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependency}\
             axum = {{ version = \"0.8\", default-features = false, features = [\"http1\", \"json\", \"query\", \"tokio\"] }}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\nserde_json = \"1\"\n\
             tokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\", \"net\"] }}\n"
        ),
    )
    .unwrap();
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    fs::write(folder.join("src/main.rs"), code).unwrap();
    folder
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
        "(retry: Retry, State(_): State<Db>, Event(body): Event<Body>) -> Result<()> { let _ = (retry, body); Ok(()) }",
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

fn with_macros() -> String {
    let mut code = format!("use forge_remote::prelude::*;\n{BODY}");
    for at in 0..HANDLERS {
        let (attribute, rest) = KINDS[at % KINDS.len()];
        let attribute = attribute.replace("NUMBER", &at.to_string());
        let _ = writeln!(code, "{attribute}\nasync fn h{at}{rest}");
    }
    code.push_str("#[tokio::main]\nasync fn main() -> Result<()> { App::new().remote(Remote::new(\"b\")).state(Db).run().await }\n");
    code
}

fn by_hand() -> String {
    let mut code = format!(
        "use axum::{{Json, Router, extract::State, http::{{HeaderMap, StatusCode, Method}}, routing::post}};\n{BODY}"
    );
    let mut routes = String::new();
    for at in 0..HANDLERS {
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
