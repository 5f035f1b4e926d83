//! The caches of impersonated users' tokens and of token verifications.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use zeroize::Zeroizing;

use super::single_flight::Flights;

/// A 401 within this time after the exchange is not caused by the token's age.
const MIN_AGE: Duration = Duration::from_secs(60);

/// The user and the product that a token is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct UserTokenKey {
    pub(super) installation_id: String,
    pub(super) account_id: String,
    pub(super) context: String,
    /// A hash of the system token used for the exchange, unless Forge itself delivered it. A page may
    /// have forged such a token, so its cache entries are separate. Forge's own tokens are
    /// interchangeable: a new one needs no new exchange.
    pub(super) system: Option<[u8; 32]>,
}

/// Users' tokens, and the exchanges in progress.
pub(super) type UserTokenCache = Flights<UserTokenKey, Arc<Zeroizing<String>>>;

/// Atlassian's verdicts on the tokens of pages' calls.
pub(super) type ProofCache = Flights<ProofKey, ProofResult>;

/// A user of an installation; `None` for an anonymous one.
type Caller = (String, Option<Arc<str>>);

/// Turns to verify a token, one for each user of an installation: a user's tokens are verified one
/// after the other, so that verifications in progress count against the limit too.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Caller, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Returns the lock that this user's calls hold during a verification.
    pub(super) fn of(&self, caller: Caller) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&caller).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(caller, Arc::downgrade(&turn));
        turn
    }
}

/// A token and the installation and account that it must belong to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ProofKey {
    pub(super) installation_id: String,
    /// A hash of the token.
    pub(super) token: [u8; 32],
    /// The account that a user's token must belong to; `None` for the app's token.
    pub(super) account: Option<String>,
}

/// The result of a verification.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum ProofResult {
    Proven,
    /// Rejected; the user of the installation who sent it.
    Rejected(Option<Arc<str>>),
}

/// Removes a token that Atlassian rejected (401). A token that was just obtained stays: a new one
/// would be rejected too, and exchanges are rate-limited.
pub(super) fn remove_rejected(cache: &UserTokenCache, rejected: &str, now: Duration) {
    cache.forget_outcomes(|token| {
        token.value.as_str() == rejected && now.saturating_sub(token.since) >= MIN_AGE
    });
}
