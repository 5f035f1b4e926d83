//! What is written: the attribute's options, and the function's signature. Never its body.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, LitBool, LitStr, Path, Signature, Token, Visibility};

use crate::diag::Errors;

/// One option: `name` or `name = value`.
pub(crate) struct Written {
    pub(crate) name: Ident,
    pub(crate) value: Option<Value>,
}

/// An option's value.
pub(crate) enum Value {
    Text(LitStr),
    Flag(LitBool),
    Word(Ident),
    Path(Path),
    List(Vec<Value>, Span),
    Other(TokenStream),
}

impl Value {
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Text(text) => text.span(),
            Self::Flag(flag) => flag.span(),
            Self::Word(word) => word.span(),
            Self::Path(path) => whole(path.to_token_stream()),
            Self::List(_, span) => *span,
            Self::Other(tokens) => whole(tokens.clone()),
        }
    }
}

/// The span of several tokens: of the first, where the compiler can't join them.
pub(crate) fn whole(tokens: TokenStream) -> Span {
    let mut tokens = tokens.into_iter();
    let Some(first) = tokens.next() else {
        return Span::call_site();
    };
    let last = tokens.last().unwrap_or_else(|| first.clone());
    first
        .span()
        .join(last.span())
        .unwrap_or_else(|| first.span())
}

/// Reads the options; one that can't be read doesn't hide the next.
pub(crate) fn options(attribute: TokenStream, errors: &mut Errors) -> Vec<Written> {
    split(attribute)
        .into_iter()
        .filter_map(|tokens| syn::parse2(tokens).map_err(|error| errors.push(error)).ok())
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

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(syn::Ident::peek_any) {
            let tokens: TokenStream = input.parse()?;
            let written = tokens.to_string();
            return Err(syn::Error::new(
                whole(tokens),
                format!(
                    "expected an option, found `{written}`\nhelp: options are written `name = value`, for example `interval = \"hour\"`"
                ),
            ));
        }
        let name = Ident::parse_any(input)?;
        if input.is_empty() {
            return Ok(Self { name, value: None });
        }
        if !input.peek(Token![=]) {
            let rest: TokenStream = input.parse()?;
            return Err(syn::Error::new(
                whole(rest),
                format!("expected `=` or `,` after `{name}`\nhelp: write `{name} = …`"),
            ));
        }
        input.parse::<Token![=]>()?;
        if input.is_empty() {
            return Err(syn::Error::new(
                name.span(),
                format!("`{name} =` has no value"),
            ));
        }
        Ok(Self {
            name,
            value: Some(value(input.parse()?)),
        })
    }
}

fn value(tokens: TokenStream) -> Value {
    let parsed = |tokens: &TokenStream| -> Option<Value> {
        if let Ok(text) = syn::parse2::<LitStr>(tokens.clone()) {
            return Some(Value::Text(text));
        }
        if let Ok(flag) = syn::parse2::<LitBool>(tokens.clone()) {
            return Some(Value::Flag(flag));
        }
        if let Ok(word) = syn::parse2::<Ident>(tokens.clone()) {
            return Some(Value::Word(word));
        }
        if let Ok(group) = syn::parse2::<Group>(tokens.clone())
            && group.delimiter() == Delimiter::Bracket
        {
            let items = split(group.stream()).into_iter().map(value).collect();
            return Some(Value::List(items, group.span()));
        }
        syn::parse2::<Path>(tokens.clone()).ok().map(Value::Path)
    };
    parsed(&tokens).unwrap_or(Value::Other(tokens))
}

/// A function up to its body.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        // The body stays as it is, half-typed or not.
        input.parse::<TokenStream>()?;
        Ok(Self {
            attributes,
            visibility,
            signature,
        })
    }
}
