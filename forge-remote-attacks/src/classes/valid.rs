//! Valid FITs that resemble forged ones.

use serde_json::{Value, json};

use crate::jws::{ISSUER, OTHER_APP_ID, compact, later};
use crate::{Cases, Scene};

pub(super) fn valid_header(scene: &Scene, cases: &mut Cases) {
    let first_kid = scene.first_kid();
    let app_id = scene.app_id();
    let kid = first_kid;
    let long = "x".repeat(1000);
    for (name, header) in [
        ("no typ", format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#)),
        (
            "typ JWT",
            format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"JWT"}}"#),
        ),
        (
            "typ jwt",
            format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"jwt"}}"#),
        ),
        (
            "typ Jwt",
            format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"Jwt"}}"#),
        ),
        (
            "typ jWT",
            format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"jWT"}}"#),
        ),
        ("kid first", format!(r#"{{"kid":"{kid}","alg":"RS256"}}"#)),
        (
            "typ first",
            format!(r#"{{"typ":"JWT","kid":"{kid}","alg":"RS256"}}"#),
        ),
        (
            "alg last",
            format!(r#"{{"kid":"{kid}","typ":"JWT","alg":"RS256"}}"#),
        ),
        (
            "escaped alg's name",
            format!(r#"{{"\u0061lg":"RS256","kid":"{kid}"}}"#),
        ),
        (
            "escaped alg",
            format!(r#"{{"alg":"\u0052\u0053256","kid":"{kid}"}}"#),
        ),
        (
            "every name escaped",
            format!(r#"{{"\u0061\u006c\u0067":"RS256","\u006b\u0069\u0064":"{kid}"}}"#),
        ),
        (
            "escaped typ",
            format!(r#"{{"alg":"RS256","kid":"{kid}","\u0074yp":"\u004aWT"}}"#),
        ),
        (
            "escaped slashes in kid",
            format!(r#"{{"alg":"RS256","kid":"{}"}}"#, kid.replace('/', r"\/")),
        ),
        (
            "unicode-escaped slashes in kid",
            format!(
                r#"{{"alg":"RS256","kid":"{}"}}"#,
                kid.replace('/', r"\u002F")
            ),
        ),
        (
            "blanks",
            format!("{{ \"alg\" : \"RS256\" , \"kid\" : \"{kid}\" }}"),
        ),
        (
            "tabs and newlines",
            format!("\t{{\r\n\t\"alg\":\n\"RS256\",\r\n\t\"kid\":\t\"{kid}\"\n}}\n"),
        ),
        (
            "blanks around",
            format!("   {{\"alg\":\"RS256\",\"kid\":\"{kid}\"}}   "),
        ),
        (
            "unknown string",
            format!(r#"{{"alg":"RS256","kid":"{kid}","x-forge":"yes"}}"#),
        ),
        (
            "unknown number",
            format!(r#"{{"alg":"RS256","kid":"{kid}","ver":1}}"#),
        ),
        (
            "unknown null",
            format!(r#"{{"alg":"RS256","kid":"{kid}","x":null}}"#),
        ),
        (
            "unknown object",
            format!(r#"{{"alg":"RS256","kid":"{kid}","x":{{"alg":"none","kid":[1,2]}}}}"#),
        ),
        (
            "unknown list",
            format!(r#"{{"x":["none",{{}}],"alg":"RS256","kid":"{kid}"}}"#),
        ),
        (
            "unknown non-ASCII",
            format!(r#"{{"alg":"RS256","kid":"{kid}","größe":"日本語 🦀"}}"#),
        ),
        (
            "unknown and long",
            format!(r#"{{"alg":"RS256","kid":"{kid}","x":"{long}"}}"#),
        ),
        (
            "names in another case",
            format!(r#"{{"alg":"RS256","kid":"{kid}","ALG":"none","Kid":"x","CRIT":["x"]}}"#),
        ),
        (
            "iss and aud replicated",
            format!(r#"{{"alg":"RS256","kid":"{kid}","iss":"{ISSUER}","aud":"{app_id}"}}"#),
        ),
    ] {
        let fit = scene.fit();
        let token = compact(header, fit.claims_json(), scene.first());
        cases.accepted(name, &fit, || token.clone());
    }
}

pub(super) fn valid_claims(scene: &Scene, cases: &mut Cases) {
    let app_id = scene.app_id();
    let now = scene.seconds();
    for (name, fit) in [
        ("aud a string", scene.fit()),
        (
            "aud a list of ours",
            scene.fit().claim("/aud", json!([app_id])),
        ),
        (
            "aud a list with ours last",
            scene.fit().claim("/aud", json!([OTHER_APP_ID, app_id])),
        ),
        (
            "aud a list with ours first",
            scene
                .fit()
                .claim("/aud", json!([app_id, "x", OTHER_APP_ID])),
        ),
        (
            "aud a list with ours twice",
            scene.fit().claim("/aud", json!([app_id, app_id])),
        ),
        ("nbf 5 s ahead", scene.fit().claim("/nbf", now + 5)),
        ("iat 5 s ahead", scene.fit().claim("/iat", now + 5)),
        ("both 9 s ahead", scene.fit().issued(later(scene.now(), 9))),
        ("no nbf", scene.fit().without("/nbf")),
        ("no iat", scene.fit().without("/iat")),
        ("no jti", scene.fit().without("/jti")),
        (
            "no nbf, iat, jti",
            scene.fit().without("/nbf").without("/iat").without("/jti"),
        ),
        (
            "principal null",
            scene.fit().claim("/principal", Value::Null),
        ),
        ("principal absent", scene.fit()),
        ("context null", scene.fit().claim("/context", Value::Null)),
        ("context empty", scene.fit().claim("/context", json!({}))),
        ("no app.version", scene.fit().without("/app/version")),
        ("no app.appVersion", scene.fit().without("/app/appVersion")),
        ("no license", scene.fit().without("/app/license")),
        (
            "license null",
            scene.fit().claim("/app/license", Value::Null),
        ),
        (
            "an old license",
            scene.fit().claim("/app/license", json!({"isActive": true})),
        ),
        (
            "no contexts",
            scene.fit().without("/app/installation/contexts"),
        ),
        (
            "no cloudId",
            scene.fit().without("/app/installation/contexts/0/cloudId"),
        ),
        (
            "the module's key is the trigger's",
            scene.fit().claim("/app/module/key", "tick-trigger"),
        ),
        (
            "unknown claims",
            scene
                .fit()
                .claim("/futureClaim", json!({"a": [1, 2]}))
                .claim("/app/more", 1),
        ),
        ("a sub", scene.fit().claim("/sub", "somebody")),
        (
            "icLabel, with no isolated cloud configured",
            scene.fit().claim("/icLabel", "orange"),
        ),
        (
            "Atlassian's staging, signed by our keys",
            scene
                .fit()
                .claim("/app/apiBaseUrl", "https://api.stg.atlassian.com/ex/jira/x"),
        ),
        (
            "development",
            scene.fit().claim("/app/environment/type", "DEVELOPMENT"),
        ),
        ("almost expired", scene.fit().claim("/exp", now + 1)),
        (
            "long-lived, but below an hour",
            scene.fit().claim("/exp", now + 3590),
        ),
        (
            "issued long ago",
            scene
                .fit()
                .claim("/iat", now - 3000)
                .claim("/nbf", now - 3000),
        ),
        ("jti like another's", scene.fit().claim("/jti", "x")),
    ] {
        cases.accepted(name, &fit, || fit.token());
    }

    for (name, claim, value) in [
        ("exp with a fraction", "exp", format!("{}.75", now + 20)),
        ("exp with a zero fraction", "exp", format!("{}.0", now + 20)),
        (
            "exp with an exponent",
            "exp",
            format!(
                "{}.{:09}e9",
                (now + 20) / 1_000_000_000,
                (now + 20) % 1_000_000_000
            ),
        ),
        (
            "exp with an integral exponent",
            "exp",
            format!("{}e0", now + 20),
        ),
        ("iat with a fraction", "iat", format!("{now}.123456789")),
        ("nbf with a fraction", "nbf", format!("{now}.5")),
        ("nbf with a zero fraction", "nbf", format!("{now}.0")),
        (
            "aud escaped",
            "aud",
            format!("\"{}\"", app_id.replace('/', r"\/").replace('a', r"\u0061")),
        ),
        (
            "iss escaped",
            "iss",
            format!("\"{}\"", ISSUER.replace('/', r"\u002f")),
        ),
        (
            "a number no type holds, in a claim of no meaning",
            "x",
            "123456789012345678901234567890".into(),
        ),
    ] {
        let fit = scene.fit();
        let token = compact(
            fit.header_json(),
            fit.claims_json_with(claim, &value),
            scene.first(),
        );
        cases.accepted(name, &fit, || token.clone());
    }

    let fit = scene.fit();
    let pretty = serde_json::to_string_pretty(&fit.claims).unwrap();
    let token = compact(
        fit.header_json(),
        format!("\r\n\t {pretty} \n"),
        scene.first(),
    );
    cases.accepted("blanks in the payload", &fit, || token.clone());
}
