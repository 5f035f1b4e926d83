//! Stage 2d: the option `durable`, alone or with its own options in parentheses.

use forge_remote_schema::durable::{self, MAX_COUNT, OPTIONS};
use forge_remote_schema::{Durability, KindSpec, Mistake};
use proc_macro2::TokenStream;
use quote::quote;

use crate::diag::Errors;
use crate::options::Options;
use crate::parse::{Value, WrittenOption};

/// Reports `durable` on a kind that does not allow it, with the reason, and removes the option.
pub(crate) fn reject(kind: &KindSpec, written: &mut Vec<WrittenOption>, errors: &mut Errors) {
    let Durability::NotAllowed(reason) = kind.durable else {
        return;
    };
    written.retain(|option| {
        if option.name != "durable" {
            return true;
        }
        errors.help(
            option.name.span(),
            format!("`#[{}]` cannot be durable: {reason}", kind.attribute),
            "remove `durable`, and send longer work to a `durable` handler or a background task",
        );
        false
    });
}

/// Reads `durable`, and returns the runtime's policy; `None` if the handler is not durable.
pub(crate) fn policy(
    options: &mut Options,
    private: &TokenStream,
    errors: &mut Errors,
) -> Option<TokenStream> {
    let default = || quote!(#private::JobPolicy::DEFAULT);
    let group = match options.take("durable")? {
        None => return Some(default()),
        Some(Value::Flag(flag)) => return flag.value.then(default),
        Some(Value::Arguments(group)) => group,
        Some(Value::Invalid) => return None,
        Some(other) => {
            let what = "`true` or `false`, or options in parentheses";
            Options::wrong_value("durable", &other, what, "true", errors);
            return None;
        }
    };
    let mut inner = Options::of_arguments("durable", OPTIONS.to_vec(), &group, errors);
    Some(policy_of(&mut inner, private, errors))
}

/// Reads the options of a policy, and returns the runtime's policy.
pub(crate) fn policy_of(
    inner: &mut Options,
    private: &TokenStream,
    errors: &mut Errors,
) -> TokenStream {
    let mut policy = quote!(#private::JobPolicy::DEFAULT);
    if let Some(retries) = count(inner, "retries", 0, errors) {
        policy.extend(quote!(.with_retries(#retries)));
    }
    if let Some((first, max)) = time(inner, "backoff", "\"10s..1h\"", durable::backoff, errors) {
        policy.extend(quote!(.with_backoff_seconds(#first, #max)));
    }
    if let Some(timeout) = time(inner, "timeout", "\"2m\"", durable::timeout, errors) {
        policy.extend(quote!(.with_timeout_seconds(#timeout)));
    }
    if let Some(limit) = count(inner, "per_installation", 1, errors) {
        policy.extend(quote!(.with_per_installation(#limit)));
    }
    policy
}

fn count(options: &mut Options, name: &str, min: u32, errors: &mut Errors) -> Option<u32> {
    let value = options.value(name, "1", errors)?;
    let number = match syn::parse2::<syn::Lit>(value.tokens()) {
        Ok(syn::Lit::Int(number)) => number.base10_parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| (min..=MAX_COUNT).contains(number));
    if number.is_none() {
        let what = format!("a number from {min} to {MAX_COUNT}");
        Options::wrong_value(name, &value, &what, "1", errors);
    }
    number
}

fn time<T>(
    options: &mut Options,
    name: &str,
    example: &str,
    read: impl FnOnce(&str) -> Result<T, Mistake>,
    errors: &mut Errors,
) -> Option<T> {
    let text = options.text(name, example, errors)?;
    match read(&text.value()) {
        Ok(time) => Some(time),
        Err(mistake) => {
            errors.mistake(text.span(), mistake);
            None
        }
    }
}
