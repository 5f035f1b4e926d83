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
    split(attribute)
        .into_iter()
        .filter_map(|tokens| option(first, tokens, errors))
        .collect()
}

/// Splits at commas outside of groups.
fn split(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens {
        match (&token, parts.last_mut()) {
            (TokenTree::Punct(punct), _) if punct.as_char() == ',' => {
                parts.push(TokenStream::new())
            }
            (_, Some(part)) => part.extend([token]),
            (_, None) => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn option(first: &str, tokens: TokenStream, errors: &mut Errors) -> Option<WrittenOption> {
    let place = Place::of(&tokens);
    let mut rest = tokens.clone().into_iter();
    let Some(TokenTree::Ident(word)) = rest.next() else {
        // A value without a name.
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
    let rest: TokenStream = rest.collect();
    let value = match rest.clone().into_iter().next() {
        None => None,
        Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {
            let mut value = rest.into_iter().skip(1).peekable();
            match value.peek() {
                None => {
                    errors.help(
                        place,
                        format!("`{name} =` has no value"),
                        format!("write `{name} = …`"),
                    );
                    Some(Value::Invalid)
                }
                Some(TokenTree::Punct(again)) if matches!(again.as_char(), '=' | '>') => {
                    let operator = [TokenTree::Punct(punct), TokenTree::Punct(again.clone())];
                    let operator = Place::of(operator.into_iter().collect::<TokenStream>());
                    let value: TokenStream = value.skip(1).collect();
                    errors.help(
                        operator,
                        format!("expected `=` after `{name}`"),
                        format!("write `{name} = {value}`"),
                    );
                    Some(Value::Invalid)
                }
                Some(_) => Some(checked_value(value.collect(), errors)),
            }
        }
        Some(TokenTree::Group(group))
            if name == "durable"
                && group.delimiter() == Delimiter::Parenthesis
                && rest.clone().into_iter().nth(1).is_none() =>
        {
            Some(Value::Arguments(group))
        }
        Some(other) => {
            let value = match other {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
                    group.stream().to_string()
                }
                TokenTree::Punct(_) => {
                    let value: TokenStream = rest.clone().into_iter().skip(1).collect();
                    value.to_string()
                }
                _ => rest.to_string(),
            };
            let value = if value.is_empty() { "…" } else { &value };
            errors.help(
                Place::of(rest),
                format!("expected `=` or `,` after `{name}`"),
                format!("write `{name} = {value}`"),
            );
            Some(Value::Invalid)
        }
    };
    Some(WrittenOption { name, value })
}

/// Reads a value, which must end at a comma.
fn checked_value(tokens: TokenStream, errors: &mut Errors) -> Value {
    let mut rest = tokens.clone().into_iter();
    let (first, second) = (rest.next(), rest.next());
    match (first, second) {
        // `key = "a" path = "b"`
        (Some(TokenTree::Literal(_) | TokenTree::Group(_) | TokenTree::Ident(_)), Some(next))
            if matches!(next, TokenTree::Ident(_)) =>
        {
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

fn value(tokens: TokenStream) -> Value {
    let mut rest = tokens.clone().into_iter();
    // The first token selects the parser: trying several would cost a buffer each.
    let parsed = match (rest.next(), rest.next()) {
        (Some(TokenTree::Literal(literal)), None) => match Lit::new(literal) {
            Lit::Str(text) => Some(Value::Text(text)),
            _ => return Value::Other(tokens),
        },
        (Some(TokenTree::Ident(word)), None) if word == "true" || word == "false" => {
            Some(Value::Flag(LitBool::new(word == "true", word.span())))
        }
        (Some(TokenTree::Ident(word)), None) if syn::parse2::<Ident>(tokens.clone()).is_ok() => {
            Some(Value::Word(word))
        }
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::Bracket => {
            let items = split(group.stream()).into_iter().map(value).collect();
            return Value::List(items, group);
        }
        // A fragment of a declarative macro (`$interval:literal`) is a group without delimiters.
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => {
            return value(group.stream());
        }
        _ => None,
    };
    let parsed = parsed.or_else(|| syn::parse2(tokens.clone()).ok().map(Value::Path));
    parsed.unwrap_or(Value::Other(tokens))
}
