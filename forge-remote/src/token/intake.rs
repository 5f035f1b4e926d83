//! The intake of tokens from requests.

use axum::http::HeaderMap;
use zeroize::Zeroizing;

use super::handle::Tokens;
use super::limits::{MAX_LIFE, UNKNOWN_LIFE};
#[cfg(feature = "dev")]
use super::sources::{Sources, TokenSource};
use crate::credentials::{expires_at, new_system_token};
use crate::fit::{Claims, Provenance};

/// Upper bound on the length of an installation's id, in bytes: an ARI has about 90, and stores have
/// limits for keys.
const MAX_ID_BYTES: usize = 512;

/// Returns whether every store accepts this id: PostgreSQL has no NUL in texts, and every index has a
/// length limit.
pub(super) fn is_storable(installation_id: &str) -> bool {
    let length = installation_id.len();
    (1..=MAX_ID_BYTES).contains(&length) && !installation_id.chars().any(char::is_control)
}

impl Tokens {
    /// Keeps the system token of a verified request. For a known token this costs one look-up in
    /// memory.
    pub(crate) fn observe(&self, claims: &Claims, headers: &HeaderMap, provenance: Provenance) {
        let Some(keeper) = self.0.keeper.get() else {
            return;
        };
        let now = keeper.clock.now();
        let known = |token: &[u8]| {
            keeper.knows(claims.installation_id(), |entry| {
                entry.token.as_bytes() == token
                    && entry.about.agrees_with(claims)
                    // A token of unknown life is valid for another 2 hours at each delivery.
                    && entry.expires_at > now + UNKNOWN_LIFE / 2
            })
        };
        let Some(token) = new_system_token(headers, known) else {
            return;
        };
        match provenance {
            Provenance::Platform => {}
            Provenance::Function if self.accepts_from_functions() => {}
            Provenance::Page if self.accepts_from_pages() => {}
            _ => return,
        }
        // A later expiry is impossible, so it was misread; it would keep newer tokens out.
        let read = expires_at(token);
        let read = read.filter(|ends| *ends <= now + MAX_LIFE);
        let expires_at = read.unwrap_or(now + UNKNOWN_LIFE);
        if expires_at <= now {
            tracing::warn!("a delivered system token has expired already; it is not kept");
            return;
        }
        if !is_storable(claims.installation_id()) {
            tracing::warn!(
                installation = %claims.installation_id().escape_debug().take(MAX_ID_BYTES).collect::<String>(),
                "a system token is not kept: stores do not accept its installation's id"
            );
            return;
        }
        let token = Zeroizing::new(token.to_owned());
        #[cfg(feature = "dev")]
        if let Some(sources) = self.0.sources.get() {
            sources.set(claims.installation_id(), provenance, now);
        }
        keeper.keep(keeper.about(claims), token, expires_at);
    }

    /// Records from now on where tokens come from.
    #[cfg(feature = "dev")]
    pub(crate) fn record_sources(&self) {
        let _ = self.0.sources.set(Sources::default());
    }

    /// Returns where an installation's token came from; `None` if from the store.
    #[cfg(feature = "dev")]
    pub(crate) fn source(&self, installation_id: &str) -> Option<TokenSource> {
        self.0.sources.get()?.of(installation_id)
    }

    fn accepts_from_functions(&self) -> bool {
        let accepts = self.settings().accept_from_functions;
        if !accepts && self.0.has_warned_of_functions.set(()).is_ok() {
            tracing::info!(
                "system tokens of functions' calls are not kept: see `Tokens::accept_from_functions`"
            );
        }
        accepts
    }

    fn accepts_from_pages(&self) -> bool {
        let accepts = self.settings().accept_from_pages;
        if !accepts && self.0.has_warned_of_pages.set(()).is_ok() {
            tracing::info!(
                "system tokens of pages' calls are not kept: see `Tokens::accept_from_pages`"
            );
        }
        accepts
    }
}
