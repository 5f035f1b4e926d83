//! What the macros' output names. Not part of the public API: no stability here.

use std::any::TypeId;
use std::cell::Cell;
use std::future::{Future, Ready, ready};
use std::marker::PhantomData;

pub use core::{column, file, line, module_path, option, result};
pub use inventory;
pub use std::boxed::Box;

pub use axum::extract::Request;
pub use axum::response::Response;

use axum::extract::{FromRequest, FromRequestParts};
use axum::response::IntoResponse;

pub use crate::extract::AppState;
pub use crate::kinds;
pub use crate::registry::{Auth, BoxFuture, Location, Method, Need, Registration, Submission};

use crate::error::BoxError;
use crate::extract::{State, SystemToken, UserToken};
use crate::response;
use crate::token::Tokens;

// What the macros call by method syntax, for its order of preference, is named as no trait of a
// user's names anything: a blanket one in scope would be ambiguous.

/// Asks a type what it needs: an inherent constant wins over the trait's.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>);

/// The answer for every type that has no inherent one.
pub trait NoNeed {
    const FORGE_REMOTE_NEED: Option<Need> = None;
}

impl<T> NoNeed for Probe<T> {}

impl Probe<SystemToken> {
    pub const FORGE_REMOTE_NEED: Option<Need> = Some(Need::SystemToken);
}

impl Probe<Option<SystemToken>> {
    pub const FORGE_REMOTE_NEED: Option<Need> = Some(Need::SystemToken);
}

impl Probe<UserToken> {
    pub const FORGE_REMOTE_NEED: Option<Need> = Some(Need::UserToken);
}

impl Probe<Option<UserToken>> {
    pub const FORGE_REMOTE_NEED: Option<Need> = Some(Need::UserToken);
}

impl Probe<Tokens> {
    pub const FORGE_REMOTE_NEED: Option<Need> = Some(Need::Tokens);
}

impl<T: 'static> Probe<State<T>> {
    pub const FORGE_REMOTE_NEED: Option<Need> = Some(Need::State {
        id: TypeId::of::<T>,
        name: std::any::type_name::<T>,
    });
}

/// Refuses, at compile time, a token that Forge would never send; the error is the caller's.
#[track_caller]
pub const fn check_need(need: Option<Need>, auth: Auth, has_user: bool) {
    match need {
        Some(Need::SystemToken) if !auth.system && has_user => panic!(
            "a `SystemToken` is taken here but not asked for, so Forge would never send it: write \
             `auth = system` (or `auth = [system, user]`) in the attribute"
        ),
        Some(Need::SystemToken) if !auth.system => panic!(
            "a `SystemToken` is taken here but not asked for, so Forge would never send it: write \
             `auth = system` in the attribute"
        ),
        Some(Need::UserToken) if !has_user => panic!(
            "there is no user in session when Forge makes this call, so no `UserToken` ever \
             arrives: take a `SystemToken` and write `auth = system`"
        ),
        Some(Need::UserToken) if !auth.user => panic!(
            "a `UserToken` is taken here but not asked for, so Forge would never send it: write \
             `auth = user` (or `auth = [system, user]`) in the attribute"
        ),
        _ => {}
    }
}

/// What can be an argument that isn't the last.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a Forge handler at this position",
    label = "Forge remotes can't fill this argument from a request",
    note = "arguments can be: `Invocation`, `SystemToken`, `UserToken`, `State<T>` and any axum \
            extractor that leaves the body alone",
    note = "what reads the body (`Json<T>`, `String`, `Bytes`, `Request`) must be the last argument",
    note = "for a value of your own, put it in the app with `App::state(value)` and take `State<YourType>`; \
            the type must be `Clone + Send + Sync + 'static`"
)]
pub trait Argument {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<AppState>> Argument for T {}

/// What can be the last argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a Forge handler",
    label = "Forge remotes can't fill this argument from a request",
    note = "arguments can be: `Invocation`, `SystemToken`, `UserToken`, `State<T>`, `Json<T>` (last) and \
            any axum extractor",
    note = "for the request's JSON body, take `Json<T>` where `T` implements `serde::Deserialize`",
    note = "for a value of your own, put it in the app with `App::state(value)` and take `State<YourType>`; \
            the type must be `Clone + Send + Sync + 'static`"
)]
pub trait LastArgument<M> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequest<AppState, M>, M> LastArgument<M> for T {}

/// Called, never run: makes the compiler check an argument at the user's own type.
pub const fn argument<T: Argument>() {}

/// As [`argument`], for the last one.
pub const fn last_argument<T: LastArgument<M>, M>() {}

/// A request being taken apart into arguments.
#[derive(Debug)]
pub struct Arguments {
    parts: axum::http::request::Parts,
    body: axum::body::Body,
    state: AppState,
}

impl Arguments {
    /// Takes the request apart.
    pub fn new(request: Request, state: AppState) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body, state }
    }
}

/// An argument to be filled: the first of the three traits below that fits is taken, by the number
/// of references it needs. What fits the third is refused by [`argument`] or [`last_argument`]
/// already, and once is enough.
pub struct Slot<T>(PhantomData<fn() -> T>);

impl<T> std::fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl<T> Slot<T> {
    pub const NEW: Self = Self(PhantomData);
}

/// 1. An argument from the request's head; the error is the finished answer.
pub trait TakePart<T> {
    fn forge_remote_take(
        &self,
        arguments: &mut Arguments,
    ) -> impl Future<Output = Result<T, Response>> + Send;
}

impl<T: FromRequestParts<AppState>> TakePart<T> for &Slot<T> {
    async fn forge_remote_take(&self, arguments: &mut Arguments) -> Result<T, Response> {
        let refusal = match T::from_request_parts(&mut arguments.parts, &arguments.state).await {
            Ok(value) => return Ok(value),
            Err(rejection) => rejection.into_response(),
        };
        Err(response::rejected(refusal).await)
    }
}

/// 2. The last argument, which may read the body.
pub trait TakeLast<T, M> {
    fn forge_remote_take_last(
        &self,
        arguments: Arguments,
    ) -> impl Future<Output = Result<T, Response>> + Send;
}

impl<T: FromRequest<AppState, M>, M> TakeLast<T, M> for &Slot<T> {
    async fn forge_remote_take_last(&self, arguments: Arguments) -> Result<T, Response> {
        let request = Request::from_parts(arguments.parts, arguments.body);
        let refusal = match T::from_request(request, &arguments.state).await {
            Ok(value) => return Ok(value),
            Err(rejection) => rejection.into_response(),
        };
        Err(response::rejected(refusal).await)
    }
}

/// 3. No argument at all.
pub trait TakeNothing<T> {
    fn forge_remote_take(&self, _: &mut Arguments) -> Ready<Result<T, Response>> {
        ready(Err(response::internal_error()))
    }

    fn forge_remote_take_last(&self, _: Arguments) -> Ready<Result<T, Response>> {
        ready(Err(response::internal_error()))
    }
}

impl<T> TakeNothing<T> for Slot<T> {}

/// A handler's return value on its way to a response: the first of the three traits below that
/// fits is taken, by the number of references it needs.
pub struct Output<T>(Cell<Option<T>>);

impl<T> std::fmt::Debug for Output<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Output")
    }
}

impl<T> Output<T> {
    pub fn new(value: T) -> Self {
        Self(Cell::new(Some(value)))
    }
}

/// 1. What is a response already.
pub trait DirectReply {
    fn forge_remote_reply(&self) -> Response;
}

impl<T: IntoResponse> DirectReply for &&Output<T> {
    fn forge_remote_reply(&self) -> Response {
        self.0
            .take()
            .map_or_else(response::internal_error, IntoResponse::into_response)
    }
}

/// 2. A `Result` whose error is any error: 500, logged, nothing revealed.
pub trait FallibleReply {
    fn forge_remote_reply(&self) -> Response;
}

impl<T: IntoResponse, E: Into<BoxError>> FallibleReply for &Output<Result<T, E>> {
    fn forge_remote_reply(&self) -> Response {
        match self.0.take() {
            Some(Ok(value)) => value.into_response(),
            Some(Err(error)) => crate::error::Error::new(error).into_response(),
            None => response::internal_error(),
        }
    }
}

/// 3. Everything else: an error that names the fix.
pub trait UnsupportedReply<T> {
    fn forge_remote_reply(&self) -> Response
    where
        T: HandlerOutput;
}

impl<T> UnsupportedReply<T> for Output<T> {
    fn forge_remote_reply(&self) -> Response
    where
        T: HandlerOutput,
    {
        response::internal_error()
    }
}

/// What a handler can return; implemented by nothing, it only carries the message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something a Forge handler can return",
    label = "not a response",
    note = "return `Result<()>`, `Result<Json<T>>`, `Result<T, E>` with any error type, or anything that \
            implements axum's `IntoResponse`",
    note = "the `T` of a `Json<T>` must implement `serde::Serialize`, and an error `std::error::Error + Send + Sync`",
    note = "to return a value as JSON, wrap it: `Json(value)`"
)]
pub trait HandlerOutput {}

/// Boxes the handler's future; the bound gives the `Send` error a place of its own.
pub fn boxed<F: Future<Output = Response> + Send + 'static>(future: F) -> BoxFuture<Response> {
    Box::pin(future)
}
