//! Verification in front of any tower service.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::future::BoxFuture;
use super::headers::hide_secrets;
use super::log_limit::LogLimits;
use super::policy::EndpointTarget;
use super::provenance::Provenance;
use super::verifier::Verifier;

/// A [`tower::Layer`](Layer) that lets only calls with a valid FIT for one endpoint through.
///
/// The [`EndpointTarget`] declares the accepted callers and has no default. A FIT contains no path, so each
/// endpoint of the manifest needs its own layer, around its own route. The layers can share one
/// [`Verifier`].
///
/// - A call that passes carries [`Claims`](crate::Claims) and [`Provenance`] in its request's
///   extensions. With the feature `axum` both are extractors. In an app of forge-remote the extractors work as well, but
///   the extensions are only behind this layer: code for both takes the extractors.
/// - Any other call never reaches the inner service. The response is JSON and reveals nothing: 401,
///   403 for a page that is not in [`EndpointTarget::pages`], 503 where Atlassian's key set cannot be
///   fetched. The reason is logged, ten times a minute at most for each reason, without the FIT
///   and its claims.
/// - The layer does not read the body. Limit its size with another layer.
///
/// Browsers send a CORS preflight without a FIT before a `requestRemote` call: put a CORS layer
/// outside of this one. If a call's [`Provenance`] is not `Platform`, its OAuth headers may have
/// been written by the caller.
///
/// ```
/// use forge_remote_fit::{Claims, FitLayer, EndpointTarget, Verifier};
/// use tower::{Layer as _, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let verifier = Verifier::production("8db33809-1f32-48bb-8c52-5877dab48107".parse()?)?;
/// let layer = FitLayer::new(verifier, EndpointTarget::platform("refresh-index"));
/// let service = layer.layer(service_fn(async |request: http::Request<String>| {
///     let claims = request.extensions().get::<Claims>();
///     let installation = claims.map(|claims| claims.installation_id().to_owned());
///     Ok::<_, std::io::Error>(http::Response::new(installation.unwrap_or_default()))
/// }));
/// # let _ = service;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FitLayer(Arc<Shared>);

struct Shared {
    verifier: Arc<Verifier>,
    target: EndpointTarget,
    log_limits: LogLimits,
}

impl FitLayer {
    /// Creates a layer that accepts the calls of this target; layers can share the verifier as an
    /// `Arc`.
    pub fn new(verifier: impl Into<Arc<Verifier>>, target: EndpointTarget) -> Self {
        let verifier = verifier.into();
        let log_limits = verifier.log_limits();
        Self(Arc::new(Shared {
            verifier,
            target,
            log_limits,
        }))
    }
}

impl fmt::Debug for FitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FitLayer")
            .field("target", &self.0.target)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for FitLayer {
    type Service = FitService<S>;

    fn layer(&self, inner: S) -> FitService<S> {
        FitService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind verification; [`FitLayer`] makes it.
#[derive(Clone, Debug)]
pub struct FitService<S> {
    inner: S,
    layer: FitLayer,
}

impl<S, B, R> Service<Request<B>> for FitService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that was polled ready takes the call; its clone is not ready yet.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let shared = Arc::clone(&self.layer.0);
        Box::pin(async move {
            let Shared {
                verifier,
                target,
                log_limits,
            } = &*shared;
            hide_secrets(request.headers_mut());
            match verifier.verify(request.headers(), target).await {
                Ok(claims) => {
                    let provenance = Provenance::from_claims(&claims, target);
                    request.extensions_mut().insert(claims);
                    request.extensions_mut().insert(provenance);
                    inner.call(request).await
                }
                Err(error) => {
                    error.log(log_limits);
                    Ok(error.to_response())
                }
            }
        })
    }
}
