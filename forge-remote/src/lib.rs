#![doc = include_str!("docs/crate.md")]
// Which feature an item needs, on docs.rs.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The macros' output names `::forge_remote`, in this crate's own tests and docs too.
extern crate self as forge_remote;

mod app;
#[cfg(feature = "cli")]
mod cli;
pub mod client;
#[cfg(feature = "conformance")]
mod conformance;
#[cfg(feature = "dev")]
mod console;
mod credentials;
pub mod diagnostic;
mod environment;
mod error;
mod extract;
pub mod fit;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
#[allow(
    missing_docs,
    clippy::expect_used,
    reason = "for the fuzz targets alone"
)]
pub mod fuzzing;
mod http_client;
pub mod jobs;
mod json;
pub mod kinds;
mod log;
pub mod manifest;
mod opaque;
#[cfg(feature = "dev")]
#[doc(hidden)]
pub mod platform;
// Hidden, so that the items of the expansions need no documentation.
#[doc(hidden)]
mod private;
pub mod registry;
mod response;
pub mod schedules;
#[doc(hidden)]
pub mod sqlite_file;
#[doc = include_str!("docs/adopting.md")]
pub mod adopting {}
#[doc = include_str!("docs/configuration.md")]
pub mod configuration {}
#[doc = include_str!("docs/deploying.md")]
pub mod deploying {}
#[doc = include_str!("docs/getting_started.md")]
pub mod getting_started {}
#[doc = include_str!("docs/local_data.md")]
pub mod local_data {}
#[doc = include_str!("docs/long_work.md")]
pub mod long_work {}
#[doc = include_str!("docs/options.md")]
pub mod options {}
#[doc = include_str!("docs/security.md")]
pub mod security {}
#[doc = include_str!("docs/traces.md")]
pub mod traces {}
#[doc = include_str!("docs/versions.md")]
pub mod versions {}
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
mod work;

/// Paths for the macros' expansions. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::private::*;
}

/// Items for the crates of job engines. Not part of the public API: no stability here.
#[doc(hidden)]
pub mod __engines {
    pub use crate::diagnostic::counted;
    pub use forge_remote_fit::__private::with_causes;
}

pub use app::{
    App, Background, BackgroundError, BackgroundTasks, LaunchError, ServeError, Service, Shutdown,
};
pub use credentials::{SystemToken, UserToken};
pub use error::{BoxError, Error, Result};
pub use extract::rejection;
pub use extract::{AppState, Event, Invocation, Json, RetentionWindow, RetryContext, State};
pub use manifest::{Remote, RemoteOperation, RemoteRegion};
#[cfg(feature = "metrics")]
pub use telemetry::metrics;
pub use token::Tokens;

pub use attributes::*;
pub use forge_remote_macros::handler;

/// The attributes, for the root and the prelude.
mod attributes {
    macro_rules! attributes {
        ($(
            $(#[doc = $docs:literal])+
            $constant:ident = $attribute:ident as $runtime:ident $spec:tt
        )*) => {
            $(
                #[doc = concat!(
                    "\n\nIts options, an example and the payload: [`kinds::", stringify!($runtime),
                    "`](crate::kinds::", stringify!($runtime), "). The options of every attribute: \
                    [`options`](crate::options).",
                )]
                pub use forge_remote_macros::$attribute;
            )*
        };
    }

    forge_remote_schema::for_each_kind!(attributes);

    pub use forge_remote_macros::job;
}

pub use axum;
pub use axum::http;

// The README's code is compiled as well.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The common imports of an app's files: `use forge_remote::prelude::*;`
pub mod prelude {
    pub use crate::attributes::*;
    pub use crate::{
        App, AppState, Error, Event, Invocation, Json, Remote, Result, RetryContext, State,
        SystemToken, Tokens, UserToken,
    };
    pub use axum::extract::{FromRequest, FromRequestParts, Query};
    pub use axum::http::StatusCode;
    pub use axum::response::IntoResponse;
}

/// Links crates whose handlers the app serves.
///
/// The linker silently drops a dependency, including its handlers, if the binary does not use it.
/// This macro uses the crate. The package's own library needs it too, if `main.rs` uses nothing else
/// from it.
///
/// ```standalone_crate
/// # extern crate std as billing_handlers;
/// // In main.rs:
/// forge_remote::link!(billing_handlers);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! link {
    ($($krate:ident),+ $(,)?) => {
        $( use ::$krate as _; )+
    };
}

/// Defines a test that compares the manifest with the code and checks that the app could start: one line in
/// `main.rs`, and `cargo test` reports what `manifest --check` reports. Pass the app as `main` runs it, with its
/// state.
///
/// ```
/// use forge_remote::prelude::*;
///
/// fn app() -> App {
///     App::new().remote(Remote::new("backend").base_url("https://backend.example.com"))
/// }
///
/// #[cfg(test)]
/// forge_remote::test_manifest!(app());
/// ```
#[cfg(feature = "cli")]
#[macro_export]
macro_rules! test_manifest {
    ($app:expr $(,)?) => {
        #[test]
        fn the_manifest_agrees_with_the_code() {
            if let ::core::result::Result::Err(report) = $crate::App::check_manifest(&$app) {
                ::core::panic!("{report}");
            }
        }
    };
}
