//! The connection of an app's asynchronous state, token store and job engine, before it is built.

use axum::http::StatusCode;

use super::builder::{App, PendingState};
use crate::error::{Error, Result};
use crate::fit::BoxFuture;

impl App {
    /// Connects the app's state, token store and job engine.
    ///
    /// It runs the futures of [`state_async`](Self::state_async), connects the [`token_store`](Self::token_store) and
    /// opens the engine of [`jobs`](Self::jobs). `run` and [`serve`](Self::serve) call it; before
    /// [`build`](Self::build), call it yourself.
    pub async fn connect(self) -> Result<Self> {
        connect_boxed(self).await
    }

    async fn connect_each(mut self) -> Result<Self> {
        for PendingState { name, value, .. } in std::mem::take(&mut self.pending_state) {
            let insert = value.await.map_err(|cause| {
                let message = format!("the state `{name}` could not be made");
                Error::http(StatusCode::INTERNAL_SERVER_ERROR, message).with_source(cause)
            })?;
            // A second value of a type is a problem of the launch.
            insert(&mut self.state);
        }
        if let Some(tokens) = &self.token_store {
            tokens.use_clock(&self.clock);
            tokens.open_or_wait().await?;
        }
        if let Some(jobs) = &self.jobs {
            jobs.engine.open().await?;
        }
        Ok(self)
    }
}

/// Connects the app, boxed. A function that is not asynchronous is compiled with this crate, and not again with each
/// app.
fn connect_boxed(app: App) -> BoxFuture<Result<App>> {
    Box::pin(app.connect_each())
}
