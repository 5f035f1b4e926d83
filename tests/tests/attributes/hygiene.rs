//! Nothing that the macros emit can be shadowed: no prelude, and every common name is another.
#![no_implicit_prelude]
#![allow(
    dead_code,
    missing_debug_implementations,
    missing_docs,
    non_camel_case_types,
    unused_macros
)]

use ::forge_remote::axum::response::Html;
use ::forge_remote::{App, Invocation, Json, SystemToken, endpoint, handler, scheduled_trigger};

pub struct Result;
pub struct Option;
pub struct Box;
pub struct Some;
pub struct None;
pub struct Ok;
pub struct Err;
pub struct String;
pub struct Send;
pub trait Future {}
pub trait Into {}
pub struct Registration;
pub struct Request;
pub struct Response;
pub mod core {}
pub mod std {}
pub mod alloc {}
pub mod inventory {}
pub mod forge_remote {}
pub mod tokio {}
macro_rules! line {
    () => {
        ::std::compile_error!("the wrong `line!`")
    };
}
macro_rules! file {
    () => {
        ::std::compile_error!("the wrong `file!`")
    };
}
macro_rules! module_path {
    () => {
        ::std::compile_error!("the wrong `module_path!`")
    };
}
macro_rules! column {
    () => {
        ::std::compile_error!("the wrong `column!`")
    };
}

#[scheduled_trigger(interval = "hour", auth = system, scopes = ["read:jira-work"], licensed_only)]
async fn refresh(
    call: Invocation,
    token: SystemToken,
    Json(number): Json<u8>,
) -> ::forge_remote::Result<()> {
    ::std::mem::drop((call, token, number));
    ::std::result::Result::Ok(())
}

/// Named as what the macros emit is.
mod names {
    use ::forge_remote::{Invocation, Json, endpoint};

    #[endpoint]
    pub(super) async fn call(call: Invocation, _: Json<u8>) {
        ::std::mem::drop(call);
    }
    #[endpoint]
    pub(super) async fn request(request: Invocation, _: Json<u8>) {
        ::std::mem::drop(request);
    }
    #[endpoint]
    pub(super) async fn state() {}
    #[endpoint]
    pub(super) async fn arguments(arguments: Invocation, _: Json<u8>) {
        ::std::mem::drop(arguments);
    }
    #[endpoint]
    pub(super) async fn argument_0(call: Invocation, _: Json<u8>) {
        ::std::mem::drop(call);
    }
    #[endpoint]
    pub(super) async fn output(_: Invocation) {}
    #[endpoint]
    pub(super) async fn value(_: Invocation) {}
    #[endpoint]
    pub(super) async fn rejection(_: Invocation) {}
    #[endpoint]
    pub(super) async fn reply(_: Invocation) {}
    #[endpoint]
    pub(super) async fn boxed(_: Invocation) {}
    #[endpoint]
    pub(super) async fn handler(_: Invocation) {}
    #[endpoint]
    pub(super) async fn endpoint(_: Invocation) {}
}

/// Traits whose methods have the names of ours.
mod methods {
    use ::forge_remote::endpoint;

    pub(crate) trait Everything {
        const NEED: u8 = 0;
        const NEW: u8 = 0;
        #[allow(clippy::new_ret_no_self)]
        fn new() {}
        fn next(&self) {}
        fn last(&self) {}
        fn take(&self) {}
        fn reply(&self) {}
    }
    impl<T> Everything for T {}

    #[endpoint]
    async fn tick(_: ::forge_remote::Invocation) -> ::forge_remote::Result<()> {
        ::std::result::Result::Ok(())
    }
}

#[endpoint]
async fn opaque() -> impl ::forge_remote::axum::response::IntoResponse {
    Html("")
}

#[::std::prelude::v1::test]
fn shadowed_names_change_nothing() {
    ::std::mem::drop(
        App::empty()
            .handler(handler!(refresh))
            .handler(handler!(names::call)),
    );
    ::std::assert_eq!(crate::declared_in("attributes/hygiene.rs").len(), 15);
}
