//! Tower layers around an app's routes.

use axum::Router;

type Layer = Box<dyn FnOnce(Router) -> Router + Send>;

/// The layers around an app's routes, innermost first.
#[derive(Default)]
pub(crate) struct Layers(Vec<Layer>);

impl Layers {
    pub(crate) fn add(&mut self, layer: impl FnOnce(Router) -> Router + Send + 'static) {
        self.0.push(Box::new(layer));
    }

    pub(crate) fn apply(self, router: Router) -> Router {
        self.0
            .into_iter()
            .fold(router, |router, layer| layer(router))
    }
}
