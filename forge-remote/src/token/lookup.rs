//! The look-up of tokens by installation.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::cache::{Entry, TokenStats};
use super::error::TokenError;
use super::handle::Tokens;
use super::installation::Installation;
use super::intake::is_storable;
use super::keeper::Keeper;
use super::limits::OPEN_TIMEOUT;
use super::records::Found;
use crate::credentials::{Owner, SystemToken};
use crate::fit::Claims;

/// Whether the app is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstallState {
    Present,
    /// A removal may still be revoked by a call of Forge.
    Settling,
    Removed,
}

/// Reading and removing tokens. Until the app serves (or [`open`](Tokens::open) is called), these
/// methods wait for up to 10 seconds, and then return an error.
impl Tokens {
    /// Returns the system token of an installation, with more life left than
    /// [`expiry_margin`](Self::expiry_margin).
    ///
    /// It usually comes from memory. The store is read when memory has no token, and from time to time
    /// to see changes by other instances.
    pub async fn system(&self, installation_id: &str) -> Result<SystemToken, TokenError> {
        let (entry, _) = self.find(installation_id).await?;
        Ok(kept_token(&entry))
    }

    /// Returns the stored token of a call's installation, if only the platform delivers stored tokens;
    /// `None` without a stored token, if the store is not open, and if tokens of other callers are kept too.
    pub(crate) async fn of_platform(&self, claims: &Claims) -> Option<SystemToken> {
        let accepts_others = {
            let settings = self.settings();
            settings.accept_from_pages || settings.accept_from_functions
        };
        if self.0.keeper.get().is_none() || accepts_others {
            return None;
        }
        let tokens = self.of_app(claims.app_id());
        let (entry, _) = tokens.find(claims.installation_id()).await.ok()?;
        let is_ours = entry.about.cloud() == claims.cloud();
        is_ours.then(|| kept_token(&entry))
    }

    /// Returns whether a call's installation is known to be in a cloud other than the one that signed the
    /// call. The store is read only with `read_store`. Apps are not compared: a FIT is bound to its app, and
    /// an installation id belongs to one app.
    pub(crate) async fn is_of_another_cloud(&self, claims: &Claims, read_store: bool) -> bool {
        let Some(keeper) = self.0.keeper.get() else {
            return false;
        };
        let mut entry = keeper.remembered(claims.installation_id());
        if entry.is_none() && read_store {
            entry = match keeper.look_up(claims.installation_id()).await {
                Ok(Found::Entry(entry)) => Some(entry),
                Ok(Found::Nothing | Found::Shut(_)) | Err(_) => None,
            };
        }
        entry.is_some_and(|entry| entry.about.cloud() != claims.cloud())
    }

    /// Returns whether an installation is removed. The store is read if this process remembers nothing of it, and
    /// before a removal counts as settled.
    pub(crate) async fn presence(&self, installation_id: &str) -> InstallState {
        let Some(keeper) = self.0.keeper.get() else {
            return InstallState::Present;
        };
        let delay = self.settings().removal_delay;
        let mut has_settled = keeper.has_settled(installation_id, delay);
        if has_settled.is_none() && keeper.remembered(installation_id).is_none() {
            // It records a removal. Without the store, the installation counts as present.
            let _ = keeper.look_up(installation_id).await;
            has_settled = keeper.has_settled(installation_id, delay);
        }
        match has_settled {
            None => InstallState::Present,
            Some(false) => InstallState::Settling,
            Some(true) => match keeper.look_up(installation_id).await {
                Ok(Found::Nothing) => InstallState::Removed,
                // Forge has called again, here or at another instance.
                Ok(Found::Entry(_)) => InstallState::Present,
                Ok(Found::Shut(_)) | Err(_) => InstallState::Settling,
            },
        }
    }

    /// Returns whether neither memory nor the store has a token of an installation; `false` if the store cannot be read.
    pub(crate) async fn has_nothing_of(&self, installation_id: &str) -> bool {
        match self.0.keeper.get() {
            Some(keeper) => matches!(keeper.look_up(installation_id).await, Ok(Found::Nothing)),
            None => false,
        }
    }

    /// Records that Atlassian rejected this token of an installation (401).
    pub(crate) fn was_rejected(&self, installation_id: &str, token: &str) {
        if let Some(keeper) = self.0.keeper.get() {
            keeper.doubt(installation_id, token);
        }
    }

    /// Returns an installation with a token that can be handed out; see [`system`](Self::system) for
    /// the token.
    pub async fn installation(&self, installation_id: &str) -> Result<Installation, TokenError> {
        let (entry, now) = self.find(installation_id).await?;
        Ok(installation(&entry, now))
    }

    /// Removes an installation's token, here and in the store, when the app is uninstalled. The
    /// callbacks of [`on_removed`](Self::on_removed) run once the removal has settled.
    ///
    /// Even after an error, the token is removed from memory, and from the store once it is
    /// available. A backend of [several apps](crate::App::app_ids) removes only tokens of the call's app: if this process
    /// does not know an installation other than the call's, and the store cannot be read, nothing is removed. Try it again
    /// later.
    ///
    /// In the store a sealed record of the removal replaces the token for 28 hours, so that no
    /// instance writes back a token it still has cached. Tokens delivered within two minutes of the
    /// removal are ignored; a later delivery revokes the removal.
    pub async fn remove(&self, installation_id: &str) -> Result<(), TokenError> {
        let keeper = self.keeper().await?;
        // No token is kept for such an id.
        if !is_storable(installation_id) || self.is_of_another_app(installation_id).await? {
            return Ok(());
        }
        let products = self.1.products_of(installation_id);
        Ok(keeper.remove(installation_id, products).await?)
    }

    /// Returns whether an installation belongs to an app of the backend other than this handle's. The store is read only
    /// if there are several apps, and this process knows nothing of the installation.
    async fn is_of_another_app(&self, installation_id: &str) -> Result<bool, TokenError> {
        let keeper = self.keeper().await?;
        let apps = keeper.own_apps.app_ids.get().map_or(0, Vec::len);
        if !self.1.is_limited() || apps < 2 || keeper.is_removed(installation_id) {
            return Ok(false);
        }
        let entry = match keeper.remembered(installation_id) {
            Some(entry) => entry,
            None => match keeper.look_up(installation_id).await {
                Ok(Found::Entry(entry)) => entry,
                Ok(Found::Nothing) => return Ok(false),
                // Atlassian names the app of the call's installation.
                _ if self.1.was_called_for(installation_id) => return Ok(false),
                Ok(Found::Shut(reason)) => return Err(sealed(installation_id, reason)),
                Err(error) => return Err(error.into()),
            },
        };
        let is_other = !self.1.has(&entry.about);
        if is_other {
            tracing::warn!(
                installation = installation_id,
                "a token is not removed: its installation belongs to another app of this backend"
            );
        }
        Ok(is_other)
    }

    /// Waits until every pending token and removal is written to the store. If another instance's record was later than
    /// a token, such as one of a removal, it also waits until this record is read. After an error, the background task
    /// keeps retrying. A stopping server does this automatically.
    ///
    /// Call it before a handler returns where the platform freezes the CPU after the response (AWS
    /// Lambda, Google Cloud Run without "CPU always allocated"): the writing task does not run there.
    pub async fn flush(&self) -> Result<(), TokenError> {
        let keeper = self.keeper().await?;
        Ok(keeper.flush().await?)
    }

    /// Flushes for this long, while failures are retried. At the end of the process, a call of the store gets less time.
    pub(crate) async fn flush_within(
        &self,
        time: Duration,
        is_end: bool,
    ) -> Result<(), TokenError> {
        match self.0.keeper.get() {
            Some(keeper) => Ok(keeper.flush_within(time, is_end).await?),
            None => Ok(()),
        }
    }

    /// Returns this process's counters of seen and written tokens, and of failures.
    pub fn stats(&self) -> TokenStats {
        let keeper = self.0.keeper.get();
        keeper.map(|keeper| keeper.stats()).unwrap_or_default()
    }

    /// Returns the keeper, after waiting for it for up to 10 seconds.
    pub(super) async fn keeper(&self) -> Result<&Arc<Keeper>, TokenError> {
        if let Some(keeper) = self.0.keeper.get() {
            return Ok(keeper);
        }
        let mut is_open = self.0.is_open.subscribe();
        let opened = is_open.wait_for(|is_open| *is_open);
        // Whether it timed out or failed, the next line checks again.
        let _ = tokio::time::timeout(OPEN_TIMEOUT, opened).await;
        self.0.keeper.get().ok_or(TokenError::NotOpen)
    }

    /// Returns a token that can be handed out, and the time of this check.
    async fn find(&self, installation_id: &str) -> Result<(Entry, SystemTime), TokenError> {
        let keeper = self.keeper().await?;
        let (now, elapsed) = (keeper.clock.now(), keeper.clock.elapsed());
        let remembered = keeper.remembered(installation_id);
        let remembered = remembered.filter(|entry| self.1.has(&entry.about));
        let enough = now + keeper.margin;
        if let Some(entry) = &remembered
            && entry.expires_at > enough
            && entry.is_trusted(now, elapsed)
        {
            return Ok((entry.clone(), now));
        }
        let has_no_token = installation_id.is_empty() || keeper.is_removed(installation_id);
        if remembered.is_none() && has_no_token {
            return Err(never_seen(installation_id));
        }
        let error = match keeper.look_up(installation_id).await {
            Ok(Found::Entry(entry)) if self.1.has(&entry.about) => {
                return alive(entry, now, enough);
            }
            Ok(Found::Entry(_) | Found::Nothing) => return Err(never_seen(installation_id)),
            Ok(Found::Shut(reason)) => sealed(installation_id, reason),
            Err(error) => error.into(),
        };
        match remembered {
            // The entry in memory can still be used.
            Some(entry) if entry.expires_at > enough => Ok((entry, now)),
            _ => Err(error),
        }
    }

    /// Returns an installation whether its token can be handed out or not; `None` without a token, and
    /// if neither store nor memory can be read.
    pub(super) async fn current(&self, installation_id: &str) -> Option<Installation> {
        let keeper = self.0.keeper.get()?;
        let remembered = keeper.remembered(installation_id);
        let entry = match keeper.look_up(installation_id).await {
            Ok(Found::Entry(entry)) => Some(entry),
            Ok(Found::Nothing | Found::Shut(_)) => None,
            Err(_) => remembered,
        };
        let entry = entry.filter(|entry| self.1.has(&entry.about));
        entry.map(|entry| installation(&entry, keeper.clock.now()))
    }
}

fn sealed(installation_id: &str, reason: String) -> TokenError {
    TokenError::Sealed {
        installation_id: installation_id.to_owned(),
        reason,
    }
}

fn never_seen(installation_id: &str) -> TokenError {
    TokenError::NeverSeen {
        subject: installation_id.to_owned(),
    }
}

fn alive(
    entry: Entry,
    now: SystemTime,
    enough: SystemTime,
) -> Result<(Entry, SystemTime), TokenError> {
    if entry.expires_at > enough {
        return Ok((entry, now));
    }
    Err(ended(&entry, now))
}

pub(super) fn ended(entry: &Entry, now: SystemTime) -> TokenError {
    TokenError::Ended {
        installation_id: entry.id().to_owned(),
        since: now.duration_since(entry.expires_at).unwrap_or_default(),
    }
}

pub(super) fn installation(entry: &Entry, now: SystemTime) -> Installation {
    Installation {
        about: Arc::clone(&entry.about),
        expires_at: entry.expires_at,
        remaining: entry.expires_at.duration_since(now).unwrap_or_default(),
    }
}

/// Returns the entry's token, with the entry's installation as its owner.
fn kept_token(entry: &Entry) -> SystemToken {
    let owner = Owner::of_kept(
        &entry.about.installation_id,
        entry.about.cloud_ids().to_vec(),
    );
    SystemToken::new(&entry.token, owner)
}
