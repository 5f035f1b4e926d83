//! The caches of impersonated users' tokens and of token verifications.

use std::sync::Arc;
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
pub(super) type ProofCache = Flights<ProofKey, Verdict>;

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
pub(super) enum Verdict {
    Proven,
    /// Rejected; the user of the installation who sent it.
    Refused(Option<Arc<str>>),
}

/// Removes a token that Atlassian rejected (401). A token that was just obtained stays: a new one
/// would be rejected too, and exchanges are rate-limited.
pub(super) fn remove_rejected(cache: &UserTokenCache, rejected: &str, now: Duration) {
    cache.forget_outcomes(|token| {
        token.value.as_str() == rejected && now.saturating_sub(token.since) >= MIN_AGE
    });
}
