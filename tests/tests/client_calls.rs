//! Calls back to Atlassian: where they go, what they say, when they are made again, how they fail.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use forge_remote::client::{Atlassian, ClientError, IsolatedCloud, Path, Retries, Site};
use forge_remote::path;
use forge_remote_tests::back::{Came, Counting, SITE, Server, came, came_from, came_with, told};
use serde_json::{Value, json};

fn local(server: &Server) -> Atlassian {
    Atlassian::on_loopback(&server.origin).unwrap()
}

/// Everything that can be read of an error.
fn words(error: &ClientError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

fn holds_token(came: &Came, text: &str) -> bool {
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    [came.system.expose_secret(), came.user.expose_secret()]
        .iter()
        .any(|token| text.contains(&signature(token)))
}

#[tokio::test]
async fn a_call_says_what_it_should() {
    let server = Server::in_turn(vec![told(200, json!({ "key": "A-1" }))]).await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    let issue: Value = jira
        .put(path!(
            "/rest/api/3/issue/{}/properties/{}",
            "A 1",
            "x/../y?z#%2e"
        ))
        .query("jql", "a = \"b&c\" ü")
        .query("n", 3)
        .header("X-Atlassian-Token", "no-check")
        .json(&json!({ "on": true }))
        .fetch()
        .await
        .unwrap();
    assert_eq!(issue["key"], "A-1");

    let asked = server.asked().pop().unwrap();
    let path = format!("/ex/jira/{SITE}/rest/api/3/issue/A%201/properties/x%2F..%2Fy%3Fz%23%252e");
    assert_eq!(asked.method, "PUT");
    assert_eq!(
        asked.target,
        format!("{path}?jql=a+%3D+%22b%26c%22+%C3%BC&n=3")
    );
    assert_eq!(
        asked.header("authorization"),
        format!("Bearer {}", came.system.expose_secret())
    );
    assert_eq!(asked.header("x-b3-traceid"), came.call.trace_id().unwrap());
    assert_eq!(asked.header("x-b3-spanid"), came.call.span_id().unwrap());
    assert_eq!(asked.header("accept"), "application/json");
    assert_eq!(asked.header("content-type"), "application/json");
    assert_eq!(asked.header("x-atlassian-token"), "no-check");
    assert!(asked.header("user-agent").starts_with("forge-remote/"));
    assert_eq!(asked.body, json!({ "on": true }));
}

#[tokio::test]
async fn each_product_has_its_place_and_each_token_its_calls() {
    let server = Server::in_turn(vec![told(204, Value::Null).text("")]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server);
    let calls = [
        atlassian
            .confluence(&came.call)
            .as_user(&came.user)
            .get("/wiki/api/v2/pages"),
        atlassian
            .bitbucket(&came.call)
            .as_app(&came.system)
            .get("2.0/workspaces"),
        atlassian
            .platform(&came.call)
            .as_app(&came.system)
            .get("/forge/app/v1/license"),
    ];
    for call in calls {
        call.fetch::<()>().await.unwrap();
    }
    assert_eq!(
        server.lines(),
        [
            format!("GET /ex/confluence/{SITE}/wiki/api/v2/pages"),
            "GET /2.0/workspaces".to_owned(),
            "GET /forge/app/v1/license".to_owned(),
        ]
    );
    let user = format!("Bearer {}", came.user.expose_secret());
    assert_eq!(server.asked()[0].header("authorization"), user);
    assert_ne!(server.asked()[1].header("authorization"), user);
}

#[tokio::test]
async fn credentials_are_handed_on() {
    let jira = format!("https://api.atlassian.com/ex/jira/{SITE}");
    let came = came(&[("jira", &jira)]).await;
    let client = Atlassian::new().jira(&came.call).as_app(&came.system);
    assert_eq!(client.base_url().unwrap(), jira);
    assert!(client.authorization().is_sensitive());
    let bearer = format!("Bearer {}", came.system.expose_secret());
    assert_eq!(client.authorization().to_str().unwrap(), bearer);
    assert!(!holds_token(
        &came,
        &format!("{client:?} {:?}", client.get("/rest"))
    ));

    // Found in the app's base URL too, where contexts name nothing.
    let atlassian = Atlassian::new();
    assert!(
        atlassian
            .confluence(&came.call)
            .as_app(&came.system)
            .base_url()
            .is_err()
    );
    // Bitbucket has one address, but the app may not be installed there.
    let bitbucket = atlassian.bitbucket(&came.call).as_app(&came.system);
    let error = bitbucket.base_url().unwrap_err();
    assert!(matches!(error, ClientError::NotInstalled { .. }), "{error}");
    let site = Site::from(&came.call).bitbucket("https://api.bitbucket.org");
    let bitbucket = atlassian.bitbucket(&site).as_app(&came.system);
    assert_eq!(bitbucket.base_url().unwrap(), "https://api.bitbucket.org");
}

#[tokio::test]
async fn a_token_goes_to_no_other_host() {
    let server = Server::in_turn(vec![told(200, json!({}))]).await;
    let port = server.origin.rsplit(':').next().unwrap();
    let elsewhere = [
        format!("http://127.0.0.1:{port}/ex/jira/{SITE}"),
        format!("https://127.0.0.1:{port}/ex/jira/{SITE}"),
        format!("https://api.atlassian.com:{port}/ex/jira/{SITE}"),
        format!("https://api.atlassian.com@127.0.0.1:{port}/ex/jira/{SITE}"),
        format!("https://user@api.atlassian.com/ex/jira/{SITE}"),
        format!("https://api.atlassian.com.evil.example/ex/jira/{SITE}"),
        format!("https://evil.example/ex/jira/{SITE}?api.atlassian.com"),
        format!("http://api.atlassian.com/ex/jira/{SITE}"),
        format!("https://api.stg.atlassian.com/ex/jira/{SITE}"),
        "file:///etc/passwd".to_owned(),
        "not a url".to_owned(),
    ];
    for base in elsewhere {
        let came = came(&[("jira", &base)]).await;
        let jira = Atlassian::new().jira(&came.call).as_app(&came.system);
        let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
        assert!(
            matches!(error, ClientError::HostRefused { .. }),
            "{base}: {error}"
        );
        assert!(!holds_token(&came, &words(&error)));
        assert!(jira.base_url().is_err(), "{base}");
    }
    assert_eq!(server.lines(), [""; 0]);

    // Configured, it is called.
    let staging = format!("https://api.stg.atlassian.com/ex/jira/{SITE}");
    let came = came(&[("jira", &staging)]).await;
    let atlassian = Atlassian::new()
        .allow_host("https://api.stg.atlassian.com")
        .unwrap();
    assert_eq!(
        atlassian
            .jira(&came.call)
            .as_app(&came.system)
            .base_url()
            .unwrap(),
        staging
    );
    let gateway = atlassian.platform(&came.call).as_app(&came.system);
    assert_eq!(gateway.base_url().unwrap(), "https://api.stg.atlassian.com");
}

#[test]
fn hosts_are_https_or_loopback() {
    for url in [
        "http://api.atlassian.com",
        "http://127.0.0.1",
        "x",
        "https://a:b@c.example",
    ] {
        assert!(Atlassian::new().allow_host(url).is_err(), "{url}");
    }
    for url in [
        "http://192.168.0.1:80",
        "https://127.0.0.1",
        "http://localhost.evil.example",
        "http://u@127.0.0.1",
    ] {
        assert!(Atlassian::on_loopback(url).is_err(), "{url}");
    }
    assert!(Atlassian::on_loopback("http://localhost:80").is_ok());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let trap = Server::in_turn(vec![told(200, json!({}))]).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/caught?secret=signature", trap.origin);
        let server = Server::in_turn(vec![told(status, json!({})).header("location", &to)]).await;
        let came = came_from(&server).await;
        let jira = local(&server).jira(&came.call).as_app(&came.system);
        let error = jira
            .get("/rest/api/3/attachment/content/1")
            .send()
            .await
            .unwrap_err();
        let answer = error.answer().unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.location(), Some(to.as_str()));
        assert!(!words(&error).contains("signature"), "{error}");
        assert_eq!(server.lines().len(), 1);
    }
    assert_eq!(trap.lines(), [""; 0]);
}

#[tokio::test]
async fn a_path_stays_below_its_base() {
    let server = Server::in_turn(vec![told(200, json!({}))]).await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    let wrong: [Path; 9] = [
        path!("/rest/api/3/issue/{}", ".."),
        path!("/rest/api/3/issue/{}", "."),
        path!("/rest/api/3/issue/{}", ""),
        path!("/rest/api/3/issue/.{}", "."),
        Path::from("/rest/../../admin"),
        Path::from("https://evil.example/x"),
        Path::from("//evil.example/x"),
        Path::from("/rest/api/3/search?jql=x"),
        Path::from("/rest/%2e%2e/x"),
    ];
    for path in wrong {
        let shown = format!("{path:?}");
        let error = jira.delete(path).send().await.unwrap_err();
        assert!(
            matches!(error, ClientError::Invalid { .. }),
            "{shown}: {error}"
        );
    }
    assert_eq!(server.lines(), [""; 0]);

    for segment in [
        "...",
        "%2e%2e",
        "..\\..",
        "a\r\nb",
        "ü",
        "@evil.example",
        ";x",
        "%",
    ] {
        jira.get(path!("/rest/{}/end", segment))
            .send()
            .await
            .unwrap();
    }
    for line in server.lines() {
        let (_, path) = line.split_once(&format!("/ex/jira/{SITE}/rest/")).unwrap();
        assert_eq!(path.split('/').count(), 2, "{line}");
        assert!(path.ends_with("/end"), "{line}");
    }
}

#[tokio::test]
async fn the_clients_headers_are_its_own() {
    let server = Server::in_turn(vec![told(200, json!({}))]).await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    for (name, value) in [
        ("Authorization", "Basic x"),
        ("host", "evil.example"),
        ("cookie", "a"),
        ("a b", "c"),
        ("x", "a\nb"),
    ] {
        let error = jira
            .get("/rest")
            .header(name, value)
            .send()
            .await
            .unwrap_err();
        assert!(matches!(error, ClientError::Invalid { .. }), "{name}");
    }
    assert_eq!(server.lines(), [""; 0]);
}

#[tokio::test]
async fn retry_after_is_obeyed_in_seconds_and_as_a_date() {
    let clock = Counting::default();
    let date = httpdate(SystemTime::now() + Duration::from_secs(60));
    let server = Server::in_turn(vec![
        told(429, json!({})).header("retry-after", "7"),
        told(503, json!({})).header("retry-after", &date),
        told(200, json!({})),
    ])
    .await;
    let came = came_from(&server).await;
    let retries = Retries::new().total(Duration::from_secs(120));
    let atlassian = local(&server).clock(clock.clone()).retries(retries);
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    jira.get("/rest/api/3/myself").send().await.unwrap();
    let waits = clock.waits();
    assert!((7.0..=7.5).contains(&waits[0].as_secs_f64()), "{waits:?}");
    // Of the minute, what the first wait left.
    assert!((50.0..=54.5).contains(&waits[1].as_secs_f64()), "{waits:?}");
    assert_eq!(server.lines().len(), 3);
}

fn httpdate(time: SystemTime) -> String {
    let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (mut day, rest) = (seconds / 86_400, seconds % 86_400);
    let weekday = days[usize::try_from(day % 7).unwrap()];
    let mut year = 1970;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!(
        "{weekday}, {:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT",
        day + 1,
        months[month]
    )
}

#[tokio::test]
async fn too_long_a_wait_is_the_callers_to_decide() {
    let clock = Counting::default();
    let server = Server::in_turn(vec![told(429, json!({})).header("retry-after", "3600")]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!((server.lines().len(), clock.waits().len()), (1, 0));
}

#[tokio::test]
async fn attempts_and_their_waits_are_bounded() {
    let clock = Counting::default();
    let server = Server::in_turn(vec![told(503, json!({}))]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let error = jira
        .delete("/rest/api/3/issue/A-1")
        .send()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("after 4 attempts"), "{error}");
    assert_eq!(server.lines().len(), 4);
    let waits = clock.waits();
    for (wait, most) in waits.iter().zip([500, 1000, 2000]) {
        assert!(*wait <= Duration::from_millis(most), "{waits:?}");
    }
    assert_eq!(waits.len(), 3);
}

#[tokio::test]
async fn a_clones_retries_are_its_own_and_its_hosts_are_not() {
    let server = Server::in_turn(vec![told(503, Value::Null)]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server).clock(Counting::default());
    let impatient = atlassian.clone().retries(Retries::none());
    let calls = async |atlassian: &Atlassian| {
        let before = server.lines().len();
        let jira = atlassian.jira(&came.call).as_app(&came.system);
        jira.get("/rest/api/3/myself").send().await.unwrap_err();
        server.lines().len() - before
    };
    assert_eq!(calls(&impatient).await, 1);
    assert_eq!(calls(&atlassian).await, 4);
    let elsewhere = impatient.allow_host("https://cloud.example.com").unwrap();
    assert!(format!("{elsewhere:?}").contains("cloud.example.com"));
    assert!(format!("{atlassian:?}").contains("cloud.example.com"));
}

#[tokio::test]
async fn only_what_may_be_repeated_is() {
    let server = Server::in_turn(vec![told(503, json!({})).header("retry-after", "1")]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server).clock(Counting::default());
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let mut before = 0;
    let calls = [
        (jira.post("/rest/api/3/issue"), 1),
        (jira.patch("/rest/api/3/issue"), 1),
        (jira.post("/rest/api/3/search/jql").idempotent(), 4),
        (jira.put("/rest/api/3/issue/A-1"), 4),
        (jira.get("/rest/api/3/issue/A-1"), 4),
    ];
    for (call, attempts) in calls {
        let shown = format!("{call:?}");
        call.send().await.unwrap_err();
        assert_eq!(server.lines().len() - before, attempts, "{shown}");
        before = server.lines().len();
    }

    // What can't get better isn't tried again.
    for status in [400, 401, 403, 404, 409, 500] {
        let server = Server::in_turn(vec![told(status, json!({}))]).await;
        let came = came_from(&server).await;
        let jira = local(&server)
            .clock(Counting::default())
            .jira(&came.call)
            .as_app(&came.system);
        jira.get("/rest/api/3/issue/A-1").send().await.unwrap_err();
        assert_eq!(server.lines().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn every_call_ends() {
    let slow = told(200, json!({})).after(Duration::from_secs(60));
    let server = Server::in_turn(vec![slow]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server)
        .clock(Counting::default())
        .timeout(Duration::from_millis(50));
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no answer in time after 4 attempts"),
        "{error}"
    );
    assert!(!words(&error).contains(SITE), "{}", words(&error));
    let error = jira.post("/rest/api/3/issue").send().await.unwrap_err();
    assert!(error.to_string().ends_with("no answer in time"), "{error}");

    let origin = server.origin.clone();
    drop(server);
    let atlassian = Atlassian::on_loopback(&origin)
        .unwrap()
        .clock(Counting::default());
    let error = atlassian
        .jira(&came.call)
        .as_app(&came.system)
        .post("/rest")
        .send()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("can't be reached"), "{error}");
}

#[tokio::test]
async fn a_large_answer_is_not_taken() {
    let server = Server::in_turn(vec![told(200, json!("x".repeat(5000)))]).await;
    let came = came_from(&server).await;
    let atlassian = local(&server).response_limit(1000);
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn errors_name_the_limit() {
    let limited = told(429, json!({ "errorMessages": ["Rate limit exceeded."] }))
        .header("RateLimit-Reason", "jira-quota-tenant-based")
        .header("X-RateLimit-Limit", "350")
        .header("X-RateLimit-Remaining", "0")
        .header("X-RateLimit-Reset", "2026-03-26T16:00Z")
        .header("Retry-After", "1800")
        .header("atl-traceid", "8f1c0ffee");
    let server = Server::in_turn(vec![limited]).await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    let call = jira
        .get(path!("/rest/api/3/issue/{}", "SECRET-1"))
        .query("fields", "hidden");
    let error = call.send().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Jira GET /rest/api/3/issue/{}: answered 429 Too Many Requests: Rate limit exceeded. (trace 8f1c0ffee); \
         limit: jira-quota-tenant-based, 0 of 350 left, starts anew at 2026-03-26T16:00Z; try again in 1800 s"
    );
    assert_eq!(error.trace_id(), Some("8f1c0ffee"));
    let limit = error.answer().unwrap().rate_limit().unwrap();
    assert_eq!(limit.reason.as_deref(), Some("jira-quota-tenant-based"));
    let all = words(&error);
    assert!(
        !all.contains("hidden") && !all.contains("SECRET") && !all.contains(SITE),
        "{all}"
    );
}

#[tokio::test]
async fn errors_name_the_scope() {
    for status in [401, 403] {
        let body = json!({ "code": status, "message": "Unauthorized; scope does not match" });
        let server = Server::in_turn(vec![told(status, body)]).await;
        let came = came_from(&server).await;
        let atlassian = local(&server);
        let confluence = atlassian.confluence(&came.call).as_user(&came.user);
        let error = confluence
            .post("/wiki/api/v2/pages")
            .send()
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("scope does not match"), "{text}");
        assert!(
            text.contains("`write:page:confluence`") && text.contains("manifest --write"),
            "{text}"
        );
        assert_eq!(
            error.answer().unwrap().likely_scope(),
            Some("write:page:confluence")
        );
        let error = atlassian
            .storage(&came.call, &came.system)
            .get::<Value>("k")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("`storage:app`"), "{error}");
    }
}

#[tokio::test]
async fn atlassians_messages_are_read_in_every_shape_and_bounded() {
    let long = "x".repeat(10_000);
    let shapes = [
        (
            json!({ "errorMessages": ["one"], "errors": { "summary": "two" } }),
            "one; summary: two",
        ),
        (
            json!({ "errors": [{ "status": 400, "title": "three", "detail": "four" }] }),
            "three: four",
        ),
        (json!({ "statusCode": 400, "message": "five" }), "five"),
        (
            json!({ "type": "error", "error": { "message": "six", "detail": "seven" } }),
            "six; seven",
        ),
        (
            json!({ "code": "KEY_TOO_LONG", "message": "eight" }),
            "KEY_TOO_LONG: eight",
        ),
        (
            json!({ "message": "a\nforged: line\u{1b}[31m" }),
            "a forged: line [31m",
        ),
        (json!("text"), "400 Bad Request"),
    ];
    for (body, expected) in shapes {
        let server = Server::in_turn(vec![told(400, body)]).await;
        let came = came_from(&server).await;
        let jira = local(&server).jira(&came.call).as_app(&came.system);
        let error = jira.get("/rest").send().await.unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let many: Vec<&str> = std::iter::repeat_n(long.as_str(), 1000).collect();
    let server = Server::in_turn(vec![
        told(400, json!({ "errorMessages": many })).header("atl-traceid", &long.to_string()),
        told(502, Value::Null).text("<html>"),
    ])
    .await;
    let came = came_from(&server).await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    assert!(
        jira.post("/rest")
            .send()
            .await
            .unwrap_err()
            .to_string()
            .len()
            < 2000
    );
    let error = jira.post("/rest").send().await.unwrap_err().to_string();
    assert!(error.ends_with("502 Bad Gateway"), "{error}");
}

/// What a customer wrote is in no message about an answer of another shape.
#[tokio::test]
async fn no_error_quotes_what_it_read() {
    let server = Server::in_turn(vec![
        told(200, json!({ "number": "a customer's summary" })),
        told(200, json!({ "key": "k", "value": "a customer's value" })),
        told(200, json!({ "values": ["a customer's item"] })),
        told(200, json!({ "other": "a customer's field" })),
    ])
    .await;
    let came = came_from(&server).await;
    let atlassian = local(&server);
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[allow(dead_code)]
        number: u32,
    }
    let storage = atlassian.storage(&came.call, &came.system);
    let errors = [
        jira.get("/shape").fetch::<Wanted>().await.unwrap_err(),
        storage.get::<u32>("k").await.unwrap_err(),
        jira.get("/x")
            .pages::<u32>()
            .next()
            .await
            .unwrap()
            .unwrap_err(),
        jira.get("/shape").fetch::<Wanted>().await.unwrap_err(),
    ];
    for error in &errors {
        let all = words(error);
        assert!(
            !all.contains("customer") && all.contains(" line 1 column"),
            "{all}"
        );
    }
    assert!(words(&errors[3]).contains("missing field `number`"));
}

#[tokio::test]
async fn a_token_that_has_run_out_is_named_as_the_cause() {
    let server = Server::in_turn(vec![told(401, json!({ "message": "Unauthorized" }))]).await;
    let came = came_from(&server).await;
    let clock = Counting::default();
    let atlassian = local(&server).clock(clock.clone());
    let jira = atlassian.jira(&came.call).as_app(&came.system);
    let error = jira
        .get("/rest/api/3/myself")
        .send()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("probably lacks"), "{error}");
    clock.advance(Duration::from_secs(5 * 3600));
    let error = jira
        .get("/rest/api/3/myself")
        .send()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("had run out") && !error.contains("lacks"),
        "{error}"
    );
}

#[tokio::test]
async fn a_header_that_echoes_a_short_token_is_dropped() {
    let server = Server::start(|_, asked| {
        let got = asked
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        told(400, json!({}))
            .header("x-trace-id", &got)
            .header("x-request-id", "abc")
    })
    .await;
    let came = came_with(&server, "short-opaque-token").await;
    let jira = local(&server).jira(&came.call).as_app(&came.system);
    let error = jira.get("/rest").send().await.unwrap_err();
    assert!(!words(&error).contains("short-opaque-token"), "{error}");
    assert_eq!(error.trace_id(), Some("abc"));
}

/// A handler can't widen where the app's tokens go.
#[tokio::test]
async fn hosts_are_fixed_once_the_app_is_built() {
    let server = Server::in_turn(vec![told(200, json!({}))]).await;
    let came = came_from(&server).await;
    let own = || came.call.atlassian().clone();
    for changed in [
        own().allow_host("https://evil.example"),
        own().isolated_cloud("orange", IsolatedCloud::new("https://evil.example")),
    ] {
        let error = changed.unwrap_err().to_string();
        assert!(error.contains("before `App::atlassian`"), "{error}");
    }
}

#[tokio::test]
async fn no_error_holds_a_token() {
    // A server that echoes what it got, as a broken proxy might.
    let server = Server::start(|_, asked| {
        let got = asked
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        match asked.target.rsplit('/').next() {
            Some("status") => {
                told(400, json!({ "errorMessages": [got] })).header("x-trace-id", &got)
            }
            Some("graphql") => told(200, json!({ "errors": [{ "message": got }] })),
            _ => told(200, json!({ "number": got })),
        }
    })
    .await;
    let came = came_from(&server).await;
    let atlassian = local(&server);
    let jira = atlassian.jira(&came.call).as_user(&came.user);
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[allow(dead_code)]
        number: u32,
    }
    let graphql = atlassian.graphql(&came.call).as_app(&came.system);
    let errors = [
        jira.get("/status").send().await.unwrap_err(),
        jira.get("/shape").fetch::<Wanted>().await.unwrap_err(),
        graphql
            .ask("{ me { name } }")
            .fetch::<Value>()
            .await
            .unwrap_err(),
    ];
    for error in errors {
        let all = words(&error);
        assert!(!holds_token(&came, &all), "{all}");
        let handled = format!("{:?}", forge_remote::Error::new(error));
        assert!(!holds_token(&came, &handled), "{handled}");
    }
    let response = jira.get("/ok").send().await.unwrap();
    assert!(!holds_token(&came, &format!("{response:?} {atlassian:?}")));
}

#[tokio::test]
async fn graphql_gives_data_or_errors() {
    let server = Server::start(|count, _| match count {
        0 => told(200, json!({ "data": { "n": 1 } })),
        1 | 2 => told(
            200,
            json!({ "data": { "n": 1 }, "errors": [{ "message": "half" }] }),
        )
        .header("atl-traceid", "t1"),
        3 => told(503, json!({})),
        4 => told(200, json!({ "data": null })),
        _ => told(503, json!({})),
    })
    .await;
    let came = came_from(&server).await;
    let atlassian = local(&server).clock(Counting::default());
    let compass = atlassian.compass(&came.call);
    assert_eq!(compass.cloud_id(), Some(SITE));
    let graphql = compass.as_app(&came.system);
    let ask = || {
        graphql
            .ask("query Q($a: ID!) { n(a: $a) }")
            .variable("a", "b")
            .header("X-ExperimentalApi", "beta")
    };
    assert_eq!(ask().fetch::<Value>().await.unwrap(), json!({ "n": 1 }));
    let error = ask().fetch::<Value>().await.unwrap_err();
    assert_eq!(error.to_string(), "Compass POST /graphql: half (trace t1)");
    let answer = ask().answer::<Value>().await.unwrap();
    assert_eq!(answer.data, Some(json!({ "n": 1 })));
    assert_eq!(answer.errors[0].message, "half");
    assert_eq!(answer.errors.len(), 1);
    // A query is made again, a mutation isn't.
    let error = ask().fetch::<Value>().await.unwrap_err();
    assert!(
        error.to_string().contains("neither data nor errors"),
        "{error}"
    );
    assert_eq!(server.lines().len(), 5);
    graphql
        .ask("mutation { forget }")
        .fetch::<Value>()
        .await
        .unwrap_err();
    assert_eq!(server.lines().len(), 6);

    let first = &server.asked()[0];
    assert_eq!(
        (first.method.as_str(), first.target.as_str()),
        ("POST", "/graphql")
    );
    assert_eq!(
        first.body,
        json!({ "query": "query Q($a: ID!) { n(a: $a) }", "variables": { "a": "b" } })
    );
    assert_eq!(first.header("x-experimentalapi"), "beta");
}
