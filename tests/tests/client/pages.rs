//! Pages as streams: each style, and that nothing is left out.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use forge_remote::client::{AtlassianClient, ClientError, PageStream, ProductClient};
use forge_remote_tests::back::{Came, Counting, Server, Told, came_from, numbers, told};
use serde_json::json;

fn local(server: &Server) -> AtlassianClient {
    AtlassianClient::on_loopback(&server.origin)
        .unwrap()
        .clock(Counting::default())
}

/// What a product's client finds in these answers, and what it asked for, without the base.
async fn pages(
    product: impl Fn(&AtlassianClient, &Came) -> ProductClient,
    path: &'static str,
    answers: impl FnOnce(&str) -> Vec<Told>,
) -> (Result<Vec<u64>, (Vec<u64>, ClientError)>, Vec<String>) {
    let later: Arc<Mutex<Vec<Told>>> = Arc::default();
    let script = Arc::clone(&later);
    let server = Server::start(move |count, _| script.lock().unwrap()[count].clone()).await;
    *later.lock().unwrap() = answers(&server.origin);
    let came = came_from(&server).await;
    let client = product(&local(&server), &came);
    let found = numbers(client.get(path).query("limit", 2).pages()).await;
    let lines = server.lines();
    let asked = lines
        .iter()
        .map(|line| line.split(path).nth(1).unwrap_or(line).to_owned());
    (found, asked.collect())
}

fn jira(atlassian: &AtlassianClient, came: &Came) -> ProductClient {
    atlassian.jira(&came.call).as_app(&came.system)
}

fn confluence(atlassian: &AtlassianClient, came: &Came) -> ProductClient {
    atlassian.confluence(&came.call).as_app(&came.system)
}

fn bitbucket(atlassian: &AtlassianClient, came: &Came) -> ProductClient {
    atlassian.bitbucket(&came.call).as_app(&came.system)
}

#[tokio::test]
async fn jiras_offsets() {
    let (found, asked) = pages(jira, "/rest/api/3/project/search", |_| {
        vec![
            told(200, json!({ "startAt": 0, "maxResults": 2, "total": 5, "isLast": false, "values": [1, 2] })),
            told(200, json!({ "startAt": 2, "maxResults": 2, "total": 5, "values": [3, 4] })),
            told(200, json!({ "startAt": 4, "maxResults": 2, "total": 5, "isLast": true, "values": [5] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(
        asked,
        ["?limit=2", "?limit=2&startAt=2", "?limit=2&startAt=4"]
    );

    // Neither total nor isLast: a page that isn't full ends it.
    let (found, asked) = pages(jira, "/rest/x", |_| {
        vec![
            told(200, json!({ "startAt": 0, "maxResults": 1, "values": [1] })),
            told(200, json!({ "startAt": 1, "maxResults": 1, "values": [] })),
        ]
    })
    .await;
    assert_eq!((found.unwrap(), asked.len()), (vec![1], 2));

    // The same by other names.
    let (found, asked) = pages(jira, "/rest/x", |_| {
        vec![
            told(
                200,
                json!({ "offset": 0, "limit": 2, "total": 3, "values": [1, 2] }),
            ),
            told(
                200,
                json!({ "offset": 2, "limit": 2, "total": 3, "values": [3] }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(asked, ["?limit=2", "?limit=2&offset=2"]);

    // The address beside it is the site's, as Jira's dashboards have it: not looked at.
    let (found, asked) = pages(jira, "/rest/x", |_| {
        let next = "https://site.atlassian.net/rest/x?startAt=1";
        vec![
            told(
                200,
                json!({ "startAt": 0, "maxResults": 1, "total": 2, "next": next, "values": [1] }),
            ),
            told(
                200,
                json!({ "startAt": 1, "maxResults": 1, "total": 2, "values": [2] }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(asked, ["?limit=2", "?limit=2&startAt=1"]);
}

/// What ends without a word would pass for the whole: a sync would delete the rest.
#[tokio::test]
async fn a_list_that_only_seems_to_end_is_an_error() {
    for (first, count) in [
        (json!({ "issues": [1], "isLast": false }), 1),
        (json!({ "values": [1], "isLastPage": false }), 1),
        (json!({ "startAt": 0, "total": 9, "values": [] }), 0),
    ] {
        let (found, asked) = pages(jira, "/rest/x", |_| vec![told(200, first.clone())]).await;
        let (before, error) = found.unwrap_err();
        assert_eq!((before.len(), asked.len()), (count, 1), "{first}");
        let error = error.to_string();
        assert!(error.contains("there are more items"), "{first}: {error}");
    }
    // A bare list goes on by its header.
    let (found, asked) = pages(jira, "/rest/x", |_| {
        let link = "<https://site.atlassian.net/rest/x?limit=2&startAt=2>; rel=\"next\"";
        vec![
            told(200, json!([1, 2])).header("link", link),
            told(200, json!([3])),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(asked, ["?limit=2", "?limit=2&startAt=2"]);
}

#[tokio::test]
async fn jiras_search_tokens() {
    let (found, asked) = pages(jira, "/rest/api/3/search/jql", |_| {
        vec![
            told(200, json!({ "issues": [1], "nextPageToken": "a b&c" })),
            told(200, json!({ "issues": [], "nextPageToken": "d" })),
            told(
                200,
                json!({ "issues": [2], "isLast": true, "nextPageToken": "e" }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(
        asked,
        [
            "?limit=2",
            "?limit=2&nextPageToken=a+b%26c",
            "?limit=2&nextPageToken=d"
        ]
    );
}

#[tokio::test]
async fn a_search_by_post_goes_on_in_its_body() {
    let server = Server::in_turn(vec![
        told(200, json!({ "issues": [1], "nextPageToken": "a b" })),
        told(200, json!({ "issues": [2] })),
    ])
    .await;
    let came = came_from(&server).await;
    let search = jira(&local(&server), &came)
        .post("/rest/api/3/search/jql")
        .json(&json!({ "jql": "updated > -1d", "maxResults": 1 }));
    assert_eq!(numbers(search.pages()).await.unwrap(), [1, 2]);
    let asked = server.asked();
    let [first, second] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(first.target, second.target);
    assert_eq!(first.body.get("nextPageToken"), None);
    assert_eq!(
        second.body,
        json!({ "jql": "updated > -1d", "maxResults": 1, "nextPageToken": "a b" })
    );
}

#[tokio::test]
async fn confluences_links() {
    let (found, asked) = pages(confluence, "/wiki/api/v2/pages", |origin| {
        let header = format!("<x;rel=next,y>; rel=\"base\", <{origin}/else?limit=2&ids=1,2&cursor=y%3D>; rel=\"next last\"");
        vec![
            told(200, json!({ "results": [1], "_links": { "next": "/wiki/api/v2/pages?limit=2&cursor=x%3D" } })),
            told(200, json!({ "results": [2], "_links": { "base": "https://site.atlassian.net/wiki" } })).header("link", &header),
            told(200, json!({ "results": [3], "_links": {} })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(
        asked,
        [
            "?limit=2",
            "?limit=2&cursor=x%3D",
            "?limit=2&ids=1%2C2&cursor=y%3D"
        ]
    );

    // As Jira Service Management has it: an address of the site, to which no token goes.
    let trap = Server::in_turn(vec![told(200, json!({}))]).await;
    let link = format!(
        "{}/rest/servicedeskapi/request?start=1&limit=2",
        trap.origin
    );
    let (found, asked) = pages(jira, "/rest/servicedeskapi/request", |_| {
        vec![
            told(
                200,
                json!({ "values": [1], "isLastPage": false, "_links": { "next": link } }),
            ),
            told(
                200,
                json!({ "values": [2], "isLastPage": true, "_links": { "next": link } }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(asked, ["?limit=2", "?start=1&limit=2"]);
    assert_eq!(trap.lines(), [""; 0]);
}

#[tokio::test]
async fn bitbuckets_addresses() {
    let (found, asked) = pages(bitbucket, "/2.0/repositories", |origin| {
        vec![
            told(
                200,
                json!({ "values": [1], "next": format!("{origin}/2.0/repositories?page=2") }),
            ),
            told(
                200,
                json!({ "values": [2], "next": format!("{origin}/2.0/repositories/moved?page=3") }),
            ),
            told(200, json!({ "values": [3] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(asked, ["?limit=2", "?page=2", "/moved?page=3"]);

    for next in [
        "https://evil.example/2.0",
        "//evil.example/2.0",
        "http://127.0.0.1:1/2.0",
    ] {
        let (found, asked) = pages(bitbucket, "/2.0/repositories", |_| {
            vec![told(200, json!({ "values": [1], "next": next }))]
        })
        .await;
        let (before, error) = found.unwrap_err();
        assert_eq!((before, asked.len()), (vec![1], 1));
        assert!(matches!(error, ClientError::HostRefused { .. }), "{error}");
    }
}

#[tokio::test]
async fn no_page_is_outside_of_the_installation() {
    let (found, asked) = pages(jira, "/rest/x", |origin| {
        let next = format!("{origin}/ex/jira/another-site/rest/x?page=2");
        vec![told(200, json!({ "values": [1], "next": next }))]
    })
    .await;
    let (before, error) = found.unwrap_err();
    assert_eq!((before, asked.len()), (vec![1], 1));
    let error = error.to_string();
    assert!(error.contains("not below the installation"), "{error}");
}

#[tokio::test]
async fn pages_that_are_none_end() {
    let cases: [(&str, Vec<Told>, usize, &str); 3] = [
        (
            "another shape",
            vec![told(200, json!({ "worklogs": [1] }))],
            0,
            "pages_in",
        ),
        (
            "the same again",
            vec![
                told(200, json!({ "values": [1], "nextPageToken": "a" })),
                told(200, json!({ "values": [2], "nextPageToken": "a" })),
            ],
            2,
            "already read",
        ),
        (
            "an item of another type",
            vec![told(200, json!({ "values": [1, "x"] }))],
            0,
            "can't be read as",
        ),
    ];
    for (case, answers, count, words) in cases {
        let (found, _) = pages(jira, "/rest/x", |_| answers).await;
        let (items, error) = match found {
            Ok(items) => (items, String::new()),
            Err((items, error)) => (items, error.to_string()),
        };
        assert_eq!(items.len(), count, "{case}");
        assert!(
            error.contains(words) && error.is_empty() == words.is_empty(),
            "{case}: {error}"
        );
    }

    let server = Server::in_turn(vec![told(
        200,
        json!({ "worklogs": [7], "startAt": 0, "total": 1 }),
    )])
    .await;
    let came = came_from(&server).await;
    let worklogs = jira(&local(&server), &came)
        .get("/rest/x")
        .pages_in("worklogs");
    assert_eq!(numbers(worklogs).await.unwrap(), [7]);
}

/// What `request` finds in the answers, one after the other.
async fn found_by(
    answers: Vec<Told>,
    make: impl FnOnce(&ProductClient) -> PageStream<u64>,
) -> (Result<Vec<u64>, (Vec<u64>, ClientError)>, Vec<String>) {
    let server = Server::in_turn(answers).await;
    let came = came_from(&server).await;
    let found = numbers(make(&jira(&local(&server), &came))).await;
    let lines = server.lines();
    let asked = lines
        .iter()
        .map(|line| line.split("/rest/").nth(1).unwrap_or(line).to_owned());
    (found, asked.collect())
}

/// It ends where the answer says so, or at an empty page: never at one that is merely short.
#[tokio::test]
async fn a_short_page_is_not_the_end() {
    let (found, asked) = pages(jira, "/rest/x", |_| {
        vec![
            told(
                200,
                json!({ "startAt": 0, "maxResults": 50, "values": [1, 2] }),
            ),
            told(
                200,
                json!({ "startAt": 2, "maxResults": 50, "values": [3] }),
            ),
            told(200, json!({ "startAt": 3, "maxResults": 50, "values": [] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(asked.last().unwrap(), "?limit=2&startAt=3");

    // All of a page's items were left out after it was cut: the next is behind it.
    let (found, asked) = pages(jira, "/rest/x", |_| {
        vec![
            told(
                200,
                json!({ "startAt": 0, "maxResults": 2, "isLast": false, "values": [1] }),
            ),
            told(
                200,
                json!({ "startAt": 1, "maxResults": 2, "isLast": false, "values": [] }),
            ),
            told(
                200,
                json!({ "startAt": 3, "maxResults": 2, "total": 6, "values": [] }),
            ),
            told(
                200,
                json!({ "startAt": 5, "maxResults": 2, "total": 6, "values": [6] }),
            ),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 6]);
    assert_eq!(
        asked,
        [
            "?limit=2",
            "?limit=2&startAt=1",
            "?limit=2&startAt=3",
            "?limit=2&startAt=5"
        ]
    );
}

/// Jira says itself where its next page begins, by an address of the site.
#[tokio::test]
async fn jiras_next_page_counts_more_than_what_came() {
    let trap = Server::in_turn(vec![told(200, json!({}))]).await;
    let next = format!("{}/rest/x?startAt=50&maxResults=50", trap.origin);
    let (found, asked) = pages(jira, "/rest/x", |_| {
        vec![
            told(
                200,
                json!({ "startAt": 0, "maxResults": 50, "total": 51, "isLast": false, "nextPage": next, "values": [1] }),
            ),
            told(200, json!({ "startAt": 50, "maxResults": 50, "isLast": true, "values": [51] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 51]);
    assert_eq!(asked, ["?limit=2", "?limit=2&startAt=50&maxResults=50"]);

    // As `worklog/updated` has it: without a position, and with the next place on the last page.
    let next = |since: u64| format!("{}/rest/x?since={since}", trap.origin);
    let (found, asked) = pages(jira, "/rest/x", |_| {
        vec![
            told(200, json!({ "since": 0, "until": 5, "lastPage": false, "nextPage": next(5), "values": [1] })),
            told(200, json!({ "since": 5, "until": 9, "lastPage": true, "nextPage": next(9), "values": [2] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(asked, ["?limit=2", "?limit=2&since=5"]);

    // `webhook/failed` calls it `next`.
    let next = format!("{}/rest/x?after=7", trap.origin);
    let (found, asked) = pages(jira, "/rest/x", |_| {
        vec![
            told(
                200,
                json!({ "maxResults": 100, "next": next, "values": [1] }),
            ),
            told(200, json!({ "maxResults": 100, "values": [2] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(asked, ["?limit=2", "?limit=2&after=7"]);
    assert_eq!(trap.lines(), [""; 0]);

    // A call with a body takes its place there.
    let server = Server::in_turn(vec![
        told(200, json!({ "startAt": 0, "total": 2, "nextPage": "https://a.example/?startAt=1", "values": [1] })),
        told(200, json!({ "startAt": 1, "total": 2, "values": [2] })),
    ])
    .await;
    let came = came_from(&server).await;
    let search = jira(&local(&server), &came)
        .post("/rest/x")
        .json(&json!({ "a": 1 }));
    assert_eq!(numbers(search.pages()).await.unwrap(), [1, 2]);
    let last = server.asked().pop().unwrap();
    assert_eq!(last.body, json!({ "a": 1, "startAt": 1 }));
    assert!(!last.target.contains('?'), "{}", last.target);
}

#[tokio::test]
async fn jiras_other_cursors() {
    let (found, asked) = pages(jira, "/rest/api/3/plans/plan", |_| {
        vec![
            told(200, json!({ "cursor": "", "last": false, "nextPageCursor": "a b", "size": 1, "total": 2, "values": [1] })),
            told(200, json!({ "cursor": "a b", "last": true, "nextPageCursor": "c", "size": 1, "total": 2, "values": [2] })),
        ]
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(asked, ["?limit=2", "?limit=2&cursor=a+b"]);

    let answers = vec![
        told(200, json!({ "fields": [1], "startingAfter": "x" })),
        told(200, json!({ "fields": [2], "endingBefore": "y" })),
    ];
    let (found, asked) = found_by(answers, |jira| jira.get("/rest/bulk").pages_in("fields")).await;
    assert_eq!(found.unwrap(), [1, 2]);
    assert_eq!(asked, ["bulk", "bulk?startingAfter=x"]);
}

/// Each of them has more than it says how to get, or may have.
#[tokio::test]
async fn what_may_lead_to_more_is_no_end() {
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
        let (found, asked) = pages(jira, "/rest/x", |_| vec![told(200, last.clone())]).await;
        let (before, error) = found.unwrap_err();
        assert_eq!((before, asked.len()), (vec![1], 1), "{last}");
        assert!(matches!(error, ClientError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(word), "{last}: {error}");
    }
    // These don't.
    for last in [
        json!({ "values": [1], "total": 1, "nextPageToken": null, "hasNextPage": false }),
        json!({ "values": [1], "total": 5, "isLast": true, "nextSlice": "x" }),
        json!({ "values": [1], "previousCursor": "x", "nextSlice": "", "retryAfter": 3 }),
        json!({ "values": [1], "limit": "2" }),
    ] {
        let (found, _) = pages(jira, "/rest/x", |_| vec![told(200, last.clone())]).await;
        assert_eq!(found.unwrap(), [1], "{last}");
    }
    // What the call said itself is no way on.
    let answers = vec![told(200, json!({ "values": [1], "createdAfter": "2026" }))];
    let (found, _) = found_by(answers, |jira| {
        jira.get("/rest/x").query("createdAfter", "2026").pages()
    })
    .await;
    assert_eq!(found.unwrap(), [1]);
}

#[tokio::test]
async fn a_bare_list_goes_on_by_its_start_where_that_was_asked_for() {
    let bare = |items: &[u64]| told(200, json!(items));
    let users = || vec![bare(&[1, 2]), bare(&[3]), bare(&[])];
    let (found, asked) = found_by(users(), |jira| {
        jira.get("/rest/api/3/users/search")
            .query("maxResults", 2)
            .pages_by_offset()
    })
    .await;
    assert_eq!(found.unwrap(), [1, 2, 3]);
    assert_eq!(
        asked,
        [
            "api/3/users/search?maxResults=2",
            "api/3/users/search?maxResults=2&startAt=2",
            "api/3/users/search?maxResults=2&startAt=3"
        ]
    );
    // From where the call begins.
    let (found, asked) = found_by(vec![bare(&[7]), bare(&[])], |jira| {
        jira.get("/rest/x").query("startAt", 6).pages_by_offset()
    })
    .await;
    assert_eq!(found.unwrap(), [7]);
    assert_eq!(asked, ["x?startAt=6", "x?startAt=7"]);

    // Otherwise it is an error, short or full or empty, that names the way.
    for list in [json!([]), json!([1]), json!([1, 2])] {
        let answers = vec![told(200, list.clone())];
        let (found, asked) = found_by(answers, |jira| {
            jira.get("/rest/x").query("maxResults", 2).pages()
        })
        .await;
        let (items, error) = found.unwrap_err();
        assert_eq!((json!(items), asked.len()), (list, 1));
        assert!(error.to_string().contains("`pages_by_offset`"), "{error}");
    }
    // A list that doesn't look at `startAt` would go on for ever.
    let (found, asked) = found_by(vec![bare(&[1, 2])], |jira| {
        jira.get("/rest/field").pages_by_offset()
    })
    .await;
    let (items, error) = found.unwrap_err();
    assert_eq!((items.len(), asked.len()), (4, 2));
    assert!(error.to_string().contains("already read"), "{error}");

    // Those that Jira filters behind the page can't be listed, and aren't.
    for path in [
        "/rest/api/3/user/search",
        "/rest/api/2/user/assignable/search",
    ] {
        let (found, asked) =
            found_by(vec![bare(&[1])], |jira| jira.get(path).pages_by_offset()).await;
        let (items, error) = found.unwrap_err();
        assert_eq!((items.len(), asked.len()), (0, 0));
        assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
        assert!(error.to_string().contains("users/search"), "{error}");
    }
}
