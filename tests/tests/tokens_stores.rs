//! One suite over every store of tokens.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_remote::token::{Page, SealedToken, TokenStore};
use forge_remote_tests::stores::{Place, in_seconds, installation, places, sealed};

async fn get(store: &dyn TokenStore, at: usize) -> Option<SealedToken> {
    store.get(&installation(at)).await.unwrap()
}

async fn all(store: &dyn TokenStore, limit: u32, ends_before: Option<SystemTime>) -> Vec<String> {
    let mut page = Page {
        ends_before,
        ..Page::first(limit)
    };
    let mut ids = Vec::new();
    loop {
        let listed = store.list(page.clone()).await.unwrap();
        assert!(listed.tokens.len() <= limit as usize);
        ids.extend(listed.tokens.into_iter().map(|token| token.installation_id));
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn the_later_end_wins_in_any_order() {
    for place in places().await {
        let store = place.open().await;
        let (early, late) = (sealed(1, in_seconds(100)), sealed(1, in_seconds(200)));
        for order in [[&early, &late], [&late, &early]] {
            for token in order {
                store.put(vec![token.clone()]).await.unwrap();
            }
            assert!(get(&*store, 1).await.as_ref() == Some(&late), "{place:?}");
            store.remove(&installation(1)).await.unwrap();
            assert!(get(&*store, 1).await.is_none(), "{place:?}");
        }
        // In one go too; one with the same end takes the place, for what is beside it may differ.
        let mut moved = late.clone();
        moved.cloud_ids = vec!["cloud-9".to_owned()];
        let all = vec![early.clone(), late.clone(), moved.clone(), early.clone()];
        store.put(all).await.unwrap();
        assert!(get(&*store, 1).await.as_ref() == Some(&moved), "{place:?}");
        assert_eq!(
            store.on_site("everywhere").await.unwrap().len(),
            0,
            "{place:?}"
        );
        assert_eq!(
            store.on_site("cloud-9").await.unwrap().len(),
            1,
            "{place:?}"
        );
    }
}

#[tokio::test]
async fn tokens_are_found_listed_removed_and_purged() {
    for place in places().await {
        let store = place.open().await;
        let tokens: Vec<_> = (0..25)
            .map(|at| sealed(at, in_seconds(1000 + at as u64)))
            .collect();
        store.put(tokens.clone()).await.unwrap();
        let names = |range: std::ops::Range<usize>| range.map(installation).collect::<Vec<_>>();

        assert_eq!(all(&*store, 4, None).await, names(0..25), "{place:?}");
        assert_eq!(all(&*store, 25, None).await, names(0..25), "{place:?}");
        assert_eq!(all(&*store, 500, None).await, names(0..25), "{place:?}");
        let before = Some(in_seconds(0) + Duration::from_secs(1010));
        let ending = all(&*store, 4, before).await;
        // The seconds may have gone on by one since.
        assert!(
            ending.len() == 10 || ending.len() == 11,
            "{place:?}: {ending:?}"
        );

        let found = store.on_site("cloud-3").await.unwrap();
        assert!(found == tokens[6..8], "{place:?}");
        assert!(
            store.on_site("cloud-").await.unwrap().is_empty(),
            "{place:?}"
        );
        store.remove(&installation(6)).await.unwrap();
        store.remove(&installation(6)).await.unwrap();
        assert!(
            store.on_site("cloud-3").await.unwrap() == tokens[7..8],
            "{place:?}"
        );

        let purged = store.purge(tokens[3].expires_at).await.unwrap();
        assert_eq!(purged, 3, "{place:?}");
        assert_eq!(all(&*store, 7, None).await.len(), 21, "{place:?}");
        assert_eq!(
            store.purge(tokens[3].expires_at).await.unwrap(),
            0,
            "{place:?}"
        );
        store.purge(in_seconds(100_000)).await.unwrap();
        assert!(all(&*store, 7, None).await.is_empty(), "{place:?}");
        assert!(
            store.on_site("cloud-7").await.unwrap().is_empty(),
            "{place:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_may_open_at_once() {
    for place in places().await {
        let place: Arc<Place> = Arc::new(place);
        let opening: Vec<_> = (0..12)
            .map(|at| {
                let place = Arc::clone(&place);
                tokio::spawn(async move {
                    let store = place.open().await;
                    store.put(vec![sealed(at, in_seconds(100))]).await.unwrap();
                })
            })
            .collect();
        for opened in opening {
            opened.await.unwrap();
        }
        let store = place.open().await;
        assert_eq!(all(&*store, 100, None).await.len(), 12, "{place:?}");
    }
}

/// Numbers in no order; always the same.
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut keyed: Vec<(u64, usize)> = (0..count)
        .map(|at| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(seed | 1);
            (state >> 20, at)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, at)| at).collect()
}

/// 1,000 installations, 4 writers with connections of their own, each with 4 tokens for each
/// installation, in random order and random batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_installations_end_with_the_newest_token() {
    const INSTALLATIONS: usize = 1000;
    const WRITERS: usize = 4;
    const EACH: usize = 4;
    for place in places().await {
        let base = in_seconds(1000);
        let end = move |version: usize| base + Duration::from_secs(version as u64);
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let store = place.open().await;
            writers.push(tokio::spawn(async move {
                let order = shuffled(INSTALLATIONS * EACH, writer as u64 + 1);
                for (turn, batch) in order.chunks(97).enumerate() {
                    let tokens = batch.iter().map(|number| {
                        let (at, version) = (number / EACH, number % EACH);
                        sealed(at, end(version * WRITERS + (writer + at) % WRITERS))
                    });
                    if turn % 3 == 0 {
                        for token in tokens {
                            store.put(vec![token]).await.unwrap();
                        }
                    } else {
                        store.put(tokens.collect()).await.unwrap();
                    }
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let store = place.open().await;
        let newest = end(WRITERS * EACH - 1);
        let mut kept = BTreeMap::new();
        let mut page = Page::first(300);
        loop {
            let listed = store.list(page.clone()).await.unwrap();
            for token in listed.tokens {
                kept.insert(token.installation_id.clone(), token);
            }
            match listed.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(kept.len(), INSTALLATIONS, "{place:?}");
        for at in 0..INSTALLATIONS {
            let expected = sealed(at, newest);
            assert!(
                kept[&expected.installation_id] == expected,
                "{place:?}: {at}"
            );
        }
    }
}
