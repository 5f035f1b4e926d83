//! Opening: from settings to a store that is connected.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::cache::Link;
use super::connecting::connect;
use super::error::OpenError;
use super::handle::Tokens;
use super::keeper::{Bounds, Keeper};
use super::removal_watch::RemovalWatch;
use super::seal::Keys;
#[cfg(feature = "dev")]
use super::store::MemoryTokens;
use crate::environment::variable;
use crate::error::chain;
use crate::fit::{ClockHealth, Environment};

/// Opening: from settings to a store that is connected.
impl Tokens {
    /// Connects the store and looks whether the keys open what is in it. An app does so when it
    /// starts to serve; there a store that is only down ends nothing, here it is an error, and the
    /// call may be made again. Opened once, it stays so.
    pub async fn open(&self) -> Result<(), OpenError> {
        let _opening = self.0.opening.lock().await;
        if let Some(keeper) = self.opened()? {
            // It may have been down when an app started with it.
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

    /// As [`open`](Self::open), for an app that serves without its store as well: what may pass
    /// (the store is down) is tried again behind, what can't (a wrong key) is an error.
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
                "the app starts without its tokens' store; tokens are kept in memory until it is there"
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

    /// Opens tokens whose store needs no connection, and leaves open ones open.
    pub(crate) fn open_at_once(&self) -> Result<(), OpenError> {
        if self.opened()?.is_none() {
            self.start(self.new_keeper()?);
        }
        Ok(())
    }

    /// The keeper, where there is one already: what was set since was set in vain.
    fn opened(&self) -> Result<Option<&Arc<Keeper>>, OpenError> {
        let Some(keeper) = self.0.keeper.get() else {
            return Ok(None);
        };
        match self.settings().too_late {
            Some(setting) => Err(OpenError::TooLate { setting }),
            None => Ok(Some(keeper)),
        }
    }

    fn new_keeper(&self) -> Result<Keeper, OpenError> {
        let settings = self.settings();
        let store = Arc::clone(&settings.store);
        if let Some(environments) = &settings.environments {
            let _ = self.0.admission.environments.set(environments.clone());
        }
        let keys = if store.outlives_process() {
            let text = variable("FORGE_REMOTE_TOKEN_KEY").map(Zeroizing::new);
            let Some(text) = text.or_else(|| settings.keys.clone()) else {
                let store = store.name();
                return Err(OpenError::PlatformError { store });
            };
            Keys::parse(&text)?
        } else {
            Keys::random()?
        };
        Ok(Keeper::new(
            store,
            keys,
            Arc::clone(&settings.clock),
            Bounds {
                margin: settings.margin,
                limit: settings.limit,
            },
            Arc::clone(&self.0.clock_health),
            Arc::clone(&self.0.admission),
            self.0.callbacks.announcer(),
        ))
    }

    fn start(&self, keeper: Keeper) {
        // Set by another thread meanwhile: that one is as good.
        let _ = self.0.keeper.set(Arc::new(keeper));
        self.0.is_open.send_replace(true);
        self.start_watchers();
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.keeper.get().is_some()
    }

    /// Starts what goes on beside, once tokens are open and there is a runtime: those who wait to
    /// be told, the purge, and a store that is yet to be opened.
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
        keeper.start_writing();
    }

    /// Whether the store can be used, for those who look whether the app is well.
    pub(crate) fn is_connected(&self) -> bool {
        let keeper = self.0.keeper.get();
        keeper.is_some_and(|keeper| keeper.link() == Link::Open)
    }

    #[cfg(feature = "dev")]
    /// A local platform's tokens stay in the process: no API takes them, and the store may be the
    /// real one. False when that one is open already.
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

    /// Where the verifier records what invocation tokens show of the machine's clock.
    pub(crate) fn clock_health(&self) -> Arc<ClockHealth> {
        Arc::clone(&self.0.clock_health)
    }

    /// Which app it is and which environments it takes; the first word counts.
    pub(crate) fn belong_to(&self, app_id: &str, environments: Option<&[Environment]>) {
        let _ = self.0.admission.app_id.set(app_id.to_owned());
        if let Some(environments) = environments {
            let _ = self.0.admission.environments.set(environments.to_vec());
        }
    }
}
