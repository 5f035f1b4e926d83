//! The table of attributes. A new kind is one entry here and its options' reader.

use proc_macro2::TokenStream;
use quote::quote;

use crate::diag::{Errors, nearest, one_of};
use crate::model::Options;

/// One attribute.
pub(crate) struct Kind {
    /// The attribute's name.
    pub(crate) name: &'static str,
    /// The option that a string alone was probably meant for.
    pub(crate) first: &'static str,
    /// Its options beside those that every kind has.
    pub(crate) options: &'static [&'static str],
    /// Whether Forge ever makes the call with a user in session.
    pub(crate) has_user: bool,
    /// Whether it has a module of its own, so that `key` is the module's and `endpoint` the
    /// endpoint's; without one, `key` is the endpoint's.
    pub(crate) own_module: bool,
    /// Whether the caller chooses the method.
    pub(crate) any_method: bool,
    /// How Forge makes the call, for messages: "when …".
    pub(crate) when: &'static str,
    /// Reads its options; gives the runtime's value, in terms of `__private`.
    pub(crate) read: fn(&mut Options, &TokenStream, &mut Errors) -> TokenStream,
}

/// What every kind takes.
pub(crate) const COMMON: [&str; 6] = ["auth", "key", "path", "remote", "scopes", "crate"];

/// The names of all attributes.
pub(crate) const NAMES: [&str; 2] = [SCHEDULED_TRIGGER.name, ENDPOINT.name];

pub(crate) const SCHEDULED_TRIGGER: Kind = Kind {
    name: "scheduled_trigger",
    first: "interval",
    options: &["interval", "endpoint", "licensed_only"],
    has_user: false,
    own_module: true,
    any_method: false,
    when: "when a schedule fires",
    read: scheduled_trigger,
};

pub(crate) const ENDPOINT: Kind = Kind {
    name: "endpoint",
    first: "key",
    options: &["method"],
    has_user: true,
    own_module: false,
    any_method: true,
    when: "when a page calls",
    read: |_, private, _| quote!(#private::kinds::Endpoint),
};

/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
const INTERVALS: [(&str, &str); 4] = [
    ("fiveMinute", "FiveMinute"),
    ("hour", "Hour"),
    ("day", "Day"),
    ("week", "Week"),
];

/// Other words for them.
const SYNONYMS: [(&str, &str); 18] = [
    ("fiveminutes", "fiveMinute"),
    ("5m", "fiveMinute"),
    ("5min", "fiveMinute"),
    ("5minutes", "fiveMinute"),
    ("5 minutes", "fiveMinute"),
    ("minute", "fiveMinute"),
    ("minutely", "fiveMinute"),
    ("300s", "fiveMinute"),
    ("hourly", "hour"),
    ("1h", "hour"),
    ("60m", "hour"),
    ("hours", "hour"),
    ("daily", "day"),
    ("1d", "day"),
    ("24h", "day"),
    ("days", "day"),
    ("weekly", "week"),
    ("7d", "week"),
];

fn scheduled_trigger(
    options: &mut Options,
    private: &TokenStream,
    errors: &mut Errors,
) -> TokenStream {
    let names = || INTERVALS.iter().map(|(name, _)| *name);
    let mut variant = "Hour";
    if options.misses("interval") {
        errors.help(
            options.attribute(),
            "`interval` is missing",
            format!("write `interval = \"hour\"`: Forge has {}", one_of(names())),
        );
    } else if let Some(text) = options.text("interval", "\"hour\"", errors) {
        let written = text.value();
        if let Some((_, known)) = INTERVALS.iter().find(|(name, _)| *name == written) {
            variant = known;
        } else {
            let folded = written.trim().to_ascii_lowercase().replace(['_', '-'], "");
            let synonym = SYNONYMS
                .iter()
                .find(|(word, _)| *word == folded)
                .map(|(_, name)| *name);
            let list = format!(
                "Forge has {}, no others and no cron expressions",
                one_of(names())
            );
            let help = match synonym.or_else(|| nearest(&written, names())) {
                Some(near) => format!("write `interval = \"{near}\"`: {list}"),
                None => list,
            };
            errors.help(
                text.span(),
                format!("Forge has no interval `{written}`"),
                help,
            );
        }
    }
    let variant = proc_macro2::Ident::new(variant, proc_macro2::Span::call_site());
    let licensed_only = options.flag("licensed_only", errors);
    quote! {
        #private::kinds::ScheduledTrigger {
            interval: #private::kinds::Interval::#variant,
            licensed_only: #licensed_only,
        }
    }
}
