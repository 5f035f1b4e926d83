//! Page streams follow every paging style and never end early without an error.

use std::sync::{Arc, Mutex};

use forge_remote::client::{AtlassianClient, ClientError, PageStream, ProductClient};
use forge_remote_tests::fake_api::{
    CannedResponse, ReceivedCall, Server, collect_numbers, instant_client, respond,
    scheduled_call_for,
};
use serde_json::json;

/// Returns the items that a product's client reads from these responses, and the requested paths
/// without their base.
async fn pages(
    product: impl Fn(&AtlassianClient, &ReceivedCall) -> ProductClient,
    path: &'static str,
    responses: impl FnOnce(&str) -> Vec<CannedResponse>,
) -> (Result<Vec<u64>, (Vec<u64>, ClientError)>, Vec<String>) {
    let later: Arc<Mutex<Vec<CannedResponse>>> = Arc::default();
    let script = Arc::clone(&later);
    let server = Server::start(move |count, _| script.lock().unwrap()[count].clone()).await;
    *later.lock().unwrap() = responses(&server.origin);
    let received = scheduled_call_for(&server).await;
    let client = product(&instant_client(&server), &received);
    let found = collect_numbers(client.get(path).query("limit", 2).pages()).await;
    let lines = server.lines();
    let requests = lines
        .iter()
        .map(|line| line.split(path).nth(1).unwrap_or(line).to_owned());
    (found, requests.collect())
}

fn jira(atlassian: &AtlassianClient, received: &ReceivedCall) -> ProductClient {
    atlassian.jira(&received.call).as_app(&received.system)
}

fn confluence(atlassian: &AtlassianClient, received: &ReceivedCall) -> ProductClient {
    atlassian
        .confluence(&received.call)
        .as_app(&received.system)
}

fn bitbucket(atlassian: &AtlassianClient, received: &ReceivedCall) -> ProductClient {
    atlassian.bitbucket(&received.call).as_app(&received.system)
}

#[tokio::test]
async fn jiras_offsets_are_followed() {
    let (found, requests) = pages(jira, "/rest/api/3/project/search", |_| {
        vec![
            respond(200, json!({ "startAt": 0, "maxResults": 2, "total": 5, "isLast": false, "values": [1, 2] })),
            respond(200, json!({ "startAt": 2, "maxResults": 2, "total": 5, "values": [3, 4] })),
            respond(200, json!({ "startAt": 4, "maxResults": 2, "total": 5, "isLast": true, "values": [5] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(
        requests,
        ["?limit=2", "?limit=2&startAt=2", "?limit=2&startAt=4"]
    );

    // Without total and isLast, a page that isn't full is the last.
    let (found, requests) = pages(jira, "/rest/x", |_| {
        vec![
            respond(200, json!({ "startAt": 0, "maxResults": 1, "values": [1] })),
            respond(200, json!({ "startAt": 1, "maxResults": 1, "values": [] })),
        ]
    })
    .await;
    assert_eq!((found.unwrap(), requests.len()), (vec![1], 2));

    // The same with other names.
    let (found, requests) = pages(jira, "/rest/x", |_| {
        vec![
            respond(
                200,
                json!({ "offset": 0, "limit": 2, "total": 3, "values": [1, 2] }),
            ),
            respond(
                200,
                json!({ "offset": 2, "limit": 2, "total": 3, "values": [3] }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(requests, ["?limit=2", "?limit=2&offset=2"]);

    // The site's address next to it, as in Jira's dashboards, is ignored.
    let (found, requests) = pages(jira, "/rest/x", |_| {
        let next = "https://site.atlassian.net/rest/x?startAt=1";
        vec![
            respond(
                200,
                json!({ "startAt": 0, "maxResults": 1, "total": 2, "next": next, "values": [1] }),
            ),
            respond(
                200,
                json!({ "startAt": 1, "maxResults": 1, "total": 2, "values": [2] }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(requests, ["?limit=2", "?limit=2&startAt=1"]);
}

/// A list that ends early without an error would pass for the whole: a sync would delete the rest.
#[tokio::test]
async fn a_list_that_ends_early_is_an_error() {
    for (first, count) in [
        (json!({ "issues": [1], "isLast": false }), 1),
        (json!({ "values": [1], "isLastPage": false }), 1),
        (json!({ "startAt": 0, "total": 9, "values": [] }), 0),
    ] {
        let (found, requests) = pages(jira, "/rest/x", |_| vec![respond(200, first.clone())]).await;
        let (before, error) = found.unwrap_err();
        assert_eq!((before.len(), requests.len()), (count, 1), "{first}");
        let error = error.to_string();
        assert!(error.contains("there are more items"), "{first}: {error}");
    }
    // A bare list continues with the link in its header.
    let (found, requests) = pages(jira, "/rest/x", |_| {
        let link = "<https://site.atlassian.net/rest/x?limit=2&startAt=2>; rel=\"next\"";
        vec![
            respond(200, json!([1, 2])).header("link", link),
            respond(200, json!([3])),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(requests, ["?limit=2", "?limit=2&startAt=2"]);
}

#[tokio::test]
async fn jiras_search_tokens_are_followed() {
    let (found, requests) = pages(jira, "/rest/api/3/search/jql", |_| {
        vec![
            respond(200, json!({ "issues": [1], "nextPageToken": "a b&c" })),
            respond(200, json!({ "issues": [], "nextPageToken": "d" })),
            respond(
                200,
                json!({ "issues": [2], "isLast": true, "nextPageToken": "e" }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(
        requests,
        [
            "?limit=2",
            "?limit=2&nextPageToken=a+b%26c",
            "?limit=2&nextPageToken=d"
        ]
    );
}

#[tokio::test]
async fn a_search_by_post_continues_in_its_body() {
    let server = Server::in_turn(vec![
        respond(200, json!({ "issues": [1], "nextPageToken": "a b" })),
        respond(200, json!({ "issues": [2] })),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let search = jira(&instant_client(&server), &received)
        .post("/rest/api/3/search/jql")
        .json(&json!({ "jql": "updated > -1d", "maxResults": 1 }));
    assert_eq!(collect_numbers(search.pages()).await.unwrap(), [1, 2]);
    let requests = server.requests();
    let [first, second] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert_eq!(first.target, second.target);
    assert_eq!(first.body.get("nextPageToken"), None);
    assert_eq!(
        second.body,
        json!({ "jql": "updated > -1d", "maxResults": 1, "nextPageToken": "a b" })
    );
}

#[tokio::test]
async fn confluences_links_are_followed() {
    let (found, requests) = pages(confluence, "/wiki/api/v2/pages", |origin| {
        let header = format!("<x;rel=next,y>; rel=\"base\", <{origin}/else?limit=2&ids=1,2&cursor=y%3D>; rel=\"next last\"");
        vec![
            respond(200, json!({ "results": [1], "_links": { "next": "/wiki/api/v2/pages?limit=2&cursor=x%3D" } })),
            respond(200, json!({ "results": [2], "_links": { "base": "https://site.atlassian.net/wiki" } })).header("link", &header),
            respond(200, json!({ "results": [3], "_links": {} })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(
        requests,
        [
            "?limit=2",
            "?limit=2&cursor=x%3D",
            "?limit=2&ids=1%2C2&cursor=y%3D"
        ]
    );

    // As in Jira Service Management: a site's address, to which no token is sent.
    let trap = Server::in_turn(vec![respond(200, json!({}))]).await;
    let link = format!(
        "{}/rest/servicedeskapi/request?start=1&limit=2",
        trap.origin
    );
    let (found, requests) = pages(jira, "/rest/servicedeskapi/request", |_| {
        vec![
            respond(
                200,
                json!({ "values": [1], "isLastPage": false, "_links": { "next": link } }),
            ),
            respond(
                200,
                json!({ "values": [2], "isLastPage": true, "_links": { "next": link } }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(requests, ["?limit=2", "?start=1&limit=2"]);
    assert_eq!(trap.lines(), [""; 0]);
}

#[tokio::test]
async fn bitbuckets_addresses_are_followed() {
    let (found, requests) = pages(bitbucket, "/2.0/repositories", |origin| {
        vec![
            respond(
                200,
                json!({ "values": [1], "next": format!("{origin}/2.0/repositories?page=2") }),
            ),
            respond(
                200,
                json!({ "values": [2], "next": format!("{origin}/2.0/repositories/moved?page=3") }),
            ),
            respond(200, json!({ "values": [3] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(requests, ["?limit=2", "?page=2", "/moved?page=3"]);

    for next in [
        "https://evil.example/2.0",
        "//evil.example/2.0",
        "http://127.0.0.1:1/2.0",
    ] {
        let (found, requests) = pages(bitbucket, "/2.0/repositories", |_| {
            vec![respond(200, json!({ "values": [1], "next": next }))]
        })
        .await;
        let (before, error) = found.unwrap_err();
        assert_eq!((before, requests.len()), (vec![1], 1));
        assert!(matches!(error, ClientError::HostRejected { .. }), "{error}");
    }
}

#[tokio::test]
async fn no_page_is_outside_of_the_installation() {
    let (found, requests) = pages(jira, "/rest/x", |origin| {
        let next = format!("{origin}/ex/jira/another-site/rest/x?page=2");
        vec![respond(200, json!({ "values": [1], "next": next }))]
    })
    .await;
    let (before, error) = found.unwrap_err();
    assert_eq!((before, requests.len()), (vec![1], 1));
    let error = error.to_string();
    assert!(error.contains("not below the installation"), "{error}");
}

#[tokio::test]
async fn an_invalid_page_ends_the_stream_with_an_error() {
    let cases: [(&str, Vec<CannedResponse>, usize, &str); 3] = [
        (
            "another shape",
            vec![respond(200, json!({ "worklogs": [1] }))],
            0,
            "pages_in",
        ),
        (
            "the same again",
            vec![
                respond(200, json!({ "values": [1], "nextPageToken": "a" })),
                respond(200, json!({ "values": [2], "nextPageToken": "a" })),
            ],
            2,
            "already read",
        ),
        (
            "an item of another type",
            vec![respond(200, json!({ "values": [1, "x"] }))],
            0,
            "cannot be read as",
        ),
    ];
    for (case, responses, count, error_text) in cases {
        let (found, _) = pages(jira, "/rest/x", |_| responses).await;
        let (items, error) = match found {
            Ok(items) => (items, String::new()),
            Err((items, error)) => (items, error.to_string()),
        };
        assert_eq!(items.len(), count, "{case}");
        assert!(
            error.contains(error_text) && error.is_empty() == error_text.is_empty(),
            "{case}: {error}"
        );
    }

    let server = Server::in_turn(vec![respond(
        200,
        json!({ "worklogs": [7], "startAt": 0, "total": 1 }),
    )])
    .await;
    let received = scheduled_call_for(&server).await;
    let worklogs = jira(&instant_client(&server), &received)
        .get("/rest/x")
        .pages_in("worklogs");
    assert_eq!(collect_numbers(worklogs).await.unwrap(), [7]);
}

/// Returns the items that a request reads from these responses, in order, and the requested paths.
async fn found_by(
    responses: Vec<CannedResponse>,
    make: impl FnOnce(&ProductClient) -> PageStream<u64>,
) -> (Result<Vec<u64>, (Vec<u64>, ClientError)>, Vec<String>) {
    let server = Server::in_turn(responses).await;
    let received = scheduled_call_for(&server).await;
    let found = collect_numbers(make(&jira(&instant_client(&server), &received))).await;
    let lines = server.lines();
    let requests = lines
        .iter()
        .map(|line| line.split("/rest/").nth(1).unwrap_or(line).to_owned());
    (found, requests.collect())
}

/// A list ends at an end that the response marks or at an empty page, and never at a short page.
#[tokio::test]
async fn a_short_page_is_not_the_end() {
    let (found, requests) = pages(jira, "/rest/x", |_| {
        vec![
            respond(
                200,
                json!({ "startAt": 0, "maxResults": 50, "values": [1, 2] }),
            ),
            respond(
                200,
                json!({ "startAt": 2, "maxResults": 50, "values": [3] }),
            ),
            respond(200, json!({ "startAt": 3, "maxResults": 50, "values": [] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(requests.last().unwrap(), "?limit=2&startAt=3");

    // All items of a page were removed after it was cut; the next item is on the next page.
    let (found, requests) = pages(jira, "/rest/x", |_| {
        vec![
            respond(
                200,
                json!({ "startAt": 0, "maxResults": 2, "isLast": false, "values": [1] }),
            ),
            respond(
                200,
                json!({ "startAt": 1, "maxResults": 2, "isLast": false, "values": [] }),
            ),
            respond(
                200,
                json!({ "startAt": 3, "maxResults": 2, "total": 6, "values": [] }),
            ),
            respond(
                200,
                json!({ "startAt": 5, "maxResults": 2, "total": 6, "values": [6] }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 6]);
    assert_eq!(
        requests,
        [
            "?limit=2",
            "?limit=2&startAt=1",
            "?limit=2&startAt=3",
            "?limit=2&startAt=5"
        ]
    );
}

/// Jira names its next page by an address of the site.
#[tokio::test]
async fn jiras_next_page_counts_more_than_the_items() {
    let trap = Server::in_turn(vec![respond(200, json!({}))]).await;
    let next = format!("{}/rest/x?startAt=50&maxResults=50", trap.origin);
    let (found, requests) = pages(jira, "/rest/x", |_| {
        vec![
            respond(
                200,
                json!({ "startAt": 0, "maxResults": 50, "total": 51, "isLast": false, "nextPage": next, "values": [1] }),
            ),
            respond(200, json!({ "startAt": 50, "maxResults": 50, "isLast": true, "values": [51] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 51]);
    assert_eq!(requests, ["?limit=2", "?limit=2&startAt=50&maxResults=50"]);

    // As in `worklog/updated`: without an offset, and with a next page even on the last page.
    let next = |since: u64| format!("{}/rest/x?since={since}", trap.origin);
    let (found, requests) = pages(jira, "/rest/x", |_| {
        vec![
            respond(200, json!({ "since": 0, "until": 5, "lastPage": false, "nextPage": next(5), "values": [1] })),
            respond(200, json!({ "since": 5, "until": 9, "lastPage": true, "nextPage": next(9), "values": [2] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(requests, ["?limit=2", "?limit=2&since=5"]);

    // `webhook/failed` calls it `next`.
    let next = format!("{}/rest/x?after=7", trap.origin);
    let (found, requests) = pages(jira, "/rest/x", |_| {
        vec![
            respond(
                200,
                json!({ "maxResults": 100, "next": next, "values": [1] }),
            ),
            respond(200, json!({ "maxResults": 100, "values": [2] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(requests, ["?limit=2", "?limit=2&after=7"]);
    assert_eq!(trap.lines(), [""; 0]);

    // In a call with a body, the cursor is in the body.
    let server = Server::in_turn(vec![
        respond(200, json!({ "startAt": 0, "total": 2, "nextPage": "https://a.example/?startAt=1", "values": [1] })),
        respond(200, json!({ "startAt": 1, "total": 2, "values": [2] })),
    ])
    .await;
    let received = scheduled_call_for(&server).await;
    let search = jira(&instant_client(&server), &received)
        .post("/rest/x")
        .json(&json!({ "a": 1 }));
    assert_eq!(collect_numbers(search.pages()).await.unwrap(), [1, 2]);
    let last = server.requests().pop().unwrap();
    assert_eq!(last.body, json!({ "a": 1, "startAt": 1 }));
    assert!(!last.target.contains('?'), "{}", last.target);
}

#[tokio::test]
async fn jiras_other_cursors_are_followed() {
    let (found, requests) = pages(jira, "/rest/api/3/plans/plan", |_| {
        vec![
            respond(200, json!({ "cursor": "", "last": false, "nextPageCursor": "a b", "size": 1, "total": 2, "values": [1] })),
            respond(200, json!({ "cursor": "a b", "last": true, "nextPageCursor": "c", "size": 1, "total": 2, "values": [2] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(requests, ["?limit=2", "?limit=2&cursor=a+b"]);

    let responses = vec![
        respond(200, json!({ "fields": [1], "startingAfter": "x" })),
        respond(200, json!({ "fields": [2], "endingBefore": "y" })),
    ];
    let (found, requests) =
        found_by(responses, |jira| jira.get("/rest/bulk").pages_in("fields")).await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(requests, ["bulk", "bulk?startingAfter=x"]);
}

/// Each of these responses has or may have more items without a way to get them.
#[tokio::test]
async fn a_response_that_may_have_more_is_not_the_end() {
    for (last, word) in [
        (
            json!({ "values": [1], "last": false }),
            "no cursor for the next page",
        ),
        (
            json!({ "values": [1], "lastPage": false, "nextPage": "" }),
            "no cursor for the next page",
        ),
        (
            json!({ "values": [1], "total": 2 }),
            "`total` is 2 and 1 items were received",
        ),
        (json!({ "values": [1], "nextSlice": "x" }), "`nextSlice`"),
        (json!({ "values": [1], "endCursor": 5 }), "`endCursor`"),
        (
            json!({ "values": [1], "resumeAfter": { "a": 1 } }),
            "`resumeAfter`",
        ),
        (
            json!({ "values": [1], "hasNextPage": true }),
            "`hasNextPage`",
        ),
        (json!({ "values": [1], "hasMore": true }), "`hasMore`"),
    ] {
        let (found, requests) = pages(jira, "/rest/x", |_| vec![respond(200, last.clone())]).await;
        let (before, error) = found.unwrap_err();
        assert_eq!((before, requests.len()), (vec![1], 1), "{last}");
        assert!(matches!(error, ClientError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(word), "{last}: {error}");
    }
    // These are complete.
    for last in [
        json!({ "values": [1], "total": 1, "nextPageToken": null, "hasNextPage": false }),
        json!({ "values": [1], "total": 5, "isLast": true, "nextSlice": "x" }),
        json!({ "values": [1], "previousCursor": "x", "nextSlice": "", "retryAfter": 3 }),
        json!({ "values": [1], "limit": "2" }),
    ] {
        let (found, _) = pages(jira, "/rest/x", |_| vec![respond(200, last.clone())]).await;
        assert_eq!(found.unwrap(), [1], "{last}");
    }
    // The call's own parameters do not count as a next page.
    let responses = vec![respond(
        200,
        json!({ "values": [1], "createdAfter": "2026" }),
    )];
    let (found, _) = found_by(responses, |jira| {
        jira.get("/rest/x").query("createdAfter", "2026").pages()
    })
    .await;
    assert_eq!(found.unwrap(), [1]);
}

#[tokio::test]
async fn a_bare_list_continues_by_offset_on_request() {
    let bare = |items: &[u64]| respond(200, json!(items));
    let users = || vec![bare(&[1, 2]), bare(&[3]), bare(&[])];
    let (found, requests) = found_by(users(), |jira| {
        jira.get("/rest/api/3/users/search")
            .query("maxResults", 2)
            .pages_by_offset()
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(
        requests,
        [
            "api/3/users/search?maxResults=2",
            "api/3/users/search?maxResults=2&startAt=2",
            "api/3/users/search?maxResults=2&startAt=3"
        ]
    );
    // From the call's start.
    let (found, requests) = found_by(vec![bare(&[7]), bare(&[])], |jira| {
        jira.get("/rest/x").query("startAt", 6).pages_by_offset()
    })
    .await;
    assert_eq!(found.unwrap(), [7]);
    assert_eq!(requests, ["x?startAt=6", "x?startAt=7"]);

    // Otherwise a short, full or empty list is an error that names the fix.
    for list in [json!([]), json!([1]), json!([1, 2])] {
        let responses = vec![respond(200, list.clone())];
        let (found, requests) = found_by(responses, |jira| {
            jira.get("/rest/x").query("maxResults", 2).pages()
        })
        .await;
        let (items, error) = found.unwrap_err();
        assert_eq!((json!(items), requests.len()), (list, 1));
        assert!(error.to_string().contains("`pages_by_offset`"), "{error}");
    }
    // An API that ignores `startAt` would never end.
    let (found, requests) = found_by(vec![bare(&[1, 2])], |jira| {
        jira.get("/rest/field").pages_by_offset()
    })
    .await;
    let (items, error) = found.unwrap_err();
    assert_eq!((items.len(), requests.len()), (4, 2));
    assert!(error.to_string().contains("already read"), "{error}");

    // Lists that Jira filters after cutting the page cannot be listed this way, and fail.
    for path in [
        "/rest/api/3/user/search",
        "/rest/api/2/user/assignable/search",
    ] {
        let (found, requests) =
            found_by(vec![bare(&[1])], |jira| jira.get(path).pages_by_offset()).await;
        let (items, error) = found.unwrap_err();
        assert_eq!((items.len(), requests.len()), (0, 0));
        assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
        assert!(error.to_string().contains("users/search"), "{error}");
    }
}
