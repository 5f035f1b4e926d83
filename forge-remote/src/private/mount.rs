//! Handlers that a route can call, by the number of their arguments.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use super::arguments::{Arguments, Last, Part, Taken};
use super::probe::Returned;
use crate::extract::AppState;
use crate::registry::{BoxFuture, ErasedHandler, Requirement};

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
            $($last: Send + 'static)?
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
            $($last: Send + 'static)?
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
                        let $part = match ($part.take)(&mut arguments) {
                            Taken::Now(taken) => taken,
                            Taken::Later(taken) => taken.await,
                        };
                        let $part = match $part {
                            Ok(value) => value,
                            Err(rejection) => return rejection,
                        };
                    )*
                    $(
                        let $last = match ($last.take)(arguments) {
                            Taken::Now(taken) => taken,
                            Taken::Later(taken) => taken.await,
                        };
                        let $last = match $last {
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
