//! The doc comment of a function begins with a verb, so that its first line stands alone in an index.

use std::fs;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::modules::rust_files;

/// First words that are not the verb, but stand before one.
const BEFORE_A_VERB: &[&str] = &["Also"];

/// First words of a function that differs little from another one: "Like `pages`, but …".
const COMPARISONS: &[&str] = &["Like"];

/// Words that end with `s` and are not verbs.
const NOT_VERBS: &[&str] = &[
    "Always",
    "As",
    "Bytes",
    "Gateways",
    "Headers",
    "Is",
    "Its",
    "Rows",
    "Signatures",
    "This",
    "Thus",
    "Unless",
];

/// Functions whose comment describes an item of a table: the class of attacks that it adds.
const TABLES: &[&str] = &["forge-remote-attacks/src/classes"];

/// Returns whether a comment begins with a verb in the third person.
fn begins_with_verb(comment: &str) -> bool {
    let word = comment.split_whitespace().next().unwrap_or_default();
    if BEFORE_A_VERB.contains(&word) || COMPARISONS.contains(&word) {
        return true;
    }
    let word = word.trim_end_matches([',', ':']);
    let mut letters = word.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_uppercase())
        && letters.all(|letter| letter.is_ascii_lowercase())
        && word.ends_with('s')
        && !NOT_VERBS.contains(&word)
}

/// Collects the functions whose comment does not begin with a verb, each with its line and the comment's first line.
/// Tests are left out: their names are sentences, and their comments have the reasons.
fn collect(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let mut comment: Option<(usize, String)> = None;
    let mut is_test = false;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(sign) if sign.as_char() == '#' => {
                let Some(TokenTree::Group(attribute)) = tokens.peek() else {
                    continue;
                };
                let text = attribute.stream().to_string();
                if let Some(doc) = text.strip_prefix("doc = ") {
                    let line = attribute.span().start().line;
                    let doc = text_of(doc);
                    comment.get_or_insert((line, doc));
                }
                is_test |=
                    text == "test" || text.ends_with(":: test") || text.contains(":: test (");
                tokens.next();
            }
            TokenTree::Ident(word) if word == "fn" => {
                if let Some((line, text)) = comment.take()
                    && !is_test
                    && !begins_with_verb(&text)
                {
                    found.push((line, text));
                }
                is_test = false;
            }
            TokenTree::Ident(word)
                if ["pub", "const", "async", "unsafe", "extern", "default"]
                    .iter()
                    .any(|one| word == one) => {}
            // `pub(crate)`
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Parenthesis && comment.is_some() => {}
            // `extern "C"`
            TokenTree::Literal(_) => {}
            TokenTree::Group(group) => {
                comment = None;
                is_test = false;
                collect(group.stream(), found);
            }
            _ => {
                comment = None;
                is_test = false;
            }
        }
    }
}

/// Returns the text of a string literal, without the blank that follows `///`.
fn text_of(literal: &str) -> String {
    literal
        .trim_start_matches(['r', '#'])
        .trim_matches(['"', '#'])
        .trim()
        .to_owned()
}

#[test]
fn the_comments_of_functions_begin_with_a_verb() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for package in crate::published() {
        let mut files = Vec::new();
        rust_files(&crate::repository().join(&package).join("src"), &mut files);
        for path in files {
            let file = path.strip_prefix(crate::repository()).expect("a file");
            let file = file.to_string_lossy().replace('\\', "/");
            if TABLES.iter().any(|one| file.starts_with(one)) {
                continue;
            }
            count += 1;
            let text = fs::read_to_string(&path).expect("a source file");
            let tokens = TokenStream::from_str(&text).expect("Rust source");
            let mut found = Vec::new();
            collect(tokens, &mut found);
            let lines = found.into_iter();
            wrong.extend(lines.map(|(line, text)| format!("{file}:{line}: {text}")));
        }
    }
    assert!(count > 300, "{count} files");
    assert!(
        wrong.is_empty(),
        "the comment of a function begins with a verb, such as \"Returns\":\n{}",
        wrong.join("\n")
    );
}

#[test]
fn comments_without_a_verb_are_found() {
    let source = r#"
        /// The time until the next fetch.
        #[must_use]
        pub(crate) fn next(&self) -> Duration {}
        trait Store {
            /// Whether it is there.
            async fn is_there(&self) -> bool;
            /// Returns it.
            ///
            /// A second paragraph.
            fn get(&self);
        }
        /// A field's comment may be a noun.
        struct Plain { /// The length.
            length: usize }
        /// A reason.
        #[tokio::test]
        async fn a_test_has_a_sentence() {}
        /// Like [`get`](Self::get), with times.
        const fn like() {}
        /// Returns, or waits.
        extern "C" fn first() {}
        const TEXT: &str = "
        /// Nothing.
        fn in_a_text() {}";
    "#;
    let mut found = Vec::new();
    collect(TokenStream::from_str(source).expect("Rust"), &mut found);
    let found: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        found,
        ["The time until the next fetch.", "Whether it is there."]
    );
    for comment in [
        "Its length.",
        "Bytes of it.",
        "Returned it.",
        "`x` of it",
        "HTTPs",
        "",
    ] {
        assert!(!begins_with_verb(comment), "{comment}");
    }
}
