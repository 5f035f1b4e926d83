//! Launch reports all problems at once, each with its location and fix.

use std::process::Command;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::registry::Registry;
use forge_remote::token::MemoryTokens;
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::jws::{APP_ID, Fit, published};

#[derive(Clone)]
struct Db;

#[scheduled_trigger(interval = "hour")]
async fn sweep(State(db): State<Db>) -> Result<()> {
    let Db = db;
    Ok(())
}

mod elsewhere {
    use forge_remote::prelude::*;

    #[scheduled_trigger(interval = "day")]
    pub(crate) async fn sweep() -> Result<()> {
        Ok(())
    }

    #[endpoint(key = "sweep", path = "/other")]
    pub(crate) async fn takes_the_same_endpoint_key() {}

    #[endpoint(remote = "nowhere", key = "sweep-trigger", path = "/sweep")]
    pub(crate) async fn takes_a_module_key_and_a_path() {}

    #[scheduled_trigger(interval = "day", key = "another")]
    pub(crate) async fn with_another_key() {}
}

fn backend() -> Remote {
    Remote::new("backend").base_url("https://backend.example.com")
}

fn problems(app: App) -> String {
    app.build().map(drop).unwrap_err().to_string()
}

#[test]
fn an_app_without_handlers_does_not_start() {
    let text = problems(App::empty().app_id(APP_ID).remote(backend()));
    assert!(
        text.contains("no-handlers") && text.contains("forge_remote::link!"),
        "{text}"
    );
    assert!(
        text.contains("1 problem\n") || text.ends_with("1 problem"),
        "{text}"
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    let app = App::empty()
        .handler(handler!(sweep))
        .handler(handler!(elsewhere::sweep))
        .handler(handler!(elsewhere::takes_the_same_endpoint_key))
        .handler(handler!(elsewhere::takes_a_module_key_and_a_path))
        .app_id("my-app")
        .remote(Remote::new("backend").base_url("http://localhost/api/"))
        .remote(backend())
        .jwks_url("http://keys.example.com/");
    let text = problems(app);
    for expected in [
        "missing-state",
        "takes `State<server::launch::Db>`",
        "2 modules have the key `sweep-trigger`",
        "3 endpoints have the key `sweep`",
        "`sweep-trigger` is the key of a module and of an endpoint",
        "3 handlers have the route `POST /sweep`",
        "bad-remote",
        "duplicate-remote",
        "unknown-remote",
        "bad-app-id",
        "bad-key-url",
        "tests/server/launch.rs:",
        "help: ",
    ] {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
}

/// A guessable key prevents the launch.
#[test]
fn a_token_key_that_is_not_random_is_a_problem() {
    use forge_remote::token::SqliteTokens;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = forge_remote_tests::stores::Folder::default();
    for key in [
        // Zeros, and a word four times.
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "cGFzc3dvcmRwYXNzd29yZHBhc3N3b3JkcGFzc3dvcmQ=",
    ] {
        let app = App::empty()
            .handler(handler!(sweep))
            .app_id(APP_ID)
            .remote(backend())
            .state(Db)
            .token_store(Tokens::new(SqliteTokens::new(folder.file("tokens.db"))).keys(key));
        let error = runtime.block_on(app.connect()).map(drop).unwrap_err();
        let text = format!("{error:?}");
        assert!(
            text.contains("key 1 of 1 is not random") && text.contains("openssl rand -base64 32"),
            "{text}"
        );
    }
}

/// UUIDs are case-insensitive, so an id in capitals is the same app.
#[tokio::test]
async fn an_app_id_is_case_insensitive() {
    let uuid = APP_ID.rsplit('/').next().unwrap();
    let app = App::empty()
        .handler(handler!(elsewhere::sweep))
        .remote(backend())
        .app_id(uuid.to_uppercase());
    let source = JwksServer::start(JwksResponse::Keys(published())).await;
    let router = app.jwks_url(source.url()).build().unwrap().router();
    let fit = Fit::backend(std::time::SystemTime::now(), "sweep").token();
    let request = forge_remote::http::Request::post("/sweep")
        .header("authorization", format!("Bearer {fit}"))
        .body(forge_remote::axum::body::Body::empty())
        .unwrap();
    let status = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(status.status(), 200);
}

#[test]
fn a_failed_check_leaves_the_tokens_closed() {
    let tokens = Tokens::new(MemoryTokens::new());
    let text = problems(
        App::empty()
            .handler(handler!(sweep))
            .app_id(APP_ID)
            .remote(backend())
            .token_store(tokens.clone()),
    );
    assert!(text.contains("missing-state"), "{text}");
    assert!(
        format!("{tokens:?}").contains("is_open: false"),
        "{tokens:?}"
    );
}

#[test]
fn problems_are_json_for_machines() {
    let output = Command::new(env!("CARGO_BIN_EXE_events_app"))
        .args(["manifest", "--json"])
        .env("WITH_UNKNOWN_RULE", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["agrees"], false);
    let problem = &report["findings"][0];
    assert_eq!(problem["code"], "unknown-rule");
    assert_eq!(problem["level"], "error");
    assert!(
        problem["help"].as_str().unwrap().contains("explain"),
        "{report}"
    );
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error[unknown-rule]: "), "{text}");
}

#[test]
fn no_remote_and_no_app_id_are_problems() {
    let text = problems(App::empty().handler(handler!(elsewhere::sweep)));
    assert!(
        text.contains("no-remote") && text.contains("no-app-id"),
        "{text}"
    );
}

#[tokio::test]
async fn state_can_come_from_one_future_only() {
    let app = || {
        App::empty()
            .handler(handler!(sweep))
            .app_id(APP_ID)
            .remote(backend())
    };
    let from = || async { std::io::Result::Ok(Db) };

    assert!(problems(app().state_async(from())).contains("unconnected-state"));
    assert!(
        app()
            .state_async(from())
            .connect()
            .await
            .unwrap()
            .build()
            .is_ok()
    );
    assert!(problems(app().state(Db).state(Db)).contains("duplicate-state"));
    let twice = app().state(Db).state_async(from()).connect().await.unwrap();
    assert!(problems(twice).contains("duplicate-state"));

    let failing = async { Err::<Db, _>(std::io::Error::other("the database is down")) };
    let error = app()
        .state_async(failing)
        .connect()
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        format!("{error:?}").contains("the database is down"),
        "{error:?}"
    );
}

#[test]
fn one_option_sets_a_handler_apart_from_its_namesake() {
    let registry = Registry::from_registrations([
        handler!(elsewhere::sweep),
        handler!(elsewhere::with_another_key),
        // A function registered twice counts once.
        handler!(elsewhere::sweep),
    ]);
    assert_eq!(registry.problems(), []);
    let names: Vec<_> = registry
        .handlers()
        .iter()
        .map(|one| (one.key(), one.endpoint(), one.path()))
        .collect();
    assert_eq!(
        names,
        [
            ("another", "another-endpoint", "/another"),
            ("sweep-trigger", "sweep", "/sweep")
        ]
    );
}

#[test]
fn functions_that_make_one_module_must_agree_and_be_whole() {
    mod lone {
        use forge_remote::prelude::*;

        #[security_info_provider(key = "lone", function = "fetchWorkspaces", name = "A")]
        pub(super) async fn one() {}

        #[security_info_provider(key = "lone", function = "fetchWorkspaces", name = "B")]
        pub(super) async fn two() {}
    }
    let registry = Registry::from_registrations([
        forge_remote::handler!(lone::one),
        forge_remote::handler!(lone::two),
    ]);
    let problems: Vec<String> = registry
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    let all = problems.join("\n");
    for part in [
        "conflicting-parts",
        "disagree on `name`",
        "disagree on `fetchWorkspaces`",
        "missing-parts",
        "homeUrl, fetchContainers, searchContainers",
    ] {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
}

mod hooks {
    use forge_remote::kinds::{WebTriggerRequest, WebTriggerResponse};
    use forge_remote::prelude::*;

    #[web_trigger]
    pub(crate) async fn hook(request: WebTriggerRequest) -> WebTriggerResponse {
        WebTriggerResponse::new(200, request.user_path)
    }

    #[endpoint(path = "/hook", method = "GET")]
    pub(crate) async fn the_same_path() {}

    #[endpoint(path = "/hook/deeper/still")]
    pub(crate) async fn below() {}

    #[endpoint(path = "/hooks")]
    pub(crate) async fn extra() {}

    #[web_trigger(path = "/")]
    pub(crate) async fn everything(request: WebTriggerRequest) -> WebTriggerResponse {
        WebTriggerResponse::new(200, request.user_path)
    }
}

#[test]
fn no_other_handler_may_be_on_or_below_a_web_triggers_path() {
    let app = || App::empty().app_id(APP_ID).remote(backend());
    let hook = app().handler(handler!(hooks::hook));
    hook.handler(handler!(hooks::extra)).build().unwrap();
    app().handler(handler!(hooks::everything)).build().unwrap();

    let hook = app().handler(handler!(hooks::hook));
    let hook = hook.handler(handler!(hooks::the_same_path));
    let text = problems(hook.handler(handler!(hooks::below)));
    for part in [
        "error[duplicate-path]: 2 handlers have the path `/hook`, one of them with any method",
        "error[covered-path]: `/hook/deeper/still` is below `/hook`, where a webtrigger serves every path",
        "(the_same_path)",
        "(below)",
        "(hook)",
        "2 problems",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = problems(
        app()
            .handler(handler!(hooks::everything))
            .handler(handler!(hooks::extra)),
    );
    assert!(text.contains("`/hooks` is below `/`"), "{text}");
}

mod constants {
    use forge_remote::kinds::{JqlFunctionResponse, WebTriggerOutput, WebTriggerRequest};
    use forge_remote::prelude::*;

    const MISSPELLED: &str = "avi:jira:create:issue";
    const CREATED: &str = "avi:jira:created:issue";
    const INPUT: &str = "issueKey";
    const OUTPUT: &str = "accepted";
    const STARTER: &str = "Sort it";
    const TEAM: &str = "team";

    #[trigger(events = [MISSPELLED, CREATED, "avi:jira:created:issue"], unknown_events = [CREATED])]
    pub(crate) async fn follow() {}

    /// Logs.
    #[action(verb = "CREATE", inputs = [INPUT])]
    pub(crate) async fn log() {}

    #[web_trigger(outputs = [OUTPUT])]
    pub(crate) async fn hook(_request: WebTriggerRequest) -> WebTriggerOutput {
        WebTriggerOutput::new("accepted")
    }

    /// Talks.
    #[agent_connector(name = "Triage", products = ["jira"], conversation_starters = [STARTER, STARTER])]
    pub(crate) async fn talk() {}

    #[jql_function(name = "f", arguments = ["team?", TEAM], types = ["issue"], operators = ["in"])]
    pub(crate) async fn jql() -> Json<JqlFunctionResponse> {
        Json(JqlFunctionResponse::jql(""))
    }

    #[trigger(events = [CREATED])]
    pub(crate) async fn right() {}
}

#[test]
fn the_values_of_constants_are_checked_like_literals() {
    let app = || App::empty().app_id(APP_ID).remote(backend());
    app().handler(handler!(constants::right)).build().unwrap();
    let text = problems(
        app()
            .handler(handler!(constants::follow))
            .handler(handler!(constants::log))
            .handler(handler!(constants::hook))
            .handler(handler!(constants::talk))
            .handler(handler!(constants::jql)),
    );
    for part in [
        "error[bad-option]: Forge has no event `avi:jira:create:issue`\n--> tests/tests/server/launch.rs:",
        "did you mean \"avi:jira:created:issue\"?",
        "`avi:jira:created:issue` is listed twice in `events`",
        "`avi:jira:created:issue` is already in `events`",
        "`issueKey` is not a valid input of an action",
        "`accepted` is not a valid output of a web trigger",
        "`Sort it` is listed twice in `conversation_starters`",
        "`team` is listed twice in `arguments`",
        "7 problems",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

mod moves {
    use forge_remote::prelude::*;

    macro_rules! hooks {
        ($($name:ident = $hook:literal $(, $option:ident = $value:literal)?;)*) => {
            $(
                #[data_residency(hook = $hook $(, $option = $value)?)]
                pub(crate) async fn $name() {}
            )*
        };
    }

    hooks! {
        schedule = "schedule";
        start = "start";
        status = "status";
        commit = "commit";
        rollback = "rollback";
        elsewhere = "rollback", remote = "other";
        of_another = "rollback", key = "another";
        of_another_path = "rollback", path = "/moves";
    }
}

#[test]
fn data_residency_needs_one_module_of_one_remote() {
    let hooks = || {
        App::empty()
            .app_id(APP_ID)
            .remote(backend())
            .remote(Remote::new("other").base_url("https://other.example.com"))
            .handler(handler!(moves::schedule))
            .handler(handler!(moves::start))
            .handler(handler!(moves::status))
            .handler(handler!(moves::commit))
    };
    hooks().handler(handler!(moves::rollback)).build().unwrap();
    let lacking = "migration:dataResidency `data-residency` lacks rollback";
    assert!(problems(hooks()).contains(lacking));

    let text = problems(hooks().handler(handler!(moves::elsewhere)));
    for part in ["disagree on `remote`", "(elsewhere)", "(commit)"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = problems(hooks().handler(handler!(moves::of_another)));
    for part in [
        "Forge accepts one migration:dataResidency in an app, but there are 2",
        "(of_another)",
        "(commit)",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = problems(hooks().handler(handler!(moves::of_another_path)));
    for part in ["disagree on `path`", "(of_another_path)"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
