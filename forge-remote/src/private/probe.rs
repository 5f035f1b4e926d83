//! The selection of an extractor for each argument, and of a conversion for what a handler returns.
//!
//! Method names carry a `forge_remote_` prefix so that a blanket trait in the user's scope cannot make a
//! [`Probe`]'s ambiguous.

use std::any::TypeId;
use std::marker::PhantomData;

use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::arguments::{
    Argument, ForStore, Last, LastArgument, Never, Part, last, own_last, own_part, part,
};
use super::requests::{HasUser, IsCalled, IsJob, RequestsSystemToken, RequestsUserToken};
use crate::credentials::{SystemToken, UserToken};
use crate::error::{BoxError, Error};
use crate::extract::rejection::OauthTokenRejection;
use crate::extract::{Args, Event, Invocation, JobCall, Json, RetryContext, State};
use crate::jobs::{Attempt, Jobs};
use crate::registry::Requirement;
use crate::schedules::Occurrence;
use crate::token::Tokens;

/// Selects how a type is extracted as an argument of a handler with the tokens `A`, and how it is
/// converted to a response: an inherent function takes precedence over a trait's.
#[derive(Debug)]
pub struct Probe<T, A>(PhantomData<fn() -> (T, A)>);

/// The fallback for every type without inherent functions.
pub trait Fallback<T> {
    /// Returns an extractor without a requirement.
    fn forge_remote_part<M>() -> Part<T>
    where
        T: Argument<M>,
    {
        part(None)
    }

    /// Returns an extractor of the last argument, without a requirement.
    fn forge_remote_last<M>() -> Last<T>
    where
        T: LastArgument<M>,
    {
        last(None)
    }

    /// Converts a value that isn't a response: a `Result` with any error (500, logged, nothing
    /// revealed). For other types there is a compiler message.
    fn forge_remote_reply(value: T) -> Response
    where
        T: HandlerOutput,
    {
        value.into_handler_response()
    }
}

impl<T, A> Fallback<T> for Probe<T, A> {}

macro_rules! requirements {
    ($waits:ty: $([$($generic:tt)*] $ty:ty: $requirement:expr $(, $requests:ident)*;)*) => {
        $(
            impl<A, $($generic)*> Probe<$ty, A> {
                pub fn forge_remote_part() -> Part<$ty>
                where
                    $(A: $requests,)*
                {
                    own_part::<_, $waits>($requirement)
                }

                pub fn forge_remote_last() -> Last<$ty>
                where
                    $(A: $requests,)*
                {
                    own_last::<_, $waits>($requirement)
                }
            }
        )*
    };
}

requirements! {
    Never:
    // It has no requirement; nearly every handler takes it, and an inherent function compiles faster.
    [] Invocation: None, IsCalled;
    [] UserToken: Some(Requirement::UserToken), HasUser, RequestsUserToken;
    [] Option<UserToken>: Some(Requirement::UserToken), HasUser, RequestsUserToken;
    [] Result<UserToken, OauthTokenRejection>: Some(Requirement::UserToken), HasUser, RequestsUserToken;
    [] Tokens: Some(Requirement::Tokens);
    [] RetryContext: Some(Requirement::RetryContext), IsCalled;
    [] Attempt: Some(Requirement::Attempt);
    [] Jobs: Some(Requirement::Jobs);
    [] JobCall: None, IsJob;
    [T: DeserializeOwned + Send + 'static] Args<T>: None, IsJob;
    [] Occurrence: Some(Requirement::Occurrence);
    [T: Clone + Send + Sync + 'static] State<T>: Some(Requirement::State {
        id: TypeId::of::<T>,
        name: std::any::type_name::<T>,
    });
}

requirements! {
    ForStore:
    [] SystemToken: Some(Requirement::SystemToken), RequestsSystemToken;
    [] Option<SystemToken>: Some(Requirement::OptionalSystemToken), RequestsSystemToken;
    [] Result<SystemToken, OauthTokenRejection>: Some(Requirement::OptionalSystemToken), RequestsSystemToken;
}

// Inherent functions for the body's extractors too, so that the compiler skips selecting one of axum's
// two traits.
impl<T: DeserializeOwned, A> Probe<Json<T>, A> {
    pub fn forge_remote_last() -> Last<Json<T>>
    where
        A: IsCalled,
    {
        last(None)
    }
}

impl<T: DeserializeOwned, A> Probe<Event<T>, A> {
    pub fn forge_remote_last() -> Last<Event<T>>
    where
        A: IsCalled,
    {
        last(None)
    }
}

impl<T: IntoResponse, A> Probe<T, A> {
    /// Converts a value that is a response already.
    pub fn forge_remote_reply(value: T) -> Response {
        value.into_response()
    }
}

/// A type that a handler can return.
#[diagnostic::on_unimplemented(
    message = "a Forge handler cannot return `{Self}`",
    label = "not a response",
    note = "return `Result<()>`, `Result<Json<T>>`, `Result<T, E>` with any error type, or anything that \
            implements axum's `IntoResponse`",
    note = "the `T` of a `Json<T>` must implement `serde::Serialize`, and an error `std::error::Error + Send + Sync`",
    note = "to return a value as JSON, wrap it: `Json(value)`"
)]
pub trait HandlerOutput {
    fn into_handler_response(self) -> Response;
}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse, E: Into<BoxError>> HandlerOutput for Result<T, E> {
    fn into_handler_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => Error::new(error).into_response(),
        }
    }
}

/// The return type of a function that returns `impl Trait`, which has no name for a [`Probe`]. Method
/// syntax selects the conversion, in the order of the references that it needs.
#[derive(Debug)]
pub struct Returned<T>(pub(super) PhantomData<fn() -> T>);

/// The first choice: the value is a response already.
pub trait DirectReply<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response;
}

impl<T: IntoResponse> DirectReply<T> for &Returned<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response {
        Probe::<T, ()>::forge_remote_reply
    }
}

/// The second choice: a `Result` with any error; for other types there is a compiler message.
pub trait FallibleReply<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response
    where
        T: HandlerOutput,
    {
        <Probe<T, ()> as Fallback<T>>::forge_remote_reply
    }
}

impl<T> FallibleReply<T> for Returned<T> {}
