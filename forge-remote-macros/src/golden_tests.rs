//! The expansions of some attributes. After a change, refresh with `UPDATE_GOLDEN=1 cargo test -p
//! forge-remote-macros golden` and read the difference.

use std::fs;
use std::path::Path;

use forge_remote_schema::KindSpec;
use forge_remote_schema::kinds::{ENDPOINT, SCHEDULED_TRIGGER, TRIGGER};
use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::Item;

use crate::{expand, job};

fn compare(kind: &'static KindSpec) {
    compare_expansion(kind.attribute, |options, item| {
        expand::attribute(kind, options, item)
    });
}

/// Compares the expansion of `golden/NAME.rs` with `golden/NAME.expanded.rs`.
fn compare_expansion(name: &str, expand: impl Fn(TokenStream, TokenStream) -> TokenStream) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let path = folder.join(format!("{name}.rs"));
    let written = fs::read_to_string(path).expect("a readable file");
    let expanded = syn::parse2(expanded(name, &written, expand)).expect("Rust items");
    let text = prettyplease::unparse(&expanded);
    let path = folder.join(format!("{name}.expanded.rs"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).expect("a writable file");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs", path.display());
}

/// Expands the file's one function as the compiler would: its attribute is taken off first.
fn expanded(
    name: &str,
    written: &str,
    expand: impl Fn(TokenStream, TokenStream) -> TokenStream,
) -> TokenStream {
    let file: syn::File = syn::parse_str(written).expect("Rust items");
    let [Item::Fn(function)] = &file.items[..] else {
        panic!("expected one function");
    };
    let mut function = function.clone();
    let is_ours = |attribute: &syn::Attribute| attribute.path().is_ident(name);
    let position = function.attrs.iter().position(is_ours);
    let attribute = function.attrs.remove(position.expect("the attribute"));
    let options = match attribute.meta {
        syn::Meta::List(list) => list.tokens,
        _ => TokenStream::new(),
    };
    expand(options, function.into_token_stream())
}

#[test]
fn golden_scheduled_trigger() {
    compare(&SCHEDULED_TRIGGER);
}

#[test]
fn golden_trigger() {
    compare(&TRIGGER);
}

#[test]
fn golden_endpoint() {
    compare(&ENDPOINT);
}

#[test]
fn golden_job() {
    compare_expansion("job", job::attribute);
}
