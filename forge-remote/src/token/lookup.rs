//! Handing out: what tokens are asked for.

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

/// Using them. Before the app serves (or [`open`](Tokens::open) was called), these wait for 10
/// seconds; then they are errors.
impl Tokens {
    /// The system token of an installation: one that lives longer than [`margin`](Self::margin).
    ///
    /// Mostly from memory. The store is asked when memory has none, and now and then to learn what
    /// other instances did.
    pub async fn system(&self, installation_id: &str) -> Result<SystemToken, TokenError> {
        let (entry, _) = self.find(installation_id).await?;
        Ok(kept_token(&entry))
    }

    /// The kept token of a call's installation, where the platform itself brought it; `None` where
    /// there is none, where the store is not open, and where pages bring tokens too.
    pub(crate) async fn of_platform(&self, claims: &Claims) -> Option<SystemToken> {
        if self.0.keeper.get().is_none() || self.settings().accept_from_pages {
            return None;
        }
        let (entry, _) = self.find(claims.installation_id()).await.ok()?;
        let is_ours = entry.about.cloud() == claims.cloud();
        is_ours.then(|| kept_token(&entry))
    }

    /// Whether a call's installation is known to be in another cloud than the one that signed the
    /// call. The store is asked only where `ask_store` says so.
    pub(crate) async fn is_of_another_cloud(&self, claims: &Claims, ask_store: bool) -> bool {
        let Some(keeper) = self.0.keeper.get() else {
            return false;
        };
        let mut entry = keeper.remembered(claims.installation_id());
        if entry.is_none() && ask_store {
            entry = match keeper.look_up(claims.installation_id()).await {
                Ok(Found::Entry(entry)) => Some(entry),
                Ok(Found::Nothing | Found::Shut(_)) | Err(_) => None,
            };
        }
        entry.is_some_and(|entry| entry.about.cloud() != claims.cloud())
    }

    /// Atlassian refused this token of an installation (401).
    pub(crate) fn was_refused(&self, installation_id: &str, token: &str) {
        if let Some(keeper) = self.0.keeper.get() {
            keeper.doubt(installation_id, token);
        }
    }

    /// As [`system`](Self::system), with what belongs to the installation instead of the token.
    pub async fn installation(&self, installation_id: &str) -> Result<Installation, TokenError> {
        let (entry, now) = self.find(installation_id).await?;
        Ok(installation(&entry, now))
    }

    /// Removes an installation's token, here and in the store: for when the app is uninstalled. The
    /// callbacks of [`on_removed`](Self::on_removed) run once this has settled.
    ///
    /// With an error the token is forgotten here, and is removed from the store once that is back.
    ///
    /// In the store a sealed record of the removal takes the token's place for 28 hours, so that no
    /// instance writes back a token it still has cached. Tokens delivered within two minutes of the
    /// removal are ignored; a later delivery means that the app was not uninstalled after all.
    pub async fn remove(&self, installation_id: &str) -> Result<(), TokenError> {
        let keeper = self.keeper().await?;
        // No token is kept for such an id.
        if !is_storable(installation_id) {
            return Ok(());
        }
        Ok(keeper.remove(installation_id, None).await?)
    }

    /// As [`remove`](Self::remove), with what the call before an uninstallation shows.
    pub(crate) async fn remove_of(&self, claims: &Claims) -> Result<(), TokenError> {
        let products = u32::try_from(claims.installation_contexts().len()).ok();
        let keeper = self.keeper().await?;
        if !is_storable(claims.installation_id()) {
            return Ok(());
        }
        Ok(keeper.remove(claims.installation_id(), products).await?)
    }

    /// Completes once every token and removal so far is in the store. After an error they are still
    /// written by the task that retries. A server that stops does this automatically.
    ///
    /// Call it before a handler returns where the platform freezes the CPU after the response (AWS
    /// Lambda, Google Cloud Run without "CPU always allocated"): the writing task does not run there.
    pub async fn flush(&self) -> Result<(), TokenError> {
        let keeper = self.keeper().await?;
        Ok(keeper.flush().await?)
    }

    /// As [`flush`](Self::flush), at the end of a process: failures are tried again for this long.
    pub(crate) async fn flush_within(&self, time: Duration) -> Result<(), TokenError> {
        match self.0.keeper.get() {
            Some(keeper) => Ok(keeper.flush_within(time).await?),
            None => Ok(()),
        }
    }

    /// What was seen, written, and what failed, in this process.
    pub fn stats(&self) -> TokenStats {
        let keeper = self.0.keeper.get();
        keeper.map(|keeper| keeper.stats()).unwrap_or_default()
    }

    /// The keeper, once there is one.
    pub(super) async fn keeper(&self) -> Result<&Arc<Keeper>, TokenError> {
        if let Some(keeper) = self.0.keeper.get() {
            return Ok(keeper);
        }
        let mut is_open = self.0.is_open.subscribe();
        let opened = is_open.wait_for(|is_open| *is_open);
        // Late or an error, either way it is looked at once more.
        let _ = tokio::time::timeout(OPEN_TIMEOUT, opened).await;
        self.0.keeper.get().ok_or(TokenError::NotOpen)
    }

    /// A token that can be handed out, and the time at which that was so.
    async fn find(&self, installation_id: &str) -> Result<(Entry, SystemTime), TokenError> {
        let keeper = self.keeper().await?;
        let (now, elapsed) = (keeper.clock.now(), keeper.clock.elapsed());
        let remembered = keeper.remembered(installation_id);
        let enough = now + keeper.margin;
        if let Some(entry) = &remembered
            && entry.expires_at > enough
            && entry.is_trusted(now, elapsed)
        {
            return Ok((entry.clone(), now));
        }
        let is_none = installation_id.is_empty() || keeper.is_removed(installation_id);
        if remembered.is_none() && is_none {
            return Err(never_seen(installation_id));
        }
        let error = match keeper.look_up(installation_id).await {
            Ok(Found::Entry(entry)) => return alive(entry, now, enough),
            Ok(Found::Nothing) => return Err(never_seen(installation_id)),
            Ok(Found::Shut(reason)) => TokenError::Sealed {
                installation_id: installation_id.to_owned(),
                reason,
            },
            Err(error) => error.into(),
        };
        match remembered {
            // Memory's own still serves.
            Some(entry) if entry.expires_at > enough => Ok((entry, now)),
            _ => Err(error),
        }
    }

    /// An installation with its token, whether that can be handed out or not; `None` where there is
    /// none, and where it can't be told.
    pub(super) async fn current(&self, installation_id: &str) -> Option<Installation> {
        let keeper = self.0.keeper.get()?;
        let remembered = keeper.remembered(installation_id);
        let entry = match keeper.look_up(installation_id).await {
            Ok(Found::Entry(entry)) => Some(entry),
            Ok(Found::Nothing | Found::Shut(_)) => None,
            Err(_) => remembered,
        };
        entry.map(|entry| installation(&entry, keeper.clock.now()))
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

/// The entry's token, which belongs to the entry's installation.
fn kept_token(entry: &Entry) -> SystemToken {
    let owner = Owner::of_kept(&entry.about.installation_id, entry.about.cloud_ids());
    SystemToken::new(&entry.token, owner)
}
