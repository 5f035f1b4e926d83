//! Stage 2b: the rules about several options of a set, before they are read one by one.

use forge_remote_schema::lists::{Conditions, in_both};
use forge_remote_schema::options::{Combination, OF_ENDPOINT, OptionSet, OptionSpec};
use syn::LitStr;

use crate::diag::Errors;
use crate::options::Options;

/// Checks the rules for combinations of a set's options: the set's own, and those of single options.
pub(crate) fn check(set: OptionSet, options: &Options, errors: &mut Errors) {
    match set.combination {
        Combination::Any => {}
        Combination::TriggerEvents => trigger(set, options, errors),
        Combination::FilteredEvent => filtered_event(options, errors),
        Combination::Schedule => schedule(options, errors),
    }
    let written = set.options.iter();
    for option in written.filter(|option| !options.misses(option.name)) {
        if let Some(needed) = option.needs
            && options.misses(needed)
        {
            missing_option(set, option, needed, options, errors);
        }
        if let Some(excluded) = option.excludes
            && !options.misses(excluded)
        {
            errors.help(
                options.place(option.name),
                format!("`{}` cannot be combined with `{excluded}`", option.name),
                "keep one of the two",
            );
        }
    }
}

/// Reports an option that has no effect without another one.
fn missing_option(
    set: OptionSet,
    option: &OptionSpec,
    needed: &str,
    options: &Options,
    errors: &mut Errors,
) {
    let alternatives = set.combination.alternatives();
    let other = alternatives.iter().find(|other| !options.misses(other));
    let instead = match other {
        Some(other) if alternatives.contains(&needed) => format!(" instead of `{other}`"),
        _ => String::new(),
    };
    let spec = set.options.iter().find(|spec| spec.name == needed);
    let example = spec.map_or("…", |spec| spec.example);
    errors.help(
        options.place(option.name),
        format!("`{}` needs `{needed}`", option.name),
        format!("write `{needed} = {example}`{instead}, or remove the option"),
    );
}

/// Returns the event in the parentheses of a `filtered_events`: one, unless both options are written.
pub(crate) fn events_of_group(options: &Options) -> Vec<LitStr> {
    let events = ["event", "unknown_event"].map(|name| options.peek(name).text());
    events.into_iter().flatten().collect()
}

fn trigger(set: OptionSet, options: &Options, errors: &mut Errors) {
    // The events of a dynamic trigger are named when it is registered.
    let is_dynamic = options.peek("dynamic").is_on();
    if !is_dynamic && options.misses_all(set.combination.alternatives()) {
        errors.help(
            options.attribute(),
            "`events` is missing",
            "write `events = [\"avi:jira:created:issue\"]`",
        );
    }
    if options.misses("filtered_events") {
        let [events, unknown] = ["events", "unknown_events"].map(|name| options.peek(name).items());
        let texts = |list: &[LitStr]| list.iter().map(LitStr::value).collect::<Vec<String>>();
        for (at, mistake) in in_both(&texts(&events), &texts(&unknown)) {
            errors.mistake(unknown[at].span(), mistake);
        }
        conditions(options, &[events, unknown].concat(), false, errors);
        return;
    }
    // Forge accepts either form, not both.
    for name in ["events", "unknown_events"] {
        if !options.misses(name) {
            errors.help(
                options.place(name),
                format!("`{name}` cannot be combined with `filtered_events`"),
                "move all events into `filtered_events`, or into a second function",
            );
        }
    }
    let nested = set.nested.map(|(_, conditions)| conditions.names());
    for name in nested.into_iter().flatten() {
        if !options.misses(name) {
            errors.help(
                options.place(name),
                format!("`{name}` cannot be combined with `filtered_events`"),
                "write it in the parentheses of each event that needs it",
            );
        }
    }
}

fn filtered_event(options: &Options, errors: &mut Errors) {
    match (options.misses("event"), options.misses("unknown_event")) {
        (true, true) => errors.help(
            options.attribute(),
            "`event` is missing",
            "write `event = \"avi:jira:updated:issue\"`",
        ),
        (false, false) => errors.help(
            options.place("unknown_event"),
            "`unknown_event` cannot be combined with `event`",
            "write each event in its own parentheses",
        ),
        _ => {}
    }
    conditions(options, &events_of_group(options), true, errors);
}

fn schedule(options: &Options, errors: &mut Errors) {
    let place = options.place("cron");
    match (options.misses("interval"), options.misses("cron")) {
        (true, true) => errors.help(
            options.attribute(),
            "`interval` or `cron` is missing",
            "write `interval = \"hour\"`, or `cron = \"30 2 * * 1-5\"`",
        ),
        (false, false) => errors.help(
            place,
            "`cron` cannot be combined with `interval`",
            "keep one of the two; `cron = \"@hourly\"` is an hourly schedule",
        ),
        _ => {}
    }
    if options.misses("cron") {
        return;
    }
    for name in OF_ENDPOINT {
        if !options.misses(name) {
            errors.help(
                options.place(name),
                format!("`{name}` cannot be combined with `cron`"),
                "remove it: Forge calls one endpoint of the app for all its cron schedules",
            );
        }
    }
    if !cfg!(feature = "cron") {
        errors.help(
            place,
            "`cron` needs the feature `cron` of forge-remote",
            "run `cargo add forge-remote --features cron`",
        );
    }
}

fn conditions(options: &Options, events: &[LitStr], filter_required: bool, errors: &mut Errors) {
    let events: Vec<String> = events.iter().map(LitStr::value).collect();
    // A misspelled option counts as written: its own error is enough.
    let conditions = Conditions {
        events: events.iter().map(|event| Some(event.as_str())).collect(),
        filter: !options.misses("filter"),
        on_error: !options.misses("on_error"),
        ignore_self: options.peek("ignore_self").is_on(),
        licensed_only: options.peek("licensed_only").is_on(),
        filter_required,
    };
    for (option, mistake) in conditions.mistakes() {
        let place = option.map_or_else(|| options.attribute().into(), |name| options.place(name));
        errors.mistake(place, mistake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forge_remote_schema::kinds::{MERGE_CHECK, TRIGGER};
    use proc_macro2::{Span, TokenStream};

    /// Returns the errors of an attribute with these options.
    fn errors_of(set: OptionSet, attribute: &str) -> String {
        let mut errors = Errors::default();
        let attribute: TokenStream = attribute.parse().expect("tokens");
        let written = crate::parse::options(set.first(), attribute, &mut errors);
        let function = proc_macro2::Ident::new("handler", Span::call_site());
        let known = set.names().collect();
        let options = Options::of_attribute("a", known, &function, written, &mut errors);
        check(set, &options, &mut errors);
        errors.into_tokens().to_string()
    }

    /// The table has such options in one kind only.
    #[test]
    fn options_need_and_exclude_others_in_every_set() {
        for kind in [&TRIGGER, &MERGE_CHECK] {
            let set = kind.option_set();
            let mut specs: Vec<OptionSpec> = set.options.to_vec();
            let [first, second] = [specs[0].name, specs[1].name];
            let (needing, excluding) = (
                format!("{first} = []"),
                format!("{first} = [], {second} = []"),
            );
            specs[0].needs = Some(second);
            let mut changed = set;
            changed.options = Vec::leak(specs.clone());
            let found = errors_of(changed, &needing);
            let expected = format!("`{first}` needs `{second}`");
            assert!(found.contains(&expected), "{found}");
            assert!(!errors_of(changed, &excluding).contains("needs"));
            assert!(!errors_of(set, &needing).contains("needs"));

            specs[0].needs = None;
            specs[0].excludes = Some(second);
            changed.options = Vec::leak(specs);
            let found = errors_of(changed, &excluding);
            let expected = format!("`{first}` cannot be combined with `{second}`");
            assert!(found.contains(&expected), "{found}");
            assert!(!errors_of(changed, &needing).contains("combined"));
            assert!(!errors_of(set, &excluding).contains(&expected));
        }
    }
}
