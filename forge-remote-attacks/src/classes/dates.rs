//! The dates of a FIT.

use std::time::Duration;

use serde_json::{Value, json};

use crate::jws::{compact, later};
use crate::{Cases, Scene};

pub(super) fn expiry(scene: &Scene, cases: &mut Cases) {
    let now = scene.seconds();
    cases.rejected("missing", || scene.fit().without("/exp").token());
    let old = |seconds: u64| {
        scene
            .fit()
            .issued(scene.now() - Duration::from_secs(seconds))
    };
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
        cases.rejected(name, || fit.token());
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
        cases.rejected(name, || scene.fit().claim("/exp", value).token());
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
        let fit = scene.fit();
        let token = compact(
            fit.header_json(),
            fit.claims_json_with("exp", &text),
            scene.first(),
        );
        cases.rejected(name, || token.clone());
    }
    for (name, claim) in [
        ("Exp", "/Exp"),
        ("EXP", "/EXP"),
        ("expires", "/expires"),
        ("expiry", "/expiry"),
        ("expires_in", "/expires_in"),
    ] {
        let fit = scene.fit().without("/exp").claim(claim, now + 20);
        cases.rejected(format!("named {name}"), || fit.token());
    }
    let fit = scene.fit().without("/exp").head("exp", now + 20);
    cases.rejected("in the header only", || fit.token());
}

pub(super) fn not_yet_valid(scene: &Scene, cases: &mut Cases) {
    let now = scene.seconds();
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
            let fit = scene.fit().claim(&pointer, value).claim("/exp", now + 100);
            cases.rejected(format!("{claim} {name}"), || fit.token());
        }
        for (name, text) in [
            ("1e999", "1e999"),
            ("NaN", "NaN"),
            ("Infinity", "Infinity"),
            ("30 digits", "999999999999999999999999999999"),
        ] {
            let fit = scene.fit();
            let token = compact(
                fit.header_json(),
                fit.claims_json_with(claim, text),
                scene.first(),
            );
            cases.rejected(format!("{claim} {name}"), || token.clone());
        }
    }
    let fit = scene.fit().issued(later(scene.now(), 15));
    cases.rejected("issued and valid in 15 seconds", || fit.token());
}
