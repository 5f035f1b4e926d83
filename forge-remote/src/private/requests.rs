//! A handler's requests to Forge as types, against which the compiler checks the arguments.

use std::marker::PhantomData;

/// The tokens that a handler requests, system and user, and whether there is a user. They are types,
/// because the compiler would evaluate a constant in each handler.
#[derive(Debug)]
pub struct RequestedTokens<System, User, HasUser>(PhantomData<(System, User, HasUser)>);

#[derive(Debug)]
pub struct Yes;

#[derive(Debug)]
pub struct No;

/// Marks handlers that Forge calls.
#[diagnostic::on_unimplemented(
    message = "a `#[job]` cannot take this argument: a job may be sent outside of a call",
    label = "there may be no call",
    note = "take `JobCall` instead of `Invocation`: its `invocation()` returns the call that sent the job, if any; \
            `Attempt` instead of `RetryContext`; and `Args<T>` for the sent arguments"
)]
pub trait IsCalled {}

impl<S, U, H> IsCalled for RequestedTokens<S, U, H> {}

/// Marks jobs.
#[diagnostic::on_unimplemented(
    message = "only a `#[job]` can take this argument",
    label = "Forge's calls do not have it",
    note = "take `Invocation` for the call, and `Event<T>` or `Json<T>` for its body"
)]
pub trait IsJob {}

/// Marks kinds whose calls have a user.
#[diagnostic::on_unimplemented(
    message = "this handler runs without an acting user, so it never gets a `UserToken`",
    label = "Forge never sends it",
    note = "take a `SystemToken` instead (a handler requests it with `auth = system`, a `#[job]` needs no option); to act \
            for an absent user, see `ProductApi::impersonate`"
)]
pub trait HasUser {}

impl<S, U> HasUser for RequestedTokens<S, U, Yes> {}

/// Marks handlers whose `auth` has `system`.
#[diagnostic::on_unimplemented(
    message = "this handler takes a `SystemToken` but does not request it, so Forge would never send it",
    label = "not requested",
    note = "write `auth = system` in the attribute, or `auth = [system, user]` for both tokens"
)]
pub trait RequestsSystemToken {}

impl<U, H> RequestsSystemToken for RequestedTokens<Yes, U, H> {}

/// Marks handlers whose `auth` has `user`.
#[diagnostic::on_unimplemented(
    message = "this handler takes a `UserToken` but does not request it, so Forge would never send it",
    label = "not requested",
    note = "write `auth = user` in the attribute, or `auth = [system, user]` for both tokens"
)]
pub trait RequestsUserToken {}

impl<S, H> RequestsUserToken for RequestedTokens<S, Yes, H> {}

// Without a user, `HasUser` is the one error: no `auth` would help.
impl<S> RequestsUserToken for RequestedTokens<S, No, No> {}
