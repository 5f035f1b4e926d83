//! Undocumented responses, such as endless cursors or cut text, neither panic nor stall the client.

use forge_remote::client::{ClientError, ProductClient};
use forge_remote_tests::fake_api::{
    ReceivedCall, Server, collect_numbers, local, respond, scheduled_call_for,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

async fn jira(server: &Server) -> (ProductClient, ReceivedCall) {
    let received = scheduled_call_for(server).await;
    (
        local(server).jira(&received.call).as_app(&received.system),
        received,
    )
}

fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!("x"),
        json!(""),
        json!(-1),
        json!(1.5),
        json!(true),
        json!([]),
        json!([{ "rel": "self" }]),
        json!({}),
        json!({ "next": [] }),
        json!({ "next": { "href": 5 } }),
    ]
}

#[tokio::test]
async fn a_page_with_members_of_any_type_is_read_or_rejected() {
    let names = [
        "_links",
        "links",
        "next",
        "nextPage",
        "nextPageToken",
        "nextPageCursor",
        "startingAfter",
        "isLast",
        "last",
        "total",
        "startAt",
        "maxResults",
        "offset",
        "limit",
        "values",
        "prev",
    ];
    for name in names {
        for odd in odd_values() {
            let mut page = json!({ "values": [1] });
            page[name] = odd.clone();
            let end = json!({ "values": [], "isLast": true });
            let server = Server::in_turn(vec![respond(200, page), respond(200, end)]).await;
            let (jira, _came) = jira(&server).await;
            // Ends with the last item or an error; a panic fails the test.
            let found = collect_numbers(jira.get("/rest/x").pages()).await;
            if let Err((_, error)) = found {
                let is_known = matches!(
                    error,
                    ClientError::Unusable { .. }
                        | ClientError::Unreadable { .. }
                        | ClientError::HostRejected { .. }
                );
                assert!(is_known, "{name} {odd}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_storage_with_members_of_any_type_is_read_or_rejected() {
    for name in ["data", "cursor", "other"] {
        for odd in odd_values() {
            let mut page = json!({ "data": [{ "key": "a", "value": 1 }] });
            page[name] = odd.clone();
            let end = json!({ "data": [] });
            let server = Server::in_turn(vec![respond(200, page), respond(200, end)]).await;
            let received = scheduled_call_for(&server).await;
            let mut query = local(&server)
                .storage(&received.call, &received.system)
                .query::<u32>();
            while let Some(item) = query.next().await {
                assert!(
                    matches!(item, Ok(_) | Err(ClientError::Unreadable { .. })),
                    "{name} {odd}"
                );
            }
        }
    }
}

#[tokio::test]
async fn cursors_in_a_circle_end_with_an_error() {
    for length in [1, 2, 3, 7] {
        let server = Server::start(move |count, _| {
            assert!(count < 100, "a circle of {length} is followed forever");
            let page =
                json!({ "values": [count], "nextPageToken": format!("t{}", count % length) });
            respond(200, page)
        })
        .await;
        let (jira, _came) = jira(&server).await;
        let (items, error) = collect_numbers(jira.get("/rest/x").pages())
            .await
            .unwrap_err();
        assert!(matches!(error, ClientError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("already read"), "{error}");
        assert_eq!(items.len(), length + 1);

        let server = Server::start(move |count, _| {
            assert!(count < 100, "a circle of {length} is followed forever");
            let data = json!([{ "key": "a", "value": count }]);
            respond(
                200,
                json!({ "data": data, "cursor": format!("t{}", count % length) }),
            )
        })
        .await;
        let received = scheduled_call_for(&server).await;
        let mut query = local(&server)
            .storage(&received.call, &received.system)
            .query::<u32>();
        let mut count = 0;
        let error = loop {
            match query.next().await.unwrap() {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ClientError::Unusable { .. }), "{error}");
        assert_eq!(count, length + 1);
        assert!(query.next().await.is_none());
    }
}

#[tokio::test]
async fn new_cursors_without_items_end_with_an_error() {
    let server = Server::start(|count, _| {
        assert!(count < 5_000, "empty pages are followed forever");
        respond(
            200,
            json!({ "values": [], "nextPageToken": format!("t{count}") }),
        )
    })
    .await;
    let (jira, _came) = jira(&server).await;
    let (items, error) = collect_numbers(jira.get("/rest/x").pages())
        .await
        .unwrap_err();
    assert!(
        items.is_empty() && matches!(error, ClientError::Unusable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("1000 pages in a row"), "{error}");

    let server = Server::start(|count, _| {
        assert!(count < 5_000, "empty pages are followed forever");
        respond(200, json!({ "data": [], "cursor": format!("t{count}") }))
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let mut query = local(&server)
        .storage(&received.call, &received.system)
        .query::<u32>();
    let error = query.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("1000 pages in a row"), "{error}");
}

/// Pages may lack some or all items, because Jira cuts a page before it filters it.
#[tokio::test]
async fn some_empty_pages_are_followed() {
    let server = Server::start(|count, _| {
        let values = if count % 100 == 99 {
            json!([count])
        } else {
            json!([])
        };
        if count == 1_199 {
            return respond(200, json!({ "values": values, "isLast": true }));
        }
        respond(
            200,
            json!({ "values": values, "nextPageToken": format!("t{count}") }),
        )
    })
    .await;
    let (jira, _came) = jira(&server).await;
    assert_eq!(
        collect_numbers(jira.get("/rest/x").pages())
            .await
            .unwrap()
            .len(),
        12
    );
}

#[tokio::test]
async fn text_that_was_cut_inside_a_surrogate_pair_is_read() {
    const CUT: &str = r#""cut \ud83d""#;
    let seen = "cut \u{fffd}";
    let response = |body: String| respond(200, json!(null)).text(&body);
    let server = Server::in_turn(vec![response(format!(r#"{{"title":{CUT}}}"#))]).await;
    let (client, _came) = jira(&server).await;
    let title: Value = client.get("/rest/x").fetch().await.unwrap();
    assert_eq!(title["title"], seen);

    for (path, body) in [
        (
            "/rest/list",
            format!(r#"{{"values":["a",{CUT},"b"],"isLast":true,"more":{CUT}}}"#),
        ),
        (
            "/rest/offset",
            format!(r#"{{"values":["a",{CUT},"b"],"startAt":0,"total":3}}"#),
        ),
    ] {
        let server = Server::in_turn(vec![response(body)]).await;
        let (client, _came) = jira(&server).await;
        let found: Vec<_> = client.get(path).pages::<String>().collect().await;
        let found: Vec<String> = found.into_iter().map(Result::unwrap).collect();
        assert_eq!(found, ["a", seen, "b"]);
    }

    let server = Server::in_turn(vec![response(format!(r#"{{"data":{{"a":{CUT}}}}}"#))]).await;
    let received = scheduled_call_for(&server).await;
    let graphql = local(&server)
        .graphql(&received.call)
        .as_user(&received.user);
    let data: Value = graphql.operation("{ a }").fetch().await.unwrap();
    assert_eq!(data["a"], seen);

    let page = format!(r#"{{"data":[{{"key":"a","value":{CUT}}}]}}"#);
    let one = format!(r#"{{"key":"a","value":{CUT}}}"#);
    let server = Server::in_turn(vec![response(page), response(one)]).await;
    let received = scheduled_call_for(&server).await;
    let storage = local(&server).storage(&received.call, &received.system);
    let item = storage.query::<String>().next().await.unwrap().unwrap();
    assert_eq!(item.value, seen);
    assert_eq!(storage.get::<String>("a").await.unwrap().unwrap(), seen);

    // An error's message too, since it names the fix.
    let body = format!(r#"{{"errorMessages":[{CUT}]}}"#);
    let server = Server::in_turn(vec![respond(400, json!(null)).text(&body)]).await;
    let (client, _came) = jira(&server).await;
    let error = client.get("/rest/x").fetch::<Value>().await.unwrap_err();
    assert!(error.to_string().contains(seen), "{error}");
}
