//! The attribute macros of forge-remote. Use them through that crate, which documents them.
//!
//! One file for each stage. A file imports only files above it in this list, or before it on the same line; every file
//! may import `diag`, which collects the errors of all stages:
//!
//! 1. `parse`, `signature` and `stack`: the attribute's tokens, the function's signature, and its other
//!    attributes;
//! 2. `options`, `combinations`, `words` and `durable`: the options by name, with readers for their shapes;
//! 3. `values` and `model`: the runtime's value of the options, and the handler;
//! 4. `validate`: the handler's names, scopes and signature;
//! 5. `expand`: the unchanged function, and its record; `job`: the same for `#[job]`, which is not a
//!    kind.
//!
//! The table of attributes, and the rules for texts, are in the crate `forge-remote-schema`.

mod combinations;
mod diag;
mod durable;
mod expand;
#[cfg(test)]
mod golden_tests;
mod job;
mod model;
mod options;
mod parse;
mod signature;
mod stack;
mod validate;
mod values;
mod words;

use forge_remote_schema::kinds;
use proc_macro::TokenStream;

macro_rules! attributes {
    ($(
        $(#[doc = $docs:literal])+
        $constant:ident = $attribute:ident as $runtime:ident $spec:tt
    )*) => {
        $(
            $(#[doc = $docs])+
            #[proc_macro_attribute]
            pub fn $attribute(attribute: TokenStream, item: TokenStream) -> TokenStream {
                expand::attribute(&kinds::$constant, attribute.into(), item.into()).into()
            }
        )*
    };
}

forge_remote_schema::for_each_kind!(attributes);

/// Makes the function a job: work that the app sends itself, and that survives the end of the process.
///
/// See [the chapter on durable work](https://docs.rs/forge-remote/latest/forge_remote/jobs/) for an
/// example and the guarantees. Its options are those of `durable`, and `key`:
///
/// | option | sets | default |
/// | --- | --- | --- |
/// | `key` | the key by which stored jobs find the function: keep it when you rename the function | the function's name, `re_index` as `re-index` |
/// | `retries` | the attempts after the first, 0 to 100 | 8 |
/// | `backoff` | the pause before the first retry, doubled up to a maximum | `"10s..1h"` |
/// | `timeout` | the time limit of one attempt, `1s` to `1h` | `"2m"` |
/// | `per_installation` | the maximum number of concurrent runs per installation, across all machines, 1 to 100 | no limit |
#[proc_macro_attribute]
pub fn job(attribute: TokenStream, item: TokenStream) -> TokenStream {
    job::attribute(attribute.into(), item.into()).into()
}

/// Returns the registration of an annotated function, by its path; see `forge_remote::App::handler`.
#[proc_macro]
pub fn handler(path: TokenStream) -> TokenStream {
    expand::handler(path.into()).into()
}
