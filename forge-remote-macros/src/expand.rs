//! Stage 5, the output: the function, always first, and its record or its errors. The function is
//! unchanged, except for the mark in its next attribute.

use forge_remote_schema::{KindSpec, sizes};
use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote};
use syn::Path;
use syn::ext::IdentExt as _;

use crate::diag::{Errors, Place};
use crate::model::Handler;
use crate::options::Options;
use crate::signature::Function;
use crate::{durable, parse, stack, validate};

/// Expands an attribute on an item.
pub(crate) fn attribute(
    kind: &'static KindSpec,
    attribute: TokenStream,
    item: TokenStream,
) -> TokenStream {
    let mut errors = Errors::default();
    let (number, attribute) = stack::take_number(attribute);
    let (item, next) = stack::mark_next(item, number + 1);
    stack::reject_job(kind.attribute, &item, &mut errors);
    let mut stub = TokenStream::new();
    let record = match Function::read(item.clone()) {
        Ok(function) => {
            let first = kind.option_set().first();
            let mut written = parse::options(first, attribute, &mut errors);
            durable::reject(kind, &mut written, &mut errors);
            let mut options = Options::new(kind, &function.name, written, &mut errors);
            let stacked = (number, next);
            let handler = Handler::new(kind, &mut options, function, stacked, &mut errors);
            validate::handler(&handler, &options, &mut errors);
            // The attribute above names this record even if this attribute has errors.
            if number > 0 {
                let (private, record) = (&handler.private, handler.record_name());
                stub = quote!(fn #record() -> #private::Registration { ::core::unimplemented!() });
            }
            Some(handler)
        }
        Err(error) => {
            no_function(kind.attribute, &item, error, &mut errors);
            None
        }
    };
    let rest = match record {
        Some(handler) if errors.is_empty() => registration(&handler),
        _ => {
            stub.extend(errors.into_tokens());
            stub
        }
    };
    let mut all = item;
    all.extend(rest);
    all
}

/// Reports an item that is not a function.
pub(crate) fn no_function(
    attribute: &str,
    item: &TokenStream,
    error: syn::Error,
    errors: &mut Errors,
) {
    let first = item.clone().into_iter().find_map(|token| match token {
        TokenTree::Ident(word) if word != "pub" => Some(word),
        _ => None,
    });
    match first {
        // An incomplete function: the parser's error is more specific.
        Some(word) if word == "fn" || word == "async" => errors.push(error),
        _ => errors.help(
            first.map_or_else(Span::call_site, |word| word.span()),
            format!("`#[{attribute}]` belongs on a function"),
            "write it above an `async fn`",
        ),
    }
}

/// Expands `handler!(path::to::function)`.
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
        last.ident = record_name(&last.ident, 0);
    }
    quote!(#path())
}

impl Handler {
    fn record_name(&self) -> Ident {
        record_name(&self.function.name, self.number)
    }
}

/// Returns the name of a function's record, for its attribute of this number. It is in scope wherever
/// the function is. The compiler's error shows it if `handler!` gets a function without an attribute.
pub(crate) fn record_name(function: &Ident, number: usize) -> Ident {
    let number = match number {
        0 => String::new(),
        number => format!("__{number}"),
    };
    format_ident!(
        "__forge_remote_annotated_free_function_{}{number}",
        function.unraw(),
        span = Span::call_site().located_at(function.span())
    )
}

/// Returns a span in the user's code for generated code. Lints ignore it, so no `#[allow]` is needed,
/// which a crate's `#![forbid]` would reject.
pub(crate) fn at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

pub(crate) fn relocated(tokens: &TokenStream) -> TokenStream {
    tokens
        .clone()
        .into_iter()
        .map(|mut token| {
            token.set_span(at(token.span()));
            token
        })
        .collect()
}

/// Returns a call of the runtime's `handler!`, which has the code that all handlers share: the compiler
/// expands it faster than tokens from here.
fn registration(handler: &Handler) -> TokenStream {
    let Handler {
        spec,
        private,
        conditions,
        fields,
        function: Function {
            name, visibility, ..
        },
        ..
    } = handler;
    let record = handler.record_name();
    let visibility = relocated(&visibility.to_token_stream());
    let requests = match (spec.has_user, handler.auth) {
        (false, (true, _)) => "no_user_requests_system",
        (false, (false, _)) => "no_user_requests_none",
        (true, (true, true)) => "requests_both",
        (true, (true, false)) => "requests_system",
        (true, (false, true)) => "requests_user",
        (true, (false, false)) => "requests_none",
    };
    let requests = Ident::new(requests, Span::call_site());
    let kind = Ident::new(spec.runtime, Span::call_site());
    let written = &fields.written;
    let others = fields.has_others.then(|| quote!(NONE));
    let function = name.unraw().to_string();

    let mount = mount(&handler.function, private);
    let place = location(name.span());

    let options = options(handler);
    // Private records do not appear in documentation anyway.
    let hidden = (!visibility.is_empty()).then(|| quote!(#[doc(hidden)]));
    quote! {
        #private::handler! {
            [#conditions #hidden #visibility] #record #function #place
            #requests #kind { #written } [#others]
            #mount
            #options
        }
    }
}

/// Returns the fields of the record that the attribute's options set: no others are emitted.
fn options(handler: &Handler) -> TokenStream {
    let Handler {
        private,
        scopes,
        body_limit,
        also_at,
        also_key,
        docs,
        function,
        ..
    } = handler;
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
    // An invalid size was reported.
    let body_limit = body_limit
        .as_ref()
        .map(|limit| sizes::parse_size(&limit.value()));
    if let Some(Ok(bytes)) = body_limit {
        let bytes = Literal::usize_unsuffixed(bytes);
        fields.extend(quote!(body_limit: #private::option::Option::Some(#bytes),));
    }
    for (field, values) in [("also_at", also_at), ("also_key", also_key)] {
        if !values.is_empty() {
            let field = Ident::new(field, Span::call_site());
            fields.extend(quote!(#field: &[#(#values),*],));
        }
    }
    if handler.dynamic {
        fields.extend(quote!(dynamic: true,));
    }
    if let Some(policy) = &handler.durable {
        fields.extend(quote!(durable: #private::option::Option::Some(#policy),));
    }
    if handler.number > 0 {
        let number = handler.number;
        fields.extend(quote!(attribute: #number,));
    }
    if handler.next.is_some() {
        let next = record_name(&function.name, handler.number + 1);
        fields.extend(quote!(next: #private::option::Option::Some(#next),));
    }
    quote!([#texts] #fields)
}

/// Returns the name of the runtime's function that makes the function callable, and its arguments: the
/// function, the extractors of its arguments, and the conversion of the returned value.
pub(crate) fn mount(function: &Function, private: &TokenStream) -> TokenStream {
    let Function {
        name, arguments, ..
    } = function;
    let count = arguments.len();
    let mut passed = vec![name.clone().into(), Punct::new(',', Spacing::Alone).into()];
    for (index, ty) in arguments.iter().enumerate() {
        let is_last = index + 1 == count;
        let method = if is_last { "last" } else { "part" };
        passed.extend(probe(ty, &format!("forge_remote_{method}"), true));
    }
    match &function.output {
        Some(ty) => passed.extend(probe(ty, "forge_remote_reply", false)),
        None => {
            let returned = format_ident!("returned_{count}");
            passed.extend(quote!({
                use #private::{DirectReply as _, FallibleReply as _};
                (&&#private::#returned(&#name)).forge_remote_reply()
            }));
        }
    }
    let passed = Group::new(Delimiter::Parenthesis, passed.into_iter().collect());
    let mount = format_ident!("mount_{count}");
    quote!(#mount #passed)
}

/// Returns `<forge_remote_probe<ty>>::method`, called for an argument. Its spans are the user's type,
/// where errors are shown. It is made token by token: joining streams takes most of a macro's time.
fn probe(ty: &[TokenTree], method: &str, is_argument: bool) -> Vec<TokenTree> {
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
        Ident::new(method, last).into(),
    ]);
    if is_argument {
        let mut call = Group::new(Delimiter::Parenthesis, TokenStream::new());
        call.set_span(last);
        tokens.extend([call.into(), punct(',', Spacing::Alone)]);
    }
    tokens
}

/// Returns the place of a function, as `file:line:column`: `file!()` would be the attribute's.
pub(crate) fn location(place: Span) -> String {
    // This crate's tests run outside of the compiler, where there are no files.
    if !proc_macro::is_available() {
        return String::new();
    }
    let place = place.unwrap();
    format!("{}:{}:{}", place.file(), place.line(), place.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use forge_remote_schema::kinds::{ENDPOINT, SCHEDULED_TRIGGER};

    /// An editor sees the function even if the attribute has errors.
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
                    assert!(output.len() > written.len(), "nothing else: {output}");
                }
            }
        }
    }
}
