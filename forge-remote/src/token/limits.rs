//! Times and sizes shared by several files of stored tokens.

use std::time::Duration;

/// Lifetime of a system token whose expiry cannot be read.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
pub(super) const UNKNOWN_LIFE: Duration = Duration::from_secs(2 * 3600);
/// Upper bound on a token's lifetime (Atlassian: 4 hours, plus clock skew); a later expiry was
/// misread.
pub(super) const MAX_LIFE: Duration = Duration::from_secs(4 * 3600 + 5 * 60);
/// Upper bound on a stored token's apparent lifetime, however wrong a clock is; a longer one is invalid.
pub(super) const MAX_PLAUSIBLE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The number of tokens read from a store at once.
pub(super) const PAGE: u32 = 500;
/// Time limit of a call that waits for the tokens to be opened.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before the next attempt to write a row that the store rejects while it accepts others;
/// doubled each time.
pub(super) const FIRST_REJECTED_PAUSE: Duration = Duration::from_secs(60);
pub(super) const MAX_REJECTED_PAUSE: Duration = Duration::from_secs(3600);
/// The pause after a failed round of a task that writes or reads; doubled each time.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(250);
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(30);
