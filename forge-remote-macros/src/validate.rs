//! Stage 4: checks the handler's names, scopes, signature and other attributes.

use forge_remote_schema::rules::{self, MAX_ENDPOINT_KEY, MAX_MODULE_KEY};
use forge_remote_schema::{AllowedCaller, KindSpec, Mistake, RouteScope, scopes, sizes};
use proc_macro2::{Delimiter, Span, TokenTree};
use syn::ext::IdentExt as _;
use syn::{FnArg, LitStr, Signature, Type};

use crate::diag::{Errors, Place};
use crate::model::Handler;
use crate::options::Options;
use crate::signature::{Function, MAX_ARGUMENTS, find_word, impl_trait};

const USAGE: &str = "a handler looks like this: `async fn name(call: Invocation, token: SystemToken, State(db): \
                     State<Db>, Json(body): Json<Body>) -> Result<()>`; every argument is optional";

/// Checks a handler. `options` contains the written options.
pub(crate) fn handler(handler: &Handler, options: &Options, errors: &mut Errors) {
    keys(handler, errors);
    path(handler, errors);
    all_scopes(&handler.scopes, errors);
    body_limit(handler, errors);
    former_names(handler, errors);
    function(&handler.function, errors);
    if handler.spec.checks_responses {
        output(handler, options, errors);
    }
    other_attributes(handler, errors);
}

/// Checks the signature of a handler or a job.
pub(crate) fn function(function: &Function, errors: &mut Errors) {
    if let Some(whole) = &function.signature {
        signature(whole, errors);
    }
    for argument in &function.arguments {
        tuple(argument, errors);
    }
}

const FROM_NAME: &str = "leave it out to derive it from the function's name";

const LONG_KEY: &str = "leave it out to derive it from the function's name; for a key of a deployed manifest, add \
                        `long_key`";

fn keys(handler: &Handler, errors: &mut Errors) {
    let endpoint_option = if handler.spec.has_module() {
        "endpoint"
    } else {
        "key"
    };
    // Forge does not see the key of a function's call.
    let is_free = handler.long_key || handler.spec.is_called_by_functions();
    let (max_endpoint, shorten) = if is_free {
        (MAX_MODULE_KEY, FROM_NAME)
    } else {
        (MAX_ENDPOINT_KEY, LONG_KEY)
    };
    for (option, key, max, otherwise) in [
        ("key", &handler.key, MAX_MODULE_KEY, FROM_NAME),
        (endpoint_option, &handler.endpoint, max_endpoint, shorten),
        (
            "remote",
            &handler.remote,
            MAX_ENDPOINT_KEY,
            "leave it out when the app has one remote",
        ),
    ] {
        let Some(key) = key else { continue };
        if let Err(mistake) = rules::check_key(option, &key.value(), max, otherwise) {
            errors.mistake(key.span(), mistake);
        }
    }
    if let (Some(module), Some(endpoint)) = (&handler.key, &handler.endpoint)
        && module.value() == endpoint.value()
    {
        errors.help(
            endpoint.span(),
            format!("`{}` is already the module's key", endpoint.value()),
            "modules and endpoints share one namespace for keys: write another `endpoint`, or leave it out",
        );
    }
    let name = handler.function.name.unraw();
    let text = name.to_string();
    let usable = text.is_ascii() && text.chars().any(|c| c.is_ascii_alphanumeric());
    if !usable && handler.key.is_none() && handler.endpoint.is_none() {
        errors.help(
            name.span(),
            format!("the name `{name}` cannot be turned into a key"),
            "write a key of letters, digits, `_` and `-`: `key = \"…\"`",
        );
    }
}

fn path(handler: &Handler, errors: &mut Errors) {
    let Some(path) = &handler.path else { return };
    if let Err(mistake) = handler.spec.path_check()(&path.value()) {
        errors.mistake(path.span(), mistake);
    }
}

fn body_limit(handler: &Handler, errors: &mut Errors) {
    if let Some(limit) = &handler.body_limit
        && let Err(mistake) = sizes::parse_size(&limit.value())
    {
        errors.mistake(limit.span(), mistake);
    }
}

fn all_scopes(written: &[LitStr], errors: &mut Errors) {
    for (at, scope) in written.iter().enumerate() {
        let text = scope.value();
        if let Err(mistake) = scopes::check(&text) {
            errors.mistake(scope.span(), mistake);
        } else if written[..at].iter().any(|other| other.value() == text) {
            errors.help(
                scope.span(),
                format!("the scope `{text}` is written twice"),
                "keep one of the two",
            );
        }
    }
}

/// Checks the paths and keys of older versions.
fn former_names(handler: &Handler, errors: &mut Errors) {
    let also_at = match handler.spec.is_called_by_functions() {
        true => rules::check_called_path,
        false => rules::check_path,
    };
    for (option, names, own) in [
        ("also_at", &handler.also_at, &handler.path),
        ("also_key", &handler.also_key, &handler.endpoint),
    ] {
        for (at, name) in names.iter().enumerate() {
            let text = name.value();
            let checked = match option {
                // Its messages are for `path`.
                "also_at" => also_at(&text).map_err(|mistake| {
                    let message = mistake.message.replace("`path`", "`also_at`");
                    Mistake::new(message, mistake.help.replace("`path = ", "`also_at = "))
                }),
                _ => rules::check_key(option, &text, MAX_MODULE_KEY, "leave it out"),
            };
            if let Err(mistake) = checked {
                errors.mistake(name.span(), mistake);
            } else if names[..at].iter().any(|other| other.value() == text) {
                errors.help(
                    name.span(),
                    format!("`{text}` is written twice"),
                    "keep one of the two",
                );
            } else if own.as_ref().is_some_and(|own| own.value() == text) {
                errors.help(
                    name.span(),
                    format!("`{option}` has the handler's current value, `{text}`"),
                    format!(
                        "write the one that an older version of the app has, or remove `{option}`"
                    ),
                );
            }
        }
    }
    if let (true, Some(key)) = (handler.dynamic, &handler.key) {
        errors.help(
            key.span(),
            "Forge generates the key of a dynamic module",
            "remove `key`; `endpoint = \"…\"` names the endpoint that the registered modules call",
        );
    }
}

/// A fault of a signature: the place, the message and the fix.
type Fault = (Place, String, &'static str);

fn signature(signature: &Signature, errors: &mut Errors) {
    let mut found: Vec<Fault> = Vec::new();
    qualifiers(signature, &mut found);
    generics(signature, &mut found);
    for argument in &signature.inputs {
        self::argument(argument, &mut found);
    }
    if let Some(argument) = signature.inputs.iter().nth(MAX_ARGUMENTS) {
        let count = signature.inputs.len();
        found.push((
            Place::of(argument),
            format!("the handler has {count} arguments, and at most {MAX_ARGUMENTS} are supported"),
            "put several values into one `State<T>`",
        ));
    }
    // One note for all errors.
    let last = found.len();
    for (index, (place, message, help)) in found.into_iter().enumerate() {
        if index + 1 == last {
            errors.help(place, message, format!("{help}\nnote: {USAGE}"));
        } else {
            errors.help(place, message, help);
        }
    }
}

/// Checks the words before and after the function's name.
fn qualifiers(signature: &Signature, found: &mut Vec<Fault>) {
    let mut reject = |place: Place, message: &str, help: &'static str| {
        found.push((place, message.to_owned(), help));
    };
    if signature.asyncness.is_none() {
        reject(
            signature.fn_token.span.into(),
            "a handler must be async",
            "write `async fn`",
        );
    }
    if let Some(token) = &signature.constness {
        reject(
            token.span.into(),
            "a handler cannot be `const`",
            "remove `const`",
        );
    }
    if let Some(abi) = &signature.abi {
        reject(
            abi.extern_token.span.into(),
            "a handler cannot be `extern`",
            "remove the `extern` and its ABI",
        );
    }
    if let Some(token) = unsafe_token(signature) {
        reject(
            token.into(),
            "a handler cannot be `unsafe`",
            "remove `unsafe`",
        );
    }
    if let Some(dots) = &signature.variadic {
        reject(
            Place::of(dots),
            "a handler cannot be variadic",
            "remove `...`",
        );
    }
}

fn generics(signature: &Signature, found: &mut Vec<Fault>) {
    if !signature.generics.params.is_empty() {
        found.push((
            Place::of(&signature.generics.params),
            "a handler cannot be generic: Forge calls it, and cannot choose a type".to_owned(),
            "write a concrete type",
        ));
    } else if let Some(clause) = &signature.generics.where_clause {
        found.push((
            clause.where_token.span.into(),
            "a handler cannot have a `where` clause".to_owned(),
            "remove it",
        ));
    }
}

fn argument(argument: &FnArg, found: &mut Vec<Fault>) {
    let mut reject = |place: Place, message: &str, help: &'static str| {
        found.push((place, message.to_owned(), help));
    };
    let argument = match argument {
        FnArg::Receiver(receiver) => {
            return reject(
                Place::of(receiver),
                "a handler cannot be a method: there is no value to call it on",
                "make it a free function, and take its state as `State<T>`",
            );
        }
        FnArg::Typed(argument) => argument,
    };
    let conditional = argument.attrs.iter().find(|attribute| {
        attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
    });
    if let Some(attribute) = conditional {
        reject(
            Place::of(attribute),
            "an argument cannot depend on a `#[cfg]`",
            "write the function twice, each with its `#[cfg]`",
        );
    }
    if let Some(place) = impl_trait(&argument.ty) {
        reject(
            place,
            "an argument cannot be `impl Trait`: Forge calls the handler, and cannot choose a type",
            "write a concrete type",
        );
    } else if let Type::Reference(reference) = &*argument.ty {
        reject(
            Place::of(reference),
            "an argument cannot be a reference",
            "take it by value",
        );
    }
}

/// Rejects a tuple as an argument: the launch cannot see the needs of its parts.
fn tuple(argument: &[TokenTree], errors: &mut Errors) {
    let is_comma =
        |token: TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
    if let [TokenTree::Group(group)] = argument
        && group.delimiter() == Delimiter::Parenthesis
        && group.stream().into_iter().any(is_comma)
    {
        errors.help(
            group.span(),
            "an argument cannot be a tuple",
            "take each of its parts as a separate argument",
        );
    }
}

fn unsafe_token(signature: &Signature) -> Option<Span> {
    match &signature.safety {
        syn::Safety::Unsafe(token) => Some(token.span),
        _ => None,
    }
}

/// Checks the names in the returned type against a web trigger's `outputs`.
fn output(handler: &Handler, options: &Options, errors: &mut Errors) {
    let Some(output) = &handler.function.output else {
        return;
    };
    let (other, message, help) = if options.misses("outputs") {
        (
            "WebTriggerOutput",
            "a `WebTriggerOutput` names one of the trigger's `outputs`, but the attribute has no `outputs`",
            "write `outputs = [\"accepted=202\"]`, or return a `WebTriggerResponse`",
        )
    } else {
        (
            "WebTriggerResponse",
            "a web trigger with `outputs` can only respond with one of them",
            "return a `WebTriggerOutput`, or remove `outputs`",
        )
    };
    if let Some(word) = find_word(output.iter().cloned(), other) {
        errors.help(word.span(), message, help);
    }
}

/// Rejects a combination with the function's next attribute of this crate that cannot work.
fn other_attributes(handler: &Handler, errors: &mut Errors) {
    let Some(next) = handler.next else { return };
    let own = handler.spec;
    let is_page = |kind: &KindSpec| kind.caller == AllowedCaller::Page;
    let has_own_path = |kind: &&KindSpec| !kind.has_endpoint() || kind.routes != RouteScope::Exact;
    let reason = if is_page(own) != is_page(next) {
        let caller = match own.is_called_by_functions() || next.is_called_by_functions() {
            true => "a function",
            false => "the platform",
        };
        format!("a page's user could then make calls that only {caller} may make")
    } else if let Some(kind) = [own, next].into_iter().find(has_own_path) {
        format!("a `#[{}]` needs a separate path", kind.attribute)
    } else {
        return;
    };
    errors.help(
        handler.function.name.span(),
        format!(
            "`#[{}]` cannot be combined with `#[{}]`: {reason}",
            own.attribute, next.attribute
        ),
        "write a second function that calls the same code, with another path",
    );
}
