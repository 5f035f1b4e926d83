//! Long listings are fetched lazily, resumed after failures, and complete in every paging style.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge_remote::client::{AtlassianClient, Cursor, PageStream, ProductClient};
use forge_remote_tests::fake_api::{
    ReceivedCall, SITE, Server, collect_numbers, instant_client, respond, scheduled_call_for,
};
use serde_json::json;

fn jira(atlassian: &AtlassianClient, received: &ReceivedCall) -> ProductClient {
    atlassian.jira(&received.call).as_app(&received.system)
}

fn confluence(atlassian: &AtlassianClient, received: &ReceivedCall) -> ProductClient {
    atlassian
        .confluence(&received.call)
        .as_app(&received.system)
}

/// Pages of which each fails twice yield the same items.
#[tokio::test]
async fn a_listing_survives_failures_and_is_resumed_in_another_process() {
    let tries: Mutex<BTreeMap<u64, u32>> = Mutex::default();
    let server = Server::start(move |_, request| {
        let at = request
            .target
            .split("startAt=")
            .nth(1)
            .map_or(0, |at| at.parse().unwrap());
        let mut tries = tries.lock().unwrap();
        let tried = tries.entry(at).or_default();
        *tried += 1;
        match *tried {
            1 => respond(400, json!({ "errorMessages": ["not now"] })),
            2 => respond(200, json!(null)).text("{\"values\": [1"),
            _ => respond(
                200,
                json!({ "startAt": at, "maxResults": 2, "total": 7, "values": [at, at + 1] }),
            ),
        }
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let client = jira(&instant_client(&server), &received);
    let call = || client.get("/rest/x").pages::<u64>();
    let mut pages = call();
    assert!(!pages.retry_page(), "no page has failed yet");
    let (mut found, mut cursors) = (Vec::new(), Vec::new());
    loop {
        match pages.next().await {
            Some(Ok(item)) => found.push(item),
            Some(Err(error)) => {
                assert!(
                    pages.next().await.is_none(),
                    "the stream ends until the page is retried"
                );
                cursors.push(serde_json::to_string(&pages.cursor()).unwrap());
                assert!(pages.retry_page(), "{error}");
                assert!(!pages.retry_page());
            }
            None => break,
        }
    }
    assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(pages.cursor(), None);
    assert!(!pages.retry_page(), "the listing is complete");
    assert_eq!(cursors.len(), 8);

    // Another process resumes from a saved cursor.
    for (at, written) in cursors.iter().enumerate() {
        let cursor: Cursor = serde_json::from_str(written).unwrap();
        assert!(
            !written.contains("127.0.0.1") && !received.is_in(written),
            "{written}"
        );
        let from = 2 * (at as u64 / 2);
        let rest = collect_numbers(call().resume_from(cursor)).await.unwrap();
        assert_eq!(rest, (from..8).collect::<Vec<_>>(), "{written}");
    }
}

/// A cursor points to the first item that was not taken, so that no item is skipped.
#[tokio::test]
async fn a_cursor_skips_no_item() {
    let next = |cursor: &str| json!({ "next": format!("/wiki/x?cursor={cursor}") });
    let server = Server::start(
        move |_, request| match request.target.split("cursor=").nth(1) {
            None => respond(200, json!({ "results": [1, 2], "_links": next("b") })),
            Some("b") => respond(200, json!({ "results": [3, 4], "_links": next("c") })),
            _ => respond(200, json!({ "results": [5], "_links": {} })),
        },
    )
    .await;
    let received = scheduled_call_for(&server).await;
    let client = confluence(&instant_client(&server), &received);
    let from = |cursor: &Cursor| {
        let written = serde_json::to_value(cursor).unwrap();
        client
            .get("/wiki/x")
            .pages::<u64>()
            .resume_from(serde_json::from_value(written).unwrap())
    };
    let mut pages = client.get("/wiki/x").pages::<u64>();
    // Items of a page that were already taken are repeated with the rest of it.
    for rest in [
        [1, 2, 3, 4, 5].as_slice(),
        &[1, 2, 3, 4, 5],
        &[3, 4, 5],
        &[3, 4, 5],
        &[5],
    ] {
        let cursor = pages.cursor().unwrap();
        assert_eq!(collect_numbers(from(&cursor)).await.unwrap(), rest);
        assert!(
            format!("{cursor:?}").starts_with("Cursor(after"),
            "{cursor:?}"
        );
        pages.next().await.unwrap().unwrap();
    }
    assert_eq!(pages.cursor(), None);
    assert!(pages.next().await.is_none());
    // A manipulated cursor cannot lead elsewhere.
    let elsewhere = Server::in_turn(vec![respond(200, json!({ "values": [] }))]).await;
    for address in [
        elsewhere.origin.as_str(),
        "//evil.example/",
        "/ex/jira/other/x",
        "/../../x",
    ] {
        let cursor = json!({ "place": { "at": address }, "seen": 0 });
        let cursor: Cursor = serde_json::from_value(cursor).unwrap();
        let before = server.lines().len();
        let found = collect_numbers(client.get("/wiki/x").pages().resume_from(cursor)).await;
        assert!(found.is_err(), "{address}");
        assert_eq!((server.lines().len(), elsewhere.lines().len()), (before, 0));
    }
}

/// Returns a page of `items` in one of the styles; some items are never shown.
fn cut(items: &[u64], style: u64, at: u64, size: u64, origin: &str) -> serde_json::Value {
    let total = items.len() as u64;
    let end = total.min(at + size);
    let from = usize::try_from(at.min(total)).unwrap();
    let to = usize::try_from(end).unwrap();
    // Multiples of seven are removed after the page was cut.
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

/// Every item is returned in order, regardless of the style, the page sizes and the failures.
#[tokio::test]
async fn no_item_is_missing_from_a_list_of_any_style() {
    let origin = Arc::new(std::sync::OnceLock::<String>::new());
    let at_origin = Arc::clone(&origin);
    let server = Server::start(move |count, request| {
        let place = |name: &str| {
            let (_, rest) = request.target.split_once(&format!("{name}="))?;
            rest.split('&').next()?.parse::<u64>().ok()
        };
        let names = ["startAt", "nextPageToken", "cursor", "at"];
        let at = names.into_iter().find_map(place).unwrap_or(0);
        let [style, length, seed] = request
            .header("x-case")
            .split('-')
            .map(|n| n.parse().unwrap())
            .collect::<Vec<u64>>()[..]
        else {
            panic!("{request:?}");
        };
        if (count as u64 * 31 + seed).is_multiple_of(5) {
            return respond(500, json!({ "message": "for once" }));
        }
        let items: Vec<u64> = (1..=length).collect();
        // Each page has another size.
        let size = 1 + (at * 7 + seed) % 9;
        respond(200, cut(&items, style, at, size, at_origin.get().unwrap()))
    })
    .await;
    origin.set(server.origin.clone()).unwrap();
    let received = scheduled_call_for(&server).await;
    let client = jira(&instant_client(&server), &received);
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
                        // Alternately in this process and in another.
                        Some(Err(error)) if seed % 2 == 0 => assert!(pages.retry_page(), "{error}"),
                        Some(Err(_)) => {
                            let cursor = serde_json::to_string(&pages.cursor()).unwrap();
                            let cursor: Cursor = serde_json::from_str(&cursor).unwrap();
                            pages = call().resume_from(cursor);
                        }
                        None => break,
                    }
                }
                // Where Jira removes items, some may be returned twice.
                found.sort_unstable();
                found.dedup();
                let all = (1..=length).filter(|item| item % 7 != 0);
                assert_eq!(found, all.collect::<Vec<_>>(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_is_fetched_lazily() {
    let server = Server::start(|count, _| {
        respond(
            200,
            json!({ "values": [count], "nextPageToken": count.to_string() }),
        )
    })
    .await;
    let received = scheduled_call_for(&server).await;
    let mut pages: PageStream<u64> = jira(&instant_client(&server), &received)
        .get("/rest/x")
        .pages();
    assert_eq!(server.lines().len(), 0);
    for expected in 0..3 {
        assert_eq!(pages.next().await.unwrap().unwrap(), expected);
        assert_eq!(server.lines().len() as u64, expected + 1);
    }
    // No item is lost when a fetch is dropped and repeated.
    let waiting = tokio::time::timeout(Duration::ZERO, pages.next()).await;
    let next = match waiting {
        Ok(next) => next,
        Err(_) => pages.next().await,
    };
    assert_eq!(next.unwrap().unwrap(), 3);
}
