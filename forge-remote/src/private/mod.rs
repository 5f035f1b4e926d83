//! Items named by the macros' expansions. Not part of the public API: no stability here.

mod job;
mod requests;

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

pub use core::option;
pub use inventory;

pub use crate::__forge_remote_handler as handler;
pub use crate::__forge_remote_job as job;
pub use job::{IsJob, JobArgument, OfJob, job_record, new_job, of_job};
pub use requests::*;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

pub use crate::jobs::JobPolicy;
pub use crate::kinds;
pub use crate::registry::{
    Auth, JobRegistration, JobSubmission, Location, Method, Registration, Requirement, Submission,
};

use crate::credentials::{SystemToken, UserToken};
use crate::error::BoxError;
use crate::extract::rejection::OauthTokenRejection;
use crate::extract::{AppState, Args, Event, Invocation, JobCall, Json, RetryContext, State};
use crate::jobs::{Attempt, Jobs};
use crate::registry::{BoxFuture, ErasedHandler};
use crate::response;
use crate::schedules::Occurrence;
use crate::token::Tokens;

// Method names carry a `forge_remote_` prefix so that a blanket trait in the user's scope cannot make
// a `Probe`'s ambiguous.
//
// An expansion only calls functions of this module, so a handler's types are its only compile-time
// cost.

/// The item that a macro emits next to a function. It holds the other items, so that one in the wrong
/// place causes one error. It is a function, not a static, which the compiler would have to evaluate.
#[doc(hidden)]
#[macro_export]
macro_rules! __forge_remote_handler {
    (
        [$($head:tt)*] $record:ident
        $function:ident $name:literal $place:literal
        $requests:ident $kind:expr,
        $mount:ident
        [$($argument:expr;)*] [$($reply:expr)?] [$($returned:ident)?]
        $written:ident $({ [$($text:ident: $literal:literal,)*] $($field:ident: $value:expr,)* })?
    ) => {
        $($head)* fn $record() -> $crate::__private::Registration {
            use $crate::__private::{$requests::forge_remote_probe, Fallback as _};
            $crate::__private::inventory::submit! { $crate::__private::Submission($record) }
            $crate::__private::record(
                &$kind,
                $name,
                $place,
                $crate::__private::$requests::AUTH,
                $crate::__private::$mount(
                    $function,
                    $($argument,)*
                    $($reply)?
                    $({
                        use $crate::__private::{DirectReply as _, FallibleReply as _};
                        (&&$crate::__private::$returned(&$function)).forge_remote_reply()
                    })?
                ),
                $crate::__private::$written $({
                    $($text: $crate::__private::option::Option::Some($literal),)*
                    $($field: $value,)*
                    ..$crate::__private::NOTHING
                })?,
            )
        }
    };
}

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
    ($([$($generic:tt)*] $ty:ty: $requirement:expr $(, $requests:ident)*;)*) => {
        $(
            impl<A, $($generic)*> Probe<$ty, A> {
                pub fn forge_remote_part() -> Part<$ty>
                where
                    $(A: $requests,)*
                {
                    part($requirement)
                }

                pub fn forge_remote_last() -> Last<$ty>
                where
                    $(A: $requests,)*
                {
                    last($requirement)
                }
            }
        )*
    };
}

requirements! {
    // It has no requirement; nearly every handler takes it, and an inherent function compiles faster.
    [] Invocation: None, IsCalled;
    [] SystemToken: Some(Requirement::SystemToken), RequestsSystemToken;
    [] Option<SystemToken>: Some(Requirement::OptionalSystemToken), RequestsSystemToken;
    [] UserToken: Some(Requirement::UserToken), HasUser, RequestsUserToken;
    [] Option<UserToken>: Some(Requirement::UserToken), HasUser, RequestsUserToken;
    [] Result<SystemToken, OauthTokenRejection>: Some(Requirement::OptionalSystemToken), RequestsSystemToken;
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

/// The optional parts of a registration.
#[derive(Debug)]
pub struct Written {
    pub docs: &'static str,
    pub key: Option<&'static str>,
    pub endpoint: Option<&'static str>,
    pub path: Option<&'static str>,
    pub remote: Option<&'static str>,
    pub method: Method,
    pub scopes: &'static [&'static str],
    pub body_limit: Option<usize>,
    pub also_at: &'static [&'static str],
    pub also_key: &'static [&'static str],
    pub dynamic: bool,
    pub attribute: usize,
    pub next: Option<fn() -> Registration>,
    pub durable: Option<JobPolicy>,
}

pub const NOTHING: Written = Written {
    docs: "",
    key: None,
    endpoint: None,
    path: None,
    remote: None,
    method: Method::Post,
    scopes: &[],
    body_limit: None,
    also_at: &[],
    also_key: &[],
    dynamic: false,
    attribute: 0,
    next: None,
    durable: None,
};

/// Returns the registration; `place` is `file:line:column`.
pub fn record(
    kind: &'static dyn kinds::Kind,
    function: &'static str,
    place: &'static str,
    auth: Auth,
    mount: Arc<dyn ErasedHandler>,
    written: Written,
) -> Registration {
    Registration {
        kind,
        function,
        docs: written.docs,
        location: location(place),
        key: written.key,
        endpoint: written.endpoint,
        method: written.method,
        path: written.path,
        remote: written.remote,
        auth,
        scopes: written.scopes,
        body_limit: written.body_limit,
        also_at: written.also_at,
        also_key: written.also_key,
        dynamic: written.dynamic,
        attribute: written.attribute,
        next: written.next,
        durable: written.durable,
        mount,
    }
}

/// Reads `file:line:column`.
fn location(place: &'static str) -> Location {
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (column, line) = (number().unwrap_or(0), number().unwrap_or(0));
    let file = parts.next().unwrap_or_default();
    Location { file, line, column }
}

/// A type that can be an argument other than the last.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a Forge handler at this position",
    label = "Forge remotes can't fill this argument from a request",
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
    message = "`{Self}` can't be an argument of a Forge handler",
    label = "Forge remotes can't fill this argument from a request",
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
pub struct Arguments {
    parts: axum::http::request::Parts,
    body: axum::body::Body,
    state: AppState,
}

impl Arguments {
    fn new(request: Request, state: AppState) -> Self {
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
    take: for<'a> fn(&'a mut Arguments) -> Extracting<'a, T>,
    need: Option<Requirement>,
}

type Extracting<'a, T> = futures_util::future::BoxFuture<'a, Result<T, Response>>;

/// The extractor of the last argument, which may read the body.
#[allow(missing_debug_implementations)]
pub struct Last<T> {
    take: fn(Arguments) -> BoxFuture<Result<T, Response>>,
    need: Option<Requirement>,
}

/// Returns the extractor of an argument other than the last.
fn part<T: FromRequestParts<AppState> + Send>(need: Option<Requirement>) -> Part<T> {
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
fn last<T: FromRequest<AppState, M>, M>(need: Option<Requirement>) -> Last<T> {
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
            Err(error) => crate::error::Error::new(error).into_response(),
        }
    }
}

/// The return type of a function that returns `impl Trait`, which has no name for a [`Probe`]. Method
/// syntax selects the conversion, in the order of the references that it needs.
#[derive(Debug)]
pub struct Returned<T>(PhantomData<fn() -> T>);

/// The first choice: the value is a response already.
pub trait DirectReply<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response;
}

impl<T: IntoResponse> DirectReply<T> for &Returned<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response {
        requests_none::forge_remote_probe::<T>::forge_remote_reply
    }
}

/// The second choice: a `Result` with any error; for other types there is a compiler message.
pub trait FallibleReply<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response
    where
        T: HandlerOutput,
    {
        <requests_none::forge_remote_probe<T> as Fallback<T>>::forge_remote_reply
    }
}

impl<T> FallibleReply<T> for Returned<T> {}

/// A user's function with the extractors of its arguments and the conversion of its return value.
struct TypedHandler<F, A, R> {
    function: F,
    arguments: A,
    needs: Vec<Requirement>,
    reply: fn(R) -> Response,
}

macro_rules! mount {
    ($name:ident $returned:ident: $($part:ident)*; $last:ident) => {
        /// Returns the return type of a function with this many arguments; the function isn't called.
        pub fn $returned<Function, Output, $($part,)* $last>(
            _: &Function,
        ) -> Returned<Output::Output>
        where
            Function: Fn($($part,)* $last) -> Output,
            Output: Future,
        {
            Returned(PhantomData)
        }

        mount!(@ $name: $($part)*; $last);
    };
    (@ $name:ident: $($part:ident)*; $($last:ident)?) => {
        /// Returns the handler of a route: the function, its extractors, and its conversion.
        #[allow(clippy::too_many_arguments, non_snake_case)]
        pub fn $name<Function, Output, $($part,)* $($last)?>(
            function: Function,
            $($part: Part<$part>,)* $($last: Last<$last>,)?
            reply: fn(Output::Output) -> Response,
        ) -> Arc<dyn ErasedHandler>
        where
            Function: Fn($($part,)* $($last)?) -> Output + Send + Sync + 'static,
            Output: Future + Send + 'static,
            Output::Output: 'static,
            $($part: Send + 'static,)*
            $($last: 'static)?
        {
            let needs: Vec<Option<Requirement>> = vec![$($part.need,)* $($last.need)?];
            Arc::new(TypedHandler {
                function,
                arguments: ($($part,)* $($last,)?),
                needs: needs.into_iter().flatten().collect(),
                reply,
            })
        }

        #[allow(non_snake_case)]
        impl<Function, Output, $($part,)* $($last)?> ErasedHandler
            for TypedHandler<Function, ($(Part<$part>,)* $(Last<$last>,)?), Output::Output>
        where
            Function: Fn($($part,)* $($last)?) -> Output + Send + Sync + 'static,
            Output: Future + Send + 'static,
            Output::Output: 'static,
            $($part: Send + 'static,)*
            $($last: 'static)?
        {
            fn function(&self) -> TypeId {
                TypeId::of::<Function>()
            }

            fn path(&self) -> &'static str {
                std::any::type_name::<Function>()
            }

            fn needs(&self) -> &[Requirement] {
                &self.needs
            }

            fn call(self: Arc<Self>, request: Request, state: AppState) -> BoxFuture<Response> {
                Box::pin(async move {
                    #[allow(unused_mut, unused_variables)]
                    let mut arguments = Arguments::new(request, state);
                    let ($($part,)* $($last,)?) = &self.arguments;
                    $(
                        let $part = match ($part.take)(&mut arguments).await {
                            Ok(value) => value,
                            Err(rejection) => return rejection,
                        };
                    )*
                    $(
                        let $last = match ($last.take)(arguments).await {
                            Ok(value) => value,
                            Err(rejection) => return rejection,
                        };
                    )?
                    (self.reply)((self.function)($($part,)* $($last)?).await)
                })
            }
        }
    };
}

/// Returns the return type of a function without arguments; the function isn't called.
pub fn returned_0<F: Fn() -> O, O: Future>(_: &F) -> Returned<O::Output> {
    Returned(PhantomData)
}

mount!(@ mount_0: ;);
mount!(mount_1 returned_1: ; L);
mount!(mount_2 returned_2: P1; L);
mount!(mount_3 returned_3: P1 P2; L);
mount!(mount_4 returned_4: P1 P2 P3; L);
mount!(mount_5 returned_5: P1 P2 P3 P4; L);
mount!(mount_6 returned_6: P1 P2 P3 P4 P5; L);
mount!(mount_7 returned_7: P1 P2 P3 P4 P5 P6; L);
mount!(mount_8 returned_8: P1 P2 P3 P4 P5 P6 P7; L);
mount!(mount_9 returned_9: P1 P2 P3 P4 P5 P6 P7 P8; L);
mount!(mount_10 returned_10: P1 P2 P3 P4 P5 P6 P7 P8 P9; L);
mount!(mount_11 returned_11: P1 P2 P3 P4 P5 P6 P7 P8 P9 P10; L);
mount!(mount_12 returned_12: P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11; L);
mount!(mount_13 returned_13: P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11 P12; L);
mount!(mount_14 returned_14: P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11 P12 P13; L);
mount!(mount_15 returned_15: P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11 P12 P13 P14; L);
mount!(mount_16 returned_16: P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11 P12 P13 P14 P15; L);
