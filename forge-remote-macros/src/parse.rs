//! What is written: the attribute's options, and the function's signature. Never its body.

use proc_macro2::{Delimiter, Group, Ident, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Attribute, FnArg, Lit, LitBool, LitStr, Path, ReturnType, Signature, Type, Visibility};

use crate::diag::{Errors, Place};
use crate::kinds::Kind;

/// What an argument list can reasonably hold, as in axum.
pub(crate) const MAX_ARGUMENTS: usize = 16;

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
    pub(crate) name: Ident,
    pub(crate) arguments: Vec<Vec<TokenTree>>,
    /// What it returns; nothing for a type without a name (`impl Trait`).
    pub(crate) output: Option<Vec<TokenTree>>,
    /// The whole, unless it is a plain one, of which nothing can be wrong.
    pub(crate) signature: Option<Signature>,
}

impl Function {
    /// Reads an item. Its body isn't even looked at: it may be half-typed, and it may be long.
    pub(crate) fn read(item: TokenStream) -> syn::Result<Self> {
        let mut tokens: Vec<TokenTree> = item.into_iter().collect();
        let is_body = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if tokens.last().is_some_and(is_body) {
            tokens.pop();
            if let Some(plain) = Plain::read(&tokens) {
                return plain.with_head(&tokens);
            }
        }
        syn::parse2(tokens.into_iter().collect())
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature: Signature = input.parse()?;
        // `;` in place of a body.
        input.parse::<TokenStream>()?;
        let trees = |ty: &Type| ty.to_token_stream().into_iter().collect();
        let arguments = signature.inputs.iter();
        Ok(Self {
            attributes,
            visibility,
            name: signature.ident.clone(),
            arguments: arguments
                .filter_map(|argument| match argument {
                    FnArg::Typed(argument) => Some(trees(&argument.ty)),
                    FnArg::Receiver(_) => None,
                })
                .collect(),
            output: match &signature.output {
                ReturnType::Default => Some(unit(signature.ident.span())),
                ReturnType::Type(_, output) if impl_trait(output).is_some() => None,
                ReturnType::Type(_, output) => Some(trees(output)),
            },
            signature: Some(signature),
        })
    }
}

/// `()`
fn unit(place: Span) -> Vec<TokenTree> {
    let mut unit = Group::new(Delimiter::Parenthesis, TokenStream::new());
    unit.set_span(place);
    vec![unit.into()]
}

/// An `impl Trait` anywhere in the type, by its tokens: from there to the type's end.
pub(crate) fn impl_trait(ty: &Type) -> Option<Place> {
    match ty {
        Type::ImplTrait(whole) => Some(Place::of(whole)),
        other => find_word(other.to_token_stream(), "impl").map(|word| word.span().into()),
    }
}

/// The word among these tokens, within their groups too.
pub(crate) fn find_word(
    tokens: impl IntoIterator<Item = TokenTree>,
    wanted: &str,
) -> Option<Ident> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(word) if word == wanted => Some(word),
        TokenTree::Group(group) => {
            find_word(group.stream().into_iter().collect::<Vec<_>>(), wanted)
        }
        _ => None,
    })
}

/// `async fn name(pattern: Type, …) -> Type`, with types of names only: what nearly every handler
/// is. Read token by token, since for these the full parser would be half of a macro's time, which
/// each build of a user's has to wait for.
struct Plain {
    /// Where `async` stands.
    start: usize,
    name: Ident,
    arguments: Vec<Vec<TokenTree>>,
    output: Vec<TokenTree>,
}

impl Plain {
    fn read(tokens: &[TokenTree]) -> Option<Self> {
        let is = |at: usize, word: &str| matches!(tokens.get(at), Some(TokenTree::Ident(found)) if found == word);
        // Attributes and `pub`, with its parentheses, come before it.
        let start = tokens
            .iter()
            .position(|token| matches!(token, TokenTree::Ident(word) if *word != "pub"))?;
        if !is(start, "async") || !is(start + 1, "fn") {
            return None;
        }
        let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(inputs))) =
            (tokens.get(start + 2), tokens.get(start + 3))
        else {
            return None;
        };
        let output = match &tokens[start + 4..] {
            [] => unit(name.span()),
            [TokenTree::Punct(minus), TokenTree::Punct(_), ty @ ..]
                if minus.as_char() == '-' && is_plain(ty) =>
            {
                ty.to_vec()
            }
            _ => return None,
        };
        let mut arguments = Vec::new();
        let inputs: Vec<TokenTree> = inputs.stream().into_iter().collect();
        for argument in split_outside_angles(&inputs) {
            let colon = single_colon(argument)?;
            let (pattern, ty) = (&argument[..colon], &argument[colon + 1..]);
            // An attribute, or the method's object.
            let is_odd = |token: &TokenTree| match token {
                TokenTree::Punct(sign) => sign.as_char() == '#',
                TokenTree::Ident(word) => word == "self",
                _ => false,
            };
            if pattern.iter().any(is_odd) || !is_plain(ty) {
                return None;
            }
            arguments.push(ty.to_vec());
        }
        // The full parser's, for the error's sake.
        if arguments.len() > MAX_ARGUMENTS {
            return None;
        }
        Some(Self {
            start,
            name: name.clone(),
            arguments,
            output,
        })
    }

    fn with_head(self, tokens: &[TokenTree]) -> syn::Result<Function> {
        let (attributes, visibility) = if self.start == 0 {
            (Vec::new(), Visibility::Inherited)
        } else {
            let head =
                |input: ParseStream<'_>| Ok((input.call(Attribute::parse_outer)?, input.parse()?));
            head.parse2(tokens[..self.start].iter().cloned().collect())?
        };
        Ok(Function {
            attributes,
            visibility,
            name: self.name,
            arguments: self.arguments,
            output: Some(self.output),
            signature: None,
        })
    }
}

/// Cuts at commas that aren't between `<` and `>`.
fn split_outside_angles(tokens: &[TokenTree]) -> impl Iterator<Item = &[TokenTree]> {
    let mut depth = 0_usize;
    let is_end = move |token: &TokenTree| {
        if let TokenTree::Punct(sign) = token {
            match sign.as_char() {
                '<' => depth += 1,
                '>' => depth = depth.saturating_sub(1),
                ',' => return depth == 0,
                _ => {}
            }
        }
        false
    };
    tokens.split(is_end).filter(|part| !part.is_empty())
}

/// Where `:` stands that isn't of a `::`.
fn single_colon(tokens: &[TokenTree]) -> Option<usize> {
    let is_colon =
        |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(sign)) if sign.as_char() == ':');
    let is_joint = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(sign)) if sign.spacing() == Spacing::Joint);
    (1..tokens.len())
        .find(|&at| is_colon(at) && !is_joint(at) && !(is_colon(at - 1) && is_joint(at - 1)))
}

/// A type of names, their type parameters and tuples.
fn is_plain(ty: &[TokenTree]) -> bool {
    let plain = |token: &TokenTree| match token {
        TokenTree::Ident(word) => !matches!(
            word.to_string().as_str(),
            "impl"
                | "dyn"
                | "fn"
                | "for"
                | "unsafe"
                | "extern"
                | "const"
                | "where"
                | "mut"
                | "self"
        ),
        TokenTree::Punct(sign) => matches!(sign.as_char(), ':' | '<' | '>' | ','),
        TokenTree::Group(group) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            group.delimiter() == Delimiter::Parenthesis && (inner.is_empty() || is_plain(&inner))
        }
        TokenTree::Literal(_) => false,
    };
    !ty.is_empty() && ty.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<TokenTree> {
        let tokens: TokenStream = text.parse().expect("tokens");
        tokens.into_iter().collect()
    }

    fn parts(function: &Function) -> (String, Vec<String>, Option<String>) {
        let text = |trees: &Vec<TokenTree>| {
            let text = trees.iter().cloned().collect::<TokenStream>().to_string();
            text.replace(' ', "")
        };
        (
            function.name.to_string(),
            function.arguments.iter().map(text).collect(),
            function.output.as_ref().map(text),
        )
    }

    /// The quick way reads what the full parser reads.
    #[test]
    fn both_ways_read_the_same() {
        for text in [
            "async fn tick()",
            "pub async fn tick() -> ()",
            "pub(crate) async fn r#type(a: A, b: b::B,) -> Result<(), Box<E>>",
            "#[doc = \"x\"] #[cfg(a)] pub(in a::b) async fn tick(State(db): State<HashMap<K, (A, B)>>, Json(P { a: c, .. }): Json<P>) -> a::Result<Vec<Vec<u8>>>",
            "async fn tick(mut a: ::a::A<'static>, E::F(b): super::B)",
        ] {
            let all = tokens(text);
            let full: Function = syn::parse2(all.iter().cloned().collect()).expect("a function");
            if let Some(plain) = Plain::read(&all) {
                let plain = plain.with_head(&all).expect("a head");
                assert_eq!(parts(&plain), parts(&full), "{text}");
                assert_eq!(plain.attributes.len(), full.attributes.len(), "{text}");
                let visible =
                    |function: &Function| function.visibility.to_token_stream().to_string();
                assert_eq!(visible(&plain), visible(&full), "{text}");
            } else {
                assert!(text.contains('\''), "read by the full parser: {text}");
            }
        }
    }

    /// Whatever the full parser's checks are for is left to it.
    #[test]
    fn what_may_be_wrong_is_not_plain() {
        for text in [
            "fn tick()",
            "async unsafe fn tick()",
            "const async fn tick()",
            "async fn tick<T>(a: T)",
            "async fn tick(&self)",
            "async fn tick(self, a: A)",
            "async fn tick(self: Arc<Self>)",
            "async fn tick(a: &A)",
            "async fn tick(a: Option<&A>)",
            "async fn tick(a: impl A)",
            "async fn tick(a: Vec<impl A>)",
            "async fn tick(#[cfg(a)] a: A)",
            "async fn tick(a: A, ...)",
            "async fn tick() -> impl A",
            "async fn tick() -> Result<impl A, E>",
            "async fn tick() where A: B",
            "async fn tick() -> A where A: B",
            "async fn tick(a: 5)",
            "async fn tick(a)",
            "async fn tick(a: )",
            "async fn tick",
            "struct Tick",
        ] {
            assert!(Plain::read(&tokens(text)).is_none(), "{text}");
        }
        let many = "a: A, ".repeat(MAX_ARGUMENTS + 1);
        assert!(Plain::read(&tokens(&format!("async fn tick({many})"))).is_none());
    }
}
