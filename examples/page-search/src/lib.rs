#![doc = include_str!("../README.md")]

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use forge_remote::Shutdown;
use forge_remote::client::AtlassianClient;
use forge_remote::prelude::*;
use forge_remote::token::Installation;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// The interval at which every installation is read.
const REFRESH_INTERVAL: Duration = Duration::from_secs(600);

/// The indexed fields of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The page's id.
    pub id: String,
    /// The page's title.
    pub title: String,
}

/// The pages of every installation. The example keeps them in memory and rebuilds them at each
/// start; a production app would use a database. `None` marks an installation that was removed.
#[derive(Clone, Debug, Default)]
pub struct Index(Arc<RwLock<BTreeMap<String, Option<Vec<Page>>>>>);

impl Index {
    /// Returns the pages of an installation that have every word in their title.
    pub fn find(&self, installation_id: &str, words: &str) -> Vec<Page> {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let pages = all.get(installation_id).into_iter().flatten().flatten();
        let found = pages.filter(|page| {
            let title = page.title.to_lowercase();
            words.iter().all(|word| title.contains(word))
        });
        found.cloned().collect()
    }

    fn put(&self, installation_id: &str, pages: Vec<Page>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let indexed = all
            .entry(installation_id.to_owned())
            .or_insert(Some(Vec::new()));
        // The installation may have been removed while its pages were read.
        if let Some(indexed) = indexed {
            *indexed = pages;
        }
    }

    /// Removes an installation permanently: after a new installation, it has another id.
    fn remove(&self, installation_id: &str) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(installation_id.to_owned(), None);
    }
}

/// A signal for the background task to refresh the index immediately.
#[derive(Clone, Debug, Default)]
pub struct RefreshSignal(Arc<Notify>);

/// Refreshes the index for as long as the app serves.
pub async fn refresh_index(
    tokens: Tokens,
    atlassian: AtlassianClient,
    State(index): State<Index>,
    State(signal): State<RefreshSignal>,
    shutdown: Shutdown,
) -> Result<()> {
    while !shutdown.is_requested() {
        // The next round retries after an error.
        if let Err(error) = read_all(&tokens, &atlassian, &index).await {
            tracing::warn!(%error, "the installations could not be listed");
        }
        tokio::select! {
            () = tokio::time::sleep(REFRESH_INTERVAL) => {}
            () = signal.0.notified() => {}
            () = shutdown.requested() => {}
        }
    }
    Ok(())
}

/// Reads every installation's pages. An installation that fails, or has no token at the moment, keeps
/// its previous index and does not affect the others.
pub async fn read_all(tokens: &Tokens, atlassian: &AtlassianClient, index: &Index) -> Result<()> {
    let mut installations = tokens.installation_stream();
    while let Some(installation) = installations.next().await {
        let installation = installation?;
        let installation_id = installation.installation_id();
        match read(tokens, atlassian, &installation).await {
            Ok(pages) => {
                let count = pages.len();
                tracing::info!(installation_id, count, "the pages are indexed");
                index.put(installation_id, pages);
            }
            Err(error) => tracing::warn!(installation_id, %error, "the pages could not be read"),
        }
    }
    Ok(())
}

async fn read(
    tokens: &Tokens,
    atlassian: &AtlassianClient,
    installation: &Installation,
) -> Result<Vec<Page>> {
    // Each page of the listing is fetched with the newest token, because a listing may outlive a token.
    let confluence = atlassian
        .confluence(installation)
        .as_app_renewing(tokens)
        .await?;
    let mut pages = confluence
        .get("/wiki/api/v2/pages")
        .query("limit", 250)
        .pages();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        all.push(page?);
    }
    Ok(all)
}

/// The request of a search.
#[derive(Deserialize)]
struct Search {
    words: String,
}

/// Searches the pages of the caller's installation.
///
/// The index has every page that the app can see. A product must check with Confluence which of them
/// the current user may see.
#[endpoint]
async fn search(
    call: Invocation,
    State(index): State<Index>,
    Json(search): Json<Search>,
) -> Json<Vec<Page>> {
    Json(index.find(call.installation_id(), &search.words))
}

/// Indexes a new installation immediately: this event delivers its first token.
#[trigger(events = ["avi:forge:installed:app"], auth = system)]
async fn installed(State(signal): State<RefreshSignal>) {
    signal.0.notify_one();
}

/// Refreshes the index immediately.
#[endpoint]
async fn refresh(State(signal): State<RefreshSignal>) -> StatusCode {
    signal.0.notify_one();
    StatusCode::ACCEPTED
}

/// Returns the app, with a store for its tokens.
pub fn app(tokens: impl Into<Tokens>) -> App {
    app_with(tokens, Index::default())
}

/// Returns the app, with a token store and an index.
pub fn app_with(tokens: impl Into<Tokens>, index: Index) -> App {
    let tokens = tokens.into();
    let removed_from = index.clone();
    tokens.on_removed(move |installation_id| {
        removed_from.remove(&installation_id);
        std::future::ready(())
    });
    App::new()
        .remote(Remote::new("page-search-backend").base_url("https://page-search.example.com"))
        .token_store(tokens)
        .keep_tokens_fresh()
        .scopes(["read:page:confluence"])
        .state(index)
        .state(RefreshSignal::default())
        .background(refresh_index)
        .sample_body("search", BTreeMap::from([("words", "local")]))
}
