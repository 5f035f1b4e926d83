//! What is emitted: the function as it was written, always and first; beside it, one record.

use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::Path;
use syn::ext::IdentExt as _;

use crate::diag::{Errors, Place};
use crate::kinds::Kind;
use crate::model::Handler;
use crate::parse::{self, Function};

/// An attribute on an item.
pub(crate) fn attribute(kind: &Kind, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let record = match Function::read(item.clone()) {
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
    let mut all = item;
    all.extend(rest);
    all
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
    quote!(#path())
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

/// A call of the runtime's `handler!`, which holds everything that is the same for all handlers:
/// the compiler expands it faster than it takes tokens from here.
fn registration(handler: &Handler) -> TokenStream {
    let Handler {
        private,
        name,
        conditions,
        kind,
        arguments,
        has_user,
        scopes,
        docs,
        ..
    } = handler;
    let record = record_name(name);
    let visibility = relocated(&handler.visibility);
    let asks = match (has_user, handler.auth) {
        (false, (true, _)) => "no_user_asks_system",
        (false, (false, _)) => "no_user_asks_none",
        (true, (true, true)) => "asks_both",
        (true, (true, false)) => "asks_system",
        (true, (false, true)) => "asks_user",
        (true, (false, false)) => "asks_none",
    };
    let asks = Ident::new(asks, Span::call_site());
    let function = name.unraw().to_string();

    let takes = arguments.iter().enumerate().flat_map(|(index, ty)| {
        let is_last = index + 1 == arguments.len();
        let way = if is_last { "last" } else { "part" };
        probe(ty, &format!("forge_remote_{way}"), true)
    });
    let reply = match &handler.output {
        Some(ty) => {
            let reply = probe(ty, "forge_remote_reply", false);
            quote!([#(#reply)*] [])
        }
        None => {
            let returned = format_ident!("returned_{}", arguments.len());
            quote!([] [#returned])
        }
    };
    let mount = format_ident!("mount_{}", arguments.len());
    let place = location(name.span());

    // What isn't written isn't emitted.
    let mut texts = TokenStream::new();
    for (field, text) in [
        ("key", &handler.key),
        ("endpoint", &handler.endpoint),
        ("path", &handler.path),
        ("remote", &handler.remote),
    ] {
        if let Some(text) = text {
            let field = Ident::new(field, Span::call_site());
            texts.extend(quote!(#field: #text,));
        }
    }
    let mut fields = TokenStream::new();
    if handler.method != "Post" {
        let method = format_ident!("{}", handler.method);
        fields.extend(quote!(method: #private::Method::#method,));
    }
    if !docs.is_empty() {
        fields.extend(quote!(docs: #docs,));
    }
    if !scopes.is_empty() {
        fields.extend(quote!(scopes: &[#(#scopes),*],));
    }
    let written = if texts.is_empty() && fields.is_empty() {
        quote!(NOTHING)
    } else {
        quote!(Written { [#texts] #fields })
    };
    // What isn't seen from outside is in no documentation.
    let hidden = (!visibility.is_empty()).then(|| quote!(#[doc(hidden)]));
    quote! {
        #private::handler! {
            [#conditions #hidden #visibility] #record
            #name #function #place #asks #kind,
            #mount [#(#takes)*] #reply #written
        }
    }
}

/// `<forge_remote_probe<ty>>::way`, called if it is an argument's, at the
/// place of the user's type, where its errors are shown. Token by token: putting streams together is
/// what costs a macro its time.
fn probe(ty: &[TokenTree], way: &str, is_argument: bool) -> Vec<TokenTree> {
    let place = |token: Option<&TokenTree>| at(token.map_or_else(Span::call_site, TokenTree::span));
    let (first, last) = (place(ty.first()), place(ty.last()));
    let punct = |sign: char, spacing: Spacing| {
        let mut sign = Punct::new(sign, spacing);
        sign.set_span(first);
        TokenTree::from(sign)
    };
    let mut tokens = Vec::with_capacity(ty.len() + 11);
    tokens.extend([
        punct('<', Spacing::Alone),
        Ident::new("forge_remote_probe", first).into(),
        punct('<', Spacing::Alone),
    ]);
    tokens.extend(ty.iter().cloned());
    tokens.extend([
        punct('>', Spacing::Joint),
        punct('>', Spacing::Joint),
        punct(':', Spacing::Joint),
        punct(':', Spacing::Alone),
        Ident::new(way, last).into(),
    ]);
    if is_argument {
        let mut call = Group::new(Delimiter::Parenthesis, TokenStream::new());
        call.set_span(last);
        tokens.extend([call.into(), punct(';', Spacing::Alone)]);
    }
    tokens
}

/// Where a function stands, as `file:line:column`: `file!()` and its like would speak of the
/// attribute.
fn location(place: Span) -> String {
    // Outside of a compiler, in this crate's own tests, there are no files.
    if !proc_macro::is_available() {
        return String::new();
    }
    let place = place.unwrap();
    format!("{}:{}:{}", place.file(), place.line(), place.column())
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
