//! What is emitted: the function as it was written, always and first; beside it, one record.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::{LitStr, Path};

use crate::diag::Errors;
use crate::kinds::Kind;
use crate::model::Handler;
use crate::parse::{self, Function, whole};

/// An attribute on an item.
pub(crate) fn attribute(kind: &Kind, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let written = parse::options(attribute, &mut errors);
    let record = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => Some(Handler::new(kind, written, function, &mut errors)),
        Err(error) => {
            let first = item.clone().into_iter().find_map(|token| match token {
                proc_macro2::TokenTree::Ident(word) if word != "pub" => Some(word),
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
    let mut path: Path = match syn::parse2(path) {
        Ok(path) => path,
        Err(error) => return error.into_compile_error(),
    };
    if let Some(last) = path.segments.last_mut() {
        last.ident = record_name(&last.ident);
    }
    quote!(&#path)
}

/// The record's name, so that it can be named from where the function can.
fn record_name(function: &Ident) -> Ident {
    format_ident!(
        "__forge_remote_handler_{}",
        function.unraw(),
        span = Span::call_site().located_at(function.span())
    )
}

/// A place in the user's code for code that isn't theirs: lints leave it alone, and its locals are
/// its own.
fn at(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

fn registration(handler: &Handler) -> TokenStream {
    let Handler {
        private,
        name,
        visibility,
        conditions,
        kind,
        docs,
        scopes,
        arguments,
        has_user,
        ..
    } = handler;
    let record = record_name(name);
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
        let span = at(whole(ty.to_token_stream()));
        quote_spanned!(span=> <#private::Probe<#ty>>::NEED)
    });
    let last = arguments.len().saturating_sub(1);
    let checks = arguments.iter().enumerate().map(|(index, ty)| {
        let span = at(whole(ty.to_token_stream()));
        let extractor = if index == last {
            quote_spanned!(span=> #private::last_argument::<#ty, _>())
        } else {
            quote_spanned!(span=> #private::argument::<#ty>())
        };
        quote_spanned! {span=>
            const _: () = #extractor;
            const _: () = #private::check_need(<#private::Probe<#ty>>::NEED, #auth, #has_user);
        }
    });

    quote! {
        #conditions
        #[doc(hidden)]
        #[allow(non_upper_case_globals, missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
        #visibility static #record: #private::Registration = {
            #[allow(unused_imports)]
            use #private::{NoNeed as _, column as __forge_remote_column, line as __forge_remote_line};
            #(#checks)*
            #call
            #private::Registration {
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
            }
        };
        #conditions
        #[allow(unused_qualifications)]
        const _: () = {
            #private::inventory::submit! { #private::Submission(&#record) }
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
        .map(|index| format_ident!("argument_{index}", span = Span::mixed_site()))
        .collect();
    let takes = arguments
        .iter()
        .zip(&names)
        .enumerate()
        .map(|(index, (ty, name))| {
            let take = if index == last {
                quote_spanned!(local=> arguments.last::<#ty, _>().await)
            } else {
                quote_spanned!(local=> arguments.next::<#ty>().await)
            };
            quote_spanned! {local=>
                let #name: #ty = match #take {
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
    let reply = quote_spanned!(at(*output)=> (&&&output).reply());
    quote_spanned! {local=>
        fn __forge_remote_call(request: #private::Request, state: #private::AppState) -> #private::BoxFuture<#private::Response> {
            #private::boxed(async move {
                #take_apart
                #(#takes)*
                let output = #private::Output::new(#name(#(#names),*).await);
                #[allow(unused_imports)]
                use #private::{DirectReply as _, FallibleReply as _, UnsupportedReply as _};
                #reply
            })
        }
    }
}
