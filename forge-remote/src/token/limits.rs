//! Times and sizes that several files of kept tokens share.

use std::time::Duration;

/// Lifetime of a system token whose expiry cannot be read.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
pub(super) const UNKNOWN_LIFE: Duration = Duration::from_secs(2 * 3600);
/// Upper bound on a token's lifetime (Atlassian: 4 hours, plus clock skew); a later expiry was misread.
pub(super) const MAX_LIFE: Duration = Duration::from_secs(4 * 3600 + 5 * 60);
/// A token that seems to last longer is invalid, however wrong a clock is.
pub(super) const MAX_PLAUSIBLE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How many tokens are read from a store at once.
pub(super) const PAGE: u32 = 500;
/// How long a call waits for tokens that are not open yet.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Before the next attempt to write a row that the store refuses while it takes others; doubled
/// each time.
pub(super) const FIRST_REFUSED_PAUSE: Duration = Duration::from_secs(60);
pub(super) const MAX_REFUSED_PAUSE: Duration = Duration::from_secs(3600);
