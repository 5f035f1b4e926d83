//! The errors of stored tokens.

use std::time::Duration;

use super::seal::InvalidKeys;
use super::store::StoreError;

/// The error of reading a stored token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token store has not been opened.
    #[error(
        "the token store is not connected: pass it to `App::token_store` and serve the app, or call `Tokens::open` \
         first"
    )]
    NotOpen,
    /// No token is kept.
    #[error(
        "no system token is kept for {subject}: Forge has not delivered one yet, or the app was \
         uninstalled, or its last token expired more than a day ago; with an hourly \
         `#[scheduled_trigger(interval = \"hour\", auth = system)]` Forge delivers one for every \
         installation"
    )]
    NeverSeen {
        /// The installation or the site.
        subject: String,
    },
    /// The last token has expired, or is within the safety margin of its expiry.
    #[error(
        "the last system token of {installation_id} expired {} ago (or is about to), and Forge has \
         not delivered a new one: check that the hourly trigger is deployed and reaches this app",
        minutes(*.since)
    )]
    Ended {
        /// The installation.
        installation_id: String,
        /// The time since the expiry; zero within the safety margin.
        since: Duration,
    },
    /// Several installations are on this site: one for each environment and product of the app.
    #[error(
        "{} installations have tokens for the site {cloud_id}: {}. Select one with \
         `Site::new(cloud_id).environment(…)` (and `.product(…)`), or with \
         `Tokens::system(installation_id)`",
        .installation_ids.len(),
        .installation_ids.join(", ")
    )]
    Ambiguous {
        /// The site.
        cloud_id: String,
        /// The installations, including any whose token has expired or cannot be opened.
        installation_ids: Vec<String>,
    },
    /// The stored token does not open with the app's keys.
    #[error(
        "the system token of {installation_id} cannot be opened: {reason}; it is left unchanged until \
         the next one that Forge delivers replaces it"
    )]
    Sealed {
        /// The installation.
        installation_id: String,
        /// The missing key, or that the record was changed.
        reason: String,
    },
    /// The store cannot be read, and this process has no token in memory.
    #[error("the token store cannot be read, and this process has no token in memory")]
    Store(#[from] StoreError),
}

/// An error of opening the token store. It aborts the launch, unless it is
/// [transient](Self::is_transient).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No key for sealing tokens is configured.
    #[error(
        "tokens are sealed before they are kept in {store}, but there is no key: set \
         FORGE_REMOTE_TOKEN_KEY to the output of `openssl rand -base64 32`, the same for every \
         instance of the app"
    )]
    NoKey {
        /// The store.
        store: String,
    },
    /// The configured key is not valid.
    #[error("FORGE_REMOTE_TOKEN_KEY (or `Tokens::keys`) cannot be used: {0}")]
    BadKey(#[from] InvalidKeys),
    /// The store's records are sealed under a key that is not configured: its record of the newest key
    /// doesn't open, or none of its tokens does.
    #[error(
        "the records in {store} were sealed under another key (id {key_id}) and are left unchanged: append that key \
         to FORGE_REMOTE_TOKEN_KEY after a comma. If the key is lost, delete the store's tables or Redis keys: Forge \
         delivers new tokens with its hourly calls. If the store belongs to another app, use a separate store"
    )]
    OtherKey {
        /// The store.
        store: String,
        /// The id of the missing key: a part of its hash.
        key_id: String,
    },
    /// A setting of [`Tokens`](super::Tokens) was changed after they were opened.
    #[error(
        "`Tokens::{setting}` was called after the tokens were opened and has no effect: call it \
         before `Tokens::open` and before the app starts"
    )]
    TooLate {
        /// The setting.
        setting: &'static str,
    },
    /// The store cannot be reached or set up.
    #[error("the token store, {store}, cannot be opened")]
    Store {
        /// The store.
        store: String,
        /// The cause.
        source: StoreError,
    },
}

impl OpenError {
    /// Returns whether a retry may succeed, for example because the store is down. An app starts
    /// despite such an error, and retries.
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
