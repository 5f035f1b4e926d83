//! What is written: the attribute's options, and the function's signature. Never its body.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Lit, LitBool, LitStr, Path, Signature, Visibility};

use crate::diag::{Errors, Place};
use crate::kinds::Kind;

/// One option: `name` or `name = value`.
pub(crate) struct Written {
    /// Without `r#`.
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
    Other(TokenStream),
    /// Not readable, and said so.
    Refused,
}

impl Value {
    pub(crate) fn tokens(&self) -> TokenStream {
        match self {
            Self::Text(text) => text.to_token_stream(),
            Self::Flag(flag) => flag.to_token_stream(),
            Self::Word(word) => word.to_token_stream(),
            Self::Path(path) => path.to_token_stream(),
            Self::List(_, list) => list.to_token_stream(),
            Self::Other(tokens) => tokens.clone(),
            Self::Refused => TokenStream::new(),
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

/// Reads the options; one that can't be read doesn't hide the next.
pub(crate) fn options(kind: &Kind, attribute: TokenStream, errors: &mut Errors) -> Vec<Written> {
    split(attribute)
        .into_iter()
        .filter_map(|tokens| option(kind, tokens, errors))
        .collect()
}

/// Cuts at commas; groups are whole.
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

fn option(kind: &Kind, tokens: TokenStream, errors: &mut Errors) -> Option<Written> {
    let place = Place::of(&tokens);
    let mut rest = tokens.clone().into_iter();
    let Some(TokenTree::Ident(word)) = rest.next() else {
        // A value alone: the option that it was probably meant for.
        let (name, example) = match syn::parse2::<Lit>(tokens.clone()) {
            Ok(Lit::Str(text)) if text.value().starts_with('/') => ("path", tokens.to_string()),
            Ok(Lit::Str(_)) => (kind.first(), tokens.to_string()),
            _ => (kind.first(), "…".to_owned()),
        };
        errors.help(
            place,
            format!("expected an option, found `{tokens}`"),
            format!("options have names: write `{name} = {example}`"),
        );
        let name = Ident::new(name, place.first);
        let value = Some(Value::Refused);
        return Some(Written { name, value });
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
                    Some(Value::Refused)
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
                    Some(Value::Refused)
                }
                Some(_) => Some(checked_value(value.collect(), errors)),
            }
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
            Some(Value::Refused)
        }
    };
    Some(Written { name, value })
}

/// A value, with nothing after it but the comma.
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
            Value::Refused
        }
        _ => value(tokens),
    }
}

fn value(tokens: TokenStream) -> Value {
    let mut rest = tokens.clone().into_iter();
    // By its first token, and not by trying one parser after the other: each would cost a buffer.
    let parsed = match (rest.next(), rest.next()) {
        (Some(TokenTree::Literal(_)), None) => syn::parse2(tokens.clone()).ok().map(Value::Text),
        (Some(TokenTree::Ident(word)), None) if word == "true" || word == "false" => {
            Some(Value::Flag(LitBool::new(word == "true", word.span())))
        }
        (Some(TokenTree::Ident(_)), None) => syn::parse2(tokens.clone()).ok().map(Value::Word),
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::Bracket => {
            let items = split(group.stream()).into_iter().map(value).collect();
            return Value::List(items, group);
        }
        // What a declarative macro was given (`$interval:literal`) comes in a group without brackets.
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => {
            return value(group.stream());
        }
        _ => None,
    };
    let parsed = parsed.or_else(|| syn::parse2(tokens.clone()).ok().map(Value::Path));
    parsed.unwrap_or(Value::Other(tokens))
}

/// A function up to its body.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
}

impl Function {
    /// Reads an item. Its body isn't even looked at: it may be half-typed, and it may be long.
    pub(crate) fn read(item: TokenStream) -> syn::Result<Self> {
        let mut tokens: Vec<TokenTree> = item.into_iter().collect();
        let is_body = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if tokens.last().is_some_and(is_body) {
            tokens.pop();
        }
        syn::parse2(tokens.into_iter().collect())
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        // `;` in place of a body.
        input.parse::<TokenStream>()?;
        Ok(Self {
            attributes,
            visibility,
            signature,
        })
    }
}
