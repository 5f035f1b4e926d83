//! What can go wrong with kept tokens.

use std::time::Duration;

use super::seal::InvalidKeys;
use super::store::StoreError;

/// Why there is no token to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nobody has opened these tokens.
    #[error(
        "these kept tokens are not open: give them to `App::token_store` and let the app serve, or call \
         `Tokens::open` first"
    )]
    NotOpen,
    /// None is kept.
    #[error(
        "no system token is kept for {subject}: Forge has delivered none yet, or the app was \
         uninstalled, or the last one ended long ago; an hourly `#[scheduled_trigger(interval = \
         \"hour\", auth = system)]` brings one to every installation"
    )]
    NeverSeen {
        /// The installation or the site.
        subject: String,
    },
    /// The last one has ended, or is within the safety margin of its end.
    #[error(
        "the last system token of {installation_id} ended {} ago (or is about to): Forge has \
         delivered none since; is the hourly trigger deployed, and does it reach this app?",
        minutes(*.since)
    )]
    Ended {
        /// The installation.
        installation_id: String,
        /// How long ago; zero within the safety margin.
        since: Duration,
    },
    /// Several installations are on this site: one for each environment and product of the app.
    #[error(
        "{} installations are kept for the site {cloud_id}: {}. Name the one you mean: with its \
         environment (and product), `Site::new(cloud_id).environment(…)`, or with \
         `Tokens::system(installation_id)`",
        .installation_ids.len(),
        .installation_ids.join(", ")
    )]
    Ambiguous {
        /// The site.
        cloud_id: String,
        /// The installations, those too whose token has ended or can't be opened.
        installation_ids: Vec<String>,
    },
    /// The kept token does not open with the app's keys.
    #[error(
        "the system token of {installation_id} can't be opened: {reason}; it is kept as it is, \
         and the next one that Forge delivers takes its place"
    )]
    Sealed {
        /// The installation.
        installation_id: String,
        /// Which key is missing, or that it was changed.
        reason: String,
    },
    /// The store doesn't answer, and this process has no token in its memory.
    #[error("the tokens' store does not answer, and this process has not seen the token itself")]
    Store(#[from] StoreError),
}

/// Why tokens can't be kept as they should. It ends the launch, unless it
/// [may pass](Self::is_transient).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no key to seal tokens with.
    #[error(
        "tokens are kept in {store}, sealed, but there is no key: set FORGE_REMOTE_TOKEN_KEY to \
         what `openssl rand -base64 32` prints, the same for every instance of the app"
    )]
    PlatformError {
        /// The store.
        store: String,
    },
    /// The key is none.
    #[error("FORGE_REMOTE_TOKEN_KEY (or `Tokens::keys`) can't be used: {0}")]
    BadKey(#[from] InvalidKeys),
    /// The store is used with a key that isn't among the given ones: its record of the newest key
    /// doesn't open, or none of its tokens does.
    #[error(
        "what {store} holds was sealed under another key (id {key_id}); it is kept as it is. Give \
         that key as well, after the new one and a comma, in FORGE_REMOTE_TOKEN_KEY; if it is lost, \
         empty the store (its tables, or the keys with its prefix): tokens live 4 hours at most, \
         and Forge's hourly calls bring new ones. Each app needs a store of its own"
    )]
    OtherKey {
        /// The store.
        store: String,
        /// The id of the key that is missing; a part of its hash.
        key_id: String,
    },
    /// A setting of [`Tokens`](super::Tokens) came when they were open already.
    #[error(
        "`Tokens::{setting}` was called when the tokens were open already, and changes nothing: set \
         it before `Tokens::open` and before the app starts"
    )]
    TooLate {
        /// The setting.
        setting: &'static str,
    },
    /// The store can't be reached or set up.
    #[error("the tokens' store, {store}, can't be opened")]
    Store {
        /// The store.
        store: String,
        /// Why.
        source: StoreError,
    },
}

impl OpenError {
    /// Whether it may be gone by itself, as when the store is down: then an app starts all the
    /// same, and tries again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store { source, .. } if !source.is_setup())
    }
}

fn minutes(since: Duration) -> String {
    match since.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}
