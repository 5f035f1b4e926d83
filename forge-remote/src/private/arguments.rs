//! The arguments of a handler, and how they are extracted.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};

use crate::extract::AppState;
use crate::registry::{BoxFuture, Requirement};
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
    parts: axum::http::request::Parts,
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
    pub(super) take: for<'a> fn(&'a mut Arguments) -> Extracting<'a, T>,
    pub(super) need: Option<Requirement>,
}

type Extracting<'a, T> = futures_util::future::BoxFuture<'a, Result<T, Response>>;

/// The extractor of the last argument, which may read the body.
#[allow(missing_debug_implementations)]
pub struct Last<T> {
    pub(super) take: fn(Arguments) -> BoxFuture<Result<T, Response>>,
    pub(super) need: Option<Requirement>,
}

/// Returns the extractor of an argument other than the last.
pub(super) fn part<T: FromRequestParts<AppState> + Send>(need: Option<Requirement>) -> Part<T> {
    Part {
        take: |arguments| {
            Box::pin(async {
                let Arguments { parts, state, .. } = arguments;
                let rejection = match T::from_request_parts(parts, state).await {
                    Ok(value) => return Ok(value),
                    Err(rejection) => rejection.into_response(),
                };
                Err(response::rejected(rejection).await)
            })
        },
        need,
    }
}

/// Returns the extractor of the last argument.
pub(super) fn last<T: FromRequest<AppState, M>, M>(need: Option<Requirement>) -> Last<T> {
    Last {
        take: |arguments| {
            Box::pin(async move {
                let request = Request::from_parts(arguments.parts, arguments.body);
                let rejection = match T::from_request(request, &arguments.state).await {
                    Ok(value) => return Ok(value),
                    Err(rejection) => rejection.into_response(),
                };
                Err(response::rejected(rejection).await)
            })
        },
        need,
    }
}
