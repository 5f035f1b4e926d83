//! An app that keeps tokens: in process, with a clock that stands still.

use std::time::Duration;

use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::TokenError;

use crate::stores::{Flaky, KEYS, oauth};

/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);
/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// An installation.
pub const ONE: &str = "0a3a7799-0000-4000-a000-000000000001";
/// Another.
pub const OTHER: &str = "0a3a7799-0000-4000-a000-000000000002";

/// An installation's ARI.
pub fn ari(uuid: &str) -> String {
    format!("ari:cloud:ecosystem::installation/{uuid}")
}

/// Tokens in this store, with the first key.
pub fn tokens_in(store: &Flaky) -> Tokens {
    Tokens::new(store.clone()).keys(KEYS[0])
}

/// Tokens in this store as a new instance has them, opened.
pub async fn instance(store: &Flaky) -> Tokens {
    let tokens = tokens_in(store);
    tokens.open().await.unwrap();
    tokens
}

/// An app with its tokens, and a hand on its clock. Its `renew` brings tokens.
#[derive(Debug)]
pub struct Kept {
    /// The app.
    pub harness: Harness,
    /// Its tokens.
    pub tokens: Tokens,
    /// Its clock.
    pub clock: TestClock,
}

impl Kept {
    /// The app, started.
    pub async fn new(app: App, tokens: Tokens) -> Self {
        Self::at(TestClock::new(), app, tokens).await
    }

    /// The app, started, by this clock.
    pub async fn at(clock: TestClock, app: App, tokens: Tokens) -> Self {
        let app = app.clock(clock.clone()).token_store(tokens.clone());
        let harness = Harness::new(app.connect().await.unwrap()).unwrap();
        Self {
            harness,
            tokens,
            clock,
        }
    }

    /// A system token that ends so long from now.
    pub fn token(&self, life: Duration, mark: &str) -> String {
        oauth(self.clock.now() + life, mark)
    }

    /// Forge delivers a token.
    pub async fn deliver(&self, uuid: &str, token: &str) {
        let call = self.harness.call("renew").fit(|fit| fit.installation(uuid));
        let answer = call.header("x-forge-oauth-system", token).send().await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }

    /// The token that is handed out.
    pub async fn system(&self, uuid: &str) -> Result<String, TokenError> {
        let token = self.tokens.system(&ari(uuid)).await;
        token.map(|token| token.expose_secret().to_owned())
    }

    /// The installations that are listed.
    pub async fn listed(&self) -> Vec<String> {
        let listed = self.tokens.installations().await.unwrap();
        let ids = listed.iter().map(|one| one.installation_id().to_owned());
        ids.collect()
    }

    /// Lets time pass a minute at a time, with a turn for every task.
    pub async fn minutes(&self, count: u32) {
        for _ in 0..count {
            self.clock.advance(MINUTE);
            turns().await;
        }
    }
}

/// Some turns for every task.
pub async fn turns() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
