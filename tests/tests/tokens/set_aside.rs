//! Stores that refuse a record, or panic.

#![allow(clippy::unwrap_used)]

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::token::TokenStore as _;
use forge_remote_tests::kept::{HOUR, Kept, MINUTE, ONE, OTHER, ari, tokens_in};
use forge_remote_tests::logged::Logged;
use forge_remote_tests::rig::until;
use forge_remote_tests::stores::Flaky;

#[scheduled_trigger(interval = "hour", auth = system)]
async fn renew() {}

fn app() -> App {
    App::empty()
        .handler(handler!(renew))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

#[tokio::test]
async fn a_record_that_the_store_refuses_does_not_stop_the_others() {
    let logged = Logged::default();
    let _listening = logged.listen();
    let store = Flaky::default();
    let kept = Kept::new(app(), tokens_in(&store)).await;
    let uuid = |at: usize| format!("0a3a7799-0000-4000-a000-{at:012}");
    let bad = uuid(77);
    store.refuse(Some(ari(&bad)));
    store.hold_puts(true);
    // The refused one ends first, so it is always among the next to be written.
    for at in 0..300 {
        let life = if at == 77 { HOUR } else { 2 * HOUR };
        kept.deliver(&uuid(at), &kept.token(life, "")).await;
    }
    store.hold_puts(false);
    let error = kept.tokens.flush().await.unwrap_err().to_string();
    assert!(!error.contains(&bad));
    assert!(until(|| kept.tokens.stats().pending == 1).await);
    for at in 0..300 {
        let kept = store.get(&ari(&uuid(at))).await.unwrap();
        assert_eq!(kept.is_some(), at != 77, "{at}");
    }
    assert!(logged.has("the store rejects this record") && logged.has(&bad));
    let puts = store.puts().len();
    assert!(puts < 40, "{puts}");
    // It is still handed out, and tried again later: not in a loop.
    assert!(kept.system(&bad).await.is_ok());
    kept.minutes(10).await;
    let again = store.puts().len() - puts;
    assert!(again < 10, "{again}");
    // Others are written meanwhile.
    kept.deliver(ONE, &kept.token(3 * HOUR, "")).await;
    assert!(until(|| kept.tokens.stats().pending == 1).await);
    store.refuse(None);
    kept.tokens.flush().await.unwrap();
    assert!(store.get(&ari(&bad)).await.unwrap().is_some());
}

/// Real stores have limits of their own: PostgreSQL takes no NUL, and no key of some KB.
#[tokio::test]
async fn ids_that_no_store_has_to_take_are_not_kept() {
    let store = Flaky::default();
    let kept = Kept::new(app(), tokens_in(&store)).await;
    let long = "x".repeat(2000);
    for odd in ["nul\0", &long] {
        // No token names one, since verification rejects it; the app itself may.
        assert!(kept.tokens.remove(&ari(odd)).await.is_ok());
    }
    kept.deliver(ONE, &kept.token(2 * HOUR, "")).await;
    kept.tokens.flush().await.unwrap();
    assert_eq!(kept.listed().await, [ari(ONE)]);
    assert_eq!(store.puts(), [1]);
}

#[tokio::test]
async fn a_store_that_panics_neither_spins_nor_hangs() {
    let store = Flaky::default();
    let kept = Kept::new(app(), tokens_in(&store)).await;
    kept.deliver(OTHER, &kept.token(2 * HOUR, "")).await;
    kept.tokens.flush().await.unwrap();
    store.panics(true);
    kept.deliver(ONE, &kept.token(2 * HOUR, "")).await;
    let soon = std::time::Duration::from_secs(10);
    let flushed = tokio::time::timeout(soon, kept.tokens.flush()).await;
    assert!(flushed.unwrap().is_err());
    let removed = tokio::time::timeout(soon, kept.tokens.remove(&ari(OTHER))).await;
    assert!(removed.unwrap().is_err());
    // Pauses by the clock, which stands still.
    let puts = store.puts().len();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(store.puts().len() <= puts + 1, "{puts}");
    store.panics(false);
    kept.clock.advance(MINUTE);
    assert!(until(|| kept.tokens.stats().pending == 0).await);
    assert!(store.get(&ari(ONE)).await.unwrap().is_some());
}

/// A record of a removal has to go; what another instance writes after that was read stays.
#[tokio::test]
async fn what_another_instance_writes_between_look_and_replacement_stays() {
    let store = Flaky::default();
    let kept = Kept::new(app(), tokens_in(&store)).await;
    kept.tokens.remove(&ari(ONE)).await.unwrap();
    kept.clock.advance(3 * MINUTE);
    let later = {
        let scratch = Flaky::default();
        let other = Kept::at(kept.clock.clone(), app(), tokens_in(&scratch)).await;
        other.deliver(ONE, &other.token(4 * HOUR, "later")).await;
        other.tokens.flush().await.unwrap();
        scratch.get(&ari(ONE)).await.unwrap().unwrap()
    };
    let written = later.clone();
    store.after_get(move |store| {
        let id = &written.installation_id;
        let there = futures_util::FutureExt::now_or_never(store.get(id));
        let there = there.unwrap().unwrap().unwrap();
        let replaced = store.replace_if(there.sealed, written.clone());
        let replaced = futures_util::FutureExt::now_or_never(replaced);
        assert!(replaced.unwrap().unwrap());
    });
    kept.deliver(ONE, &kept.token(3 * HOUR, "earlier")).await;
    kept.tokens.flush().await.unwrap();
    assert!(store.get(&ari(ONE)).await.unwrap() == Some(later));
}
