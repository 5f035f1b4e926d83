//! Stage 5 of `#[job]`: the unchanged function, its record, and a type of its name with `args`.

use forge_remote_schema::durable::OPTIONS;
use forge_remote_schema::names;
use forge_remote_schema::rules::{self, MAX_MODULE_KEY};
use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;

use crate::diag::{Errors, Place};
use crate::expand::{at, location, mount, no_function, record_name, relocated};
use crate::options::Options;
use crate::signature::Function;
use crate::{durable, model, parse, stack, validate};

/// Expands `#[job]` on an item.
pub(crate) fn attribute(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    stack::reject_job("job", &item, &mut errors);
    let rest = match Function::read(item.clone()) {
        Ok(function) => {
            if let (_, Some(kind)) = stack::mark_next(item.clone(), 1) {
                stack::reject_both(kind.attribute, function.name.span(), &mut errors);
            }
            registration(&function, attribute, &mut errors)
        }
        Err(error) => {
            no_function("job", &item, error, &mut errors);
            TokenStream::new()
        }
    };
    let rest = match errors.is_empty() {
        true => rest,
        false => errors.into_tokens(),
    };
    let mut all = item;
    all.extend(rest);
    all
}

/// Returns a call of the runtime's `job!`.
fn registration(function: &Function, attribute: TokenStream, errors: &mut Errors) -> TokenStream {
    let name = &function.name;
    let written = parse::options("key", attribute, errors);
    let known = ["key"]
        .into_iter()
        .chain(OPTIONS)
        .chain(["crate"])
        .collect();
    let mut options = Options::of_attribute("job", known, name, written, errors);
    let krate = options.crate_path(errors);
    let private = quote!(#krate::__private);
    let policy = durable::policy_of(&mut options, &private, errors);
    let written_key = options.text("key", "\"reindex\"", errors);
    let key = written_key.as_ref().map_or_else(
        || names::kebab(&name.unraw().to_string()),
        syn::LitStr::value,
    );
    let place: Place = match &written_key {
        Some(key) => key.span().into(),
        None => name.span().into(),
    };
    let help = "write a key of letters, digits, `_` and `-`: `key = \"…\"`";
    if let Err(mistake) = rules::check_key("key", &key, MAX_MODULE_KEY, help) {
        errors.mistake(place, mistake);
    }
    validate::function(function, errors);
    let mut all_args = function.arguments.iter().filter(|ty| is_args(ty));
    let args = all_args.next();
    if let Some(second) = all_args.next() {
        errors.help(
            Place::of(second.iter().cloned().collect::<TokenStream>()),
            "the job takes `Args<T>` twice",
            "put both values into one struct",
        );
    }
    let args = args.into_iter().flatten();
    let conditions = model::conditions(&function.attributes);
    let visibility = relocated(&function.visibility.to_token_stream());
    let record = record_name(name, 0);
    let mut marker = name.clone();
    marker.set_span(at(name.span()));
    let text = name.unraw().to_string();
    let docs = model::docs(&function.attributes);
    let place = location(name.span());
    let mount = mount(function, &private);
    quote! {
        #private::job! {
            [#conditions] [#visibility] #record
            #marker #text #key #docs #place
            #policy, [#(#args)*]
            #mount
        }
    }
}

/// Returns whether a type is `Args<T>`, with or without a path.
fn is_args(ty: &[TokenTree]) -> bool {
    let is_angle =
        |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == '<');
    let end = ty.iter().position(is_angle);
    let last = end.and_then(|end| ty.get(end.checked_sub(1)?));
    matches!(last, Some(TokenTree::Ident(word)) if word == "Args")
}
