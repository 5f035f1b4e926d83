//! Stage 2c: the options `auth` and `method`, whose values are words.

use forge_remote_schema::{KindSpec, nearest, one_of};
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
    let example = if kind.has_user { "user" } else { "system" };
    let Some(value) = options.value("auth", example, errors) else {
        return (false, false);
    };
    let is_word = |item: &Value| matches!(item, Value::Word(_));
    let words = match value {
        Value::Word(word) => vec![word],
        Value::List(items, list) if items.is_empty() => {
            errors.help(
                list.span(),
                "`auth` is an empty list",
                "write `auth = none`, or leave it out",
            );
            return (false, false);
        }
        Value::List(items, _) if items.iter().all(is_word) => {
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
        other => {
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
            return (false, false);
        }
    };
    let known: &[&str] = if kind.has_user {
        &["system", "user", "none"]
    } else {
        &["system", "none"]
    };
    let (mut system, mut user) = (false, false);
    for word in words {
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
            other => {
                let all = format!("`auth` takes {}", one_of(known.iter().copied()));
                let synonym = AUTH_SYNONYMS
                    .iter()
                    .find(|(word, _)| *word == other)
                    .map(|(_, meant)| *meant)
                    .filter(|meant| known.contains(meant));
                let help = match synonym.or_else(|| nearest(other, known.iter().copied())) {
                    Some(near) => format!("did you mean `{near}`? {all}"),
                    None => all,
                };
                errors.help(word.span(), format!("unknown `auth`: `{other}`"), help);
            }
        }
    }
    (system, user)
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
    let help = match nearest(&upper, names()) {
        Some(near) => format!("did you mean `{near}`? {all}"),
        None => all,
    };
    errors.help(
        span,
        format!("Forge does not call remotes with `{written}`"),
        help,
    );
    "Post"
}
