//! Finds Confluence pages by the words of their titles. A background task keeps an index of every
//! installation's pages, with the system tokens that Forge has brought: nobody has to be there.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use forge_remote::Shutdown;
use forge_remote::client::AtlassianClient;
use forge_remote::prelude::*;
use forge_remote::token::Installation;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// How often every installation is read.
const EVERY: Duration = Duration::from_secs(600);

/// A page, as far as it is indexed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
}

/// Every installation's pages, in memory: it is made anew at each start. Another store goes here.
#[derive(Clone, Debug, Default)]
pub struct Index(Arc<RwLock<BTreeMap<String, Option<Vec<Page>>>>>);

impl Index {
    /// The pages of an installation that have every word in their title.
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
        let there = all
            .entry(installation_id.to_owned())
            .or_insert(Some(Vec::new()));
        // It may have left while it was read.
        if let Some(there) = there {
            *there = pages;
        }
    }

    /// Forgets one that has left, for good: installed again, it has another id.
    fn forget(&self, installation_id: &str) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(installation_id.to_owned(), None);
    }
}

/// Has the task look again before its time.
#[derive(Clone, Debug, Default)]
pub struct Soon(Arc<Notify>);

/// Keeps the index, for as long as the app serves.
pub async fn keep_index(
    tokens: Tokens,
    atlassian: AtlassianClient,
    State(index): State<Index>,
    State(soon): State<Soon>,
    shutdown: Shutdown,
) -> Result<()> {
    while !shutdown.is_requested() {
        // Whatever is wrong now, there is a next time.
        if let Err(error) = read_all(&tokens, &atlassian, &index).await {
            tracing::warn!(%error, "the installations could not be listed");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = soon.0.notified() => {}
            () = shutdown.requested() => {}
        }
    }
    Ok(())
}

/// Reads every installation's pages. One that fails, or has no token just now, keeps what was known
/// of it, and keeps no other waiting.
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
    // Each page of the listing is asked for with the newest token: it may take longer than one lives.
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

/// What to look for.
#[derive(Deserialize)]
struct Search {
    words: String,
}

/// Searches the pages of the installation that asks. They are the app's to see, so a real app asks
/// Confluence which of them this user may see before it shows them.
#[endpoint]
async fn search(
    call: Invocation,
    State(index): State<Index>,
    Json(search): Json<Search>,
) -> Json<Vec<Page>> {
    Json(index.find(call.installation_id(), &search.words))
}

/// A new installation need not wait: its token came with this event.
#[trigger(events = ["avi:forge:installed:app"], auth = system)]
async fn installed(State(soon): State<Soon>) {
    soon.0.notify_one();
}

/// Reads the pages again now.
#[endpoint]
async fn refresh(State(soon): State<Soon>) -> StatusCode {
    soon.0.notify_one();
    StatusCode::ACCEPTED
}

/// The app, with a store for its tokens.
pub fn app(tokens: impl Into<Tokens>) -> App {
    app_with(tokens, Index::default())
}

/// The app, with this index.
pub fn app_with(tokens: impl Into<Tokens>, index: Index) -> App {
    let tokens = tokens.into();
    let leaving = index.clone();
    tokens.on_removed(move |installation_id| {
        leaving.forget(&installation_id);
        std::future::ready(())
    });
    App::new()
        .remote(Remote::new("page-search-backend").base_url("https://page-search.example.com"))
        .token_store(tokens)
        .keep_tokens_fresh()
        .scopes(["read:page:confluence"])
        .state(index)
        .state(Soon::default())
        .background(keep_index)
        .sample_body("search", BTreeMap::from([("words", "local")]))
}
