//! The arguments of a handler, and how they are extracted.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::extract::{AppState, is_in_store};
use crate::registry::Requirement;
use crate::response;

/// A type that can be an argument other than the last.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a Forge handler at this position",
    label = "Forge remotes cannot fill this argument from a request",
    note = "arguments can be: `Invocation`, `SystemToken`, `UserToken`, `State<T>` and any axum \
            extractor that leaves the body alone",
    note = "an extractor that reads the body (`Json<T>`, `String`, `Bytes`, `Request`) must be the last argument",
    note = "for your own value, register it with `App::state(value)` and take forge_remote's `State<YourType>` (not \
            axum's); the type must be `Clone + Send + Sync + 'static`"
)]
pub trait Argument<M>: FromRequestParts<AppState> + Send {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<AppState> + Send> Argument<()> for T {}

/// A type that can be the last argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a Forge handler",
    label = "Forge remotes cannot fill this argument from a request",
    note = "arguments can be: `Invocation`, `SystemToken`, `UserToken`, `State<T>`, `Json<T>` (last) and \
            any axum extractor",
    note = "for the request's JSON body, take `Json<T>` where `T` implements `serde::Deserialize`",
    note = "for your own value, register it with `App::state(value)` and take forge_remote's `State<YourType>` (not axum's); \
            the type must be `Clone + Send + Sync + 'static`"
)]
pub trait LastArgument<M>: FromRequest<AppState, M> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequest<AppState, M>, M> LastArgument<M> for T {}

/// A request whose arguments are being extracted.
#[derive(Debug)]
pub(super) struct Arguments {
    parts: Parts,
    body: axum::body::Body,
    state: AppState,
}

impl Arguments {
    pub(super) fn new(request: Request, state: AppState) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body, state }
    }
}

/// The extractor of an argument other than the last, and its requirement. The error is the finished
/// response.
///
/// It holds a function pointer, so that trait bounds are checked once, where it is created.
#[allow(missing_debug_implementations)]
pub struct Part<T> {
    pub(super) take: for<'a> fn(&'a mut Arguments) -> Taken<'a, T>,
    pub(super) need: Option<Requirement>,
}

/// The extractor of the last argument, which may read the body.
#[allow(missing_debug_implementations)]
pub struct Last<T> {
    pub(super) take: fn(Arguments) -> Taken<'static, T>,
    pub(super) need: Option<Requirement>,
}

/// An argument, or the future of one that is waited for.
pub(super) enum Taken<'a, T> {
    Now(Result<T, Response>),
    Later(BoxFuture<'a, Result<T, Response>>),
}

/// Returns the extractor of an argument other than the last.
pub(super) fn part<T: FromRequestParts<AppState> + Send>(need: Option<Requirement>) -> Part<T> {
    Part {
        take: part_later,
        need,
    }
}

/// When an argument of the framework's own has to be waited for. Otherwise its extractor needs no future on the heap.
pub(super) trait Waits {
    fn waits(parts: &Parts, state: &AppState) -> bool;
}

/// An argument that is never waited for.
pub(super) struct Never;

impl Waits for Never {
    fn waits(_: &Parts, _: &AppState) -> bool {
        false
    }
}

/// A system token, which may be in the store.
pub(super) struct ForStore;

impl Waits for ForStore {
    fn waits(parts: &Parts, state: &AppState) -> bool {
        is_in_store(parts, state)
    }
}

/// Returns the extractor of an argument of the framework's own, other than the last.
pub(super) fn own_part<T: FromRequestParts<AppState> + Send, W: Waits>(
    need: Option<Requirement>,
) -> Part<T> {
    Part {
        take: |arguments| match at_once::<T, W>(arguments) {
            Some(taken) => Taken::Now(taken),
            None => part_later(arguments),
        },
        need,
    }
}

/// Returns the extractor of the last argument, if it is of the framework's own and not the body.
pub(super) fn own_last<T: FromRequestParts<AppState> + Send + 'static, W: Waits>(
    need: Option<Requirement>,
) -> Last<T> {
    Last {
        take: |mut arguments| match at_once::<T, W>(&mut arguments) {
            Some(taken) => Taken::Now(taken),
            None => Taken::Later(Box::pin(async move { waited_for(&mut arguments).await })),
        },
        need,
    }
}

/// Extracts an argument of the framework's own, which is rejected in JSON; `None` if it has to be waited for.
fn at_once<T: FromRequestParts<AppState>, W: Waits>(
    arguments: &mut Arguments,
) -> Option<Result<T, Response>> {
    let Arguments { parts, state, .. } = arguments;
    // Not even started: a future that waits must not be started twice.
    if W::waits(parts, state) {
        return None;
    }
    let taken = T::from_request_parts(parts, state).now_or_never()?;
    Some(taken.map_err(IntoResponse::into_response))
}

fn part_later<T: FromRequestParts<AppState> + Send>(arguments: &mut Arguments) -> Taken<'_, T> {
    Taken::Later(Box::pin(async { waited_for(arguments).await }))
}

async fn waited_for<T: FromRequestParts<AppState>>(
    arguments: &mut Arguments,
) -> Result<T, Response> {
    let Arguments { parts, state, .. } = arguments;
    let rejection = match T::from_request_parts(parts, state).await {
        Ok(value) => return Ok(value),
        Err(rejection) => rejection.into_response(),
    };
    Err(response::rejected(rejection).await)
}

/// Returns the extractor of the last argument.
pub(super) fn last<T: FromRequest<AppState, M>, M>(need: Option<Requirement>) -> Last<T> {
    Last {
        take: |arguments| {
            Taken::Later(Box::pin(async move {
                let request = Request::from_parts(arguments.parts, arguments.body);
                let rejection = match T::from_request(request, &arguments.state).await {
                    Ok(value) => return Ok(value),
                    Err(rejection) => rejection.into_response(),
                };
                Err(response::rejected(rejection).await)
            }))
        },
        need,
    }
}
