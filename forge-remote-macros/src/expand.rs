//! What is emitted: the function as it was written, always and first; beside it, one record.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::{LitStr, Path};

use crate::diag::{Errors, Place};
use crate::kinds::Kind;
use crate::model::Handler;
use crate::parse::{self, Function};

/// An attribute on an item.
pub(crate) fn attribute(kind: &Kind, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let record = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => {
            let written = parse::options(kind, attribute, &mut errors);
            Some(Handler::new(kind, written, function, &mut errors))
        }
        Err(error) => {
            let first = item.clone().into_iter().find_map(|token| match token {
                TokenTree::Ident(word) if word != "pub" => Some(word),
                _ => None,
            });
            match first {
                // A function that is being typed: its own error says more.
                Some(word) if word == "fn" || word == "async" => errors.push(error),
                _ => errors.help(
                    first.map_or_else(Span::call_site, |word| word.span()),
                    format!("`#[{}]` belongs on a function", kind.name),
                    "write it above an `async fn`",
                ),
            }
            None
        }
    };
    let rest = match record {
        Some(handler) if errors.is_empty() => registration(&handler),
        _ => errors.into_tokens(),
    };
    quote!(#item #rest)
}

/// `handler!(path::to::function)`.
pub(crate) fn handler(path: TokenStream) -> TokenStream {
    let Ok(mut path) = syn::parse2::<Path>(path.clone()) else {
        let mut errors = Errors::default();
        errors.help(
            Place::of(path),
            "`handler!` takes the path of one annotated function",
            "write `handler!(refresh_index)` or `handler!(jobs::refresh_index)`",
        );
        return errors.into_tokens();
    };
    if let Some(last) = path.segments.last_mut() {
        last.ident = record_name(&last.ident);
    }
    path.into_token_stream()
}

/// The record's name, so that it can be named from where the function can. It stands in the error
/// that `handler!` gives for a function without an attribute.
fn record_name(function: &Ident) -> Ident {
    format_ident!(
        "__forge_remote_attribute_of_{}",
        function.unraw(),
        span = Span::call_site().located_at(function.span())
    )
}

/// A place in the user's code for code that isn't theirs: lints leave it alone, so that nothing
/// here needs an `#[allow]`, which a crate's `#![forbid]` would refuse.
fn at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

fn relocated(tokens: &TokenStream) -> TokenStream {
    tokens
        .clone()
        .into_iter()
        .map(|mut token| {
            token.set_span(at(token.span()));
            token
        })
        .collect()
}

/// `__private`, as if written at this place in the user's code: an error that starts with it is
/// shown there, and not at the attribute.
fn private_at(handler: &Handler, place: Span) -> TokenStream {
    let tokens = handler.private.clone().into_iter();
    tokens
        .map(|mut token| {
            // A path that the user gave may hold a macro's `$crate`, which only its own span finds.
            token.set_span(if handler.own_crate {
                token.span().located_at(place)
            } else {
                place
            });
            token
        })
        .collect()
}

fn registration(handler: &Handler) -> TokenStream {
    let Handler {
        private,
        name,
        conditions,
        kind,
        docs,
        scopes,
        arguments,
        has_user,
        ..
    } = handler;
    let record = record_name(name);
    let visibility = relocated(&handler.visibility);
    let auth = format_ident!("{}", handler.auth);
    let auth = quote!(#private::Auth::#auth);
    let method = format_ident!("{}", handler.method);
    let option = |text: &Option<LitStr>| match text {
        Some(text) => quote!(#private::option::Option::Some(#text)),
        None => quote!(#private::option::Option::None),
    };
    let (key, endpoint) = (option(&handler.key), option(&handler.endpoint));
    let (path, remote) = (option(&handler.path), option(&handler.remote));
    let function = name.unraw().to_string();
    let call = call(handler);

    // `line!` speaks of the place it is written at.
    let place = name.span();
    let line = quote_spanned!(place=> __forge_remote_line!());
    let column = quote_spanned!(place=> __forge_remote_column!());

    // At the user's types: that is where their errors belong.
    let needs = arguments.iter().map(|ty| {
        let span = at(Place::of(ty).first);
        quote_spanned!(span=> <#private::Probe<#ty>>::FORGE_REMOTE_NEED)
    });
    let last = arguments.len().saturating_sub(1);
    let checks = arguments.iter().enumerate().map(|(index, ty)| {
        let Place {
            first: span,
            last: end,
        } = Place::of(ty);
        let private = private_at(handler, span);
        let extractor = if index == last {
            quote_spanned!(span=> #private::last_argument::<#ty, _>())
        } else {
            quote_spanned!(span=> #private::argument::<#ty>())
        };
        let need = quote_spanned!(span=> <#private::Probe<#ty>>::FORGE_REMOTE_NEED);
        let mut need = Group::new(Delimiter::Parenthesis, quote!(#need, #auth, #has_user));
        need.set_span(end);
        let check = quote_spanned!(span=> #private::check_need #need);
        quote! {
            const _: () = #extractor;
            const _: () = #check;
        }
    });

    // One item, which holds the others: where it can't stand, there is one error.
    quote! {
        #conditions
        #[doc(hidden)]
        #visibility static #record: &#private::Registration = {
            use #private::{NoNeed as _, column as __forge_remote_column, line as __forge_remote_line};
            #(#checks)*
            #call
            static __FORGE_REMOTE_RECORD: #private::Registration = #private::Registration {
                docs: #docs,
                key: #key,
                endpoint: #endpoint,
                path: #path,
                remote: #remote,
                auth: #auth,
                scopes: &[#(#scopes),*],
                ..#private::Registration::__new(
                    &#kind,
                    #function,
                    #private::Location {
                        module: #private::module_path!(),
                        file: #private::file!(),
                        line: #line,
                        column: #column,
                    },
                    #private::Method::#method,
                    &[#(#needs),*],
                    __forge_remote_call,
                )
            };
            #private::inventory::submit! { #private::Submission(&__FORGE_REMOTE_RECORD) }
            &__FORGE_REMOTE_RECORD
        };
    }
}

/// Takes the request apart and calls the user's function.
fn call(handler: &Handler) -> TokenStream {
    let Handler {
        private,
        name,
        arguments,
        output,
        ..
    } = handler;
    // The user's function may have any name: no local shadows it.
    let local = Span::mixed_site();
    let last = arguments.len().saturating_sub(1);
    let names: Vec<Ident> = (0..arguments.len())
        .map(|index| format_ident!("argument_{index}", span = local))
        .collect();
    let takes = arguments
        .iter()
        .zip(&names)
        .enumerate()
        .map(|(index, (ty, name))| {
            let take = if index == last {
                quote_spanned!(local=> forge_remote_take_last(arguments))
            } else {
                quote_spanned!(local=> forge_remote_take(&mut arguments))
            };
            quote_spanned! {local=>
                let #name: #ty = match (&&#private::Slot::<#ty>::NEW).#take.await {
                    #private::result::Result::Ok(value) => value,
                    #private::result::Result::Err(refusal) => return refusal,
                };
            }
        });
    let take_apart = match arguments.len() {
        0 => quote_spanned!(local=> let _ = (request, state);),
        1 => quote_spanned!(local=> let arguments = #private::Arguments::new(request, state);),
        _ => quote_spanned!(local=> let mut arguments = #private::Arguments::new(request, state);),
    };
    let reply = quote_spanned!(*output=> .forge_remote_reply());
    let steps = quote_spanned! {local=>
        #take_apart
        #(#takes)*
        let output = #private::Output::new(#name(#(#names),*).await);
        (&&&output)#reply
    };
    // A future that isn't `Send` is an error at the function's name.
    let place = name.span();
    let private_here = private_at(handler, place);
    let future = quote_spanned!(place=> #private_here::boxed(async move { #steps }));
    quote_spanned! {local=>
        fn __forge_remote_call(request: #private::Request, state: #private::AppState) -> #private::BoxFuture<#private::Response> {
            use #private::{
                DirectReply as _, FallibleReply as _, TakeLast as _, TakeNothing as _, TakePart as _,
                UnsupportedReply as _,
            };
            #future
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{ENDPOINT, SCHEDULED_TRIGGER};

    /// Whatever is wrong, an editor still sees the function.
    #[test]
    fn the_item_comes_first_and_unchanged() {
        let items = [
            "async fn tick () { let x = ; }",
            "fn tick (& self ,) -> u8 ;",
            "pub struct Tick ;",
            "# [inline] pub (crate) async fn r#type (_ : Tick) { }",
        ];
        for item in items {
            for attribute in [
                "",
                "interval = \"hour\"",
                "= , 5 key ((",
                "auth = [[user]], ,",
            ] {
                let Ok(attribute) = attribute.parse::<TokenStream>() else {
                    continue;
                };
                for kind in [&ENDPOINT, &SCHEDULED_TRIGGER] {
                    let item: TokenStream = item.parse().expect("tokens");
                    let written = item.to_string();
                    let output = super::attribute(kind, attribute.clone(), item).to_string();
                    assert!(output.starts_with(&written), "{output}");
                    assert!(output.len() > written.len(), "nothing beside it: {output}");
                }
            }
        }
    }
}
