//! The attribute macros of forge-remote. Use them through that crate, which documents them.
//!
//! One file for each step: `parse` (what is written) → `model` (what it means, checked) →
//! `expand` (what is emitted); `kinds` is the table of attributes, `diag` collects the errors.

mod diag;
mod expand;
mod kinds;
mod model;
mod parse;

use proc_macro::TokenStream;

/// Calls the function at an interval, once for each installation; see `forge_remote`.
#[proc_macro_attribute]
pub fn scheduled_trigger(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(&kinds::SCHEDULED_TRIGGER, attribute.into(), item.into()).into()
}

/// Serves a page's `invokeRemote` and `requestRemote`; see `forge_remote`.
#[proc_macro_attribute]
pub fn endpoint(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(&kinds::ENDPOINT, attribute.into(), item.into()).into()
}

/// The registration of an annotated function, by its path; see `forge_remote::App::handler`.
#[proc_macro]
pub fn handler(path: TokenStream) -> TokenStream {
    expand::handler(path.into()).into()
}
