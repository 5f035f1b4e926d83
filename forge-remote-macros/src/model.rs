//! Stage 3: the handler, made from the options and the function. Its parts are read here and checked
//! in the next stage.

use forge_remote_schema::KindSpec;
use proc_macro2::TokenStream;
use quote::quote;
use syn::LitStr;

use crate::diag::Errors;
use crate::durable;
use crate::options::Options;
use crate::signature::Function;
use crate::values::{Fields, Reader};
use crate::words;

/// An annotated function, with the parts that its record needs.
pub(crate) struct Handler {
    pub(crate) spec: &'static KindSpec,
    /// The fields of the kind's value in the runtime.
    pub(crate) fields: Fields,
    /// `crate::__private`.
    pub(crate) private: TokenStream,
    /// The function's `#[cfg]`s, which apply to its record too.
    pub(crate) conditions: TokenStream,
    pub(crate) docs: String,
    pub(crate) key: Option<LitStr>,
    pub(crate) endpoint: Option<LitStr>,
    pub(crate) path: Option<LitStr>,
    pub(crate) remote: Option<LitStr>,
    pub(crate) method: &'static str,
    /// Whether the system token and the user token are requested.
    pub(crate) auth: (bool, bool),
    pub(crate) scopes: Vec<LitStr>,
    pub(crate) body_limit: Option<LitStr>,
    /// Paths that older major versions of the app call.
    pub(crate) also_at: Vec<LitStr>,
    /// Keys that older major versions of the app have.
    pub(crate) also_key: Vec<LitStr>,
    /// Whether its modules are registered at run time.
    pub(crate) dynamic: bool,
    /// Whether a written endpoint key may exceed Forge's documented limit.
    pub(crate) long_key: bool,
    /// The runtime's policy, if the handler is durable.
    pub(crate) durable: Option<TokenStream>,
    pub(crate) function: Function,
    /// The attribute's index among the function's attributes.
    pub(crate) number: usize,
    /// The kind of the function's next attribute.
    pub(crate) next: Option<&'static KindSpec>,
}

impl Handler {
    pub(crate) fn new(
        spec: &'static KindSpec,
        options: &mut Options,
        function: Function,
        (number, next): (usize, Option<&'static KindSpec>),
        errors: &mut Errors,
    ) -> Self {
        let krate = options.crate_path(errors);
        let private = quote!(#krate::__private);
        let docs = docs(&function.attributes);
        let mut reader = Reader {
            docs: &docs,
            private: &private,
            errors: &mut *errors,
        };
        let fields = reader.fields(spec.option_set(), options);
        let auth = words::auth(spec, options, errors);
        let method = if spec.any_method {
            words::method(options, errors)
        } else {
            "Post"
        };
        let key = options.text("key", "\"refresh-index\"", errors);
        let (key, endpoint) = if spec.has_module() {
            (key, options.text("endpoint", "\"refresh-index\"", errors))
        } else {
            (None, key)
        };
        let remote = options.text("remote", "\"backend\"", errors);
        let path = options.text("path", "\"/refresh\"", errors);
        let long_key = options.flag("long_key", errors);
        let scopes = options.texts("scopes", "[\"read:jira-work\"]", errors);
        let body_limit = options.text("body_limit", "\"20MiB\"", errors);
        let also_at = options.text_or_texts("also_at", "\"/old-path\"", errors);
        let also_key = options.text_or_texts("also_key", "\"old-key\"", errors);
        let dynamic = options.flag("dynamic", errors);
        let durable = durable::policy(options, &private, errors);
        let conditions = conditions(&function.attributes);
        Self {
            spec,
            fields,
            private,
            conditions,
            docs,
            key,
            endpoint,
            path,
            remote,
            method,
            auth,
            scopes,
            body_limit,
            also_at,
            also_key,
            dynamic,
            long_key,
            durable,
            function,
            number,
            next,
        }
    }
}

/// Returns the function's `#[cfg]`s, which apply to the generated items too.
pub(crate) fn conditions(attributes: &[syn::Attribute]) -> TokenStream {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .map(quote::ToTokens::to_token_stream)
        .collect()
}

/// Returns the function's doc comment, without the leading space of each line.
pub(crate) fn docs(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let syn::Meta::NameValue(meta) = &attribute.meta else {
            return None;
        };
        match &meta.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) if meta.path.is_ident("doc") => {
                let text = text.value();
                Some(text.strip_prefix(' ').map(str::to_owned).unwrap_or(text))
            }
            _ => None,
        }
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}
