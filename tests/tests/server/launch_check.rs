//! `manifest --check` fails for everything that ends the launch, but for what needs a connection or a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use forge_remote::axum::Router;
use forge_remote::axum::routing::get;
use forge_remote::client::IsolatedCloud;
use forge_remote::fit::BoxFuture;
use forge_remote::handler;
use forge_remote::jobs::{
    Accepted, EngineContext, EngineError, Envelope, Guarantees, JobEngine, MemoryJobs,
};
use forge_remote::prelude::*;
use forge_remote::token::MemoryTokens;
use forge_remote_tests::jws::APP_ID;

#[derive(Clone)]
struct Db;

/// An engine that guarantees nothing.
struct Simple;

impl JobEngine for Simple {
    fn name(&self) -> String {
        "simple".to_owned()
    }

    fn accept(&self, _: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
        Box::pin(std::future::ready(Err(EngineError::new("not used"))))
    }

    fn serve(&self, _: EngineContext) -> BoxFuture<Result<(), EngineError>> {
        Box::pin(std::future::pending())
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
    }
}

/// Handlers, each of which is sound alone or lacks what its name says.
mod handlers {
    use forge_remote::jobs::Attempt;
    use forge_remote::kinds::{JqlFunctionResponse, WebTriggerRequest, WebTriggerResponse};
    use forge_remote::prelude::*;
    use forge_remote::schedules::Occurrence;

    use super::Db;

    const MISSPELLED: &str = "avi:jira:create:issue";

    #[scheduled_trigger(interval = "hour")]
    pub(super) async fn sweep() {}

    #[scheduled_trigger(
        interval = "day",
        key = "sweep-trigger",
        endpoint = "again",
        path = "/again"
    )]
    pub(super) async fn same_key() {}

    #[endpoint(key = "sweep-trigger", path = "/page")]
    pub(super) async fn key_of_a_module() {}

    #[endpoint(key = "other", path = "/sweep")]
    pub(super) async fn same_path() {}

    #[function_call(path = "/items/{id}")]
    pub(super) async fn by_id() {}

    #[function_call(path = "/items/{name}")]
    pub(super) async fn by_name() {}

    #[endpoint(key = "below-hook", path = "/hook/below")]
    pub(super) async fn below_hook() {}

    #[web_trigger]
    pub(super) async fn hook(request: WebTriggerRequest) -> WebTriggerResponse {
        WebTriggerResponse::new(200, request.user_path)
    }

    #[trigger(events = ["avi:jira:created:issue"], also_key = "sweep")]
    pub(super) async fn former() {}

    #[endpoint(key = "elsewhere", remote = "nowhere")]
    pub(super) async fn elsewhere() {}

    #[endpoint(key = "on-gateway", path = "/index", remote = "gateway")]
    pub(super) async fn on_gateway() {}

    #[endpoint(key = "on-backend", path = "/v1/index", remote = "backend")]
    pub(super) async fn on_backend() {}

    #[trigger(events = [MISSPELLED])]
    pub(super) async fn misspelled() {}

    #[scheduled_trigger(cron = "0 0 30 2 *")]
    pub(super) async fn never() {}

    #[scheduled_trigger(interval = "hour", key = "untimed", endpoint = "untimed-end")]
    pub(super) async fn untimed(_: Occurrence) {}

    #[scheduled_trigger(interval = "hour", key = "stateful", endpoint = "stateful-end")]
    pub(super) async fn stateful(State(db): State<Db>) {
        let Db = db;
    }

    #[scheduled_trigger(interval = "hour", key = "keeper", endpoint = "keeper-end")]
    pub(super) async fn keeper(_: Tokens) {}

    #[trigger(events = ["avi:jira:created:issue"], durable(per_installation = 3), key = "durable", endpoint = "durable-end")]
    pub(super) async fn durable() {}

    #[trigger(events = ["avi:jira:created:issue"], key = "attempt", endpoint = "attempt-end")]
    pub(super) async fn attempt(_: Attempt) {}

    #[trigger(events = ["avi:jira:created:issue"], durable, key = "divided", endpoint = "shared")]
    #[scheduled_trigger(
        interval = "hour",
        durable(retries = 1),
        key = "divided-hourly",
        endpoint = "shared"
    )]
    pub(super) async fn divided() {}

    #[job]
    pub(super) async fn copy() {}

    #[job(key = "copy")]
    pub(super) async fn copy_too() {}

    #[job]
    pub(super) async fn tokened(_: SystemToken) {}

    #[jql_function(name = "urgent", types = ["issue"], operators = ["in"])]
    pub(super) async fn urgent() -> Json<JqlFunctionResponse> {
        Json(JqlFunctionResponse::jql(""))
    }

    #[jql_function(name = "Urgent", types = ["issue"], operators = ["in"])]
    pub(super) async fn urgent_too() -> Json<JqlFunctionResponse> {
        Json(JqlFunctionResponse::jql(""))
    }

    #[data_residency(hook = "schedule")]
    pub(super) async fn schedule() {}

    #[data_residency(hook = "start", key = "another")]
    pub(super) async fn start_of_another() {}

    #[security_info_provider(key = "scan", function = "fetchWorkspaces", name = "A")]
    pub(super) async fn one_name() {}

    #[security_info_provider(key = "scan", function = "fetchWorkspaces", name = "B")]
    pub(super) async fn another_name() {}
}

fn bare() -> App {
    App::empty().app_id(APP_ID)
}

fn app() -> App {
    bare().remote(Remote::new("backend").base_url("https://backend.example.com"))
}

type Make = fn() -> App;

/// A way to cause each problem.
const CASES: &[(&str, Make)] = &[
    ("bad-cloud-label", || {
        swept().isolated_cloud("Not a label", "https://keys.example/jwks.json")
    }),
    ("bad-cloud-url", || {
        let cloud =
            IsolatedCloud::new("https://keys.example/jwks.json").api_url("http://api.example");
        swept().isolated_cloud("orange", cloud)
    }),
    ("bad-cron", || app().handler(handler!(handlers::never))),
    ("bad-key-url", || {
        swept().jwks_url("http://keys.example.com/")
    }),
    ("bad-option", || {
        app().handler(handler!(handlers::misspelled))
    }),
    ("bad-remote", || {
        bare()
            .handler(handler!(handlers::sweep))
            .remote(Remote::new("backend").base_url("http://x"))
    }),
    ("bad-sample", || {
        swept().sample_body("sweep", BTreeMap::from([(vec![1], 2)]))
    }),
    ("base-path-taken", || {
        app()
            .remote(Remote::new("gateway").base_url("https://gateway.example.com/v1"))
            .handler(handler!(handlers::on_gateway))
            .handler(handler!(handlers::on_backend))
    }),
    ("conflicting-parts", || {
        app()
            .handler(handler!(handlers::one_name))
            .handler(handler!(handlers::another_name))
    }),
    ("covered-path", || {
        app()
            .handler(handler!(handlers::hook))
            .handler(handler!(handlers::below_hook))
    }),
    ("divided-durable", || {
        app()
            .handler(handler!(handlers::divided))
            .jobs(MemoryJobs::new())
    }),
    ("duplicate-job", || {
        let app = swept()
            .handler(handler!(handlers::copy))
            .handler(handler!(handlers::copy_too));
        app.jobs(MemoryJobs::new())
    }),
    ("duplicate-key", || {
        swept().handler(handler!(handlers::same_key))
    }),
    ("duplicate-name", || {
        app()
            .handler(handler!(handlers::urgent))
            .handler(handler!(handlers::urgent_too))
    }),
    ("duplicate-path", || {
        swept().handler(handler!(handlers::same_path))
    }),
    ("duplicate-remote", || {
        swept().remote(Remote::new("backend").base_url("https://b.example.com"))
    }),
    ("duplicate-state", || swept().state(Db).state(Db)),
    ("duplicate-state", || {
        let pending = || async { std::io::Result::Ok(Db) };
        swept().state_async(pending()).state_async(pending())
    }),
    ("duplicate-state", || {
        swept()
            .state(Db)
            .state_async(async { std::io::Result::Ok(Db) })
    }),
    ("foreign-handler", || swept().foreign_endpoints(["sweep"])),
    ("foreign-handler", || {
        swept().foreign_modules(["sweep-trigger"])
    }),
    ("former-key", || swept().handler(handler!(handlers::former))),
    ("key-in-both", || {
        swept().handler(handler!(handlers::key_of_a_module))
    }),
    ("missing-parts", || {
        app().handler(handler!(handlers::schedule))
    }),
    ("missing-state", || {
        app().handler(handler!(handlers::stateful))
    }),
    ("no-handlers", app),
    ("no-jobs", || app().handler(handler!(handlers::durable))),
    ("no-occurrence", || {
        app().handler(handler!(handlers::untimed))
    }),
    ("no-remote", || bare().handler(handler!(handlers::sweep))),
    ("no-token-source", || {
        swept()
            .token_store(MemoryTokens::new())
            .keep_tokens_fresh_by("nobody")
    }),
    ("no-tokens", || app().handler(handler!(handlers::keeper))),
    ("no-tokens", || {
        swept()
            .handler(handler!(handlers::tokened))
            .jobs(MemoryJobs::new())
    }),
    ("not-durable", || app().handler(handler!(handlers::attempt))),
    ("overlapping-paths", || {
        app()
            .handler(handler!(handlers::by_id))
            .handler(handler!(handlers::by_name))
    }),
    ("route-taken", || {
        swept().routes(Router::new().route("/sweep", get(async || "own")))
    }),
    ("several-modules", || {
        app()
            .handler(handler!(handlers::schedule))
            .handler(handler!(handlers::start_of_another))
    }),
    ("unenforced-limit", || {
        app().handler(handler!(handlers::durable)).jobs(Simple)
    }),
    ("unknown-remote", || {
        app().handler(handler!(handlers::elsewhere))
    }),
    ("unknown-rule", || swept().allow_lint("no-such-rule")),
    ("unmet-guarantee", || {
        swept()
            .jobs(Simple)
            .require_guarantees(Guarantees::new().shares_fairly())
    }),
];

/// Problems that a check does not know, or that are its subject.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "bad-app-id",
        "server/app_ids: of the manifest's `app.id`, whose file is compared",
    ),
    (
        "no-app-id",
        "server/dev_life: of the manifest's `app.id`, whose file is compared",
    ),
    ("bad-manifest", "it is the compared file"),
    ("manifest-drift", "it is the compared file"),
    (
        "bad-tokens",
        "this file, below: only of tokens that are open",
    ),
    ("no-job-key", "a secret, which only the deployment has"),
    (
        "unconnected-state",
        "a connection, which only the launch makes",
    ),
    (
        "unopened-tokens",
        "a connection, which only the launch makes",
    ),
    ("opened-tokens", "of `dev`, which replaces the store"),
    ("unknown-sample", "a warning of `dev`"),
];

fn swept() -> App {
    app().handler(handler!(handlers::sweep))
}

#[test]
fn a_check_fails_for_every_problem_that_ends_the_launch() {
    let mut wrong = Vec::new();
    for (code, make) in CASES {
        let named = format!("error[{code}]");
        let launch = make().build().map(drop).unwrap_err().to_string();
        if !launch.contains(&named) {
            wrong.push(format!("the launch does not report {code}: {launch}"));
        }
        let check = make().check_manifest().unwrap_err().to_string();
        if !check.contains(&named) {
            wrong.push(format!("the check does not report {code}: {check}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `explain` lists the rules.
#[test]
fn every_rule_of_the_launch_is_in_the_table() {
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
        let output = command.arg("explain").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let all = explain(&[]);
    let (_, rules) = all
        .split_once("problems that keep the app from starting:\n")
        .unwrap();
    let rules = rules.lines().take_while(|line| line.starts_with(' '));
    let rules: BTreeSet<&str> = rules.map(str::trim).collect();
    let cases = CASES.iter().map(|(code, _)| *code);
    let elsewhere = ELSEWHERE.iter().map(|(code, _)| *code);
    let known: BTreeSet<&str> = cases.chain(elsewhere).collect();
    assert_eq!(rules, known);
}

/// Lines that Forge accepts in a manifest, and that other parsers of YAML reject.
const ODD_LINES: &[&str] = &[
    "\t\n",
    "\t# indented by a tab\n",
    "# copied from a page\u{2028}of the web\n",
    "# next\u{85}line\n",
];

fn unnamed() -> App {
    App::empty()
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .handler(handler!(handlers::sweep))
}

/// The check, the update and the launch have one parser.
#[tokio::test]
async fn the_launch_reads_each_manifest_that_the_check_reads() {
    let folder = forge_remote_tests::stores::Folder::default();
    let manifest = folder.file("manifest.yml");
    for odd in ODD_LINES {
        let app = || unnamed().manifest_path(&manifest);
        let text = format!("app:\n  id: {APP_ID}\n{odd}  runtime:\n    name: nodejs22.x\n{odd}");
        std::fs::write(&manifest, text).unwrap();
        let file = forge_remote::manifest::ManifestFile::read(&manifest).unwrap();
        let backend = Remote::new("backend").base_url("https://backend.example.com");
        let wanted = app().registry().desired_manifest(&[backend]);
        let merged = file.merged_with(&wanted, None);
        let merged = merged.unwrap_or_else(|error| panic!("{odd:?}: {error}"));
        std::fs::write(&manifest, merged).unwrap();
        app().check_manifest().unwrap();
        let launched = app().build().map(drop);
        launched.unwrap_or_else(|error| panic!("{odd:?}: {error}"));
    }
}

/// It is not taken for an absent one.
#[tokio::test]
async fn an_unreadable_manifest_is_the_one_problem_of_the_launch() {
    let folder = forge_remote_tests::stores::Folder::default();
    let manifest = folder.file("manifest.yml");
    std::fs::write(&manifest, format!("app:\n  id: {APP_ID}\nremotes: [\n")).unwrap();
    for app in [unnamed(), unnamed().app_id(APP_ID)] {
        let error = app.manifest_path(&manifest).build().map(drop).unwrap_err();
        let codes: Vec<&str> = error.problems().iter().map(|one| one.code).collect();
        assert_eq!(codes, ["bad-manifest"], "{error}");
        assert!(error.to_string().contains("manifest.yml:"), "{error}");
    }
}

/// A sound app passes, with a store and an engine that are not connected and without a secret.
#[test]
fn a_sound_app_passes_without_a_connection() {
    let folder = forge_remote_tests::stores::Folder::default();
    let manifest = folder.file("manifest.yml");
    let sound = || {
        app()
            .manifest_path(&manifest)
            .handler(handler!(handlers::durable))
            .handler(handler!(handlers::stateful))
            .state_async(async { std::io::Result::Ok(Db) })
            .token_store(forge_remote::token::SqliteTokens::new(
                folder.file("tokens.db"),
            ))
            .jobs(forge_remote_river::SqliteJobs::new(folder.file("jobs.db")))
    };
    let file = forge_remote::manifest::ManifestFile::read(&manifest).unwrap();
    let backend = Remote::new("backend").base_url("https://backend.example.com");
    let wanted = sound().registry().desired_manifest(&[backend]);
    let text = file.merged_with(&wanted, Some(APP_ID)).unwrap();
    std::fs::write(&manifest, text).unwrap();
    sound().check_manifest().unwrap();
}

#[tokio::test]
async fn tokens_that_were_set_too_late_fail_the_check() {
    let tokens = Tokens::new(MemoryTokens::new());
    tokens.open().await.unwrap();
    let late = || swept().token_store(tokens.clone().keys("a key that comes too late"));
    let launch = late().build().map(drop).unwrap_err().to_string();
    let check = late().check_manifest().unwrap_err().to_string();
    for text in [launch, check] {
        assert!(text.contains("error[bad-tokens]"), "{text}");
    }
}

/// With a separate status and error, after the comparison.
#[test]
fn the_command_reports_what_the_manifest_does_not_show() {
    let folder = forge_remote_tests::stores::Folder::default();
    let manifest = folder.file("manifest.yml");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plain_app"));
        command
            .args(arguments)
            .env("FORGE_REMOTE_MANIFEST", &manifest);
        command.env("FORGE_REMOTE_APP_ID", APP_ID);
        command.env("FORGE_REMOTE_JWKS_URL", "http://keys.example.com");
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    // The source of the manifest is sound.
    let (status, text) = run(&["manifest", "--write"]);
    assert_eq!(status, Some(0), "{text}");
    let (status, text) = run(&["manifest", "--check"]);
    assert_eq!(status, Some(1), "{text}");
    for part in [
        "matches the code",
        "error[bad-key-url]",
        "the app cannot start: 1 problem",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (status, text) = run(&["manifest", "--check", "--json"]);
    assert_eq!(status, Some(1), "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["agrees"], false);
    assert_eq!(report["findings"][0]["code"], "bad-key-url", "{report}");
    // An unreadable manifest does not hide it.
    std::fs::write(&manifest, "app: [\n").unwrap();
    let (status, text) = run(&["manifest", "--check"]);
    assert_eq!(status, Some(2), "{text}");
    for part in ["error[bad-key-url]", "not YAML that Forge accepts"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
