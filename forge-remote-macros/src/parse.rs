//! Stage 1, the attribute: parses its options.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::{Lit, LitBool, LitStr, Path};

use crate::diag::{Errors, Place};

/// One option: `name` or `name = value`.
pub(crate) struct WrittenOption {
    /// The name, without `r#`.
    pub(crate) name: Ident,
    pub(crate) value: Option<Value>,
}

/// An option's value.
pub(crate) enum Value {
    Text(LitStr),
    Flag(LitBool),
    Word(Ident),
    Path(Path),
    List(Vec<Value>, Group),
    /// The parentheses of `name(…)`.
    Arguments(Group),
    Other(TokenStream),
    /// An invalid value, already reported.
    Invalid,
}

impl Value {
    pub(crate) fn tokens(&self) -> TokenStream {
        match self {
            Self::Text(text) => text.to_token_stream(),
            Self::Flag(flag) => flag.to_token_stream(),
            Self::Word(word) => word.to_token_stream(),
            Self::Path(path) => path.to_token_stream(),
            Self::List(_, list) => list.to_token_stream(),
            Self::Arguments(group) => group.to_token_stream(),
            Self::Other(tokens) => tokens.clone(),
            Self::Invalid => TokenStream::new(),
        }
    }

    pub(crate) fn text(&self) -> Option<&LitStr> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::of(self.tokens())
    }
}

/// Reads the options; an invalid one does not hide errors of the next. `first` is the option that a
/// value without a name is assumed to be for.
pub(crate) fn options(
    first: &str,
    attribute: TokenStream,
    errors: &mut Errors,
) -> Vec<WrittenOption> {
    let attribute: Vec<TokenTree> = attribute.into_iter().collect();
    split(&attribute)
        .filter_map(|tokens| option(first, tokens, errors))
        .collect()
}

/// Splits at commas outside of groups.
fn split(tokens: &[TokenTree]) -> impl Iterator<Item = &[TokenTree]> {
    let is_comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
    tokens.split(is_comma).filter(|part| !part.is_empty())
}

fn stream(tokens: &[TokenTree]) -> TokenStream {
    tokens.iter().cloned().collect()
}

fn option(first: &str, tokens: &[TokenTree], errors: &mut Errors) -> Option<WrittenOption> {
    let Some((TokenTree::Ident(word), rest)) = tokens.split_first() else {
        // A value without a name.
        let tokens = stream(tokens);
        let place = Place::of(&tokens);
        let (name, example) = match syn::parse2::<Lit>(tokens.clone()) {
            Ok(Lit::Str(text)) if text.value().starts_with('/') => ("path", tokens.to_string()),
            Ok(Lit::Str(_)) => (first, tokens.to_string()),
            _ => (first, "…".to_owned()),
        };
        errors.help(
            place,
            format!("expected an option, found `{tokens}`"),
            format!("options have names: write `{name} = {example}`"),
        );
        let name = Ident::new(name, place.first);
        let value = Some(Value::Invalid);
        return Some(WrittenOption { name, value });
    };
    let name = word.unraw();
    let value = match rest {
        [] => None,
        [TokenTree::Punct(equals)] if equals.as_char() == '=' => {
            errors.help(
                Place::of(stream(tokens)),
                format!("`{name} =` has no value"),
                format!("write `{name} = …`"),
            );
            Some(Value::Invalid)
        }
        [
            TokenTree::Punct(equals),
            TokenTree::Punct(again),
            value @ ..,
        ] if equals.as_char() == '=' && matches!(again.as_char(), '=' | '>') => {
            let value = stream(value);
            errors.help(
                Place::of(stream(&rest[..2])),
                format!("expected `=` after `{name}`"),
                format!("write `{name} = {value}`"),
            );
            Some(Value::Invalid)
        }
        [TokenTree::Punct(equals), value @ ..] if equals.as_char() == '=' => {
            Some(checked_value(value, errors))
        }
        [TokenTree::Group(group)]
            if name == "durable" && group.delimiter() == Delimiter::Parenthesis =>
        {
            Some(Value::Arguments(group.clone()))
        }
        [other, after @ ..] => {
            let value = match other {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
                    group.stream().to_string()
                }
                TokenTree::Punct(_) => stream(after).to_string(),
                _ => stream(rest).to_string(),
            };
            let value = if value.is_empty() { "…" } else { &value };
            errors.help(
                Place::of(stream(rest)),
                format!("expected `=` or `,` after `{name}`"),
                format!("write `{name} = {value}`"),
            );
            Some(Value::Invalid)
        }
    };
    Some(WrittenOption { name, value })
}

/// Reads a value, which must end at a comma.
fn checked_value(tokens: &[TokenTree], errors: &mut Errors) -> Value {
    match tokens {
        // `key = "a" path = "b"`
        [
            TokenTree::Literal(_) | TokenTree::Group(_) | TokenTree::Ident(_),
            TokenTree::Ident(next),
            ..,
        ] => {
            errors.help(
                next.span(),
                format!("expected `,` before `{next}`"),
                "options are separated by commas",
            );
            Value::Invalid
        }
        _ => value(tokens),
    }
}

fn value(tokens: &[TokenTree]) -> Value {
    // The first token selects the parser: trying several would cost a buffer each.
    match tokens {
        [TokenTree::Literal(literal)] => match Lit::new(literal.clone()) {
            Lit::Str(text) => Value::Text(text),
            _ => Value::Other(stream(tokens)),
        },
        [TokenTree::Ident(word)] if word == "true" || word == "false" => {
            Value::Flag(LitBool::new(word == "true", word.span()))
        }
        [TokenTree::Ident(word)] if syn::parse2::<Ident>(stream(tokens)).is_ok() => {
            Value::Word(word.clone())
        }
        [TokenTree::Group(group)] if group.delimiter() == Delimiter::Bracket => {
            let items: Vec<TokenTree> = group.stream().into_iter().collect();
            Value::List(split(&items).map(value).collect(), group.clone())
        }
        // A fragment of a declarative macro (`$interval:literal`) is a group without delimiters.
        [TokenTree::Group(group)] if group.delimiter() == Delimiter::None => {
            value(&group.stream().into_iter().collect::<Vec<_>>())
        }
        _ => match syn::parse2(stream(tokens)) {
            Ok(path) => Value::Path(path),
            Err(_) => Value::Other(stream(tokens)),
        },
    }
}
