//! Stage 2c: the options `auth` and `method`, whose values are words.

use forge_remote_schema::{KindSpec, did_you_mean_or, nearest, one_of};
use proc_macro2::Ident;

use crate::diag::Errors;
use crate::options::Options;
use crate::parse::Value;

/// The manifest's words for tokens, with the words of `auth`.
const AUTH_SYNONYMS: [(&str, &str); 3] = [
    ("appSystemToken", "system"),
    ("appUserToken", "user"),
    ("app", "system"),
];

/// Reads `auth = system`, `user`, `[system, user]` or `none`, and returns whether the system token and
/// the user token are requested.
pub(crate) fn auth(kind: &KindSpec, options: &mut Options, errors: &mut Errors) -> (bool, bool) {
    let (mut system, mut user) = (false, false);
    for word in auth_words(kind, options, errors) {
        match word.to_string().as_str() {
            "none" => {}
            "system" => system = true,
            "user" if kind.has_user => user = true,
            "user" => errors.help(
                word.span(),
                format!("there is no user in session {}, so Forge never sends a user token", kind.when),
                "write `auth = system`; to act for a user, exchange the system token for theirs (offline user \
                 impersonation)",
            ),
            other => unknown_auth(kind, &word, other, errors),
        }
    }
    (system, user)
}

/// Returns the words of `auth`, none of them twice.
fn auth_words(kind: &KindSpec, options: &mut Options, errors: &mut Errors) -> Vec<Ident> {
    let example = if kind.has_user { "user" } else { "system" };
    let is_word = |item: &Value| matches!(item, Value::Word(_));
    match options.value("auth", example, errors) {
        None => Vec::new(),
        Some(Value::Word(word)) => vec![word],
        Some(Value::List(items, list)) if items.is_empty() => {
            errors.help(
                list.span(),
                "`auth` is an empty list",
                "write `auth = none`, or leave it out",
            );
            Vec::new()
        }
        Some(Value::List(items, _)) if items.iter().all(is_word) => distinct_words(items, errors),
        Some(other) => {
            let text = other.tokens().to_string();
            let mut meant: Vec<&str> = text
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| ["system", "user"].contains(word))
                .collect();
            meant.dedup();
            let meant = match meant.as_slice() {
                [] => example.to_owned(),
                [one] => (*one).to_owned(),
                several => format!("[{}]", several.join(", ")),
            };
            let what = "a word or a list of words, without quotes";
            Options::wrong_value("auth", &other, what, &meant, errors);
            Vec::new()
        }
    }
}

/// Returns the words of a list, and reports `none` and each word that is written twice.
fn distinct_words(items: Vec<Value>, errors: &mut Errors) -> Vec<Ident> {
    let mut words: Vec<Ident> = Vec::new();
    for item in items {
        let Value::Word(word) = item else { continue };
        if word == "none" {
            errors.help(
                word.span(),
                "`none` cannot be combined with a token",
                "write `auth = none`, or leave it out",
            );
        } else if words.contains(&word) {
            errors.help(
                word.span(),
                format!("`{word}` is written twice"),
                "keep one of the two",
            );
        } else {
            words.push(word);
        }
    }
    words
}

fn unknown_auth(kind: &KindSpec, word: &Ident, written: &str, errors: &mut Errors) {
    let known: &[&str] = if kind.has_user {
        &["system", "user", "none"]
    } else {
        &["system", "none"]
    };
    let all = format!("`auth` takes {}", one_of(known.iter().copied()));
    let synonym = AUTH_SYNONYMS
        .iter()
        .find(|(word, _)| *word == written)
        .map(|(_, meant)| *meant)
        .filter(|meant| known.contains(meant));
    let near = synonym.or_else(|| nearest(written, known.iter().copied()));
    let help = did_you_mean_or(near, '`', &all);
    errors.help(word.span(), format!("unknown `auth`: `{written}`"), help);
}

const METHODS: [(&str, &str); 5] = [
    ("GET", "Get"),
    ("POST", "Post"),
    ("PUT", "Put"),
    ("PATCH", "Patch"),
    ("DELETE", "Delete"),
];

/// Reads `method`, and returns the variant of the runtime's `Method`.
pub(crate) fn method(options: &mut Options, errors: &mut Errors) -> &'static str {
    let Some(value) = options.value("method", "\"POST\"", errors) else {
        return "Post";
    };
    let (written, span) = match &value {
        Value::Text(text) => (text.value(), text.span()),
        Value::Word(word) => (word.to_string(), word.span()),
        Value::List(_, list) => {
            errors.help(
                list.span(),
                "`method` takes one method",
                "write `method = \"POST\"`, and a second function for a second method",
            );
            return "Post";
        }
        other => {
            Options::wrong_value("method", other, "a string", "\"POST\"", errors);
            return "Post";
        }
    };
    let upper = written.to_ascii_uppercase();
    if let Some((_, variant)) = METHODS.iter().find(|(name, _)| *name == upper) {
        return variant;
    }
    let names = || METHODS.iter().map(|(name, _)| *name);
    let all = format!("Forge calls remotes with {}", one_of(names()));
    let help = did_you_mean_or(nearest(&upper, names()), '`', &all);
    errors.help(
        span,
        format!("Forge does not call remotes with `{written}`"),
        help,
    );
    "Post"
}
