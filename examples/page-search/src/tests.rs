//! The whole app, with the test kit's fake Confluence.

use std::time::Duration;

use crate::{Index, app_with, read_all};
use forge_remote::client::AtlassianClient;
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::MemoryTokens;
use serde_json::json;

const ANOTHER: &str = "ari:cloud:ecosystem::installation/0a3a7799-53ae-4a5b-9e7e-03338980abb5";

struct Test {
    harness: Harness,
    tokens: Tokens,
    atlassian: AtlassianClient,
    index: Index,
}

async fn start() -> Test {
    // Without a delay, the test does not wait until a removal has settled.
    let tokens = Tokens::new(MemoryTokens::new()).removal_delay(Duration::ZERO);
    let atlassian = AtlassianClient::new();
    let index = Index::default();
    let app = app_with(tokens.clone(), index.clone()).client(atlassian.clone());
    Test {
        harness: Harness::with_apis(app).await.unwrap(),
        tokens,
        atlassian,
        index,
    }
}

impl Test {
    /// Makes Forge's hourly call, which delivers a token.
    async fn hourly_call(&self, installation: Option<&str>) {
        let call = self.harness.call("tokens-hourly");
        let call = match installation {
            Some(installation) => call.fit(|fit| fit.installation(installation)),
            None => call,
        };
        assert_eq!(call.send().await.status(), 200);
    }
}

#[tokio::test]
async fn every_installations_pages_are_indexed_without_a_request() {
    let test = start().await;
    let Test {
        harness,
        tokens,
        atlassian,
        index,
    } = &test;
    read_all(tokens, atlassian, index).await.unwrap();
    assert_eq!(harness.platform().apis().calls().len(), 0);

    for at in 0..600 {
        harness.platform().apis().add_page(&format!("Page {at}"));
    }
    test.hourly_call(None).await;
    test.hourly_call(Some(ANOTHER)).await;
    read_all(tokens, atlassian, index).await.unwrap();

    let installations = tokens.installations().await.unwrap();
    assert_eq!(installations.len(), 2);
    for installation in &installations {
        let found = index.find(installation.installation_id(), "page");
        assert_eq!(found.len(), 601);
        // 42, 142 and so on, and 420 to 429.
        let found = index.find(installation.installation_id(), "42 PAGE");
        assert_eq!(found.len(), 6 + 10);
    }
    assert_eq!(index.find("elsewhere", "page").len(), 0);
    // 250 on a page: three calls for each.
    let calls = harness.platform().apis().calls();
    assert_eq!(calls.len(), 6);
    assert!(
        calls
            .iter()
            .all(|call| call.as_user.is_none() && call.status == 200)
    );

    // A removed installation is removed from the index.
    let goodbye = harness.call("tokens-goodbye");
    let goodbye = goodbye.fit(|fit| fit.installation(ANOTHER)).send().await;
    assert_eq!(goodbye.status(), 200);
    while !index.find(ANOTHER, "page").is_empty() {
        tokio::task::yield_now().await;
    }
    read_all(tokens, atlassian, index).await.unwrap();
    assert_eq!(index.find(ANOTHER, "page").len(), 0);
    let left = tokens.installations().await.unwrap();
    assert_eq!(index.find(left[0].installation_id(), "page").len(), 601);
}

#[tokio::test]
async fn a_new_installations_pages_are_indexed_immediately() {
    let test = start().await;
    let _background = test.harness.start_background().unwrap();
    let event =
        json!({ "eventType": "avi:forge:installed:app", "id": "x", "app": { "version": "1.0.0" } });
    let installed = test.harness.call("installed").json(&event).send().await;
    assert_eq!(installed.status(), 200);

    let search = async |words: &str| {
        let call = test.harness.call("search").json(&json!({ "words": words }));
        call.send().await.json().as_array().map(Vec::len)
    };
    // The background task needs a turn first.
    while search("local page").await != Some(1) {
        tokio::task::yield_now().await;
    }
    assert_eq!(search("another").await, Some(0));
}

/// An expired token does not mean that the app was uninstalled.
#[tokio::test]
async fn an_index_outlives_its_installations_token() {
    let (tokens, atlassian, clock) = (
        Tokens::new(MemoryTokens::new()),
        AtlassianClient::new(),
        TestClock::new(),
    );
    let index = Index::default();
    let app = app_with(tokens.clone(), index.clone())
        .client(atlassian.clone())
        .clock(clock.clone());
    let harness = Harness::with_apis(app).await.unwrap();
    assert_eq!(harness.call("tokens-hourly").send().await.status(), 200);
    read_all(&tokens, &atlassian, &index).await.unwrap();
    let installations = tokens.installations().await.unwrap();
    let installation_id = installations[0].installation_id();
    assert_eq!(index.find(installation_id, "page").len(), 1);

    clock.advance(std::time::Duration::from_secs(5 * 3600));
    assert_eq!(tokens.installations().await.unwrap().len(), 0);
    read_all(&tokens, &atlassian, &index).await.unwrap();
    assert_eq!(index.find(installation_id, "page").len(), 1);
}
