//! What the macros' output names. Not part of the public API: no stability here.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

pub use core::option;
pub use inventory;

pub use crate::__forge_remote_handler as handler;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

pub use crate::kinds;
pub use crate::registry::{Auth, Location, Method, Registration, Requirement, Submission};

use crate::credentials::{SystemToken, UserToken};
use crate::error::BoxError;
use crate::extract::rejection::OauthTokenRejection;
use crate::extract::{AppState, Event, Invocation, Json, RetryContext, State};
use crate::registry::{BoxFuture, ErasedHandler};
use crate::response;
use crate::token::Tokens;

// What the macros ask of a `Probe` is named as no trait of a user's names anything: a blanket one
// in scope would be ambiguous.
//
// An expansion holds no code of its own, only calls of what stands here: what a handler costs the
// compiler is then its types.

/// What a macro emits beside a function: one item, which holds the others, so that where it can't
/// stand there is one error. A function, and not a static, which the compiler would have to
/// evaluate.
#[doc(hidden)]
#[macro_export]
macro_rules! __forge_remote_handler {
    (
        [$($head:tt)*] $record:ident
        $function:ident $name:literal $place:literal
        $asks:ident $kind:expr,
        $mount:ident
        [$($argument:expr;)*] [$($reply:expr)?] [$($returned:ident)?]
        $written:ident $({ [$($text:ident: $literal:literal,)*] $($field:ident: $value:expr,)* })?
    ) => {
        $($head)* fn $record() -> $crate::__private::Registration {
            use $crate::__private::{$asks::forge_remote_probe, Way as _};
            $crate::__private::inventory::submit! { $crate::__private::Submission($record) }
            $crate::__private::record(
                &$kind,
                $name,
                $place,
                $crate::__private::$asks::AUTH,
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

/// Asks a type how it becomes an argument of a handler that asks for the tokens `A`, and how it
/// becomes a response: an inherent function wins over a trait's.
#[derive(Debug)]
pub struct Probe<T, A>(PhantomData<fn() -> (T, A)>);

/// The way of every type that has no inherent one.
pub trait Way<T> {
    /// Nothing is needed.
    fn forge_remote_part<M>() -> Part<T>
    where
        T: Argument<M>,
    {
        part(None)
    }

    /// Nothing is needed.
    fn forge_remote_last<M>() -> Last<T>
    where
        T: LastArgument<M>,
    {
        last(None)
    }

    /// What isn't a response: a `Result` whose error is any error (500, logged, nothing revealed), or
    /// a message that it isn't one.
    fn forge_remote_reply(value: T) -> Response
    where
        T: HandlerOutput,
    {
        value.into_answer()
    }
}

impl<T, A> Way<T> for Probe<T, A> {}

macro_rules! needs {
    ($([$($generic:tt)*] $ty:ty: $need:expr $(, $asks:ident)*;)*) => {
        $(
            impl<A, $($generic)*> Probe<$ty, A> {
                pub fn forge_remote_part() -> Part<$ty>
                where
                    $(A: $asks,)*
                {
                    part($need)
                }

                pub fn forge_remote_last() -> Last<$ty>
                where
                    $(A: $asks,)*
                {
                    last($need)
                }
            }
        )*
    };
}

needs! {
    // It needs nothing, and nearly every handler takes it: so the compiler is done with it sooner.
    [] Invocation: None;
    [] SystemToken: Some(Requirement::SystemToken), AsksForSystemToken;
    [] Option<SystemToken>: Some(Requirement::SystemToken), AsksForSystemToken;
    [] UserToken: Some(Requirement::UserToken), HasUser, AsksForUserToken;
    [] Option<UserToken>: Some(Requirement::UserToken), HasUser, AsksForUserToken;
    [] Result<SystemToken, OauthTokenRejection>: Some(Requirement::SystemToken), AsksForSystemToken;
    [] Result<UserToken, OauthTokenRejection>: Some(Requirement::UserToken), HasUser, AsksForUserToken;
    [] Tokens: Some(Requirement::Tokens);
    [] RetryContext: Some(Requirement::RetryContext);
    [T: Clone + Send + Sync + 'static] State<T>: Some(Requirement::State {
        id: TypeId::of::<T>,
        name: std::any::type_name::<T>,
    });
}

// As `Invocation`: of a body's readers the compiler need not ask which of axum's two ways is theirs.
impl<T: DeserializeOwned, A> Probe<Json<T>, A> {
    pub fn forge_remote_last() -> Last<Json<T>> {
        last(None)
    }
}

impl<T: DeserializeOwned, A> Probe<Event<T>, A> {
    pub fn forge_remote_last() -> Last<Event<T>> {
        last(None)
    }
}

/// The tokens that a handler asks for, system and user, and whether there is a user. Types, since a
/// constant would be a body of its own to the compiler, in each handler.
#[derive(Debug)]
pub struct Asks<System, User, HasUser>(PhantomData<(System, User, HasUser)>);

#[derive(Debug)]
pub struct Yes;

#[derive(Debug)]
pub struct No;

macro_rules! asks {
    ($($(#[$docs:meta])* $name:ident = $auth:ident: $system:ident $user:ident $has_user:ident;)*) => {
        $(
            $(#[$docs])*
            pub mod $name {
                use super::*;

                #[allow(non_camel_case_types, reason = "no type of a user's is named so")]
                pub type forge_remote_probe<T> = Probe<T, Asks<$system, $user, $has_user>>;

                pub const AUTH: Auth = Auth::$auth;
            }
        )*
    };
}

asks! {
    /// No token, where there is a user.
    asks_none = NONE: No No Yes;
    /// `auth = system`, where there is a user.
    asks_system = SYSTEM: Yes No Yes;
    /// `auth = user`.
    asks_user = USER: No Yes Yes;
    /// `auth = [system, user]`.
    asks_both = BOTH: Yes Yes Yes;
    /// No token, where there is never a user.
    no_user_asks_none = NONE: No No No;
    /// `auth = system`, where there is never a user.
    no_user_asks_system = SYSTEM: Yes No No;
}

/// The kind has users.
#[diagnostic::on_unimplemented(
    message = "there is no user in session when Forge makes this call, so no `UserToken` ever arrives",
    label = "Forge never sends it",
    note = "take a `SystemToken` and write `auth = system` in the attribute"
)]
pub trait HasUser {}

impl<S, U> HasUser for Asks<S, U, Yes> {}

/// `auth` has `system`.
#[diagnostic::on_unimplemented(
    message = "a `SystemToken` is taken here but not asked for, so Forge would never send it",
    label = "not asked for",
    note = "write `auth = system` in the attribute, or `auth = [system, user]` for both tokens"
)]
pub trait AsksForSystemToken {}

impl<U, H> AsksForSystemToken for Asks<Yes, U, H> {}

/// `auth` has `user`.
#[diagnostic::on_unimplemented(
    message = "a `UserToken` is taken here but not asked for, so Forge would never send it",
    label = "not asked for",
    note = "write `auth = user` in the attribute, or `auth = [system, user]` for both tokens"
)]
pub trait AsksForUserToken {}

impl<S, H> AsksForUserToken for Asks<S, Yes, H> {}

/// What of a record can be left out.
#[derive(Debug)]
pub struct Written {
    pub docs: &'static str,
    pub key: Option<&'static str>,
    pub endpoint: Option<&'static str>,
    pub path: Option<&'static str>,
    pub remote: Option<&'static str>,
    pub method: Method,
    pub scopes: &'static [&'static str],
}

pub const NOTHING: Written = Written {
    docs: "",
    key: None,
    endpoint: None,
    path: None,
    remote: None,
    method: Method::Post,
    scopes: &[],
};

/// The record; `place` is `file:line:column`.
pub fn record(
    kind: &'static dyn kinds::Kind,
    function: &'static str,
    place: &'static str,
    auth: Auth,
    mount: Arc<dyn ErasedHandler>,
    written: Written,
) -> Registration {
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (column, line) = (number().unwrap_or(0), number().unwrap_or(0));
    let file = parts.next().unwrap_or_default();
    Registration {
        kind,
        function,
        docs: written.docs,
        location: Location { file, line, column },
        key: written.key,
        endpoint: written.endpoint,
        method: written.method,
        path: written.path,
        remote: written.remote,
        auth,
        scopes: written.scopes,
        mount,
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
pub trait Argument<M>: FromRequestParts<AppState> + Send {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<AppState> + Send> Argument<()> for T {}

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
pub trait LastArgument<M>: FromRequest<AppState, M> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequest<AppState, M>, M> LastArgument<M> for T {}

/// A request being taken apart into arguments.
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

/// How an argument that isn't the last is taken from the request, and what it needs. The error is
/// the finished answer.
///
/// A function pointer: what its type must be able to do is asked once, where it is made.
#[allow(missing_debug_implementations)]
pub struct Part<T> {
    take: for<'a> fn(&'a mut Arguments) -> Taking<'a, T>,
    need: Option<Requirement>,
}

type Taking<'a, T> = futures_util::future::BoxFuture<'a, Result<T, Response>>;

/// How the last argument is taken, which may read the body.
#[allow(missing_debug_implementations)]
pub struct Last<T> {
    take: fn(Arguments) -> BoxFuture<Result<T, Response>>,
    need: Option<Requirement>,
}

/// An argument that isn't the last.
fn part<T: FromRequestParts<AppState> + Send>(need: Option<Requirement>) -> Part<T> {
    Part {
        take: |arguments| {
            Box::pin(async {
                let Arguments { parts, state, .. } = arguments;
                let refusal = match T::from_request_parts(parts, state).await {
                    Ok(value) => return Ok(value),
                    Err(rejection) => rejection.into_response(),
                };
                Err(response::rejected(refusal).await)
            })
        },
        need,
    }
}

/// The last argument.
fn last<T: FromRequest<AppState, M>, M>(need: Option<Requirement>) -> Last<T> {
    Last {
        take: |arguments| {
            Box::pin(async move {
                let request = Request::from_parts(arguments.parts, arguments.body);
                let refusal = match T::from_request(request, &arguments.state).await {
                    Ok(value) => return Ok(value),
                    Err(rejection) => rejection.into_response(),
                };
                Err(response::rejected(refusal).await)
            })
        },
        need,
    }
}

impl<T: IntoResponse, A> Probe<T, A> {
    /// What is a response already.
    pub fn forge_remote_reply(value: T) -> Response {
        value.into_response()
    }
}

/// What a handler can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something a Forge handler can return",
    label = "not a response",
    note = "return `Result<()>`, `Result<Json<T>>`, `Result<T, E>` with any error type, or anything that \
            implements axum's `IntoResponse`",
    note = "the `T` of a `Json<T>` must implement `serde::Serialize`, and an error `std::error::Error + Send + Sync`",
    note = "to return a value as JSON, wrap it: `Json(value)`"
)]
pub trait HandlerOutput {
    fn into_answer(self) -> Response;
}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse, E: Into<BoxError>> HandlerOutput for Result<T, E> {
    fn into_answer(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => crate::error::Error::new(error).into_response(),
        }
    }
}

/// What a function with `impl Trait` in its return type returns; found by method syntax, in the
/// order of the references it needs, since the type has no name for a [`Probe`].
#[derive(Debug)]
pub struct Returned<T>(PhantomData<fn() -> T>);

/// 1. What is a response already.
pub trait DirectReply<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response;
}

impl<T: IntoResponse> DirectReply<T> for &Returned<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response {
        asks_none::forge_remote_probe::<T>::forge_remote_reply
    }
}

/// 2. A `Result` whose error is any error, or a message that it isn't one.
pub trait FallibleReply<T> {
    fn forge_remote_reply(&self) -> fn(T) -> Response
    where
        T: HandlerOutput,
    {
        <asks_none::forge_remote_probe<T> as Way<T>>::forge_remote_reply
    }
}

impl<T> FallibleReply<T> for Returned<T> {}

/// A user's function with the ways to its arguments and from its return value.
struct Mounted<F, A, R> {
    function: F,
    arguments: A,
    needs: Vec<Requirement>,
    reply: fn(R) -> Response,
}

macro_rules! mount {
    ($name:ident $returned:ident: $($part:ident)*; $last:ident) => {
        /// What a function of so many arguments returns; it isn't called.
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
        /// The function on a route: how its request is taken apart, and what its value becomes.
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
            Arc::new(Mounted {
                function,
                arguments: ($($part,)* $($last,)?),
                needs: needs.into_iter().flatten().collect(),
                reply,
            })
        }

        #[allow(non_snake_case)]
        impl<Function, Output, $($part,)* $($last)?> ErasedHandler
            for Mounted<Function, ($(Part<$part>,)* $(Last<$last>,)?), Output::Output>
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
                            Err(refusal) => return refusal,
                        };
                    )*
                    $(
                        let $last = match ($last.take)(arguments).await {
                            Ok(value) => value,
                            Err(refusal) => return refusal,
                        };
                    )?
                    (self.reply)((self.function)($($part,)* $($last)?).await)
                })
            }
        }
    };
}

/// As the others, for a function without arguments.
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
