//! An installation is bound to the cloud whose keys signed its first call.

use forge_remote::fit::AppId;
use forge_remote::handler;
use forge_remote::prelude::*;
use forge_remote::testing::{Platform, TEST_APP_ID};
use forge_remote_tests::jwks_server::{JwksResponse, JwksServer};
use forge_remote_tests::stores::FlakyStore;
use forge_remote_tests::token_app::{
    HOUR, ONE, OTHER, TokenApp, ari, open_tokens, renewing_app, tokens_in,
};

#[pre_uninstall]
async fn goodbye(call: Invocation, tokens: Tokens) -> Result<()> {
    tokens.remove(call.installation_id()).await?;
    Ok(())
}

/// An isolated cloud with its own key.
struct Orange {
    platform: Platform,
    keys: JwksServer,
}

impl Orange {
    async fn new() -> Self {
        let app_id: AppId = TEST_APP_ID.parse().unwrap();
        let platform = Platform::new(app_id).unwrap();
        let keys = JwksServer::start(JwksResponse::Keys(platform.key_set())).await;
        Self { platform, keys }
    }

    async fn app(&self, store: &FlakyStore) -> TokenApp {
        let builder = renewing_app()
            .handler(handler!(goodbye))
            .isolated_cloud("orange", self.keys.url());
        TokenApp::new(builder, tokens_in(store)).await
    }

    /// Returns the status of a call with a token, signed by this cloud.
    async fn call(&self, app: &TokenApp, key: &str, uuid: &str, token: &str) -> u16 {
        let fit = self.platform.fit().module("core:endpoint", key);
        let fit = fit.installation(uuid).set("/icLabel", "orange".into());
        let call = app.harness.call(key).fit(|_| fit);
        let call = call.header("x-forge-oauth-system", token);
        call.send().await.status()
    }
}

#[tokio::test]
async fn another_cloud_neither_replaces_nor_removes_an_installations_token() {
    let (store, orange) = (FlakyStore::default(), Orange::new().await);
    let app = orange.app(&store).await;
    let (own, planted) = (app.token(2 * HOUR, "own"), app.token(3 * HOUR, "orange"));
    app.deliver(ONE, &own).await;
    app.tokens.flush().await.unwrap();
    let removed = |uuid: &'static str| {
        let tokens = app.tokens.clone();
        async move { tokens.system(&ari(uuid)).await.is_err() }
    };

    assert_eq!(orange.call(&app, "renew", ONE, &planted).await, 401);
    assert_eq!(app.system(ONE).await.unwrap(), own);
    assert_eq!(orange.call(&app, "goodbye", ONE, &planted).await, 401);
    assert_eq!(app.system(ONE).await.unwrap(), own);
    assert!(!removed(ONE).await);
    let site = app.tokens.installation(&ari(ONE)).await.unwrap();
    assert_eq!(site.isolated_cloud_label(), None);

    // The commercial cloud's keys cannot affect the isolated cloud's installations either.
    assert_eq!(orange.call(&app, "renew", OTHER, &planted).await, 200);
    assert_eq!(app.system(OTHER).await.unwrap(), planted);
    let call = app
        .harness
        .call("goodbye")
        .fit(|fit| fit.installation(OTHER));
    assert_eq!(call.send().await.status(), 401);
    assert_eq!(app.system(OTHER).await.unwrap(), planted);
    assert_eq!(orange.call(&app, "goodbye", OTHER, &planted).await, 200);
    assert!(removed(OTHER).await);
}

/// A new instance reads the binding from the store.
#[tokio::test]
async fn the_binding_is_read_from_the_store() {
    let (store, orange) = (FlakyStore::default(), Orange::new().await);
    let first = orange.app(&store).await;
    let (own, planted) = (
        first.token(2 * HOUR, "own"),
        first.token(3 * HOUR, "orange"),
    );
    first.deliver(ONE, &own).await;
    first.tokens.flush().await.unwrap();
    for key in ["goodbye", "renew"] {
        let second = orange.app(&store).await;
        orange.call(&second, key, ONE, &planted).await;
        second.tokens.flush().await.unwrap();
        assert_eq!(second.system(ONE).await.unwrap(), own, "{key}");
        let third = open_tokens(&store).await;
        let seen = third.system(&ari(ONE)).await.unwrap();
        assert_eq!(seen.expose_secret(), own, "{key}");
    }
}
