//! The service: an app that has passed every check, on one router.

use std::fmt;
use std::sync::Arc;

use axum::Router;

use super::by_hand::ByHand;
#[cfg(feature = "dev")]
use super::cron::Schedules;
use crate::app::background::{BackgroundError, BackgroundTasks, Tasks};
use crate::app::limits::Limits;
use crate::fit::Verifier;
use crate::manifest::DesiredManifest;
use crate::registry::Registry;
#[cfg(feature = "dev")]
use crate::token::JobSeal;
use crate::token::Tokens;
use crate::work::Work;

/// An app that has passed every check and can serve. Clones share it.
#[derive(Clone)]
pub struct Service(pub(super) Arc<ServiceParts>);

/// The parts of a service.
pub(super) struct ServiceParts {
    pub(super) registry: Registry,
    pub(super) desired: DesiredManifest,
    pub(super) verifier: Arc<Verifier>,
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) work: Arc<Work>,
    pub(super) tokens: Option<Tokens>,
    #[cfg(feature = "dev")]
    pub(super) job_seal: Option<JobSeal>,
    #[cfg(feature = "dev")]
    pub(super) schedules: Schedules,
    pub(super) background: Arc<Tasks>,
    pub(super) by_hand: Arc<ByHand>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("handlers", &self.registry().handlers().len())
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Returns the routes as an axum router, to nest into another or to call in tests. Every call of a
    /// handler is verified; [`App::routes`](crate::App::routes), `/healthz` and `/readyz` are not.
    ///
    /// Keys are fetched when requests need them; [`Jwks::keep_fresh`](crate::fit::Jwks::keep_fresh) fetches them ahead.
    /// Call [`start_background`](Self::start_background) to run background tasks, and [`shutdown`](Self::shutdown) at
    /// the end to write tokens that are not stored yet. The log has a warning if requests are served without the app's
    /// tasks, and an error if the app is dropped with unwritten tokens. The store's callbacks (such as
    /// [`Tokens::on_removed`]) start automatically.
    ///
    /// ```
    /// use forge_remote::axum::Router;
    /// use forge_remote::prelude::*;
    ///
    /// # async fn serve(app: App, listener: tokio::net::TcpListener) -> Result<()> {
    /// let service = app.connect().await?.build()?;
    /// let background = service.start_background()?;
    /// let router = Router::new().nest("/forge", service.router());
    /// forge_remote::axum::serve(listener, router).await?;
    /// background.stop(std::time::Duration::from_secs(20)).await;
    /// service.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        self.0.router.clone()
    }

    /// Returns the app's handlers.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Returns the verifier that checks every request.
    pub fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    /// Returns the manifest items that the code declares.
    pub fn desired_manifest(&self) -> DesiredManifest {
        self.0.desired.clone()
    }

    pub(crate) fn work(&self) -> &Arc<Work> {
        &self.0.work
    }

    /// Starts the app's [`background`](crate::App::background) tasks. Needed only if your own
    /// server serves the [`router`](Self::router); `serve` starts them automatically.
    ///
    /// They run once for all clones of the service, and are cancelled when the returned handle is
    /// dropped. Stop them with [`BackgroundTasks::stop`] before [`shutdown`](Self::shutdown).
    pub fn start_background(&self) -> Result<BackgroundTasks, BackgroundError> {
        self.0.background.start()
    }

    /// Records that this app's own server takes care of everything except requests.
    pub(crate) fn is_served(&self) {
        self.0.by_hand.is_served();
    }

    /// Records that unwritten tokens were written, or that their loss was logged.
    pub(crate) fn is_shut_down(&self) {
        self.0.by_hand.is_shut_down();
    }

    /// Logs nothing about tasks that are not running: in tests.
    #[cfg(feature = "testing")]
    pub(crate) fn needs_no_tasks(&self) {
        self.0.by_hand.needs_no_tasks();
    }

    /// Returns the seal of stored calls.
    #[cfg(feature = "dev")]
    pub(crate) fn job_seal(&self) -> Option<&JobSeal> {
        self.0.job_seal.as_ref()
    }

    /// Returns the schedules of the handlers with `cron`.
    #[cfg(feature = "dev")]
    pub(crate) fn cron_schedules(&self) -> &Schedules {
        &self.0.schedules
    }

    pub(crate) fn tokens(&self) -> Option<&Tokens> {
        self.0.tokens.as_ref()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }
}
