//! Every request of `forge-remote-attacks` is accepted or rejected as its table says: by the framework,
//! by `FitLayer`, and for the expected reason.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::SystemTime;

use forge_remote::axum::extract::Request;
use forge_remote::axum::http::StatusCode;
use forge_remote::axum::middleware::{self, Next};
use forge_remote::axum::response::IntoResponse as _;
use forge_remote::prelude::*;
use forge_remote::testing::Harness;
use forge_remote_attacks::{CLASSES, Case, Class, Keys, Scene, Verdict};
use forge_remote_tests::corpus::{Judge, attack};
use forge_remote_tests::report::Report;

/// Defines a test for each class, so that they run at once.
macro_rules! classes {
    ($(fn $id:ident();)*) => {
        $(#[tokio::test]
        async fn $id() {
            attack(stringify!($id)).await;
        })*

        const TESTED: &[&str] = &[$(stringify!($id)),*];
    };
}

classes! {
    fn alg_none();
    fn alg_missing();
    fn alg_spelling();
    fn alg_repeated();
    fn hmac_public_key();
    fn hmac_weak_secret();
    fn other_rsa_algorithm();
    fn other_signature_family();
    fn encrypted();
    fn alg_changed();
    fn critical_member();
    fn unencoded_payload();
    fn compressed_payload();
    fn nested_token();
    fn foreign_type();
    fn header_not_object();
    fn header_not_utf8();
    fn deep_header();
    fn unpublished_key();
    fn odd_key_id();
    fn key_in_header();
    fn key_by_claim();
    fn no_token();
    fn other_scheme();
    fn odd_separator();
    fn quoted_token();
    fn token_elsewhere();
    fn several_tokens();
    fn issuer();
    fn audience();
    fn other_app();
    fn app_claim();
    fn expiry();
    fn not_yet_valid();
    fn other_endpoint();
    fn user_on_trigger();
    fn other_serialisation();
    fn wrong_parts();
    fn invalid_base64url();
    fn payload_not_object();
    fn payload_not_utf8();
    fn unreadable_context();
    fn duplicate_member();
    fn deep_payload();
    fn wide_payload();
    fn oversized();
    fn changed_signature();
    fn other_text();
    fn special_number();
    fn wrong_padding();
    fn valid_header();
    fn valid_claims();
    fn page_module();
    fn unknown_module();
}

#[test]
fn every_class_is_tested() {
    let ids: Vec<&str> = CLASSES.iter().map(|class| class.id).collect();
    assert_eq!(ids, TESTED);
}

#[scheduled_trigger(interval = "hour")]
async fn hourly() {}

#[endpoint(method = "POST", path = "/panel")]
async fn panel() {}

fn app() -> App {
    App::empty()
        .handler(forge_remote::handler!(hourly))
        .handler(forge_remote::handler!(panel))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// The test kit makes the same attacks on an app of one's own.
#[tokio::test]
async fn the_test_kit_attacks_each_handler() {
    let harness = Harness::new(app()).unwrap();
    for key in ["hourly", "panel"] {
        let rejected = harness.call(key).attack().await.unwrap();
        assert!(rejected > 2000, "{key}: {rejected}");
    }
}

#[tokio::test]
async fn the_test_kit_finds_a_layer_that_responds_first() {
    let open = middleware::from_fn(async |request: Request, next: Next| {
        match request.headers().contains_key("cookie") {
            true => "welcome back".into_response(),
            false => next.run(request).await,
        }
    });
    let harness = Harness::new(app().layer(open)).unwrap();
    let error = harness.call("hourly").attack().await.unwrap_err();
    let others = error.not_rejected().iter();
    let others: Vec<_> = others.filter(|one| !one.contains("cookie")).collect();
    assert_eq!(others, Vec::<&String>::new());
    assert!(error.to_string().contains("a session cookie"), "{error}");
}

/// A handler that ran may respond with 503 as well, because a database is missing in the test.
#[tokio::test]
async fn a_503_of_the_app_is_not_a_rejection() {
    let open = middleware::from_fn(async |_: Request, _: Next| {
        (StatusCode::SERVICE_UNAVAILABLE, "no database").into_response()
    });
    let harness = Harness::new(app().layer(open)).unwrap();
    let error = harness.call("hourly").attack().await.unwrap_err();
    assert!(error.not_rejected().len() > 2000, "{error}");
    assert!(
        error
            .not_rejected()
            .iter()
            .all(|one| one.ends_with(": 503")),
        "{error}"
    );
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| Scene::new(Keys::generated(), SystemTime::now()));

/// Every case of the table.
static TABLE: LazyLock<Vec<(&'static Class, Vec<Case>)>> = LazyLock::new(|| {
    let classes = CLASSES.iter();
    classes.map(|class| (class, class.cases(&SCENE))).collect()
});

/// The reasons are those of the log, which no response discloses.
#[tokio::test]
async fn each_class_is_rejected_for_its_reasons() {
    let judge = Judge::new(&SCENE);
    let mut report = Report::new("reasons");
    for (class, cases) in TABLE.iter() {
        let mut found = BTreeSet::new();
        for case in cases {
            let judged = judge.judge(&case.request).await;
            let name = format!("{}: {}", class.id, case.name);
            let agrees = match (&case.verdict, &judged) {
                (Verdict::Accepted(_), judged) => *judged == Some(Ok(())),
                (Verdict::Rejected(_), judged) => *judged != Some(Ok(())),
                (Verdict::Prompt, _) => true,
            };
            report.holds(name, agrees, format!("{judged:?}"));
            if let Some(Err(code)) = judged {
                found.insert(code);
            }
        }
        let expected: BTreeSet<&str> = class.codes.iter().copied().collect();
        let listed = format!("{found:?} instead of {expected:?}");
        report.holds(class.id, found == expected, listed);
    }
    report.finish();
}

#[test]
fn names_are_unique_and_an_attacker_can_make_the_keyless_cases() {
    let mut report = Report::new("names");
    for (class, cases) in TABLE.iter() {
        let mut names = BTreeSet::new();
        for case in cases {
            let is_new = names.insert(case.name.clone());
            report.holds(format!("{}: {}", class.id, case.name), is_new, "twice");
        }
        if let Some(keyless) = class.keyless {
            let case = class.case(&SCENE, keyless);
            let is_rejected = case.is_some_and(|case| matches!(case.verdict, Verdict::Rejected(_)));
            report.holds(
                format!("{}: {keyless}", class.id),
                is_rejected,
                "no such case",
            );
        }
    }
    report.finish();
}
