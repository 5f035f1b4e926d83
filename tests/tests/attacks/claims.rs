//! Tokens with a valid signature and invalid claims are rejected.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use forge_remote_tests::http::Call;
use forge_remote_tests::jws::{
    APP_ID, Fit, INSTALLATION_ID, ISSUER, OTHER_APP_ID, compact, later, seconds,
};
use forge_remote_tests::report::Report;
use forge_remote_tests::rsa::first;
use forge_remote_tests::test_app::TestApp;
use serde_json::{Value, json};

/// Returns values that are nearly a text.
fn near_misses(text: &str) -> Vec<(String, Value)> {
    let last = text.chars().last().unwrap();
    let shorter = &text[..text.len() - last.len_utf8()];
    let named = [
        ("in capitals", text.to_uppercase()),
        (
            "with one capital",
            format!("{}{}", text[..1].to_uppercase(), &text[1..]),
        ),
        ("one character less", shorter.to_owned()),
        ("one character less in front", text[1..].to_owned()),
        ("one character more", format!("{text}x")),
        ("one character more in front", format!("x{text}")),
        ("its last character twice", format!("{text}{last}")),
        ("another last character", format!("{shorter}~")),
        ("a slash behind", format!("{text}/")),
        ("a dot behind", format!("{text}.")),
        ("a path behind", format!("{text}/x")),
        ("a path trick behind", format!("{text}/../x")),
        ("a query behind", format!("{text}?x")),
        ("a fragment behind", format!("{text}#x")),
        ("a colon behind", format!("{text}:")),
        ("a blank behind", format!("{text} ")),
        ("a blank in front", format!(" {text}")),
        ("a tab behind", format!("{text}\t")),
        ("a newline behind", format!("{text}\n")),
        ("a newline in front", format!("\n{text}")),
        ("a newline and more behind", format!("{text}\nx")),
        ("a NUL behind", format!("{text}\0")),
        ("a NUL in front", format!("\0{text}")),
        ("a NUL and more behind", format!("{text}\0x")),
        ("a no-break space behind", format!("{text}\u{a0}")),
        (
            "a zero-width space inside",
            format!("{}\u{200b}{}", &text[..3], &text[3..]),
        ),
        (
            "a soft hyphen inside",
            format!("{}\u{ad}{}", &text[..3], &text[3..]),
        ),
        ("a byte order mark in front", format!("\u{feff}{text}")),
        ("a right-to-left mark", format!("\u{202e}{text}")),
        ("a combining mark behind", format!("{text}\u{301}")),
        (
            "Cyrillic letters",
            text.replace('o', "о").replace('a', "а").replace('e', "е"),
        ),
        (
            "fullwidth digits and slashes",
            text.replace('/', "／").replace(':', "："),
        ),
        ("encoded slashes", text.replace('/', "%2F")),
        ("doubly escaped", text.replace('/', "\\/")),
        ("backslashes", text.replace('/', "\\")),
        ("in quotes", format!("\"{text}\"")),
        ("twice, by a comma", format!("{text},{text}")),
        ("twice, by a blank", format!("{text} {text}")),
        ("with another, by a comma", format!("x,{text}")),
        ("with another, by a blank", format!("x {text}")),
        ("as JSON list", json!([text]).to_string()),
        ("as a pattern", format!("^{text}$")),
        ("all of it a pattern", ".*".to_owned()),
        ("a star", "*".to_owned()),
        ("half and a star", format!("{}*", &text[..text.len() / 2])),
        ("a percent sign", "%".to_owned()),
        ("empty", String::new()),
        ("blank", " ".to_owned()),
        ("the word null", "null".to_owned()),
        ("the word undefined", "undefined".to_owned()),
    ];
    let mut cases: Vec<(String, Value)> = named
        .into_iter()
        .filter(|(_, other)| other != text)
        .map(|(name, other)| (name.to_owned(), json!(other)))
        .collect();
    for (name, value) in [
        ("null", Value::Null),
        ("a number", json!(1)),
        ("zero", json!(0)),
        ("true", json!(true)),
        ("false", json!(false)),
        ("an empty object", json!({})),
        ("an object of it", json!({ text: true })),
        (
            "an object with numbers for names",
            json!({ "0": text, "length": 1 }),
        ),
        ("an empty list", json!([])),
        ("a list in a list", json!([[text]])),
        ("a list of an object", json!([{ "value": text }])),
        (
            "a list of near misses",
            json!([format!("{text} "), text.to_uppercase(), format!("{text}/")]),
        ),
        ("a list of null", json!([null])),
        ("a list of nothing", json!([""])),
        (
            "a list of characters",
            json!(text.chars().collect::<Vec<_>>()),
        ),
    ] {
        cases.push((name.to_owned(), value));
    }
    cases
}

#[tokio::test]
async fn another_issuer_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("iss");
    report.case(
        "missing",
        app.rejects(&app.fit().without("/iss").token()).await,
    );
    for (name, value) in near_misses(ISSUER) {
        report.case(
            name,
            app.rejects(&app.fit().claim("/iss", value).token()).await,
        );
    }
    for value in [
        json!([ISSUER]),
        json!([ISSUER, "x"]),
        json!({ "iss": ISSUER }),
        json!("forge/context-token"),
        json!("forge"),
        json!("invocation-token"),
        json!("forge/invocation_token"),
        json!("forge//invocation-token"),
        json!("https://forge/invocation-token"),
        json!("https://api.atlassian.com"),
        json!("atlassian"),
        json!(APP_ID),
        json!(app.trap.url()),
    ] {
        report.case(
            value.to_string(),
            app.rejects(&app.fit().claim("/iss", value).token()).await,
        );
    }
    for (name, claim) in [
        ("Iss", "/Iss"),
        ("ISS", "/ISS"),
        ("issuer", "/issuer"),
        ("a blank", "/iss "),
    ] {
        let fit = app.fit().without("/iss").claim(claim, ISSUER);
        report.case(format!("named {name}"), app.rejects(&fit.token()).await);
    }
    let fit = app.fit().without("/iss").head("iss", ISSUER);
    report.case("in the header only", app.rejects(&fit.token()).await);
    report.finish();
}

#[tokio::test]
async fn another_audience_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("aud");
    report.case(
        "missing",
        app.rejects(&app.fit().without("/aud").token()).await,
    );
    for (name, value) in near_misses(APP_ID) {
        report.case(
            name,
            app.rejects(&app.fit().claim("/aud", value).token()).await,
        );
    }
    let uuid = APP_ID.rsplit('/').next().unwrap();
    for value in [
        json!(OTHER_APP_ID),
        json!([OTHER_APP_ID]),
        json!([OTHER_APP_ID, "x"]),
        json!([APP_ID.to_uppercase(), OTHER_APP_ID]),
        json!([[APP_ID]]),
        json!([null, [APP_ID]]),
        json!([{ "aud": APP_ID }]),
        json!({ "aud": APP_ID }),
        json!({ "0": APP_ID }),
        json!([APP_ID, 1]),
        json!([1, APP_ID]),
        json!([APP_ID, null]),
        json!([APP_ID, [APP_ID]]),
        json!([APP_ID, {}]),
        json!([true, APP_ID]),
        json!(uuid),
        json!(format!("ari:cloud:ecosystem::app/{}", uuid.to_uppercase())),
        json!(format!(
            "ari:cloud:ecosystem::app/{}",
            uuid.replace('-', "")
        )),
        json!(format!("ari:cloud:ecosystem::app/{{{uuid}}}")),
        json!(format!("ari:cloud:ecosystem::installation/{uuid}")),
        json!(format!("ari:cloud:ecosystem::environment/{uuid}")),
        json!(format!("ari:cloud:ecosystem:app/{uuid}")),
        json!("ari:cloud:ecosystem::app/"),
        json!("ari:cloud:ecosystem::app/*"),
        json!(format!("urn:uuid:{uuid}")),
        json!("https://backend.example.com"),
        json!("http://backend.example.com/tick"),
    ] {
        report.case(
            value.to_string(),
            app.rejects(&app.fit().claim("/aud", value).token()).await,
        );
    }
    for (name, claim) in [
        ("Aud", "/Aud"),
        ("AUD", "/AUD"),
        ("audience", "/audience"),
        ("azp", "/azp"),
        ("client_id", "/client_id"),
    ] {
        let fit = app.fit().without("/aud").claim(claim, APP_ID);
        report.case(format!("named {name}"), app.rejects(&fit.token()).await);
        let fit = app.fit().claim("/aud", OTHER_APP_ID).claim(claim, APP_ID);
        report.case(
            format!("another app's, and {name}"),
            app.rejects(&fit.token()).await,
        );
    }
    let fit = app.fit().without("/aud").head("aud", APP_ID);
    report.case("in the header only", app.rejects(&fit.token()).await);
    report.finish();
}

/// A genuine token of another app.
#[tokio::test]
async fn a_token_of_another_app_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("another app's tokens");
    let theirs = || {
        app.fit()
            .claim("/aud", OTHER_APP_ID)
            .claim("/app/id", OTHER_APP_ID)
    };
    for (name, fit) in [
        ("as it is", theirs()),
        ("our id in app only", app.fit().claim("/aud", OTHER_APP_ID)),
        (
            "our id in aud only",
            app.fit().claim("/app/id", OTHER_APP_ID),
        ),
        (
            "both in aud, theirs in app",
            app.fit()
                .claim("/aud", json!([APP_ID, OTHER_APP_ID]))
                .claim("/app/id", OTHER_APP_ID),
        ),
        ("with our id as sub", theirs().claim("/sub", APP_ID)),
        (
            "with our id everywhere else",
            theirs()
                .claim("/app/appId", APP_ID)
                .claim("/appId", APP_ID)
                .claim("/context", json!({"app": {"id": APP_ID}})),
        ),
        (
            "their installation of us",
            theirs().claim("/app/installationId", INSTALLATION_ID),
        ),
    ] {
        report.case(name, app.rejects(&fit.token()).await);
        let page = Call::post("/ui").bearer(
            &fit.claim("/app/module/type", "xen:macro")
                .claim("/principal", "x")
                .token(),
        );
        report.case(
            format!("{name}, by a page"),
            app.rejects_bytes(&page.bytes(), &[401]).await,
        );
    }
    report.finish();
}

#[tokio::test]
async fn an_app_claim_that_is_wrong_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("app");
    report.case(
        "missing",
        app.rejects(&app.fit().without("/app").token()).await,
    );
    report.case(
        "app.id missing",
        app.rejects(&app.fit().without("/app/id").token()).await,
    );
    for (name, value) in near_misses(APP_ID) {
        report.case(
            format!("app.id {name}"),
            app.rejects(&app.fit().claim("/app/id", value).token())
                .await,
        );
    }
    report.case(
        "app.id a list of ours",
        app.rejects(&app.fit().claim("/app/id", json!([APP_ID])).token())
            .await,
    );
    let whole = app.fit().claims["app"].clone();
    for (name, value) in [
        ("null", Value::Null),
        ("a string", json!(APP_ID)),
        ("a number", json!(1)),
        ("true", json!(true)),
        ("an empty object", json!({})),
        ("an empty list", json!([])),
        ("a list of it", json!([whole])),
        (
            "its values in a list",
            json!([APP_ID, INSTALLATION_ID, {"id": INSTALLATION_ID}, "16", "https://api.atlassian.com", {}, {}, null]),
        ),
        ("its JSON in a string", json!(whole.to_string())),
    ] {
        report.case(
            name,
            app.rejects(&app.fit().claim("/app", value).token()).await,
        );
    }
    let other = "ari:cloud:ecosystem::installation/ffffffff-53ae-4a5b-9e7e-03338980abb5";
    let no_ids = || {
        app.fit()
            .without("/app/installationId")
            .without("/app/installation/id")
    };
    for (name, fit) in [
        ("no installation", no_ids()),
        (
            "no installation at all",
            app.fit()
                .without("/app/installationId")
                .without("/app/installation"),
        ),
        (
            "installations null",
            app.fit()
                .claim("/app/installationId", Value::Null)
                .claim("/app/installation/id", Value::Null),
        ),
        (
            "installations that differ",
            app.fit().claim("/app/installationId", other),
        ),
        (
            "installations that differ, the other way",
            app.fit().claim("/app/installation/id", other),
        ),
        (
            "installation id in a list",
            app.fit()
                .claim("/app/installationId", json!([INSTALLATION_ID])),
        ),
        (
            "installation id a number",
            app.fit()
                .claim("/app/installationId", 1)
                .claim("/app/installation/id", 1),
        ),
        (
            "installation ids empty",
            app.fit()
                .claim("/app/installationId", "")
                .claim("/app/installation/id", ""),
        ),
        (
            "installation a string",
            app.fit().claim("/app/installation", INSTALLATION_ID),
        ),
        (
            "installation a list",
            app.fit()
                .claim("/app/installation", json!([INSTALLATION_ID])),
        ),
        (
            "installation a list of two",
            app.fit()
                .claim("/app/installation", json!([INSTALLATION_ID, null])),
        ),
        ("module a string", app.fit().claim("/app/module", "tick")),
        (
            "module a list",
            app.fit()
                .claim("/app/module", json!(["core:endpoint", "tick"])),
        ),
        (
            "environment a list",
            app.fit()
                .claim("/app/environment", json!(["PRODUCTION", "x"])),
        ),
    ] {
        report.case(name, app.rejects(&fit.token()).await);
    }
    report.finish();
}

#[tokio::test]
async fn an_expired_or_invalid_expiry_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("exp");
    let now = seconds(app.now());
    report.case(
        "missing",
        app.rejects(&app.fit().without("/exp").token()).await,
    );
    let old = |seconds: u64| app.fit().issued(app.now() - Duration::from_secs(seconds));
    for (name, fit) in [
        ("now", old(25)),
        ("a second ago", old(26)),
        ("two seconds ago", old(27)),
        ("five seconds ago", old(30)),
        ("nine seconds ago", old(34)),
        ("59 seconds ago", old(84)),
        ("an hour ago", old(3625)),
        ("a year ago", old(365 * 24 * 3600)),
    ] {
        report.case(name, app.rejects(&fit.token()).await);
    }
    for (name, value) in [
        ("null", Value::Null),
        ("empty string", json!("")),
        ("its digits in a string", json!((now + 20).to_string())),
        ("a duration", json!("25s")),
        ("a date", json!("2099-01-01T00:00:00Z")),
        ("an HTTP date", json!("Thu, 01 Jan 2099 00:00:00 GMT")),
        ("never", json!("never")),
        ("NaN in a string", json!("NaN")),
        ("Infinity in a string", json!("Infinity")),
        ("true", json!(true)),
        ("false", json!(false)),
        ("a list", json!([now + 20])),
        ("an empty list", json!([])),
        ("an object", json!({"value": now + 20})),
        ("MongoDB's", json!({"$date": (now + 20) * 1000})),
        ("zero", json!(0)),
        ("one", json!(1)),
        ("minus one", json!(-1)),
        ("minus now", json!(-now)),
        ("the least of 64 bits", json!(i64::MIN)),
        ("in milliseconds", json!((now + 20) * 1000)),
        ("in microseconds", json!((now + 20) * 1_000_000)),
        ("in nanoseconds", json!((now + 20) * 1_000_000_000)),
        ("in minutes", json!((now + 20) / 60)),
        ("expired, in milliseconds", json!((now - 20) * 1000)),
        ("an hour and a minute ahead", json!(now + 3660)),
        ("a day ahead", json!(now + 86_400)),
        ("2038", json!(i32::MAX)),
        ("2106", json!(u32::MAX)),
        ("beyond 2106", json!(i64::from(u32::MAX) + 1)),
        ("9999", json!(253_402_300_799_i64)),
        ("10000", json!(253_402_300_800_i64)),
        ("2^53", json!(1_i64 << 53)),
        ("2^53 + 1", json!((1_i64 << 53) + 1)),
        ("the greatest of 63 bits", json!(i64::MAX)),
        ("2^63", json!(1_u64 << 63)),
        ("the greatest of 64 bits", json!(u64::MAX)),
        ("1e18", json!(1e18)),
        ("1e308", json!(1e308)),
        ("minus 1e308", json!(-1e308)),
        ("5e-324", json!(5e-324)),
    ] {
        report.case(
            name,
            app.rejects(&app.fit().claim("/exp", value).token()).await,
        );
    }
    for (name, text) in [
        ("expired by a fraction", format!("{}.0", now)),
        (
            "expired by an exponent",
            format!("{}e-1", (now + 20) * 10 - 400),
        ),
        ("1e999", "1e999".into()),
        ("minus 1e999", "-1e999".into()),
        ("1e309", "1e309".into()),
        ("1e-999", "1e-999".into()),
        ("2^64", "18446744073709551616".into()),
        ("30 digits", "999999999999999999999999999999".into()),
        ("5,000 digits", "9".repeat(5000)),
        (
            "a fraction of 5,000 digits, expired",
            format!("{}.{}", now - 1, "9".repeat(5000)),
        ),
        ("minus zero", "-0".into()),
        ("minus zero point zero", "-0.0".into()),
        ("NaN", "NaN".into()),
        ("Infinity", "Infinity".into()),
        ("minus Infinity", "-Infinity".into()),
        ("a leading zero", format!("0{}", now + 20)),
        ("a plus sign", format!("+{}", now + 20)),
        ("hexadecimal", format!("{:#x}", now + 20)),
        ("octal", format!("{:#o}", now + 20)),
        ("binary", format!("{:#b}", now + 20)),
        ("underscores", "1_900_000_000".into()),
        ("a trailing dot", format!("{}.", now + 20)),
        ("a bare exponent", format!("{}e", now + 20)),
        ("BigInt", format!("{}n", now + 20)),
        ("an expression", format!("{now}+20")),
        ("undefined", "undefined".into()),
        ("nothing", String::new()),
    ] {
        let fit = app.fit();
        let token = compact(
            fit.header_json(),
            fit.claims_json_with("exp", &text),
            first(),
        );
        report.case(name, app.rejects(&token).await);
    }
    for (name, claim) in [
        ("Exp", "/Exp"),
        ("EXP", "/EXP"),
        ("expires", "/expires"),
        ("expiry", "/expiry"),
        ("expires_in", "/expires_in"),
    ] {
        let fit = app.fit().without("/exp").claim(claim, now + 20);
        report.case(format!("named {name}"), app.rejects(&fit.token()).await);
    }
    let fit = app.fit().without("/exp").head("exp", now + 20);
    report.case("in the header only", app.rejects(&fit.token()).await);
    report.finish();
}

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

#[tokio::test]
async fn a_token_of_the_future_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("nbf and iat");
    let now = seconds(app.now());
    for claim in ["nbf", "iat"] {
        let pointer = format!("/{claim}");
        for (name, value) in [
            ("12 seconds ahead", json!(now + 12)),
            ("30 seconds ahead", json!(now + 30)),
            ("a minute ahead", json!(now + 61)),
            ("an hour ahead", json!(now + 3600)),
            ("in milliseconds", json!(now * 1000)),
            ("the greatest of 64 bits", json!(u64::MAX)),
            ("1e300", json!(1e300)),
            ("its digits in a string", json!(now.to_string())),
            ("a future date in a string", json!("2099-01-01T00:00:00Z")),
            ("empty string", json!("")),
            ("true", json!(true)),
            ("a list", json!([now])),
            ("an object", json!({"value": now})),
        ] {
            let fit = app.fit().claim(&pointer, value).claim("/exp", now + 100);
            report.case(format!("{claim} {name}"), app.rejects(&fit.token()).await);
        }
        for (name, text) in [
            ("1e999", "1e999"),
            ("NaN", "NaN"),
            ("Infinity", "Infinity"),
            ("30 digits", "999999999999999999999999999999"),
        ] {
            let fit = app.fit();
            let token = compact(
                fit.header_json(),
                fit.claims_json_with(claim, text),
                first(),
            );
            report.case(format!("{claim} {name}"), app.rejects(&token).await);
        }
    }
    let fit = app.fit().issued(later(app.now(), 15));
    report.case(
        "issued and valid in 15 seconds",
        app.rejects(&fit.token()).await,
    );
    // The token becomes valid.
    app.clock.advance(Duration::from_secs(6));
    report.case(
        "issued and valid in 9 seconds",
        app.accepts(&app.tick(&fit.token()), &fit).await,
    );
    report.finish();
}

/// A FIT names no path, so the claims that bind it to an endpoint are checked.
#[tokio::test]
async fn a_token_of_another_endpoint_is_rejected() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("another endpoint's tokens");
    for (name, fit) in [
        ("the page's endpoint", Fit::backend(app.now(), "ui")),
        ("an unknown endpoint", Fit::backend(app.now(), "other")),
        ("no key", app.fit().without("/app/module/key")),
        ("key null", app.fit().claim("/app/module/key", Value::Null)),
        ("key empty", app.fit().claim("/app/module/key", "")),
        (
            "key in capitals",
            app.fit().claim("/app/module/key", "TICK"),
        ),
        (
            "key with a capital",
            app.fit().claim("/app/module/key", "Tick"),
        ),
        (
            "key and a blank",
            app.fit().claim("/app/module/key", "tick "),
        ),
        (
            "key and a NUL",
            app.fit().claim("/app/module/key", "tick\0"),
        ),
        ("key as a path", app.fit().claim("/app/module/key", "/tick")),
        ("part of the key", app.fit().claim("/app/module/key", "tic")),
        (
            "more than the key",
            app.fit().claim("/app/module/key", "tick-"),
        ),
        (
            "more than the trigger's key",
            app.fit().claim("/app/module/key", "tick-trigger-2"),
        ),
        (
            "key in a list",
            app.fit().claim("/app/module/key", json!(["tick"])),
        ),
        (
            "key in an object",
            app.fit().claim("/app/module/key", json!({"key": "tick"})),
        ),
        ("key a number", app.fit().claim("/app/module/key", 0)),
        (
            "another key, ours in the context",
            Fit::backend(app.now(), "ui").claim("/context", json!({"moduleKey": "tick"})),
        ),
    ] {
        report.case(name, app.rejects(&fit.token()).await);
    }
    for (path, key) in [
        ("/ui", "tick"),
        ("/ui", "tick-trigger"),
        ("/ui", "echo"),
        ("/echo", "ui"),
        ("/echo", "tick"),
    ] {
        let call = Call::post(path)
            .bearer(&Fit::backend(app.now(), key).token())
            .json(&json!({"text": "x"}));
        report.case(
            format!("{key}'s token at {path}"),
            app.rejects_bytes(&call.bytes(), &[401]).await,
        );
    }
    report.finish();
}

/// A browser holds its user's token (`requestRemote`), which must not start the platform's jobs.
#[tokio::test]
async fn a_users_token_is_rejected_on_a_trigger() {
    let app = TestApp::with_layer().await;
    let mut report = Report::new("users' tokens on a trigger");
    for (name, fit) in [
        ("a page's token", app.page()),
        (
            "a page's token with the trigger's key",
            app.page().claim("/app/module/key", "tick"),
        ),
        (
            "a page's token with the trigger's type and key",
            app.page()
                .claim("/app/module/key", "tick")
                .claim("/app/module/type", "core:endpoint"),
        ),
        (
            "an anonymous visitor's",
            app.page().claim("/principal", "unidentified"),
        ),
        (
            "a page's token without a context",
            app.page().without("/context"),
        ),
        (
            "a platform's token with a principal",
            app.fit().claim("/principal", "557058:x"),
        ),
        ("an empty principal", app.fit().claim("/principal", "")),
        ("a blank principal", app.fit().claim("/principal", " ")),
        ("the word null", app.fit().claim("/principal", "null")),
        ("principal zero", app.fit().claim("/principal", 0)),
        ("principal false", app.fit().claim("/principal", false)),
        ("principal true", app.fit().claim("/principal", true)),
        ("principal a number", app.fit().claim("/principal", 12)),
        (
            "principal an empty list",
            app.fit().claim("/principal", json!([])),
        ),
        (
            "principal a list",
            app.fit().claim("/principal", json!(["x"])),
        ),
        (
            "principal an empty object",
            app.fit().claim("/principal", json!({})),
        ),
        (
            "principal an object",
            app.fit().claim("/principal", json!({"accountId": "x"})),
        ),
    ] {
        report.case(name, app.rejects(&fit.token()).await);
    }
    report.finish();
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
    // A rejected token does not use up its jti.
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
