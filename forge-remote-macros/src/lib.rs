//! The attribute macros of forge-remote. Use them through that crate, which documents them.
//!
//! One file for each stage, and imports run upwards in this list only:
//!
//! 1. `parse`, `signature` and `stack`: the attribute's tokens, the function's signature, and its other
//!    attributes;
//! 2. `options`: the options by name, with readers for their shapes; `combinations`, `words` and `durable`;
//! 3. `values` and `model`: the runtime's value of the options, and the handler;
//! 4. `validate`: the handler's names, scopes and signature;
//! 5. `expand`: the unchanged function, and its record.
//!
//! `diag` collects the errors of all stages. The table of attributes, and the rules for texts, are in
//! the crate `forge-remote-schema`.

mod combinations;
mod diag;
mod durable;
mod expand;
#[cfg(test)]
mod golden_tests;
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

/// Returns the registration of an annotated function, by its path; see `forge_remote::App::handler`.
#[proc_macro]
pub fn handler(path: TokenStream) -> TokenStream {
    expand::handler(path.into()).into()
}
