//! An app that stores tokens, in process, with a clock that only advances on demand.

use std::time::Duration;

use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{Harness, TestClock};
use forge_remote::token::TokenError;
use futures_util::future::BoxFuture;

use crate::stores::{FlakyStore, KEYS, oauth};

/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);
/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// The UUID of an installation.
pub const ONE: &str = "0a3a7799-0000-4000-a000-000000000001";
/// The UUID of another installation.
pub const OTHER: &str = "0a3a7799-0000-4000-a000-000000000002";

/// Returns the ARI of an installation.
pub fn ari(uuid: &str) -> String {
    format!("ari:cloud:ecosystem::installation/{uuid}")
}

/// Returns tokens in this store, with the first key.
pub fn tokens_in(store: &FlakyStore) -> Tokens {
    Tokens::new(store.clone()).keys(KEYS[0])
}

/// Returns opened tokens in this store, as a new instance has.
pub async fn open_tokens(store: &FlakyStore) -> Tokens {
    let tokens = tokens_in(store);
    tokens.open().await.unwrap();
    tokens
}

/// A handler that receives a system token.
#[scheduled_trigger(interval = "hour", auth = system)]
pub async fn renew() {}

/// Returns an app with the handler `renew`.
pub fn renewing_app() -> App {
    App::empty()
        .handler(handler!(renew))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
}

/// Starts [`renewing_app`] with tokens in this store.
pub async fn start_on(store: &FlakyStore) -> TokenApp {
    TokenApp::new(renewing_app(), tokens_in(store)).await
}

/// An app with its tokens and its clock. Its handler `renew` receives tokens.
#[derive(Debug)]
pub struct TokenApp {
    /// The app.
    pub harness: Harness,
    /// Its tokens.
    pub tokens: Tokens,
    /// Its clock.
    pub clock: TestClock,
}

impl TokenApp {
    /// Starts the app.
    pub async fn new(app: App, tokens: Tokens) -> Self {
        Self::at(TestClock::new(), app, tokens).await
    }

    /// Starts the app on this clock.
    pub fn at(clock: TestClock, app: App, tokens: Tokens) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let app = app.clock(clock.clone()).token_store(tokens.clone());
            let harness = Harness::new(app.connect().await.unwrap()).unwrap();
            Self {
                harness,
                tokens,
                clock,
            }
        })
    }

    /// Returns a system token that expires this long from now.
    pub fn token(&self, life: Duration, mark: &str) -> String {
        oauth(self.clock.now() + life, mark)
    }

    /// Delivers a token, as Forge does.
    pub fn deliver<'a>(&'a self, uuid: &'a str, token: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let call = self.harness.call("renew").fit(|fit| fit.installation(uuid));
            let response = call.header("x-forge-oauth-system", token).send().await;
            assert_eq!(response.status(), 200, "{response:?}");
        })
    }

    /// Returns the system token that the app gets for an installation.
    pub async fn system(&self, uuid: &str) -> Result<String, TokenError> {
        let token = self.tokens.system(&ari(uuid)).await;
        token.map(|token| token.expose_secret().to_owned())
    }

    /// Returns the ids of the listed installations.
    pub async fn listed(&self) -> Vec<String> {
        let listed = self.tokens.installations().await.unwrap();
        let ids = listed.iter().map(|one| one.installation_id().to_owned());
        ids.collect()
    }

    /// Advances the clock a minute at a time, and lets tasks run after each.
    pub async fn minutes(&self, count: u32) {
        for _ in 0..count {
            self.clock.advance(MINUTE);
            yield_to_tasks().await;
        }
    }
}

/// Lets every task run for some turns.
pub async fn yield_to_tasks() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
