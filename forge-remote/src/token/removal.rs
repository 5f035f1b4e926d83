//! Records of removals, which replace tokens after an uninstallation, so that no instance writes the
//! token back.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::limits::MAX_LIFE;
use super::seal::{Keys, Subject};
use super::store::{SealedToken, from_millis, to_millis};

/// The time after a removal in which Forge may still call for the installation: an uninstallation
/// waits up to 55 seconds for the app, and a Forge Invocation Token lives 25. A later call shows that
/// the installation still exists.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/pre-uninstall/>
pub(super) const SETTLES: Duration = Duration::from_secs(120);

/// Upper bound on a local clock's lead over the store's clock, for a removal's expiry.
const MAX_SKEW: Duration = Duration::from_secs(12 * 3600);

/// The removal of an installation.
#[derive(Clone)]
pub(super) struct Removal {
    /// The time of the removal, by the fleet's time.
    pub(super) at: SystemTime,
    /// The record's expiry: later than that of every token that was delivered before.
    pub(super) ends: SystemTime,
    /// The earliest expiry of its record: later than that of the token that it removed.
    min_ends: SystemTime,
    /// The number of the installation's products, if it is known.
    pub(super) products: Option<u32>,
    /// When this process removed it or learned of its removal, by the clock's `elapsed`.
    pub(super) known: Duration,
    /// The removal's age at `known`.
    pub(super) age: Duration,
    /// Whether all callbacks have succeeded.
    pub(super) is_reported: bool,
    /// When a delivered token shows that the installation still exists, by the clock's `elapsed`, so
    /// that a wall clock that jumps has no effect.
    pub(super) settles_at: Duration,
    /// When it was written to the store or read from it, by the clock's `elapsed`.
    pub(super) written: Option<Duration>,
}

impl Removal {
    /// Creates a removal by this process, which still has to be written.
    pub(super) fn new(at: SystemTime, elapsed: Duration) -> Self {
        let at = from_millis(to_millis(at));
        Self {
            at,
            ends: end(at),
            min_ends: SystemTime::UNIX_EPOCH,
            products: None,
            known: elapsed,
            age: Duration::ZERO,
            is_reported: false,
            settles_at: elapsed + SETTLES,
            written: None,
        }
    }

    /// Creates a removal from the store's record.
    pub(super) fn read(
        record: Record,
        ends: SystemTime,
        now: SystemTime,
        elapsed: Duration,
    ) -> Self {
        let age = now.duration_since(record.at).unwrap_or_default();
        Self {
            at: record.at,
            ends,
            min_ends: SystemTime::UNIX_EPOCH,
            products: record.products,
            known: elapsed,
            age,
            is_reported: false,
            settles_at: elapsed + SETTLES.saturating_sub(age),
            written: Some(elapsed),
        }
    }

    /// Dates it by the store's clock. If the local clock is ahead, by at most 12 hours, its record keeps
    /// the later expiry: tokens expire by Atlassian's clock, which may agree with the local one.
    pub(super) fn date(&mut self, at: SystemTime) {
        self.at = from_millis(to_millis(at));
        let latest = end(self.at + MAX_SKEW);
        self.ends = self.ends.min(latest).max(end(self.at)).max(self.min_ends);
    }

    /// Extends its record beyond the expiry of this token, which was delivered before, however wrong
    /// the store's clock is: in the store, the later expiry wins.
    pub(super) fn outlast(&mut self, expires_at: SystemTime) {
        let later = expires_at + Duration::from_secs(1);
        self.min_ends = from_millis(to_millis(later));
        self.ends = self.ends.max(self.min_ends);
    }

    /// Extends its record to another 28 hours from this time.
    pub(super) fn renew(&mut self, now: SystemTime) {
        self.ends = self.ends.max(from_millis(to_millis(end(now))));
    }

    /// Returns whether a token that is in the store now was delivered after it.
    pub(super) fn is_settled(&self, elapsed: Duration) -> bool {
        self.written
            .is_some_and(|written| elapsed.saturating_sub(written) >= SETTLES)
    }

    /// Returns whether the removal has waited longer than every earlier token lives, by the clock's
    /// `elapsed`: its record would be purged soon after it is written.
    pub(super) fn is_overdue(&self, elapsed: Duration) -> bool {
        elapsed.saturating_sub(self.known) > SETTLES + MAX_LIFE
    }

    /// Returns the sealed record.
    pub(super) fn sealed(&self, installation_id: &str, keys: &Keys) -> Option<SealedToken> {
        let plain = Plain {
            removed_at: to_millis(self.at),
            products: self.products,
        };
        let plain = Zeroizing::new(serde_json::to_vec(&plain).ok()?);
        let subject = Subject {
            installation_id,
            expires_at: self.ends,
        };
        Some(SealedToken {
            installation_id: installation_id.to_owned(),
            expires_at: self.ends,
            cloud_ids: Vec::new(),
            sealed: keys.seal(subject, plain)?,
        })
    }
}

/// The content of a removal's record.
#[derive(Clone, Copy)]
pub(super) struct Record {
    /// The time of the removal.
    pub(super) at: SystemTime,
    /// The number of the installation's products, if it was known.
    pub(super) products: Option<u32>,
}

/// The plain text of a removal's record, which is sealed like a token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    /// Milliseconds since 1970.
    removed_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    products: Option<u32>,
}

/// The first bytes of every removal's record.
const PREFIX: &[u8] = b"{\"removedAt\":";

/// Returns the expiry of a removal's record: no token that was delivered before lives longer, so the
/// record wins in every store.
fn end(removal: SystemTime) -> SystemTime {
    removal + SETTLES + MAX_LIFE + Duration::from_secs(60)
}

/// Reads the record of a removal; `None` for anything else.
pub(super) fn read(plain: &[u8]) -> Option<Record> {
    if !plain.starts_with(PREFIX) {
        return None;
    }
    let plain: Plain = serde_json::from_slice(plain).ok()?;
    Some(Record {
        at: from_millis(plain.removed_at),
        products: plain.products,
    })
}
