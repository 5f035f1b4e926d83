//! The app's own values, by type.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::rejection::StateRejection;

#[derive(Default)]
pub(crate) struct StateMap(BTreeMap<TypeId, Box<dyn Any + Send + Sync>>);

impl StateMap {
    /// Inserts a value; returns false if it replaces one of this type.
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) -> bool {
        self.0.insert(TypeId::of::<T>(), Box::new(value)).is_none()
    }

    pub(crate) fn contains(&self, id: TypeId) -> bool {
        self.0.contains_key(&id)
    }

    fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref().cloned()
    }
}

/// The state of handlers' extractors: the values passed to [`App::state`](crate::App::state).
///
/// Write `impl FromRequestParts<AppState>` for your own extractor that needs them.
#[derive(Clone)]
pub struct AppState(Arc<StateMap>);

impl AppState {
    pub(crate) fn new(map: StateMap) -> Self {
        Self(Arc::new(map))
    }

    /// Returns the app's value of type `T`, if it has one.
    pub fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.0.get()
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("values", &self.0.0.len())
            .finish()
    }
}

/// A clone of the value passed to [`App::state`](crate::App::state).
///
/// A missing value is an error when the app starts, not at the first request.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[derive(Clone)]
/// struct Db;
///
/// #[scheduled_trigger(interval = "hour")]
/// async fn sweep(State(db): State<Db>) -> Result<()> {
///     let _ = db;
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for State<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Clone + Send + Sync + 'static> FromRequestParts<AppState> for State<T> {
    type Rejection = StateRejection;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, StateRejection> {
        // Only a `State` inside another extractor can be missing: launch checks the rest.
        let missing = std::any::type_name::<T>();
        let value = state.get().map(Self);
        value.ok_or(StateRejection::new(
            missing,
            "give it with `App::state(value)`",
        ))
    }
}
