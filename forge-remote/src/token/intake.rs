//! Taking in: the tokens that requests bring.

use axum::http::HeaderMap;
use zeroize::Zeroizing;

use super::handle::Tokens;
use super::installation::About;
use super::limits::{MAX_LIFE, UNKNOWN_LIFE};
use crate::credentials::{expires_at, new_system_token};
use crate::fit::{Claims, Provenance};

/// Longer ids are not kept, in bytes: an ARI has about 90, and stores have limits for keys.
const MAX_ID_BYTES: usize = 512;

/// Whether every store can take this id: PostgreSQL has no NUL in texts, and every index a limit.
pub(super) fn is_storable(installation_id: &str) -> bool {
    let length = installation_id.len();
    (1..=MAX_ID_BYTES).contains(&length) && !installation_id.chars().any(char::is_control)
}

/// Taking them in.
impl Tokens {
    /// Looks at a verified request of an endpoint that asks for a system token, and keeps the one
    /// it brings. Costs a look-up when the token is known.
    pub(crate) fn observe(&self, claims: &Claims, headers: &HeaderMap, provenance: Provenance) {
        let Some(keeper) = self.0.keeper.get() else {
            return;
        };
        let now = keeper.clock.now();
        let known = |token: &[u8]| {
            keeper.knows(claims.installation_id(), |entry| {
                entry.token.as_bytes() == token
                    && entry.about.agrees_with(claims)
                    // One of unknown life is good for another 2 hours whenever it is delivered.
                    && entry.expires_at > now + UNKNOWN_LIFE / 2
            })
        };
        let Some(token) = new_system_token(headers, known) else {
            return;
        };
        match provenance {
            Provenance::Platform => {}
            Provenance::Page if self.takes_from_pages() => {}
            Provenance::Page | Provenance::Forwarded => return,
        }
        // A later end than can be is read wrongly: believed, it would keep newer tokens out.
        let read = expires_at(token);
        let read = read.filter(|ends| *ends <= now + MAX_LIFE);
        let expires_at = read.unwrap_or(now + UNKNOWN_LIFE);
        if expires_at <= now {
            tracing::warn!("a delivered system token has ended already; it is not kept");
            return;
        }
        if !is_storable(claims.installation_id()) {
            tracing::warn!(
                installation = %claims.installation_id().escape_debug().take(MAX_ID_BYTES).collect::<String>(),
                "a system token is not kept: stores can't take its installation's id"
            );
            return;
        }
        let token = Zeroizing::new(token.to_owned());
        keeper.keep(About::of(claims), token, expires_at);
    }

    fn takes_from_pages(&self) -> bool {
        let takes = self.settings().accept_from_pages;
        if !takes && self.0.has_warned_of_pages.set(()).is_ok() {
            tracing::info!(
                "system tokens that come with pages' calls are not kept: see `Tokens::accept_from_pages`"
            );
        }
        takes
    }
}
