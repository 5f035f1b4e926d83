//! The errors of one attribute. They are collected, so that one build shows all of them with their
//! fixes.

use std::fmt::Display;

use forge_remote_schema::Mistake;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};

/// A range of tokens. The stable compiler cannot join spans, but an error can have two.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) first: Span,
    pub(crate) last: Span,
}

impl Place {
    /// Returns the range of these tokens, or the attribute's if there are none.
    pub(crate) fn of(tokens: impl ToTokens) -> Self {
        let mut tokens = tokens.into_token_stream().into_iter();
        let Some(first) = tokens.next() else {
            return Span::call_site().into();
        };
        let last = tokens.last().unwrap_or_else(|| first.clone());
        Self {
            first: first.span(),
            last: last.span(),
        }
    }
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self {
            first: span,
            last: span,
        }
    }
}

/// The errors found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Adds an error, with the fix on a separate line.
    pub(crate) fn help(
        &mut self,
        place: impl Into<Place>,
        message: impl Display,
        help: impl Display,
    ) {
        let Place { first, last } = place.into();
        let (first, last) = (quote_spanned!(first=> _), quote_spanned!(last=> _));
        let between: TokenStream = [first, last].into_iter().collect();
        let message = format!("{message}\nhelp: {help}");
        self.push(syn::Error::new_spanned(between, message));
    }

    /// Adds an error for a broken rule of the schema.
    pub(crate) fn mistake(&mut self, place: impl Into<Place>, mistake: Mistake) {
        self.help(place, mistake.message, mistake.help);
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0
            .map(|errors| errors.into_compile_error())
            .unwrap_or_default()
    }
}
