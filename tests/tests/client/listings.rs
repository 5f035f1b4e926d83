//! Long listings: fetched as they are needed, taken up after failures, and whole in any style.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::client::{AtlassianClient, Cursor, PageStream, ProductClient};
use forge_remote_tests::back::{Came, Counting, SITE, Server, came_from, numbers, told};
use serde_json::json;

fn local(server: &Server) -> AtlassianClient {
    AtlassianClient::on_loopback(&server.origin)
        .unwrap()
        .clock(Counting::default())
}

fn jira(atlassian: &AtlassianClient, came: &Came) -> ProductClient {
    atlassian.jira(&came.call).as_app(&came.system)
}

fn confluence(atlassian: &AtlassianClient, came: &Came) -> ProductClient {
    atlassian.confluence(&came.call).as_app(&came.system)
}

/// Pages each of which fails twice come to the same items.
#[tokio::test]
async fn a_listing_survives_its_failures_and_is_resumed_elsewhere() {
    let tries: Mutex<BTreeMap<u64, u32>> = Mutex::default();
    let server = Server::start(move |_, asked| {
        let at = asked
            .target
            .split("startAt=")
            .nth(1)
            .map_or(0, |at| at.parse().unwrap());
        let mut tries = tries.lock().unwrap();
        let tried = tries.entry(at).or_default();
        *tried += 1;
        match *tried {
            1 => told(400, json!({ "errorMessages": ["not now"] })),
            2 => told(200, json!(null)).text("{\"values\": [1"),
            _ => told(
                200,
                json!({ "startAt": at, "maxResults": 2, "total": 7, "values": [at, at + 1] }),
            ),
        }
    })
    .await;
    let came = came_from(&server).await;
    let client = jira(&local(&server), &came);
    let call = || client.get("/rest/x").pages::<u64>();
    let mut pages = call();
    assert!(!pages.retry_page(), "nothing has failed yet");
    let (mut found, mut kept) = (Vec::new(), Vec::new());
    loop {
        match pages.next().await {
            Some(Ok(item)) => found.push(item),
            Some(Err(error)) => {
                assert!(
                    pages.next().await.is_none(),
                    "it ends until it is told to go on"
                );
                kept.push(serde_json::to_string(&pages.position()).unwrap());
                assert!(pages.retry_page(), "{error}");
                assert!(!pages.retry_page());
            }
            None => break,
        }
    }
    assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(pages.position(), None);
    assert!(!pages.retry_page(), "it is done");
    assert_eq!(kept.len(), 8);

    // By another process, from what was written down.
    for (at, written) in kept.iter().enumerate() {
        let position: Cursor = serde_json::from_str(written).unwrap();
        assert!(
            !written.contains("127.0.0.1") && !came.is_in(written),
            "{written}"
        );
        let from = 2 * (at as u64 / 2);
        let rest = numbers(call().resume_from(position)).await.unwrap();
        assert_eq!(rest, (from..8).collect::<Vec<_>>(), "{written}");
    }
}

/// A position is that of the first item that wasn't taken: nothing is passed over.
#[tokio::test]
async fn a_position_leaves_nothing_out() {
    let next = |cursor: &str| json!({ "next": format!("/wiki/x?cursor={cursor}") });
    let server = Server::start(move |_, asked| match asked.target.split("cursor=").nth(1) {
        None => told(200, json!({ "results": [1, 2], "_links": next("b") })),
        Some("b") => told(200, json!({ "results": [3, 4], "_links": next("c") })),
        _ => told(200, json!({ "results": [5], "_links": {} })),
    })
    .await;
    let came = came_from(&server).await;
    let client = confluence(&local(&server), &came);
    let from = |position: &Cursor| {
        let written = serde_json::to_value(position).unwrap();
        client
            .get("/wiki/x")
            .pages::<u64>()
            .resume_from(serde_json::from_value(written).unwrap())
    };
    let mut pages = client.get("/wiki/x").pages::<u64>();
    // Those that were taken of a page come again with the rest of it.
    for rest in [
        [1, 2, 3, 4, 5].as_slice(),
        &[1, 2, 3, 4, 5],
        &[3, 4, 5],
        &[3, 4, 5],
        &[5],
    ] {
        let position = pages.position().unwrap();
        assert_eq!(numbers(from(&position)).await.unwrap(), rest);
        assert!(
            format!("{position:?}").starts_with("Cursor(after"),
            "{position:?}"
        );
        pages.next().await.unwrap().unwrap();
    }
    assert_eq!(pages.position(), None);
    assert!(pages.next().await.is_none());
    // One that was tampered with leads nowhere else.
    let elsewhere = Server::in_turn(vec![told(200, json!({ "values": [] }))]).await;
    for address in [
        elsewhere.origin.as_str(),
        "//evil.example/",
        "/ex/jira/other/x",
        "/../../x",
    ] {
        let position = json!({ "place": { "at": address }, "seen": 0 });
        let position: Cursor = serde_json::from_value(position).unwrap();
        let before = server.lines().len();
        let found = numbers(client.get("/wiki/x").pages().resume_from(position)).await;
        assert!(found.is_err(), "{address}");
        assert_eq!((server.lines().len(), elsewhere.lines().len()), (before, 0));
    }
}

/// A list of `items`, some of which are never shown, cut into pages as one of the styles has them.
fn cut(items: &[u64], style: u64, at: u64, size: u64, origin: &str) -> serde_json::Value {
    let total = items.len() as u64;
    let end = total.min(at + size);
    let from = usize::try_from(at.min(total)).unwrap();
    let to = usize::try_from(end).unwrap();
    // Multiples of seven are left out after the page was cut.
    let shown = items[from..to].iter().filter(|item| *item % 7 != 0);
    let shown: Vec<u64> = shown.copied().collect();
    let is_last = end >= total;
    let next = (!is_last).then(|| end.to_string());
    let address = |host: &str| next.as_ref().map(|next| format!("{host}/rest/x?at={next}"));
    let site = "https://site.atlassian.net";
    match style {
        0 => json!({ "startAt": at, "maxResults": size, "isLast": is_last, "values": shown }),
        1 => json!({ "startAt": at, "maxResults": size, "total": total, "values": shown }),
        2 => json!({ "startAt": at, "maxResults": size, "isLast": is_last, "values": shown,
                     "nextPage": next.map(|next| format!("{site}/rest/x?startAt={next}")) }),
        3 => json!({ "issues": shown, "nextPageToken": next }),
        4 => json!({ "values": shown, "last": is_last, "nextPageCursor": next }),
        5 => json!({ "values": shown, "lastPage": is_last, "nextPage": address(site) }),
        6 => json!({ "results": shown, "_links": { "next": address("") } }),
        _ => json!({ "values": shown, "next": address(&format!("{origin}/ex/jira/{SITE}")) }),
    }
}

/// Whatever the style, the sizes of the pages and the failures, each item comes, in order.
#[tokio::test]
async fn nothing_is_left_out_of_a_list_of_any_style() {
    let origin = Arc::new(std::sync::OnceLock::<String>::new());
    let at_origin = Arc::clone(&origin);
    let server = Server::start(move |count, asked| {
        let place = |name: &str| {
            let (_, rest) = asked.target.split_once(&format!("{name}="))?;
            rest.split('&').next()?.parse::<u64>().ok()
        };
        let names = ["startAt", "nextPageToken", "cursor", "at"];
        let at = names.into_iter().find_map(place).unwrap_or(0);
        let [style, length, seed] = asked
            .header("x-case")
            .split('-')
            .map(|n| n.parse().unwrap())
            .collect::<Vec<u64>>()[..]
        else {
            panic!("{asked:?}");
        };
        if (count as u64 * 31 + seed).is_multiple_of(5) {
            return told(500, json!({ "message": "for once" }));
        }
        let items: Vec<u64> = (1..=length).collect();
        // Each page is of another size.
        let size = 1 + (at * 7 + seed) % 9;
        told(200, cut(&items, style, at, size, at_origin.get().unwrap()))
    })
    .await;
    origin.set(server.origin.clone()).unwrap();
    let came = came_from(&server).await;
    let client = jira(&local(&server), &came);
    for style in 0..8_u64 {
        for length in [0, 1, 6, 7, 8, 60] {
            for seed in 0..4_u64 {
                let case = format!("{style}-{length}-{seed}");
                let call = || client.get("/rest/x").header("x-case", &case).pages::<u64>();
                let mut pages = call();
                let mut found = Vec::new();
                loop {
                    match pages.next().await {
                        Some(Ok(item)) => found.push(item),
                        // Now in this process, now in another.
                        Some(Err(error)) if seed % 2 == 0 => assert!(pages.retry_page(), "{error}"),
                        Some(Err(_)) => {
                            let position = serde_json::to_string(&pages.position()).unwrap();
                            let position: Cursor = serde_json::from_str(&position).unwrap();
                            pages = call().resume_from(position);
                        }
                        None => break,
                    }
                }
                // Where Jira leaves items out, some may come twice.
                found.sort_unstable();
                found.dedup();
                let all = (1..=length).filter(|item| item % 7 != 0);
                assert_eq!(found, all.collect::<Vec<_>>(), "{case}");
            }
        }
    }
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
    let mut pages: PageStream<u64> = jira(&local(&server), &came).get("/rest/x").pages();
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
