//! Requests to Atlassian have the right URL, credentials, headers and body.

use forge_remote::client::{AtlassianClient, ClientError, InstallationUrls, IsolatedCloud, Path};
use forge_remote::path;
use forge_remote_tests::fake_api::{
    InstantClock, SITE, Server, error_text, local, respond, scheduled_call, scheduled_call_for,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_call_has_its_method_path_headers_and_body() {
    let server = Server::in_turn(vec![respond(200, json!({ "key": "A-1" }))]).await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
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

    let request = server.requests().pop().unwrap();
    let path = format!("/ex/jira/{SITE}/rest/api/3/issue/A%201/properties/x%2F..%2Fy%3Fz%23%252e");
    assert_eq!(request.method, "PUT");
    assert_eq!(
        request.target,
        format!("{path}?jql=a+%3D+%22b%26c%22+%C3%BC&n=3")
    );
    assert_eq!(
        request.header("authorization"),
        format!("Bearer {}", received.system.expose_secret())
    );
    assert_eq!(
        request.header("x-b3-traceid"),
        received.call.trace_id().unwrap()
    );
    assert_eq!(
        request.header("x-b3-spanid"),
        received.call.span_id().unwrap()
    );
    assert_eq!(request.header("accept"), "application/json");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("x-atlassian-token"), "no-check");
    assert!(request.header("user-agent").starts_with("forge-remote/"));
    assert_eq!(request.body, json!({ "on": true }));
}

#[tokio::test]
async fn each_product_has_its_base_url_and_each_token_its_calls() {
    let server = Server::in_turn(vec![respond(204, Value::Null).text("")]).await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server);
    let calls = [
        atlassian
            .confluence(&received.call)
            .as_user(&received.user)
            .get("/wiki/api/v2/pages"),
        atlassian
            .bitbucket(&received.call)
            .as_app(&received.system)
            .get("2.0/workspaces"),
        atlassian
            .platform(&received.call)
            .as_app(&received.system)
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
    let user = format!("Bearer {}", received.user.expose_secret());
    assert_eq!(server.requests()[0].header("authorization"), user);
    assert_ne!(server.requests()[1].header("authorization"), user);
}

#[tokio::test]
async fn base_urls_come_from_the_calls_contexts() {
    let jira = format!("https://api.atlassian.com/ex/jira/{SITE}");
    let received = scheduled_call(&[("jira", &jira)]).await;
    let client = AtlassianClient::new()
        .jira(&received.call)
        .as_app(&received.system);
    assert_eq!(client.base_url().unwrap(), jira);
    assert!(client.authorization().is_sensitive());
    let bearer = format!("Bearer {}", received.system.expose_secret());
    assert_eq!(client.authorization().to_str().unwrap(), bearer);
    assert!(!received.is_in(&format!("{client:?} {:?}", client.get("/rest"))));

    // Neither the contexts nor the app's base URL name Confluence.
    let atlassian = AtlassianClient::new();
    assert!(
        atlassian
            .confluence(&received.call)
            .as_app(&received.system)
            .base_url()
            .is_err()
    );
    // Bitbucket has one address, but the app may not be installed in Bitbucket.
    let bitbucket = atlassian.bitbucket(&received.call).as_app(&received.system);
    let error = bitbucket.base_url().unwrap_err();
    assert!(matches!(error, ClientError::NotInstalled { .. }), "{error}");
    let site = InstallationUrls::from(&received.call).bitbucket("https://api.bitbucket.org");
    let bitbucket = atlassian.bitbucket(&site).as_app(&received.system);
    assert_eq!(bitbucket.base_url().unwrap(), "https://api.bitbucket.org");
}

#[tokio::test]
async fn a_token_is_sent_to_no_other_host() {
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
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
        let received = scheduled_call(&[("jira", &base)]).await;
        let jira = AtlassianClient::new()
            .jira(&received.call)
            .as_app(&received.system);
        let error = jira.get("/rest/api/3/myself").send().await.unwrap_err();
        assert!(
            matches!(error, ClientError::HostRejected { .. }),
            "{base}: {error}"
        );
        assert!(!received.is_in(&error_text(&error)));
        assert!(jira.base_url().is_err(), "{base}");
    }
    assert_eq!(server.lines(), [""; 0]);

    // A configured host is called.
    let staging = format!("https://api.stg.atlassian.com/ex/jira/{SITE}");
    let received = scheduled_call(&[("jira", &staging)]).await;
    let atlassian = AtlassianClient::new()
        .allow_host("https://api.stg.atlassian.com")
        .unwrap();
    assert_eq!(
        atlassian
            .jira(&received.call)
            .as_app(&received.system)
            .base_url()
            .unwrap(),
        staging
    );
    let gateway = atlassian.platform(&received.call).as_app(&received.system);
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
        assert!(AtlassianClient::new().allow_host(url).is_err(), "{url}");
    }
    for url in [
        "http://192.168.0.1:80",
        "https://127.0.0.1",
        "http://localhost.evil.example",
        "http://u@127.0.0.1",
    ] {
        assert!(AtlassianClient::on_loopback(url).is_err(), "{url}");
    }
    assert!(AtlassianClient::on_loopback("http://localhost:80").is_ok());
}

#[tokio::test]
async fn queries_and_headers_may_have_several_values() {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Wanted<'a> {
        body_format: &'a str,
        id: &'a [u64],
        none: Option<u32>,
        is_draft: bool,
    }
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    let wanted = Wanted {
        body_format: "a b",
        id: &[1, 2],
        none: None,
        is_draft: true,
    };
    jira.get("/rest")
        .query("first", 0)
        .query_params(&wanted)
        .header("x-one", "dropped")
        .header("x-one", "kept")
        .append_header("x-two", "a")
        .append_header("x-two", "b")
        .header("accept", "text/plain")
        .send()
        .await
        .unwrap();
    let request = server.requests().pop().unwrap();
    let (_, query) = request.target.split_once('?').unwrap();
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_unstable();
    assert_eq!(
        pairs,
        ["bodyFormat=a+b", "first=0", "id=1", "id=2", "isDraft=true"]
    );
    let all = |name: &str| {
        let values = request.headers.get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("x-one"), ["kept"]);
    assert_eq!(all("x-two"), ["a", "b"]);
    assert_eq!(all("accept"), ["text/plain"]);
    assert_eq!(all("authorization").len(), 1);
    for wrong in [
        json!([1]),
        json!("x"),
        json!({ "a": { "b": 1 } }),
        json!({ "a": [[1]] }),
    ] {
        let error = jira
            .get("/rest")
            .query_params(&wrong)
            .send()
            .await
            .unwrap_err();
        assert!(
            matches!(error, ClientError::Invalid { .. }),
            "{wrong}: {error}"
        );
    }
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_response_may_be_not_modified() {
    let server = Server::start(|_, request| match request.header("if-none-match") {
        "\"v1\"" => respond(304, Value::Null).text("").header("etag", "\"v1\""),
        _ => respond(200, json!({ "n": 1 })).header("etag", "\"v1\""),
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    let first = jira.get("/rest").send().await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap();
    let call = || jira.get("/rest").header("if-none-match", tag);
    let again = call().send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.bytes().len()), (304, 0));
    assert_eq!(call().fetch::<Option<Value>>().await.unwrap(), None);

    // Without `If-None-Match`, a 304 is an error, and not a redirect.
    let server = Server::in_turn(vec![respond(304, Value::Null).text("")]).await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    let error = jira.get("/rest").send().await.unwrap_err().to_string();
    assert!(
        error.contains("304") && !error.contains("edirect"),
        "{error}"
    );
}

#[tokio::test]
async fn a_responses_text_is_read() {
    let server = Server::in_turn(vec![respond(200, Value::Null).text("ü")]).await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    assert_eq!(jira.get("/rest").send().await.unwrap().text().unwrap(), "ü");
}

/// Links in responses can be called if they belong to this installation, and no others.
#[tokio::test]
async fn a_responses_links_can_be_called() {
    let trap = Server::in_turn(vec![respond(200, json!({}))]).await;
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let confluence = local(&server)
        .confluence(&received.call)
        .as_app(&received.system);
    let base = format!("{}/ex/confluence/{SITE}", server.origin);
    let target = format!("/ex/confluence/{SITE}/wiki/download/a%20b%2F..?version=1&q=x+y");
    for link in [
        format!("{base}/wiki/download/a%20b%2F..?version=1&q=x%20y#part"),
        "/wiki/download/a b%2F..?version=1&q=x+y".to_owned(),
    ] {
        let call = confluence.get_link(&link);
        assert_eq!(format!("{call:?}"), "Request(Confluence GET /{})");
        call.send().await.unwrap();
        assert_eq!(server.requests().pop().unwrap().target, target, "{link}");
    }
    // Such a call accepts parameters and can be paged as every call.
    confluence
        .get_link("/wiki/x?a=1")
        .query("b", 2)
        .send()
        .await
        .unwrap();
    assert!(server.lines().pop().unwrap().ends_with("/wiki/x?a=1&b=2"));

    // Any path below the base.
    confluence
        .get_link("/\\evil.example/x")
        .send()
        .await
        .unwrap();
    assert!(
        server
            .lines()
            .pop()
            .unwrap()
            .ends_with(&format!("{SITE}//evil.example/x"))
    );

    let before = server.lines().len();
    for link in [
        format!("{}/wiki/x", trap.origin),
        format!("{}/ex/confluence/another-site/wiki/x", server.origin),
        format!("{}/ex/confluence/{SITE}x/wiki", server.origin),
        format!("{base}/../another-site/x"),
        format!("{base}/%2e%2e/another-site/x"),
        format!("{base}\\..\\..\\x"),
        format!("http://{SITE}@127.0.0.1:1/ex/confluence/{SITE}/x"),
        "/../x".to_owned(),
        "//evil.example/x".to_owned(),
        "https://site.atlassian.net/wiki/x".to_owned(),
        "wiki/x".to_owned(),
        String::new(),
    ] {
        let error = confluence.get_link(&link).send().await.unwrap_err();
        let is_rejected = matches!(
            error,
            ClientError::HostRejected { .. } | ClientError::Invalid { .. }
        );
        assert!(is_rejected, "{link}: {error}");
        assert!(!received.is_in(&error_text(&error)), "{error}");
    }
    assert_eq!((server.lines().len(), trap.lines().len()), (before, 0));

    // Nor to another Atlassian host, which belongs to another product's token.
    let base = format!("https://api.atlassian.com/ex/jira/{SITE}");
    let received = forge_remote_tests::fake_api::scheduled_call(&[("jira", &base)]).await;
    let jira = AtlassianClient::new()
        .jira(&received.call)
        .as_app(&received.system);
    let link = format!("https://api.bitbucket.org/ex/jira/{SITE}/rest");
    let error = jira.get_link(&link).send().await.unwrap_err();
    assert!(matches!(error, ClientError::HostRejected { .. }), "{error}");
    // The hint does not name `allow_host`, which opens a host to every installation's token.
    let text = error.to_string();
    assert!(
        text.contains("`App::staging_cloud` or `App::isolated_cloud`")
            && !text.contains("allow_host"),
        "{text}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let trap = Server::in_turn(vec![respond(200, json!({}))]).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/caught?secret=signature", trap.origin);
        let server =
            Server::in_turn(vec![respond(status, json!({})).header("location", &to)]).await;
        let received = scheduled_call_for(&server).await;
        let jira = local(&server).jira(&received.call).as_app(&received.system);
        let error = jira
            .get("/rest/api/3/attachment/content/1")
            .send()
            .await
            .unwrap_err();
        let response = error.status_error().unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.location(), Some(to.as_str()));
        assert!(!error_text(&error).contains("signature"), "{error}");
        assert_eq!(server.lines().len(), 1);
    }
    assert_eq!(trap.lines(), [""; 0]);
}

#[tokio::test]
async fn a_path_stays_below_its_base() {
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
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
async fn the_clients_headers_cannot_be_overridden() {
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let jira = local(&server).jira(&received.call).as_app(&received.system);
    for (name, value) in [
        ("Authorization", "Basic x"),
        ("host", "evil.example"),
        ("cookie", "a"),
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
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

/// A handler cannot add hosts to which the app's tokens are sent.
#[tokio::test]
async fn hosts_are_fixed_once_the_app_is_built() {
    let server = Server::in_turn(vec![respond(200, json!({}))]).await;
    let received = scheduled_call_for(&server).await;
    let own = || received.call.atlassian().clone();
    for changed in [
        own().allow_host("https://evil.example"),
        own().isolated_cloud("orange", IsolatedCloud::new("https://evil.example")),
    ] {
        let error = changed.unwrap_err().to_string();
        assert!(error.contains("to `App::client`"), "{error}");
    }
}

#[tokio::test]
async fn graphql_returns_data_or_errors() {
    let server = Server::start(|count, _| match count {
        0 => respond(200, json!({ "data": { "n": 1 } })),
        1 | 2 => respond(
            200,
            json!({ "data": { "n": 1 }, "errors": [{ "message": "half" }] }),
        )
        .header("atl-traceid", "t1"),
        3 => respond(503, json!({})),
        4 => respond(200, json!({ "data": null })),
        _ => respond(503, json!({})),
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let atlassian = local(&server).clock(InstantClock::default());
    let compass = atlassian.compass(&received.call);
    assert_eq!(compass.cloud_id(), Some(SITE));
    let graphql = compass.as_app(&received.system);
    let query = || {
        graphql
            .operation("query Q($a: ID!) { n(a: $a) }")
            .variable("a", "b")
            .header("X-ExperimentalApi", "beta")
    };
    assert_eq!(query().fetch::<Value>().await.unwrap(), json!({ "n": 1 }));
    let error = query().fetch::<Value>().await.unwrap_err();
    assert_eq!(error.to_string(), "Compass POST /graphql: half (trace t1)");
    let response = query().response::<Value>().await.unwrap();
    assert_eq!(response.data, Some(json!({ "n": 1 })));
    assert_eq!(response.errors[0].message, "half");
    assert_eq!(response.errors.len(), 1);
    // A query is retried, a mutation isn't.
    let error = query().fetch::<Value>().await.unwrap_err();
    assert!(
        error.to_string().contains("neither data nor errors"),
        "{error}"
    );
    assert_eq!(server.lines().len(), 5);
    graphql
        .operation("mutation { forget }")
        .fetch::<Value>()
        .await
        .unwrap_err();
    assert_eq!(server.lines().len(), 6);

    let first = &server.requests()[0];
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
