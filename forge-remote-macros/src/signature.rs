//! Stage 1, the function: its signature and attributes. Its body is never read.

use proc_macro2::{Delimiter, Group, Ident, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Attribute, FnArg, ReturnType, Signature, Type, Visibility};

use crate::diag::Place;

/// The largest number of arguments, as in axum.
pub(crate) const MAX_ARGUMENTS: usize = 16;

/// A function up to its body.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) arguments: Vec<Vec<TokenTree>>,
    /// The returned type; `None` for a type without a name (`impl Trait`).
    pub(crate) output: Option<Vec<TokenTree>>,
    /// The whole signature; `None` for a [`Plain`] one, which has no mistakes.
    pub(crate) signature: Option<Signature>,
}

impl Function {
    /// Reads an item without its body, which may be incomplete and long.
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
        // `;` instead of a body.
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

/// Returns the tokens of `()`.
fn unit(place: Span) -> Vec<TokenTree> {
    let mut unit = Group::new(Delimiter::Parenthesis, TokenStream::new());
    unit.set_span(place);
    vec![unit.into()]
}

/// Finds an `impl Trait` anywhere in a type.
pub(crate) fn impl_trait(ty: &Type) -> Option<Place> {
    match ty {
        Type::ImplTrait(whole) => Some(Place::of(whole)),
        other => find_word(other.to_token_stream(), "impl").map(|word| word.span().into()),
    }
}

/// Finds a word among these tokens and in their groups.
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

/// A plain signature: `async fn name(pattern: Type, …) -> Type`, with types of names only, as in nearly
/// every handler. It is read token by token, because the full parser would take half of a macro's time.
struct Plain {
    /// The index of `async`.
    start: usize,
    name: Ident,
    arguments: Vec<Vec<TokenTree>>,
    output: Vec<TokenTree>,
}

impl Plain {
    fn read(tokens: &[TokenTree]) -> Option<Self> {
        let is = |at: usize, word: &str| matches!(tokens.get(at), Some(TokenTree::Ident(found)) if found == word);
        // Attributes and `pub`, with its parentheses, precede it.
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
            // An attribute, or a method's receiver.
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
        // The stage `validate` reports it, from the full signature.
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

/// Splits at commas that are not between `<` and `>`.
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

/// Returns the index of the `:` that is not part of a `::`.
fn single_colon(tokens: &[TokenTree]) -> Option<usize> {
    let is_colon =
        |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(sign)) if sign.as_char() == ':');
    let is_joint = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(sign)) if sign.spacing() == Spacing::Joint);
    (1..tokens.len())
        .find(|&at| is_colon(at) && !is_joint(at) && !(is_colon(at - 1) && is_joint(at - 1)))
}

/// Returns whether a type consists of names, their type parameters and tuples.
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

    /// The fast parser and the full one read the same.
    #[test]
    fn both_parsers_read_the_same() {
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

    /// Signatures that may be invalid are left to the full parser.
    #[test]
    fn signatures_that_may_be_invalid_are_not_plain() {
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
