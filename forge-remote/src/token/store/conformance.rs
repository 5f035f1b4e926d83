//! A suite of requirements for token stores: for this crate's stores and for an app's own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::interface::{PageRequest, SealedToken, TokenStore, from_millis, to_millis};
use crate::conformance::{Case, ConformanceError, Failure, expect, same};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// Checks that a [`TokenStore`] meets the trait's requirements.
///
/// These are the precedence of records, the atomic operations, listing by pages, the index by site,
/// purging and the key check. The store must be empty and used by this test only: every record is
/// deleted. The first unmet requirement is returned as an error; if the store is not empty, nothing
/// is changed and an error is returned.
///
/// ```
/// use std::sync::Arc;
/// use forge_remote::testing::token_store_conformance;
/// use forge_remote::token::MemoryTokens;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> forge_remote::Result<()> {
/// token_store_conformance(Arc::new(MemoryTokens::new())).await?;
/// # Ok(())
/// # }
/// ```
pub async fn token_store_conformance(store: Arc<dyn TokenStore>) -> Result<(), ConformanceError> {
    let failed = |requirement| move |failure: Failure| failure.of(requirement);
    opens(&*store)
        .await
        .map_err(failed("the store opens, twice as well, and is empty"))?;
    macro_rules! check {
        ($($case:ident: $requirement:literal,)*) => {$(
            clear(&*store).await.map_err(failed("records are listed and removed"))?;
            $case(Arc::clone(&store)).await.map_err(failed($requirement))?;
        )*};
    }
    check! {
        keeps_every_part: "a record is returned as it was put, regardless of its bytes",
        later_end_wins: "of two records, the one with the later end stays",
        equal_end_replaces: "a record with the same end replaces the existing one",
        invalid_end_yields: "a record whose end is more than 2 days later does not block a write",
        lists_by_pages: "records are listed by pages, in the order of their ids' bytes",
        lists_expiring: "records that end before a time are listed",
        finds_by_site: "records are found by site, and follow a change of sites",
        replaces_if_same: "replace_if replaces the expected record only, regardless of the ends",
        removes_if_same: "remove_if removes the expected record only",
        replaces_atomically: "of concurrent replace_if calls, one replaces",
        purges: "purge removes the records that ended before a time, and returns their number",
        newest_of_many_writers: "of many concurrent writers, the newest record stays",
        swaps_key_check: "the key check is swapped atomically, and is not a record",
    }
    clear(&*store)
        .await
        .map_err(failed("records are listed and removed"))
}

async fn opens(store: &dyn TokenStore) -> Case {
    store.open().await?;
    store.open().await?;
    expect(!store.name().is_empty(), "it has no name")?;
    let listed = store.list(PageRequest::first(1)).await?;
    expect(
        listed.tokens.is_empty(),
        "the store is not empty: use a separate, empty store for this suite",
    )
}

async fn all(store: &dyn TokenStore, mut page: PageRequest) -> Result<Vec<SealedToken>, Failure> {
    let mut tokens = Vec::new();
    // One more page than there can be ends a listing that never ends.
    for _ in 0..1000 {
        let listed = store.list(page.clone()).await?;
        expect(
            listed.tokens.len() <= page.limit as usize,
            "a page is longer than its limit",
        )?;
        tokens.extend(listed.tokens);
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return Ok(tokens),
        }
    }
    Err(Failure::Unexpected("the listing does not end".to_owned()))
}

async fn clear(store: &dyn TokenStore) -> Case {
    for token in all(store, PageRequest::first(500)).await? {
        let removed = store
            .remove_if(&token.installation_id, token.sealed)
            .await?;
        expect(removed, "a listed record could not be removed")?;
    }
    Ok(())
}

/// Returns the current time in whole seconds, which every store can represent.
fn now() -> SystemTime {
    from_millis(to_millis(SystemTime::now()) / 1000 * 1000)
}

fn id(number: usize) -> String {
    format!("ari:cloud:ecosystem::installation/00000000-0000-4000-a000-{number:012}")
}

fn record(number: usize, ends: SystemTime) -> SealedToken {
    SealedToken {
        installation_id: id(number),
        expires_at: ends,
        cloud_ids: vec!["every-site".to_owned(), format!("site-{}", number / 2)],
        sealed: format!("{number} {}", to_millis(ends)).into_bytes(),
    }
}

async fn is_kept(store: &dyn TokenStore, expected: &SealedToken) -> Case {
    let found = store.get(&expected.installation_id).await?;
    expect(found.as_ref() == Some(expected), "another record is there")
}

async fn keeps_every_part(store: Arc<dyn TokenStore>) -> Case {
    expect(
        store.get(&id(1)).await?.is_none(),
        "a missing record is there",
    )?;
    let mut token = record(1, now() + HOUR);
    token.sealed = (0..=255).cycle().take(5000).collect();
    token.installation_id = "ari:%_'\"é/ {}*?[a]".to_owned();
    store.put(vec![token.clone()]).await?;
    is_kept(&*store, &token).await?;
    token.cloud_ids = Vec::new();
    store.put(vec![token.clone()]).await?;
    is_kept(&*store, &token).await?;
    store.put(Vec::new()).await?;
    is_kept(&*store, &token).await
}

async fn later_end_wins(store: Arc<dyn TokenStore>) -> Case {
    let (early, late) = (record(1, now() + HOUR), record(1, now() + 2 * HOUR));
    for order in [[&early, &late], [&late, &early]] {
        clear(&*store).await?;
        let mut outdated = Vec::new();
        for token in order {
            outdated.extend(store.put(vec![token.clone()]).await?);
        }
        let is_late_first = order[0] == &late;
        let expected: &[String] = if is_late_first { &[id(1)] } else { &[] };
        expect(
            outdated == expected,
            format!("`put` returns {outdated:?} as the installations with a later record"),
        )?;
        is_kept(&*store, &late).await?;
        clear(&*store).await?;
        store.put(order.map(Clone::clone).to_vec()).await?;
        is_kept(&*store, &late).await?;
    }
    Ok(())
}

async fn equal_end_replaces(store: Arc<dyn TokenStore>) -> Case {
    let old = record(1, now() + HOUR);
    let new = SealedToken {
        sealed: b"new".to_vec(),
        ..old.clone()
    };
    store.put(vec![old]).await?;
    store.put(vec![new.clone()]).await?;
    is_kept(&*store, &new).await
}

async fn invalid_end_yields(store: Arc<dyn TokenStore>) -> Case {
    store.put(vec![record(1, now() + 1000 * DAY)]).await?;
    let token = record(1, now() + HOUR);
    store.put(vec![token.clone()]).await?;
    is_kept(&*store, &token).await?;
    // A day later is still valid.
    let late = record(1, now() + DAY);
    store.put(vec![late.clone()]).await?;
    store.put(vec![token]).await?;
    is_kept(&*store, &late).await
}

async fn lists_by_pages(store: Arc<dyn TokenStore>) -> Case {
    let tokens: Vec<_> = (0..25).map(|at| record(at, now() + HOUR)).collect();
    let shuffled = tokens[12..].iter().chain(&tokens[..12]);
    store.put(shuffled.cloned().collect()).await?;
    for limit in [1, 4, 24, 25, 26, 500] {
        let listed = all(&*store, PageRequest::first(limit)).await?;
        expect(listed == tokens, format!("other records, by {limit}"))?;
    }
    let after = PageRequest {
        after: Some(format!("{}0", id(20))),
        ..PageRequest::first(3)
    };
    let listed = all(&*store, after).await?;
    expect(
        listed == tokens[21..],
        "a page must begin after its id, whether that id exists or not",
    )
}

async fn lists_expiring(store: Arc<dyn TokenStore>) -> Case {
    let (now, second) = (now(), Duration::from_secs(1));
    let tokens: Vec<_> = (0..20)
        .map(|at| record(at, now + HOUR + second * at as u32))
        .collect();
    store.put(tokens.clone()).await?;
    let page = PageRequest {
        ends_before: Some(tokens[10].expires_at),
        ..PageRequest::first(3)
    };
    let listed = all(&*store, page).await?;
    expect(listed == tokens[..10], "other records")
}

async fn finds_by_site(store: Arc<dyn TokenStore>) -> Case {
    let tokens: Vec<_> = (0..10).map(|at| record(at, now() + HOUR)).collect();
    store.put(tokens.clone()).await?;
    let find_by_site = async |site: &str| -> Result<BTreeSet<String>, Failure> {
        let found = store.find_by_site(site).await?;
        Ok(found
            .into_iter()
            .map(|token| token.installation_id)
            .collect())
    };
    same(
        find_by_site("site-3").await?,
        BTreeSet::from([id(6), id(7)]),
        "a site of two",
    )?;
    same(
        find_by_site("every-site").await?.len(),
        10,
        "the site of all",
    )?;
    same(
        find_by_site("site-").await?.len(),
        0,
        "the beginning of a site's id",
    )?;
    let mut moved = record(6, now() + 2 * HOUR);
    moved.cloud_ids = vec!["site-9".to_owned()];
    store.put(vec![moved.clone()]).await?;
    same(
        find_by_site("site-3").await?,
        BTreeSet::from([id(7)]),
        "the site that it left",
    )?;
    same(
        find_by_site("site-9").await?,
        BTreeSet::from([id(6)]),
        "its new site",
    )?;
    store
        .replace_if(moved.sealed, record(6, now() + HOUR))
        .await?;
    same(
        find_by_site("site-3").await?,
        BTreeSet::from([id(6), id(7)]),
        "after replace_if",
    )?;
    store.remove_if(&id(7), tokens[7].sealed.clone()).await?;
    same(
        find_by_site("site-3").await?,
        BTreeSet::from([id(6)]),
        "after a removal",
    )
}

async fn replaces_if_same(store: Arc<dyn TokenStore>) -> Case {
    let (early, late) = (record(1, now() + HOUR), record(1, now() + 2 * HOUR));
    let replace = |expected: &SealedToken, new: &SealedToken| {
        store.replace_if(expected.sealed.clone(), new.clone())
    };
    expect(
        !replace(&late, &early).await?,
        "a missing record was replaced",
    )?;
    expect(
        store.get(&id(1)).await?.is_none(),
        "replace_if put a record",
    )?;
    store
        .put(vec![late.clone(), record(2, now() + HOUR)])
        .await?;
    expect(
        !replace(&early, &early).await?,
        "another record was replaced",
    )?;
    is_kept(&*store, &late).await?;
    expect(
        replace(&late, &early).await?,
        "the expected record was not replaced",
    )?;
    is_kept(&*store, &early).await?;
    expect(!replace(&late, &early).await?, "it was replaced twice")?;
    is_kept(
        &*store,
        &record(
            2,
            store.get(&id(2)).await?.map_or(now(), |two| two.expires_at),
        ),
    )
    .await
}

async fn removes_if_same(store: Arc<dyn TokenStore>) -> Case {
    let token = record(1, now() + HOUR);
    store.put(vec![token.clone()]).await?;
    let other = store.remove_if(&id(1), b"other".to_vec()).await?;
    expect(!other, "another record was removed")?;
    is_kept(&*store, &token).await?;
    let removed = store.remove_if(&id(1), token.sealed.clone()).await?;
    expect(removed, "the expected record was not removed")?;
    expect(store.get(&id(1)).await?.is_none(), "it is still there")?;
    let again = store.remove_if(&id(1), token.sealed).await?;
    expect(!again, "a missing record was removed")
}

async fn replaces_atomically(store: Arc<dyn TokenStore>) -> Case {
    let token = record(1, now() + HOUR);
    store.put(vec![token.clone()]).await?;
    let calls = (0..16_u8).map(|at| {
        let new = SealedToken {
            sealed: vec![at],
            ..token.clone()
        };
        store.replace_if(token.sealed.clone(), new)
    });
    let replaced = futures_util::future::try_join_all(calls).await?;
    same(
        replaced.iter().filter(|done| **done).count(),
        1,
        "how many replaced",
    )?;
    let number = replaced.iter().position(|done| *done);
    let kept = store.get(&id(1)).await?.map(|kept| kept.sealed);
    let expected = number
        .and_then(|number| u8::try_from(number).ok())
        .map(|at| vec![at]);
    same(kept, expected, "the record of the one that did")
}

async fn purges(store: Arc<dyn TokenStore>) -> Case {
    let tokens: Vec<_> = (0..10)
        .map(|at| record(at, now() + HOUR * (at as u32 + 1)))
        .collect();
    store.put(tokens.clone()).await?;
    let before = tokens[3].expires_at;
    same(store.purge(before).await?, 3, "how many were purged")?;
    same(store.purge(before).await?, 0, "how many the second time")?;
    let left = all(&*store, PageRequest::first(4)).await?;
    expect(left == tokens[3..], "others are left")?;
    let find_by_site = store.find_by_site("site-0").await?;
    expect(
        find_by_site.is_empty(),
        "a purged record is found by its site",
    )
}

async fn newest_of_many_writers(store: Arc<dyn TokenStore>) -> Case {
    let base = now() + HOUR;
    let end = |version: usize| base + Duration::from_secs(version as u64);
    let puts = (0..12).map(|writer| {
        // Each in another order, so that each is the last for some records.
        let tokens = (0..12).map(|at| record((at * 5 + writer) % 12, end((writer + at) % 12)));
        store.put(tokens.collect())
    });
    futures_util::future::try_join_all(puts).await?;
    for number in 0..12 {
        let newest = (0..12)
            .flat_map(|writer| (0..12).map(move |at| (writer, at)))
            .filter(|(writer, at)| (at * 5 + writer) % 12 == number)
            .map(|(writer, at)| (writer + at) % 12)
            .max();
        is_kept(&*store, &record(number, end(newest.unwrap_or_default()))).await?;
    }
    Ok(())
}

async fn swaps_key_check(store: Arc<dyn TokenStore>) -> Case {
    let swap = |expected: Option<&str>, new: &str| {
        let expected = expected.map(|text| text.as_bytes().to_vec());
        store.compare_and_swap_key_check(expected, new.as_bytes().to_vec())
    };
    let first = swap(None, "one").await?;
    let other = swap(Some("unknown"), "two").await?;
    if first == b"one" && other == b"two" {
        // The trait's default: a store without a key check.
        return Ok(());
    }
    same(other, first.clone(), "a swap for another one")?;
    let swapped = store
        .compare_and_swap_key_check(Some(first), b"two".to_vec())
        .await?;
    same(swapped, b"two".to_vec(), "a swap for the current one")?;
    same(
        swap(None, "three").await?,
        b"two".to_vec(),
        "a swap for a missing one",
    )?;
    store.purge(now() + 1000 * DAY).await?;
    let listed = store.list(PageRequest::first(10)).await?;
    expect(listed.tokens.is_empty(), "the key check is listed")?;
    same(swap(None, "three").await?, b"two".to_vec(), "after a purge")
}
