//! The table of attributes. A new kind is one entry here and its name in `lib.rs`; what its options
//! mean is the runtime's.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::LitStr;

use crate::checks::{self, Item, List};
use crate::diag::{Errors, nearest, one_of};
use crate::model::{Entry, Options};
use crate::parse::{self, Value};

/// One attribute.
pub(crate) struct Kind {
    /// The attribute's name.
    pub(crate) name: &'static str,
    /// The runtime's type, in `kinds`: its fields are the options, by name.
    pub(crate) runtime: &'static str,
    /// Its options beside those that every kind has; the first is the one that a string alone was
    /// probably meant for.
    pub(crate) options: &'static [Opt],
    /// More of them, which the runtime's type has in a field of this name, as a type of their own.
    pub(crate) within: Option<(&'static str, &'static Kind)>,
    /// Whether a user token can come with the call.
    pub(crate) has_user: bool,
    /// Whether it has a module of its own, so that `key` is the module's and `endpoint` the
    /// endpoint's; without one, `key` is the endpoint's.
    pub(crate) own_module: bool,
    /// Whether Forge finds it by an endpoint, which has a key and tokens.
    pub(crate) has_endpoint: bool,
    /// Whether the caller chooses the method.
    pub(crate) any_method: bool,
    /// How Forge makes the call, for messages: "when …".
    pub(crate) when: &'static str,
}

impl Kind {
    /// The option that a string alone was probably meant for.
    pub(crate) fn first(&self) -> &'static str {
        self.names().next().unwrap_or("key")
    }

    /// The names of its options.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let within = self.within.map_or(&[][..], |(_, kind)| kind.options);
        self.options.iter().chain(within).map(|option| option.name)
    }
}

/// An option of a kind.
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    /// What it takes, which is also what the runtime's field is.
    pub(crate) takes: Takes,
    pub(crate) need: Need,
    /// A value that is right, for messages.
    pub(crate) example: &'static str,
}

/// What an option takes.
pub(crate) enum Takes {
    /// `name = "text"` with so many characters at most: `&str`; without one, `Option<&str>`.
    Text(usize),
    /// `name`, `name = true`, `name = false`: `bool`.
    Flag,
    /// `name = 1.5`: `Option<HalfHours>`, with so many half hours at most.
    HalfHours(u32),
    /// `name = ["text", …]`, each as the reader wants it: `&[&str]`.
    Texts(&'static List),
    /// `name = "one of these"`: `&str`, or `Option<&str>`; with other words that people write.
    Choice(
        fn() -> Vec<&'static str>,
        &'static [(&'static str, &'static str)],
        &'static str,
    ),
    /// `name = [(option = …, …), …]`: `&[Type]`, each as this reads its options.
    Groups(&'static Kind),
    /// `name = ["text", (option = …, …), …]`: `&[Type]`, with a variant `Short` for texts and the
    /// one that this reads for parentheses, which are told apart by the option that is named last.
    Entries(&'static List, &'static Kind, &'static str),
    /// `name = 200`: `u16`.
    Status,
    /// The same as `Choice`, several.
    Choices(fn() -> Vec<&'static str>, &'static str),
    /// The same as `Choice` for one; the runtime has an enum, and these are its variants.
    Variant(
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [(&'static str, &'static str)],
        &'static str,
    ),
}

#[derive(PartialEq)]
pub(crate) enum Need {
    Required,
    Optional,
    /// Text: the function's doc comment if it is left out.
    OrDocs,
}

/// What every kind takes.
pub(crate) const COMMON: [&str; 6] = ["auth", "key", "path", "remote", "scopes", "crate"];

const fn text(name: &'static str, longest: usize, example: &'static str) -> Opt {
    Opt {
        name,
        takes: Takes::Text(longest),
        need: Need::Required,
        example,
    }
}

const fn flag(name: &'static str) -> Opt {
    Opt {
        name,
        takes: Takes::Flag,
        need: Need::Optional,
        example: "true",
    }
}

const fn texts(name: &'static str, list: &'static List, example: &'static str) -> Opt {
    Opt {
        name,
        takes: Takes::Texts(list),
        need: Need::Optional,
        example,
    }
}

const fn entries(
    name: &'static str,
    list: &'static List,
    inner: &'static Kind,
    named: &'static str,
    example: &'static str,
) -> Opt {
    Opt {
        name,
        takes: Takes::Entries(list, inner, named),
        need: Need::Optional,
        example,
    }
}

const fn choice(
    name: &'static str,
    known: fn() -> Vec<&'static str>,
    note: &'static str,
    example: &'static str,
) -> Opt {
    Opt {
        name,
        takes: Takes::Choice(known, &[], note),
        need: Need::Optional,
        example,
    }
}

const fn choices(
    name: &'static str,
    known: fn() -> Vec<&'static str>,
    note: &'static str,
    example: &'static str,
) -> Opt {
    Opt {
        name,
        takes: Takes::Choices(known, note),
        need: Need::Required,
        example,
    }
}

impl Opt {
    const fn required(mut self) -> Self {
        self.need = Need::Required;
        self
    }

    const fn optional(mut self) -> Self {
        self.need = Need::Optional;
        self
    }

    const fn or_docs(mut self) -> Self {
        self.need = Need::OrDocs;
        self
    }
}

/// The kind that most are like: called by the platform, with a module of its own, no user.
const PLATFORM: Kind = Kind {
    name: "",
    runtime: "",
    options: &[],
    within: None,
    has_user: false,
    own_module: true,
    has_endpoint: true,
    any_method: false,
    when: "when the platform calls",
};

pub(crate) const SCHEDULED_TRIGGER: Kind = Kind {
    name: "scheduled_trigger",
    runtime: "ScheduledTrigger",
    options: &[
        Opt {
            name: "interval",
            takes: Takes::Variant(
                "Interval",
                &INTERVALS,
                &SYNONYMS,
                ", no others and no cron expressions",
            ),
            need: Need::Required,
            example: "\"hour\"",
        },
        flag("licensed_only"),
    ],
    when: "when a schedule fires",
    ..PLATFORM
};

/// What a trigger and each of its `filtered_events` can say of its events; not an attribute.
const CONDITIONS: Kind = Kind {
    name: "conditions",
    runtime: "Conditions",
    options: &[
        text(
            "filter",
            10_000,
            "\"event.issue.fields.project.key == 'ABC'\"",
        )
        .optional(),
        choice(
            "on_error",
            || vec!["IGNORE", "IGNORE_AND_LOG", "RECEIVE", "RECEIVE_AND_LOG"],
            "",
            "\"RECEIVE_AND_LOG\"",
        ),
        flag("ignore_self"),
        flag("licensed_only"),
        texts(
            "property_paths",
            &checks::PROPERTY_PATHS,
            "[\"issue.properties['my-key'].field\"]",
        ),
        texts("fields", &checks::PATHS, "[\"issue.fields.summary\"]"),
    ],
    ..PLATFORM
};

pub(crate) const TRIGGER: Kind = Kind {
    name: "trigger",
    runtime: "Trigger",
    options: &[
        texts("events", &checks::EVENTS, "[\"avi:jira:created:issue\"]"),
        texts(
            "unknown_events",
            &checks::UNKNOWN_EVENTS,
            "[\"avi:jira:invented:thing\"]",
        ),
        Opt {
            name: "filtered_events",
            takes: Takes::Groups(&FILTERED_EVENT),
            need: Need::Optional,
            example: "[(event = \"avi:jira:updated:issue\", ignore_self)]",
        },
    ],
    within: Some(("conditions", &CONDITIONS)),
    when: "when an event happens",
    ..PLATFORM
};

/// One event of a trigger's `filtered_events`; not an attribute.
const FILTERED_EVENT: Kind = Kind {
    name: "filtered_events",
    runtime: "FilteredEvent",
    options: &[
        text("event", 255, "\"avi:jira:updated:issue\"").optional(),
        text("unknown_event", 255, "\"avi:jira:invented:thing\"").optional(),
    ],
    within: Some(("conditions", &CONDITIONS)),
    ..PLATFORM
};

pub(crate) const PRE_UNINSTALL: Kind = Kind {
    name: "pre_uninstall",
    runtime: "PreUninstall",
    when: "before the app is uninstalled",
    ..PLATFORM
};

pub(crate) const CONSUMER: Kind = Kind {
    name: "consumer",
    runtime: "Consumer",
    options: &[text("queue", 36, "\"imports\""), flag("cross_version")],
    when: "when a queue has an event",
    ..PLATFORM
};

pub(crate) const WEB_TRIGGER: Kind = Kind {
    name: "web_trigger",
    runtime: "WebTrigger",
    options: &[
        entries(
            "outputs",
            &checks::OUTPUTS,
            &OUTPUT,
            "key",
            "[\"accepted=202\", (key = \"wrong\", status = 400, content_type = \"text/plain\", body = \"What?\")]",
        ),
        flag("hmac"),
        choice("url_format", || vec!["v1", "v2"], "", "\"v2\""),
    ],
    when: "when its URL is called",
    ..PLATFORM
};

/// One answer of a web trigger's `outputs`; not an attribute.
const OUTPUT: Kind = Kind {
    name: "outputs",
    runtime: "WebOutput::Full",
    options: &[
        text("key", 255, "\"wrong\""),
        Opt {
            name: "status",
            takes: Takes::Status,
            need: Need::Required,
            example: "400",
        },
        text("content_type", 255, "\"text/plain\"").optional(),
        text("body", 1024, "\"What?\"").optional(),
    ],
    ..PLATFORM
};

pub(crate) const ACTION: Kind = Kind {
    name: "action",
    runtime: "Action",
    options: &[
        choice(
            "verb",
            || vec!["CREATE", "UPDATE", "DELETE", "TRIGGER", "GET"],
            "",
            "\"GET\"",
        )
        .required(),
        text("name", 255, "\"Log time\"").optional(),
        text("description", 255, "\"Logs time spent on a work item\"").or_docs(),
        entries(
            "inputs",
            &checks::INPUTS,
            &INPUT,
            "name",
            "[\"issueKey: string - The work item's key\", \"comment?: string - A remark\"]",
        ),
    ],
    has_user: true,
    when: "when an agent acts",
    ..PLATFORM
};

/// One of an action's `inputs`; not an attribute.
const INPUT: Kind = Kind {
    name: "inputs",
    runtime: "ActionInput::Full",
    options: &[
        text("name", 255, "\"issueKey\""),
        text("title", 255, "\"Work item\"").optional(),
        choice(
            "type",
            || vec!["string", "integer", "number", "boolean"],
            "",
            "\"string\"",
        )
        .required(),
        text("description", 10_000, "\"The work item's key\""),
        flag("optional"),
    ],
    ..PLATFORM
};

pub(crate) const JQL_FUNCTION: Kind = Kind {
    name: "jql_function",
    runtime: "JqlFunction",
    options: &[
        text("name", 255, "\"issuesWithText\""),
        texts("arguments", &checks::ARGUMENTS, "[\"text\", \"limit?\"]"),
        choices("types", jql_types, "", "[\"issue\"]"),
        choices("operators", jql_operators, "", "[\"in\", \"not in\"]"),
    ],
    when: "when a query is computed",
    ..PLATFORM
};

pub(crate) const WORKFLOW_POST_FUNCTION: Kind = Kind {
    name: "workflow_post_function",
    runtime: "WorkflowPostFunction",
    options: &[
        text("name", 255, "\"Notify the team\""),
        text("description", 1000, "\"Tells the team of the transition\"").or_docs(),
        Opt {
            need: Need::Optional,
            ..choices(
                "project_types",
                || vec!["company-managed", "team-managed"],
                "",
                "[\"company-managed\"]",
            )
        },
    ],
    when: "after a transition",
    ..PLATFORM
};

pub(crate) const MERGE_CHECK: Kind = Kind {
    name: "merge_check",
    runtime: "MergeCheck",
    options: &[
        text("name", 255, "\"Not after five\""),
        choices(
            "triggers",
            || vec!["on-merge", "on-code-pushed", "on-reviewer-status-changed"],
            "",
            "[\"on-merge\"]",
        ),
        text("description", 255, "\"Merges are closed after 5 pm\"").or_docs(),
    ],
    when: "when a merge is checked",
    ..PLATFORM
};

pub(crate) const DYNAMIC_PIPELINES_PROVIDER: Kind = Kind {
    name: "dynamic_pipelines_provider",
    runtime: "DynamicPipelinesProvider",
    options: &[
        text("name", 255, "\"Common steps\""),
        text("description", 255, "\"Adds our steps to every pipeline\"").or_docs(),
        text("icon", 255, "\"https://example.com/icon.svg\"").optional(),
    ],
    when: "when a pipeline is prepared",
    ..PLATFORM
};

pub(crate) const DESIGN_INFO_PROVIDER: Kind = Kind {
    name: "design_info_provider",
    runtime: "DesignInfoProvider",
    options: &[
        choice(
            "function",
            || {
                vec![
                    "checkAuth",
                    "getEntityByUrl",
                    "onEntityAssociated",
                    "onEntityDisassociated",
                ]
            },
            "",
            "\"getEntityByUrl\"",
        )
        .required(),
        text("name", 255, "\"Sketches\"").optional(),
        text("home_url", 255, "\"https://sketches.example.com\"").optional(),
        text("logo_url", 255, "\"https://sketches.example.com/logo.png\"").optional(),
        text("handled_domain_name", 255, "\"sketches.example.com\"").optional(),
        text(
            "documentation_url",
            255,
            "\"https://sketches.example.com/docs\"",
        )
        .optional(),
    ],
    has_user: true,
    when: "when a design is linked",
    ..PLATFORM
};

pub(crate) const SECURITY_INFO_PROVIDER: Kind = Kind {
    name: "security_info_provider",
    runtime: "SecurityInfoProvider",
    options: &[
        choice(
            "function",
            || {
                vec![
                    "fetchWorkspaces",
                    "fetchContainers",
                    "searchContainers",
                    "onEntityAssociated",
                    "onEntityDisassociated",
                ]
            },
            "",
            "\"fetchWorkspaces\"",
        )
        .required(),
        text("name", 255, "\"Scanner\"").optional(),
        text("home_url", 255, "\"https://scanner.example.com\"").optional(),
        text("logo_url", 255, "\"https://scanner.example.com/logo.png\"").optional(),
        text(
            "documentation_url",
            255,
            "\"https://scanner.example.com/docs\"",
        )
        .optional(),
    ],
    has_user: true,
    when: "when security information is shown",
    ..PLATFORM
};

pub(crate) const STATIC_MACRO: Kind = Kind {
    name: "static_macro",
    runtime: "StaticMacro",
    has_user: true,
    own_module: false,
    when: "when a page with the macro is rendered",
    ..PLATFORM
};

pub(crate) const WIDGET_CONTEXT: Kind = Kind {
    name: "widget_context",
    runtime: "WidgetContext",
    has_user: true,
    own_module: false,
    when: "when a dashboard's widget is asked",
    ..PLATFORM
};

pub(crate) const AGENT_CONNECTOR: Kind = Kind {
    name: "agent_connector",
    runtime: "AgentConnector",
    options: &[
        text("name", 30, "\"Triage\""),
        choices("products", || vec!["jira", "confluence"], "", "[\"jira\"]"),
        text("description", 255, "\"Sorts what comes in\"").or_docs(),
        text("icon", 255, "\"resource:main;icon.svg\"").optional(),
        texts(
            "conversation_starters",
            &checks::STARTERS,
            "[\"Sort my inbox\"]",
        ),
        choice("version", || vec!["1.0", "0.3"], "", "\"1.0\""),
        flag("streaming"),
    ],
    has_user: true,
    when: "when an agent is spoken to",
    ..PLATFORM
};

pub(crate) const DATA_RESIDENCY: Kind = Kind {
    name: "data_residency",
    runtime: "DataResidency",
    options: &[
        choice(
            "hook",
            || vec!["schedule", "start", "status", "commit", "rollback"],
            "",
            "\"schedule\"",
        )
        .required(),
        Opt {
            name: "max_hours",
            takes: Takes::HalfHours(48),
            need: Need::Optional,
            example: "2",
        },
    ],
    has_endpoint: false,
    when: "when data moves to another region",
    ..PLATFORM
};

pub(crate) const ENDPOINT: Kind = Kind {
    name: "endpoint",
    runtime: "Endpoint",
    options: &[texts("pages", &checks::PAGES, "[\"admin-page\"]")],
    has_user: true,
    own_module: false,
    any_method: true,
    when: "when a page calls",
    ..PLATFORM
};

/// The kind's value as the runtime has it, of its options.
pub(crate) fn read(
    kind: &Kind,
    options: &mut Options,
    docs: &str,
    private: &TokenStream,
    errors: &mut Errors,
) -> TokenStream {
    match kind.name {
        "trigger" => check_trigger(options, errors),
        "filtered_events" => check_filtered_event(options, errors),
        _ => {}
    }
    let runtime = kind.runtime.split("::");
    let runtime = runtime.map(|name| Ident::new(name, Span::call_site()));
    let runtime = quote!(#(#runtime)::*);
    let fields = kind.options.iter().map(|option| {
        let field = match option.name {
            "type" => Ident::new_raw("type", Span::call_site()),
            name => Ident::new(name, Span::call_site()),
        };
        let value = value(option, kind, options, docs, private, errors);
        quote!(#field: #value,)
    });
    let mut fields: TokenStream = fields.collect();
    if let Some((field, within)) = kind.within {
        let field = Ident::new(field, Span::call_site());
        let value = read(within, options, docs, private, errors);
        fields.extend(quote!(#field: #value,));
    }
    if fields.is_empty() {
        quote!(#private::kinds::#runtime)
    } else {
        quote!(#private::kinds::#runtime { #fields })
    }
}

fn check_trigger(options: &Options, errors: &mut Errors) {
    if options.misses_all(&["events", "unknown_events", "filtered_events"]) {
        errors.help(
            options.attribute(),
            "`events` is missing",
            "write `events = [\"avi:jira:created:issue\"]`",
        );
    }
    if options.misses("filtered_events") {
        let [events, unknown] = ["events", "unknown_events"].map(|name| options.peek(name).items());
        let texts = |list: &[LitStr]| list.iter().map(LitStr::value).collect::<Vec<String>>();
        for (at, (message, help)) in checks::in_both(&texts(&events), &texts(&unknown)) {
            errors.help(unknown[at].span(), message, help);
        }
        check_filter(options, &[events, unknown].concat(), false, errors);
        return;
    }
    // Forge takes either form, not both.
    for name in ["events", "unknown_events"] {
        if !options.misses(name) {
            errors.help(
                options.place(name),
                format!("`{name}` beside `filtered_events`"),
                "write all of them into `filtered_events`, or into a second function",
            );
        }
    }
    for name in CONDITIONS.names().filter(|name| !options.misses(name)) {
        errors.help(
            options.place(name),
            format!("`{name}` beside `filtered_events`"),
            "write it into each of the events that it is for",
        );
    }
}

fn check_filtered_event(options: &Options, errors: &mut Errors) {
    match (options.misses("event"), options.misses("unknown_event")) {
        (true, true) => errors.help(
            options.attribute(),
            "`event` is missing",
            "write `event = \"avi:jira:updated:issue\"`",
        ),
        (false, false) => errors.help(
            options.place("unknown_event"),
            "`unknown_event` beside `event`",
            "each event has parentheses of its own",
        ),
        _ => {}
    }
    let events = ["event", "unknown_event"].map(|name| options.peek(name).text());
    let events: Vec<LitStr> = events.into_iter().flatten().collect();
    check_filter(options, &events, true, errors);
}

fn check_filter(options: &Options, events: &[LitStr], required: bool, errors: &mut Errors) {
    let events: Vec<String> = events.iter().map(LitStr::value).collect();
    // One that is misspelt is meant: its own error is enough.
    let filter = checks::Filter {
        events: events.iter().map(|event| Some(event.as_str())).collect(),
        expression: !options.misses("filter"),
        on_error: !options.misses("on_error"),
        ignore_self: options.peek("ignore_self").is_on(),
        licensed_only: options.peek("licensed_only").is_on(),
        required,
    };
    for (option, (message, help)) in filter.wrong() {
        let place = option.map_or_else(|| options.attribute().into(), |name| options.place(name));
        errors.help(place, message, help);
    }
}

fn value(
    option: &Opt,
    kind: &Kind,
    options: &mut Options,
    docs: &str,
    private: &TokenStream,
    errors: &mut Errors,
) -> TokenStream {
    let Opt { name, example, .. } = option;
    let some = |value: TokenStream| quote!(#private::option::Option::Some(#value));
    let none = || quote!(#private::option::Option::None);
    let required = option.need == Need::Required;
    if required && options.misses(name) {
        let known = match &option.takes {
            Takes::Choice(known, _, note) | Takes::Choices(known, note) => {
                format!(": Forge has {}{note}", one_of(known().into_iter()))
            }
            Takes::Variant(_, known, _, _) => format!(
                ": Forge has {}",
                one_of(known.iter().map(|(name, _)| *name))
            ),
            _ => String::new(),
        };
        errors.help(
            options.attribute(),
            format!("`{name}` is missing"),
            format!("write `{name} = {example}`{known}"),
        );
    }
    match &option.takes {
        Takes::Flag => {
            let on = options.flag(name, errors);
            quote!(#on)
        }
        Takes::HalfHours(most) => match options.half_hours(name, *most, example, errors) {
            Some(halves) => some(quote!(#private::kinds::HalfHours(#halves))),
            None => none(),
        },
        Takes::Text(longest) => {
            let written = options.text(name, example, errors);
            if let Some(text) = &written {
                check_text(name, text, *longest, example, errors);
            }
            let from_docs = || {
                let paragraph = docs
                    .split("\n\n")
                    .next()
                    .unwrap_or_default()
                    .replace('\n', " ");
                (!paragraph.is_empty()).then_some(paragraph)
            };
            match (written, &option.need) {
                (Some(text), Need::Optional) => some(quote!(#text)),
                (None, Need::Optional) => none(),
                (Some(text), _) => quote!(#text),
                (None, Need::OrDocs) => match from_docs() {
                    Some(docs) if docs.chars().count() <= *longest => quote!(#docs),
                    Some(docs) => {
                        errors.help(
                            options.attribute(),
                            format!("`{name}` is missing, and the doc comment's first paragraph is too long for it: {} of {longest} characters", docs.chars().count()),
                            format!("write `{name} = {example}`"),
                        );
                        quote!("")
                    }
                    None => {
                        if options.misses(name) {
                            errors.help(
                                options.attribute(),
                                format!("`{name}` is missing, and there is no doc comment to take it from"),
                                format!("write `{name} = {example}`, or a doc comment above the function"),
                            );
                        }
                        quote!("")
                    }
                },
                (None, _) => quote!(""),
            }
        }
        Takes::Texts(list) => {
            // A constant stands for itself; its value is checked when the app starts.
            let items = options.items(name, example, errors);
            let texts: Vec<Option<String>> = items
                .iter()
                .map(|item| item.text().map(LitStr::value))
                .collect();
            let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
            for (at, (message, help)) in list.wrong(name, &texts) {
                let item = at.and_then(|at| items.get(at));
                let place = item.map_or_else(|| options.place(name), Value::place);
                errors.help(place, message, help);
            }
            let items = items.iter().map(Value::tokens);
            quote!(&[#(#items),*])
        }
        Takes::Groups(inner) => {
            let mut seen: Vec<String> = Vec::new();
            let groups = options.groups(name, example, errors).into_iter();
            let items = groups.map(|group| {
                let mut options = group_options(name, inner, &group, errors);
                let named = ["event", "unknown_event"].map(|name| options.peek(name).text());
                for event in named.into_iter().flatten() {
                    if seen.contains(&event.value()) {
                        let message = format!("`{}` is twice in `{name}`", event.value());
                        errors.help(event.span(), message, checks::ONE_FILTER);
                    }
                    seen.push(event.value());
                }
                read(inner, &mut options, "", private, errors)
            });
            let items: Vec<TokenStream> = items.collect();
            quote!(&[#(#items),*])
        }
        Takes::Entries(list, inner, named) => {
            let entries = options.entries(name, example, errors);
            let mut items = TokenStream::new();
            let mut checked = Vec::new();
            let variants = inner.runtime.split("::").next().unwrap_or_default();
            let variants = Ident::new(variants, Span::call_site());
            for entry in &entries {
                match entry {
                    Entry::Text(text) => {
                        checked.push(text.text().map(|text| (false, text.value())));
                        let text = text.tokens();
                        items.extend(quote!(#private::kinds::#variants::Short(#text),));
                    }
                    Entry::Group(group) => {
                        let mut options = group_options(name, inner, group, errors);
                        checked.push(options.written_text(named).map(|text| (true, text)));
                        let item = read(inner, &mut options, "", private, errors);
                        items.extend(quote!(#item,));
                    }
                }
            }
            let checked: Vec<Option<Item<'_>>> = checked
                .iter()
                .map(|item| {
                    let (is_group, text) = item.as_ref()?;
                    Some(if *is_group {
                        Item::Group(text)
                    } else {
                        Item::Text(text)
                    })
                })
                .collect();
            for (at, (message, help)) in list.wrong_items(name, &checked) {
                let entry = at.and_then(|at| entries.get(at));
                let place = entry.map_or_else(|| options.place(name), Entry::place);
                errors.help(place, message, help);
            }
            quote!(&[#items])
        }
        Takes::Status => {
            let status = options.status(name, example, errors);
            quote!(#status)
        }
        Takes::Choice(known, synonyms, note) => {
            let chosen = options.text(name, example, errors);
            if let Some(text) = &chosen {
                check_choice(name, text, &known(), synonyms, note, kind, errors);
            }
            match chosen {
                Some(text) if required => quote!(#text),
                None if required => quote!(""),
                Some(text) => some(quote!(#text)),
                None => none(),
            }
        }
        Takes::Choices(known, note) => {
            let chosen = options.texts(name, example, errors);
            for (at, text) in chosen.iter().enumerate() {
                check_choice(name, text, &known(), &[], note, kind, errors);
                if chosen[..at]
                    .iter()
                    .any(|other| other.value() == text.value())
                {
                    errors.help(
                        text.span(),
                        format!("`{}` is written twice", text.value()),
                        "keep one of the two",
                    );
                }
            }
            if chosen.is_empty() && required && !options.misses(name) {
                errors.help(
                    options.attribute(),
                    format!("`{name}` has no valid item"),
                    format!("write `{name} = {example}`"),
                );
            }
            quote!(&[#(#chosen),*])
        }
        Takes::Variant(ty, known, synonyms, note) => {
            let ty = Ident::new(ty, Span::call_site());
            let chosen = options.text(name, example, errors);
            let first = known.first().map_or("", |(_, variant)| variant);
            let variant = chosen.map_or(first, |text| {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                check_choice(name, &text, &names, synonyms, note, kind, errors);
                let written = text.value();
                known
                    .iter()
                    .find(|(name, _)| *name == written)
                    .map_or(first, |(_, variant)| variant)
            });
            let variant = format_ident!("{variant}");
            quote!(#private::kinds::#ty::#variant)
        }
    }
}

/// The options in parentheses, in a list of them.
fn group_options(name: &str, inner: &Kind, group: &Group, errors: &mut Errors) -> Options {
    let written = parse::options(inner, group.stream(), errors);
    let taker = format!("an item of `{name}`");
    let known = inner.names().collect();
    Options::of(known, &taker, group.span(), written, errors)
}

/// Whether what the function returns is what its options say, as far as its type's names tell.
pub(crate) fn check_output(
    kind: &Kind,
    options: &Options,
    output: &[TokenTree],
    errors: &mut Errors,
) {
    if kind.name != "web_trigger" {
        return;
    }
    let (other, message, help) = if options.misses("outputs") {
        (
            "StaticOutput",
            "a `StaticOutput` names one of the trigger's `outputs`, and there are none",
            "write `outputs = [\"accepted=202\"]`, or return a `WebResponse`",
        )
    } else {
        (
            "WebResponse",
            "a web trigger with `outputs` answers by the key of one of them, and with nothing else",
            "return a `StaticOutput`, or remove `outputs`",
        )
    };
    if let Some(word) = parse::find_word(output.iter().cloned(), other) {
        errors.help(word.span(), message, help);
    }
}

fn check_text(name: &str, text: &LitStr, longest: usize, example: &str, errors: &mut Errors) {
    let value = text.value();
    let length = value.chars().count();
    if value.trim().is_empty() {
        errors.help(
            text.span(),
            format!("`{name}` is empty"),
            format!("write `{name} = {example}`"),
        );
    } else if length > longest {
        errors.help(
            text.span(),
            format!("`{name}` has {longest} characters at most, and this has {length}"),
            "shorten it",
        );
    } else if let Some(check) = match name {
        "event" => Some(&checks::EVENTS),
        "unknown_event" => Some(&checks::UNKNOWN_EVENTS),
        _ => None,
    } {
        for (_, (message, help)) in check.wrong(name, &[Some(&value)]) {
            // One event here, a list of them there.
            let help = help.replace(
                &format!("events = [\"{value}\"]"),
                &format!("event = \"{value}\""),
            );
            errors.help(text.span(), message, help);
        }
    } else if name.ends_with("home_url") || name == "documentation_url" {
        if !value.starts_with("https://") && !value.starts_with("http://") {
            errors.help(
                text.span(),
                format!("`{name}` is no URL"),
                format!("write `{name} = {example}`"),
            );
        }
    } else if name == "content_type" && !value.contains('/') {
        errors.help(
            text.span(),
            format!("`{value}` is no content type"),
            format!("write `{name} = {example}`, or leave it out"),
        );
    } else if name == "queue"
        && !value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    {
        errors.help(
            text.span(),
            "a queue's name has letters, digits, `_` and `-` only",
            format!("write `{name} = {example}`"),
        );
    }
}

fn check_choice(
    name: &str,
    text: &LitStr,
    known: &[&'static str],
    synonyms: &[(&str, &str)],
    note: &str,
    kind: &Kind,
    errors: &mut Errors,
) {
    let written = text.value();
    if known.contains(&written.as_str()) {
        return;
    }
    let folded = written.trim().to_ascii_lowercase().replace(['_', '-'], "");
    let synonym = synonyms
        .iter()
        .find(|(word, _)| *word == folded)
        .map(|(_, name)| *name);
    let same = known
        .iter()
        .copied()
        .find(|one| one.to_ascii_lowercase().replace(['_', '-'], "") == folded);
    let list = format!("Forge has {}{note}", one_of(known.iter().copied()));
    let help = match synonym
        .or(same)
        .or_else(|| nearest(&written, known.iter().copied()))
    {
        Some(near) if matches!(kind.name, "scheduled_trigger") => {
            format!("write `{name} = \"{near}\"`: {list}")
        }
        Some(near) => format!("did you mean \"{near}\"? {list}"),
        None => list,
    };
    errors.help(
        text.span(),
        format!(
            "Forge has no {} `{written}`",
            name.trim_end_matches('s').replace('_', " ")
        ),
        help,
    );
}

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

/// Source: `@forge/manifest`'s schema, as are the operators.
fn jql_types() -> Vec<&'static str> {
    "issue project project_category project_type hierarchy_level version component user group team project_role priority \
     resolution issue_type status status_category cascading_option option saved_filter issue_security_level \
     issue_restriction label attachment issue_list issue_link_type date text number duration url"
        .split_whitespace()
        .collect()
}

fn jql_operators() -> Vec<&'static str> {
    vec![
        "=", "!=", ">", ">=", "<", "<=", "in", "not in", "~", "!~", "is", "is not",
    ]
}
