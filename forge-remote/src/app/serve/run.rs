//! [`App::serve`]: an app's server, which a signal stops.

use std::io;
#[cfg(feature = "cli")]
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::signals::StopSignals;
use crate::app::builder::App;
use crate::app::launch::LaunchError;
use crate::app::service::Service;
use crate::error::Error;
use crate::fit::BoxFuture;

/// The reason why [`App::serve`] did not start, or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The app has problems that keep it from starting.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A state or the token store could not be connected.
    #[error("error: {0:?}")]
    Connect(Error),
    /// Listening on the address failed.
    #[error(
        "error: cannot listen on `{address}`: {source}\n  help: set FORGE_REMOTE_BIND to a free address such as \
         127.0.0.1:8081"
    )]
    Bind {
        /// The configured address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The server failed.
    #[error("error: {0:?}")]
    Serve(Error),
    /// A second signal ended the shutdown.
    #[error("stopped at once by a second signal: calls in flight were cancelled")]
    Interrupted,
}

impl App {
    /// Serves until Ctrl-C or SIGTERM, as [`run`](Self::run) does without a command. For programs
    /// without the feature `cli` or with their own command line.
    ///
    /// A signal while the app still connects ends it without serving, at the next await point. If the app does not
    /// serve yet, or no longer, a second signal ends the process with status 1, even while a thread is blocked. While
    /// it serves, the second signal ends this method with [`ServeError::Interrupted`], and a third one the process.
    /// After a start that failed, the first signal ends the process with status 1, unless the app is started again.
    ///
    /// Checks the app, connects its state, and listens on the configured address
    /// ([`bind`](Self::bind)). To see logs, set a `tracing` subscriber first. With the feature `cli`,
    /// an app whose manifest differs from the code does not start.
    ///
    /// # Errors
    ///
    /// The app cannot start, the address cannot be listened on, or a second signal ended the shutdown.
    ///
    /// ```no_run
    /// use forge_remote::ServeError;
    /// use forge_remote::prelude::*;
    ///
    /// #[tokio::main]
    /// async fn main() -> std::result::Result<(), ServeError> {
    ///     App::new()
    ///         .remote(Remote::new("backend").base_url("https://backend.example.com"))
    ///         .serve()
    ///         .await
    /// }
    /// ```
    pub async fn serve(self) -> Result<(), ServeError> {
        serve_boxed(self).await
    }

    /// Checks and builds the app, and listens; `None` if a signal to stop comes first.
    pub(crate) async fn listen(self) -> Result<Option<Listening>, ServeError> {
        // As process 1 of a container, the process would ignore a signal that it does not receive.
        let signals = StopSignals::listen();
        let bound = tokio::select! {
            biased;
            () = signals.first() => {
                tracing::info!("stopped by a signal before the app served");
                return Ok(None);
            }
            bound = self.bind_built() => bound,
        };
        let (built, listener) = bound?;
        Ok(Some(Listening {
            built,
            listener,
            signals,
        }))
    }

    async fn bind_built(self) -> Result<(Service, TcpListener), ServeError> {
        let settings = self.settings();
        // Declarations first: they are known before anything is connected.
        let mut problems = self.declaration_problems();
        problems.extend(crate::app::drift(&self));
        if !problems.is_empty() {
            problems.extend(self.setup_problems(&settings));
            return Err(LaunchError::new(problems).into());
        }
        let app = self.connect().await.map_err(ServeError::Connect)?;
        let built = app.build_compared()?;
        let address = settings.bind;
        let listener = TcpListener::bind(&address).await;
        let listener = listener.map_err(|source| ServeError::Bind { address, source })?;
        Ok((built, listener))
    }
}

/// Serves the app, boxed. A function that is not asynchronous is compiled with this crate, and not again with each app.
fn serve_boxed(app: App) -> BoxFuture<Result<(), ServeError>> {
    Box::pin(async move {
        match app.listen().await? {
            Some(listening) => listening.run().await,
            None => Ok(()),
        }
    })
}

/// An app that listens but does not serve yet.
pub(crate) struct Listening {
    built: Service,
    listener: TcpListener,
    signals: StopSignals,
}

impl Listening {
    #[cfg(feature = "cli")]
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until a signal.
    pub(crate) async fn run(self) -> Result<(), ServeError> {
        tokio::select! {
            biased;
            () = self.signals.second() => Err(ServeError::Interrupted),
            served = self.built.serve(self.listener, self.signals.first()) => {
                served.map_err(ServeError::Serve)
            }
        }
    }
}
