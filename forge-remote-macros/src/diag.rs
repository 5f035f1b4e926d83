//! Errors: collected, so that one attempt shows them all, and each with what to write instead.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};

/// From one token to another: the stable compiler can't join their spans, an error can.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) first: Span,
    pub(crate) last: Span,
}

impl Place {
    /// All of this; the attribute, if it is nothing.
    pub(crate) fn of(written: impl ToTokens) -> Self {
        let mut tokens = written.into_token_stream().into_iter();
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

/// Every error found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// An error, with the fix on a line of its own.
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

/// `a`, `b` or `c`, in back-ticks.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// The name that was probably meant: at most a third of it differs.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let wanted = fold(name);
    known
        .into_iter()
        .map(|known| (distance(&wanted, &fold(known)), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Levenshtein's distance, with two neighbours swapped as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(x != y);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_or_none() {
        let known = ["interval", "auth", "scopes", "licensed_only"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("scope", known), Some("scopes"));
        assert_eq!(nearest("licensedOnly", known), Some("licensed_only"));
        assert_eq!(nearest("auht", known), Some("auth"));
        assert_eq!(nearest("timeout", known), None);
    }

    #[test]
    fn names_are_listed_in_words() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
