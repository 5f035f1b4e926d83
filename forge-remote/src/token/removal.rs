//! Records of removals: what stands in a token's place after an uninstallation, so that no instance
//! brings the token back.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::limits::MAX_LIFE;
use super::seal::{Keys, Subject};
use super::store::{SealedToken, from_millis, to_millis};

/// Forge may still call for an installation while it is being uninstalled: that waits up to 55
/// seconds for the app, and a Forge Invocation Token lives 25. What comes later shows that the
/// installation lives on.
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/pre-uninstall/>
pub(super) const SETTLES: Duration = Duration::from_secs(120);

/// A clock that is further ahead than this of the store's does not date a removal.
const MAX_SKEW: Duration = Duration::from_secs(12 * 3600);

/// An installation that was removed.
#[derive(Clone)]
pub(super) struct Removal {
    /// When, by the fleet's time.
    pub(super) at: SystemTime,
    /// When its record ends: later than every token that was delivered before.
    pub(super) ends: SystemTime,
    /// The number of products that the installation had, where it is known to be more than one.
    pub(super) products: Option<u32>,
    /// When this process removed it or learned of it, by the clock's `elapsed`.
    pub(super) known: Duration,
    /// How long ago it was then.
    pub(super) age: Duration,
    /// The callbacks have succeeded.
    pub(super) is_reported: bool,
    /// From when on a delivered token shows that the installation lives on, by the clock's
    /// `elapsed`: a wall clock that jumps changes nothing.
    pub(super) settles_at: Duration,
    /// Since when the store has it, by the clock's `elapsed`.
    pub(super) written: Option<Duration>,
}

impl Removal {
    /// A removal by this process, which still has to be written.
    pub(super) fn new(at: SystemTime, elapsed: Duration) -> Self {
        let at = from_millis(to_millis(at));
        Self {
            at,
            ends: end(at),
            products: None,
            known: elapsed,
            age: Duration::ZERO,
            is_reported: false,
            settles_at: elapsed + SETTLES,
            written: None,
        }
    }

    /// A removal that the store has a record of.
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
            products: record.products,
            known: elapsed,
            age,
            is_reported: false,
            settles_at: elapsed + SETTLES.saturating_sub(age),
            written: Some(elapsed),
        }
    }

    /// Dates it by the store's clock. Where the local clock is ahead, within reason, its record keeps
    /// its later end: tokens end by Atlassian's clock, which may agree with the local one.
    pub(super) fn date(&mut self, at: SystemTime) {
        self.at = from_millis(to_millis(at));
        let latest = end(self.at + MAX_SKEW);
        self.ends = self.ends.min(latest).max(end(self.at));
    }

    /// Has its record end later than this token, which was delivered before.
    pub(super) fn outlast(&mut self, expires_at: SystemTime) {
        let later = expires_at + Duration::from_secs(1);
        if later <= end(self.at + MAX_SKEW) {
            self.ends = self.ends.max(from_millis(to_millis(later)));
        }
    }

    /// Has its record last for another 28 hours from this time.
    pub(super) fn renew(&mut self, now: SystemTime) {
        self.ends = self.ends.max(from_millis(to_millis(end(now))));
    }

    /// Whether a token that the store has now was put there in spite of it.
    pub(super) fn is_settled(&self, elapsed: Duration) -> bool {
        self.written
            .is_some_and(|written| elapsed.saturating_sub(written) >= SETTLES)
    }

    /// Whether every token that was delivered before has ended, by the clock's `elapsed`.
    pub(super) fn has_ended(&self, elapsed: Duration) -> bool {
        elapsed.saturating_sub(self.known) > SETTLES + MAX_LIFE
    }

    /// The sealed record.
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

/// What the record of a removal says.
#[derive(Clone, Copy)]
pub(super) struct Record {
    /// When the installation was removed.
    pub(super) at: SystemTime,
    /// The number of its products, where there were several.
    pub(super) products: Option<u32>,
}

/// What stands in the store in the token's place, sealed as it was.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    /// Milliseconds since 1970.
    removed_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    products: Option<u32>,
}

/// What every such record begins with.
const BEGINNING: &[u8] = b"{\"removedAt\":";

/// When the record of a removal ends: no token that was delivered before lives longer, so in every
/// store the record wins.
fn end(removal: SystemTime) -> SystemTime {
    removal + SETTLES + MAX_LIFE + Duration::from_secs(60)
}

/// Reads the record of a removal; `None` for anything else.
pub(super) fn read(plain: &[u8]) -> Option<Record> {
    if !plain.starts_with(BEGINNING) {
        return None;
    }
    let plain: Plain = serde_json::from_slice(plain).ok()?;
    Some(Record {
        at: from_millis(plain.removed_at),
        products: plain.products,
    })
}
