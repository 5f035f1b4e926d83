//! Several attributes on one function. Their records need different names, so each attribute leaves
//! its successor's number in the successor's tokens.

use forge_remote_schema::KindSpec;
use forge_remote_schema::kinds::KINDS;
use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

use crate::diag::{Errors, Place};

/// The prefix of the mark, an option that users do not write.
const MARK: &str = "__forge_remote_attribute_";

/// Removes the mark from an attribute's tokens, and returns the attribute's number: 0 for the first.
pub(crate) fn take_number(attribute: TokenStream) -> (usize, TokenStream) {
    let mut tokens = attribute.clone().into_iter();
    let number = match tokens.next() {
        Some(TokenTree::Ident(word)) => word
            .to_string()
            .strip_prefix(MARK)
            .and_then(|number| number.parse().ok()),
        _ => None,
    };
    match number {
        // The comma behind the mark.
        Some(number) => (number, tokens.skip(1).collect()),
        None => (0, attribute),
    }
}

/// Returns the item with this number in its first attribute of this crate, and that attribute's kind.
pub(crate) fn mark_next(
    item: TokenStream,
    number: usize,
) -> (TokenStream, Option<&'static KindSpec>) {
    let mut found = None;
    let mut in_attribute = false;
    let marked = item.clone().into_iter().map(|token| match token {
        TokenTree::Group(group) if in_attribute && found.is_none() => {
            in_attribute = false;
            found = kind_of(group.stream());
            match found {
                Some(_) => marked(&group, number).into(),
                None => group.into(),
            }
        }
        other => {
            in_attribute = matches!(&other, TokenTree::Punct(sign) if sign.as_char() == '#');
            other
        }
    });
    let marked: Vec<TokenTree> = marked.collect();
    match found {
        Some(kind) => (marked.into_iter().collect(), Some(kind)),
        None => (item, None),
    }
}

/// Reports a `#[job]` below an attribute of this name, which would make two records of one name.
pub(crate) fn reject_job(attribute: &str, item: &TokenStream, errors: &mut Errors) {
    let mut in_attribute = false;
    for token in item.clone() {
        if let TokenTree::Group(group) = &token
            && in_attribute
            && name_of(group.stream()).as_deref() == Some("job")
        {
            reject_both(attribute, group.span(), errors);
        }
        in_attribute = matches!(&token, TokenTree::Punct(sign) if sign.as_char() == '#');
    }
}

/// Reports a function that has both a `#[job]` and an attribute of this name.
pub(crate) fn reject_both(attribute: &str, place: impl Into<Place>, errors: &mut Errors) {
    errors.help(
        place,
        format!("`#[job]` cannot be combined with `#[{attribute}]`: a job's arguments differ from a call's"),
        "write a second function that calls the same code",
    );
}

/// Returns the kind of an attribute's tokens: `trigger(…)` or `forge_remote::trigger(…)`.
fn kind_of(attribute: TokenStream) -> Option<&'static KindSpec> {
    let name = name_of(attribute)?;
    KINDS.iter().find(|kind| kind.attribute == name)
}

/// Returns the name of an attribute that may be of this crate: `job` of `job(…)` or `forge_remote::job(…)`.
fn name_of(attribute: TokenStream) -> Option<String> {
    let mut path: Vec<String> = Vec::new();
    for token in attribute {
        match token {
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(sign) if sign.as_char() == ':' => {}
            _ => break,
        }
    }
    let is_of_this_crate = path.len() == 1 || path.first().is_some_and(|one| one == "forge_remote");
    path.pop().filter(|_| is_of_this_crate)
}

/// Returns an attribute's brackets with the mark as its first option.
fn marked(attribute: &Group, number: usize) -> Group {
    let mark = Ident::new(&format!("{MARK}{number}"), Span::call_site());
    let mark: [TokenTree; 2] = [mark.into(), Punct::new(',', Spacing::Alone).into()];
    let mut tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let options = match tokens.last() {
        Some(TokenTree::Group(options)) => options.clone(),
        _ => Group::new(Delimiter::Parenthesis, TokenStream::new()),
    };
    if matches!(tokens.last(), Some(TokenTree::Group(_))) {
        tokens.pop();
    }
    let mut group = Group::new(
        Delimiter::Parenthesis,
        mark.into_iter().chain(options.stream()).collect(),
    );
    group.set_span(options.span());
    tokens.push(group.into());
    let mut whole = Group::new(attribute.delimiter(), tokens.into_iter().collect());
    whole.set_span(attribute.span());
    whole
}
