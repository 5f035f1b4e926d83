//! Opens a token store with its keys.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::cache::Link;
use super::connecting::connect;
use super::error::OpenError;
use super::handle::Tokens;
use super::keeper::{Keeper, KeeperSettings};
use super::removal_watch::RemovalWatch;
use super::seal::{InvalidKeys, Keys};
#[cfg(feature = "dev")]
use super::store::MemoryTokens;
use super::writer::start_writing;
use crate::environment::variable;
use crate::error::chain;
use crate::fit::{AppId, ClockHealth, Environment};

/// Returns the keys in the environment, otherwise those in the code; `None` without any.
pub(super) fn configured_keys(
    in_code: Option<&Zeroizing<String>>,
) -> Result<Option<Keys>, InvalidKeys> {
    let text = variable("FORGE_REMOTE_TOKEN_KEY").map(Zeroizing::new);
    let text = text.or_else(|| in_code.cloned());
    text.map(|text| Keys::parse(&text)).transpose()
}

/// Opening the tokens.
impl Tokens {
    /// Connects the store and checks that the keys open its records.
    ///
    /// An app does this when it starts to serve, and starts even if the store is down. Here that is an
    /// error; the call may be retried. Tokens stay open once they are opened.
    pub async fn open(&self) -> Result<(), OpenError> {
        let _opening = self.0.opening.lock().await;
        if let Some(keeper) = self.opened()? {
            // The store may have been down when the app started.
            if keeper.link() != Link::Open {
                connect(keeper).await?;
                keeper.memory().link = Link::Open;
            }
            return Ok(());
        }
        let keeper = self.new_keeper()?;
        connect(&keeper).await?;
        self.start(keeper);
        Ok(())
    }

    /// Opens the tokens for an app, which serves without its store as well: a transient error (the
    /// store is down) is retried in the background, a permanent one (a wrong key) is returned.
    pub(crate) async fn open_or_wait(&self) -> Result<(), OpenError> {
        let _opening = self.0.opening.lock().await;
        if self.opened()?.is_some() {
            return Ok(());
        }
        let keeper = self.new_keeper()?;
        if let Err(error) = connect(&keeper).await {
            if !error.is_transient() {
                return Err(error);
            }
            tracing::error!(
                error = %format_args!("{error}{}", chain(&error)),
                "the app starts without its token store; tokens are kept in memory until it is available"
            );
            let mut memory = keeper.memory();
            memory.counts.store_failures += 1;
            memory.link = Link::Waiting;
        }
        self.start(keeper);
        Ok(())
    }

    /// Returns whether the tokens are open, or can be opened without connecting a store.
    pub(crate) fn can_open_at_once(&self) -> Result<bool, OpenError> {
        Ok(self.opened()?.is_some() || !self.settings().store.outlives_process())
    }

    /// Opens tokens whose store needs no connection, unless they are open already.
    pub(crate) fn open_at_once(&self) -> Result<(), OpenError> {
        if self.opened()?.is_none() {
            self.start(self.new_keeper()?);
        }
        Ok(())
    }

    /// Returns the keeper if the tokens are open; an error if a setting was changed since.
    fn opened(&self) -> Result<Option<&Arc<Keeper>>, OpenError> {
        let Some(keeper) = self.0.keeper.get() else {
            return Ok(None);
        };
        match self.settings().too_late {
            Some(setting) => Err(OpenError::TooLate { setting }),
            None => Ok(Some(keeper)),
        }
    }

    pub(super) fn new_keeper(&self) -> Result<Keeper, OpenError> {
        let settings = self.settings();
        let store = Arc::clone(&settings.store);
        if let Some(environments) = &settings.environments {
            let _ = self.0.own_apps.environments.set(environments.clone());
        }
        let keys = if store.outlives_process() {
            configured_keys(settings.keys.as_ref())?.ok_or_else(|| OpenError::NoKey {
                store: store.name(),
            })?
        } else {
            Keys::random()?
        };
        Ok(Keeper::new(
            store,
            keys,
            Arc::clone(&settings.clock),
            KeeperSettings {
                margin: settings.margin,
                limit: settings.limit,
                clock_health: Arc::clone(&self.0.clock_health),
                own_apps: Arc::clone(&self.0.own_apps),
                announcer: self.0.callbacks.announcer(),
                start_writer: start_writing,
            },
        ))
    }

    fn start(&self, keeper: Keeper) {
        // An error means that another thread has set an equal one.
        let _ = self.0.keeper.set(Arc::new(keeper));
        self.0.is_open.send_replace(true);
        self.start_watchers();
    }

    /// Starts the background tasks once the tokens are open and there is a runtime: the callbacks, the
    /// purge, and the task that writes and opens the store.
    pub(crate) fn start_watchers(&self) {
        let (Ok(runtime), Some(keeper)) =
            (tokio::runtime::Handle::try_current(), self.0.keeper.get())
        else {
            return;
        };
        for callback in self.0.callbacks.take_expiry() {
            runtime.spawn(callback.run(Arc::downgrade(&self.0)));
        }
        if let Some((callbacks, announced)) = self.0.callbacks.take_removal() {
            let watch = RemovalWatch::new(callbacks);
            runtime.spawn(watch.run(Arc::downgrade(&self.0), announced));
        }
        if self.0.is_purged.set(()).is_ok() {
            runtime.spawn(Keeper::keep_purged(Arc::downgrade(keeper)));
        }
        keeper.wake_writer();
    }

    /// Returns whether the store can be used, for the app's health check.
    pub(crate) fn is_connected(&self) -> bool {
        let keeper = self.0.keeper.get();
        keeper.is_some_and(|keeper| keeper.link() == Link::Open)
    }

    #[cfg(feature = "dev")]
    /// Keeps a local platform's tokens in memory: no API accepts them, and the app's store may be the
    /// production one. Returns false if that is open already.
    pub(crate) fn use_memory(&self) -> bool {
        let Ok(_opening) = self.0.opening.try_lock() else {
            return false;
        };
        let mut settings = self.settings();
        if self.is_open() {
            return !settings.store.outlives_process();
        }
        settings.store = Arc::new(MemoryTokens::new());
        true
    }

    /// Returns the record of the machine's clock, to which the verifier writes.
    pub(crate) fn clock_health(&self) -> Arc<ClockHealth> {
        Arc::clone(&self.0.clock_health)
    }

    /// Sets the apps and their environments; the first call takes effect.
    pub(crate) fn belong_to(&self, app_ids: &[AppId], environments: Option<&[Environment]>) {
        let app_ids = app_ids.iter().map(|id| id.as_str().to_owned());
        let _ = self.0.own_apps.app_ids.set(app_ids.collect());
        if let Some(environments) = environments {
            let _ = self.0.own_apps.environments.set(environments.to_vec());
        }
    }
}
