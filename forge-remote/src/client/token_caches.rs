//! The caches of impersonated users' tokens and of proofs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use zeroize::Zeroizing;

use super::single_flight::Flights;

/// A token that is refused so soon after its exchange isn't refused for its age.
const YOUNG: Duration = Duration::from_secs(60);

/// Whose token, and what for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) installation_id: String,
    pub(super) account_id: String,
    pub(super) context: String,
    /// The system token that it is obtained with, where Forge didn't deliver that itself: it may be
    /// of a page's own making, so it neither gets what others fetched nor spoils it. Forge's own
    /// are all as good: a new one needs no new exchange.
    pub(super) system: Option<[u8; 32]>,
}

/// Users' tokens, and the exchanges under way.
pub(super) type Cache = Flights<Key, Arc<Zeroizing<String>>>;

/// What Atlassian answered about the tokens that pages brought.
pub(super) type Proofs = Flights<ProofKey, Verdict>;

/// A user of an installation; `None` for anonymous ones.
type Asker = (String, Option<Arc<str>>);

/// Turns to ask, one for each user of an installation: questions that are under way are not counted
/// among the refused ones, so a user's tokens are asked about one after the other.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Asker, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// The lock that this user's calls hold while they ask.
    pub(super) fn of(&self, asker: Asker) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&asker).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(asker, Arc::downgrade(&turn));
        turn
    }
}

/// What was asked about.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ProofKey {
    pub(super) installation_id: String,
    /// The token, as a hash.
    pub(super) token: [u8; 32],
    /// The account that a user's token must be of; `None` for the app's.
    pub(super) account: Option<String>,
}

/// What Atlassian said.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Proven,
    /// Refused, when this user of the installation brought it.
    Refused(Option<Arc<str>>),
}

/// Atlassian refused this token (401). One that was just obtained stays: another would fare no
/// better, and exchanges are counted.
pub(super) fn refused(cache: &Cache, token: &str, now: Duration) {
    cache.forget_outcomes(|kept| {
        kept.value.as_str() == token && now.saturating_sub(kept.since) >= YOUNG
    });
}
