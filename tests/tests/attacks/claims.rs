//! FITs with a valid signature and invalid claims are rejected.

use std::time::Duration;

use forge_remote_tests::http::Call;
use forge_remote_tests::jws::{later, seconds};
use forge_remote_tests::report::Report;
use forge_remote_tests::test_app::TestApp;
use serde_json::json;

/// Exact to the second, at fractions of a second.
#[tokio::test]
async fn a_token_expires_to_the_second() {
    let app = TestApp::with_layer().await;
    let fit = app.fit();
    let token = fit.token();
    let end = std::time::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(fit.claims["exp"].as_i64().unwrap()).unwrap());
    let left = end.duration_since(app.now()).unwrap();
    app.clock.advance(left - Duration::from_millis(50));
    app.accepts(&app.tick(&token), &fit)
        .await
        .expect("50 ms before its end");
    app.clock.advance(Duration::from_millis(50));
    app.rejects(&token).await.expect("at its end");
    for seconds in [1, 5, 10, 60] {
        app.clock.advance(Duration::from_secs(seconds));
        app.rejects(&token).await.expect("after its end");
    }
}

/// A token is valid as soon as the clock is near its time of issue.
#[tokio::test]
async fn a_token_of_the_future_becomes_valid() {
    let app = TestApp::with_layer().await;
    let fit = app.fit().issued(later(app.now(), 15));
    app.rejects(&fit.token()).await.expect("15 seconds ahead");
    app.clock.advance(Duration::from_secs(6));
    app.accepts(&app.tick(&fit.token()), &fit)
        .await
        .expect("9 seconds ahead");
}

/// Each optional policy only rejects more.
#[tokio::test]
async fn stricter_policies_reject_more() {
    use forge_remote::fit::{EndpointBinding, Environment, VerificationPolicy};
    use forge_remote_tests::jwks_server::JwksResponse;
    use forge_remote_tests::jws::published;

    let mut report = Report::new("stricter policies");
    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.verification(VerificationPolicy::default().environments([Environment::Production]))
    })
    .await;
    for value in [
        json!("DEVELOPMENT"),
        json!("STAGING"),
        json!("production"),
        json!("PRODUCTION "),
        json!(""),
        json!(null),
        json!(["PRODUCTION"]),
        json!(1),
    ] {
        let fit = app.fit().claim("/app/environment/type", value.clone());
        report.case(
            format!("environment {value}"),
            app.rejects(&fit.token()).await,
        );
    }
    report.case(
        "no environment",
        app.rejects(&app.fit().without("/app/environment").token())
            .await,
    );

    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.verification(VerificationPolicy::default().binding(EndpointBinding::Strict))
    })
    .await;
    for value in [
        json!("xen:macro"),
        json!("CORE:ENDPOINT"),
        json!(""),
        json!(null),
        json!(["core:endpoint"]),
        json!(1),
    ] {
        let fit = app.fit().claim("/app/module/type", value.clone());
        report.case(
            format!("strictly bound, type {value}"),
            app.rejects(&fit.token()).await,
        );
    }
    report.case(
        "strictly bound, no module",
        app.rejects(&app.fit().without("/app/module").token()).await,
    );

    let app = TestApp::with(JwksResponse::Keys(published()), |app| {
        app.verification(VerificationPolicy::default().replay_guard(true))
    })
    .await;
    let fit = app.fit();
    report.case(
        "first use",
        app.accepts(&app.tick(&fit.token()), &fit).await,
    );
    report.case("second use", app.rejects(&fit.token()).await);
    report.case(
        "second use, signed again",
        app.rejects(&fit.clone().claim("/exp", seconds(app.now()) + 20).token())
            .await,
    );
    report.case(
        "no jti",
        app.rejects(&app.fit().without("/jti").token()).await,
    );
    // A rejected FIT does not use up its jti.
    let fit = app.fit();
    report.case(
        "rejected",
        app.rejects(&fit.clone().claim("/app/module/key", "other").token())
            .await,
    );
    report.case(
        "rejected, then valid",
        app.accepts(&app.tick(&fit.token()), &fit).await,
    );
    let page = app.page();
    for turn in ["first", "second"] {
        let call = Call::post("/ui").bearer(&page.token());
        report.case(
            format!("a page's, {turn} use"),
            app.accepts(&call, &page).await,
        );
    }
    report.finish();
}
