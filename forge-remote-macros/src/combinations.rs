//! Stage 2b: the rules about several options of a set, before they are read one by one.

use forge_remote_schema::lists::{Conditions, in_both};
use forge_remote_schema::options::{Combination, OF_ENDPOINT, OptionSet};
use syn::LitStr;

use crate::diag::Errors;
use crate::options::Options;

/// Checks the rule for combinations of a set's options.
pub(crate) fn check(set: OptionSet, options: &Options, errors: &mut Errors) {
    match set.combination {
        Combination::Any => {}
        Combination::TriggerEvents => trigger(set, options, errors),
        Combination::FilteredEvent => filtered_event(options, errors),
        Combination::Schedule => schedule(set, options, errors),
    }
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

fn schedule(set: OptionSet, options: &Options, errors: &mut Errors) {
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
        for option in set.options {
            if option.needs == Some("cron") && !options.misses(option.name) {
                errors.help(
                    options.place(option.name),
                    format!("`{}` needs `cron`", option.name),
                    "write `cron = \"30 2 * * 1-5\"` instead of `interval`, or remove the option",
                );
            }
        }
        return;
    }
    let excluding = set
        .options
        .iter()
        .filter(|option| option.excludes == Some("cron"));
    for name in OF_ENDPOINT
        .into_iter()
        .chain(excluding.map(|option| option.name))
    {
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
