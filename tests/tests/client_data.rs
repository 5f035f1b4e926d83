//! Pages as streams.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::client::{Atlassian, Client, ClientError, Pages};
use forge_remote_tests::back::{Came, Counting, Server, Told, came_from, told};
use serde_json::json;

fn local(server: &Server) -> Atlassian {
    Atlassian::on_loopback(&server.origin)
        .unwrap()
        .clock(Counting::default())
}

async fn numbers(mut pages: Pages<u64>) -> Result<Vec<u64>, (Vec<u64>, ClientError)> {
    let mut found = Vec::new();
    while let Some(item) = pages.next().await {
        match item {
            Ok(item) => found.push(item),
            Err(error) => {
                assert!(pages.next().await.is_none(), "it goes on after an error");
                return Err((found, error));
            }
        }
    }
    Ok(found)
}

/// What a product's client finds in these answers, and what it asked for, without the base.
async fn pages(
    product: impl Fn(&Atlassian, &Came) -> Client,
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

fn jira(atlassian: &Atlassian, came: &Came) -> Client {
    atlassian.jira(&came.call).as_app(&came.system)
}

fn confluence(atlassian: &Atlassian, came: &Came) -> Client {
    atlassian.confluence(&came.call).as_app(&came.system)
}

fn bitbucket(atlassian: &Atlassian, came: &Came) -> Client {
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
        (json!([1, 2]), 2),
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
    assert!(error.contains("outside of the installation"), "{error}");
}

#[tokio::test]
async fn pages_that_are_none_end() {
    let cases: [(&str, Vec<Told>, usize, &str); 4] = [
        ("one list", vec![told(200, json!([1]))], 1, ""),
        (
            "another shape",
            vec![told(200, json!({ "worklogs": [1] }))],
            0,
            "pages_of",
        ),
        (
            "the same again",
            vec![
                told(200, json!({ "values": [1], "nextPageToken": "a" })),
                told(200, json!({ "values": [2], "nextPageToken": "a" })),
            ],
            2,
            "same page again",
        ),
        (
            "an item of another type",
            vec![told(200, json!({ "values": [1, "x"] }))],
            0,
            "does not fit",
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
        .pages_of("worklogs");
    assert_eq!(numbers(worklogs).await.unwrap(), [7]);
}

#[tokio::test]
async fn a_page_is_fetched_when_it_is_needed() {
    let server = Server::start(|count, _| {
        told(
            200,
            json!({ "values": [count], "nextPageToken": count.to_string() }),
        )
    })
    .await;
    let came = came_from(&server).await;
    let mut pages: Pages<u64> = jira(&local(&server), &came).get("/rest/x").pages();
    assert_eq!(server.lines().len(), 0);
    for expected in 0..3 {
        assert_eq!(pages.next().await.unwrap().unwrap(), expected);
        assert_eq!(server.lines().len() as u64, expected + 1);
    }
    // Dropped amid a fetch and asked again, nothing is lost.
    let waiting = tokio::time::timeout(Duration::ZERO, pages.next()).await;
    let next = match waiting {
        Ok(next) => next,
        Err(_) => pages.next().await,
    };
    assert_eq!(next.unwrap().unwrap(), 3);
}
