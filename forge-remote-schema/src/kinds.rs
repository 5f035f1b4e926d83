//! The table of kinds: one row for each attribute.
//!
//! A row is the documentation of the attribute, its constant here, its name, the runtime's type in
//! `forge_remote::kinds`, and the differences from [`KindSpec::DEFAULT`]. The attribute, its re-export,
//! the manifest's rules and the build script are made from it. Below the rows are the parts that they name: sets of
//! options, and the structure of the module's item.

use crate::event::ScopeSet;
use crate::kind::{AllowedCaller, Durability, KindSpec, RouteScope};
use crate::lists;
use crate::options::{Combination, Form, OptionSet, OptionSpec, TextRule, ValueShape, Variants};
use crate::place::Place;
use crate::structure::parts::{
    CALLED, DESCRIPTION, PRODUCT_REFERENCE, REFERENCE, RENDER, RESOLVER as PAGE_RESOLVER, RESOURCE,
    SUBJECT, TITLE, TRANSLATED, called, closed, open,
};
use crate::structure::shape::{
    ANY_NUMBER, KEY, ListShape, MappingShape, NumberRange, Shape, TEXT, TextForm, UNLIMITED, list,
    names, optional, required, set, text,
};
use crate::values;

/// The place where a page's module names the endpoint of its calls.
pub const RESOLVER: Place = &["resolver", "endpoint"];

/// The place of a trigger's events, which several options share.
const EVENTS: Place = &["events"];

/// Calls a macro with every row of the table.
///
/// A row is `#[doc = "…"] CONSTANT = attribute as RuntimeType { … }`. The braces are for this crate;
/// other macros match them as one token tree:
///
/// ```
/// macro_rules! names {
///     ($($(#[doc = $docs:literal])+ $constant:ident = $attribute:ident as $runtime:ident $spec:tt)*) => {
///         const NAMES: &[&str] = &[$(stringify!($attribute)),*];
///     };
/// }
/// forge_remote_schema::for_each_kind!(names);
///
/// assert!(NAMES.contains(&"merge_check"));
/// ```
#[macro_export]
macro_rules! for_each_kind {
    ($then:ident) => { $then! {
        /// Calls the function at an interval or by a cron expression, once for each installation.
        SCHEDULED_TRIGGER = scheduled_trigger as ScheduledTrigger {
            module_type: "scheduledTrigger",
            item: Some(&SCHEDULED_TRIGGER_ITEM),
            key_suffix: Some("trigger"),
            options: &[
                OptionSpec::shaped("interval", ValueShape::Variant(&INTERVALS), "\"hour\"").at(&["interval"]),
                OptionSpec::flag("licensed_only").at(&["filter", "appIsLicensed"]).excludes("cron"),
                OptionSpec::text("cron", 255, "\"30 2 * * 1-5\"").optional().rule(TextRule::Cron),
                OptionSpec::text("tz", 64, "\"Europe/Berlin\"").optional().rule(TextRule::TimeZone).needs("cron"),
                OptionSpec::text("jitter", 16, "\"10m\"").optional().rule(TextRule::Time("1s", "12h")).needs("cron"),
                OptionSpec::text("catch_up", 16, "\"1h\"").optional().rule(TextRule::Time("0s", "12h")).needs("cron"),
                OptionSpec::choice("overlap", &["skip", "allow"], "\"skip\"").needs("cron"),
            ],
            combination: Combination::Schedule,
            owns_item: true,
            body_optional: true,
            durable: Durability::Allowed,
            payload: "none, or [`ScheduledEvent`]",
            when: "when a schedule fires",
        }
        /// Calls the function when a product event or an event of the app's lifecycle happens.
        TRIGGER = trigger as Trigger {
            module_type: "trigger",
            item: Some(&TRIGGER_ITEM),
            key_suffix: Some("trigger"),
            options: &[
                OptionSpec::texts("events", &lists::EVENTS, "[\"avi:jira:created:issue\"]").at(EVENTS),
                OptionSpec::texts("unknown_events", &lists::UNKNOWN_EVENTS, "[\"avi:jira:invented:thing\"]").at(EVENTS),
                OptionSpec::shaped(
                    "filtered_events",
                    ValueShape::Groups(&FILTERED_EVENT),
                    "[(event = \"avi:jira:updated:issue\", ignore_self)]",
                )
                .at(EVENTS),
            ],
            nested: Some(("conditions", &CONDITIONS)),
            combination: Combination::TriggerEvents,
            owns_item: true,
            may_be_dynamic: true,
            durable: Durability::Allowed,
            payload: "[`Event<T>`], of [`LifecycleEvent`], [`IssueEvent`], [`PageEvent`] or your own type",
            when: "when an event happens",
        }
        /// Calls the function before the app is uninstalled.
        PRE_UNINSTALL = pre_uninstall as PreUninstall {
            module_type: "preUninstall",
            item: Some(&PRE_UNINSTALL_ITEM),
            key_suffix: Some("pre-uninstall"),
            owns_item: true,
            ends_installation: true,
            durable: Durability::NotAllowed("the installation ends with its response"),
            body_optional: true,
            payload: "[`UninstallEvent`]",
            when: "before the app is uninstalled",
        }
        /// Calls the function for each event of an async event queue.
        CONSUMER = consumer as Consumer {
            module_type: "consumer",
            item: Some(&CONSUMER_ITEM),
            key_suffix: Some("consumer"),
            options: &[
                OptionSpec::text("queue", 36, "\"imports\"").rule(TextRule::QueueName).at(&["queue"]),
                OptionSpec::flag("cross_version").at(&["crossVersion"]),
            ],
            owns_item: true,
            durable: Durability::Allowed,
            delivery_id: &["/eventId"],
            payload: "[`QueueEvent<T>`]",
            when: "when a queue has an event",
        }
        /// Calls the function when the URL of a web trigger is requested.
        WEB_TRIGGER = web_trigger as WebTrigger {
            module_type: "webtrigger",
            item: Some(&WEB_TRIGGER_ITEM),
            key_suffix: Some("webtrigger"),
            options: &[
                OptionSpec::shaped(
                    "outputs",
                    ValueShape::Entries { list: &lists::OUTPUTS, group: &OUTPUT, identity: "key" },
                    "[\"accepted=202\", (key = \"wrong\", status = 400, content_type = \"text/plain\", body = \"What?\")]",
                )
                .at(&["response", "outputs"]),
                OptionSpec::flag("hmac")
                    .at(&["request", "authentication"])
                    .form(Form::Text("hmacSharedSecret"))
                    .or_by_hand(),
                OptionSpec::choice("url_format", values::URL_FORMATS, "\"v2\"").at(&["urlFormat"]),
            ],
            derived_places: &[&["response", "type"]],
            // If Forge forwards the request itself, its headers are the caller's.
            forwards_caller_headers: true,
            routes: RouteScope::Subpath,
            checks_responses: true,
            payload: "[`WebTriggerRequest`]",
            response: "[`WebTriggerResponse`], [`WebTriggerOutput`]",
            when: "when its URL is requested",
        }
        /// Makes the function an action of Rovo agents and automation.
        ACTION = action as Action {
            module_type: "action",
            item: Some(&ACTION_ITEM),
            key_suffix: Some("action"),
            options: &[
                OptionSpec::choice("verb", values::ACTION_VERBS, "\"GET\"")
                    .required()
                    .at(&["actionVerb"]),
                OptionSpec::text("name", 255, "\"Log time\"").optional().at(&["name"]).or_by_hand(),
                OptionSpec::text("description", 255, "\"Logs time spent on a work item\"").or_docs().at(&["description"]),
                OptionSpec::shaped(
                    "inputs",
                    ValueShape::Entries { list: &lists::INPUTS, group: &INPUT, identity: "name" },
                    "[\"issueKey: string - The work item's key\", \"comment?: string - A remark\"]",
                )
                .at(&["inputs"])
                .form(Form::ByName),
            ],
            caller: AllowedCaller::PlatformForUser,
            has_user: true,
            payload: "[`ActionRequest<T>`]",
            response: "JSON",
            when: "when an agent acts",
        }
        /// Makes the function a JQL function.
        JQL_FUNCTION = jql_function as JqlFunction {
            module_type: "jira:jqlFunction",
            item: Some(&JQL_FUNCTION_ITEM),
            key_suffix: Some("jql"),
            options: &[
                OptionSpec::text("name", 255, "\"issuesWithText\"").at(&["name"]),
                OptionSpec::texts("arguments", &lists::ARGUMENTS, "[\"text\", \"limit?\"]")
                    .at(&["arguments"])
                    .form(Form::Arguments),
                OptionSpec::choices("types", values::JQL_TYPES, "[\"issue\"]").required().at(&["types"]),
                OptionSpec::choices("operators", values::JQL_OPERATORS, "[\"in\", \"not in\"]").required().at(&["operators"]),
            ],
            caller: AllowedCaller::PlatformForUser,
            may_be_dynamic: true,
            payload: "[`JqlFunctionRequest`]",
            response: "[`JqlFunctionResponse`]",
            when: "when a query is computed",
        }
        /// Calls the function after a workflow transition.
        WORKFLOW_POST_FUNCTION = workflow_post_function as WorkflowPostFunction {
            module_type: "jira:workflowPostFunction",
            item: Some(&WORKFLOW_POST_FUNCTION_ITEM),
            key_suffix: Some("post-function"),
            options: &[
                OptionSpec::text("name", 255, "\"Notify the team\"").at(&["name"]),
                OptionSpec::text("description", 1000, "\"Notifies the team of the transition\"").or_docs().at(&["description"]),
                OptionSpec::choices("project_types", values::PROJECT_TYPES, "[\"company-managed\"]")
                    .at(&["projectTypes"]),
            ],
            caller: AllowedCaller::PlatformForUser,
            scopes: &[&["manage:jira-configuration", "read:jira-work"], POST_FUNCTION_GRANULAR],
            durable: Durability::Allowed,
            delivery_id: &["/transition/executionId", "/postFunction/id"],
            payload: "[`PostFunctionRequest`]",
            when: "after a transition",
        }
        /// Calls the function to decide whether a pull request may be merged.
        MERGE_CHECK = merge_check as MergeCheck {
            module_type: "bitbucket:mergeCheck",
            item: Some(&MERGE_CHECK_ITEM),
            key_suffix: Some("merge-check"),
            options: &[
                OptionSpec::text("name", 255, "\"Not after five\"").at(&["name"]),
                OptionSpec::choices("triggers", values::MERGE_TRIGGERS, "[\"on-merge\"]").required().at(&["triggers"]),
                OptionSpec::text("description", 255, "\"Merges are closed after 5 pm\"").docs_or_none().at(&["description"]),
            ],
            scopes: &[&["read:pullrequest:bitbucket"]],
            payload: "[`MergeCheckRequest`]",
            response: "[`MergeCheckResponse`]",
            when: "when a merge is checked",
        }
        /// Lets the function change a Bitbucket pipeline before it runs.
        DYNAMIC_PIPELINES_PROVIDER = dynamic_pipelines_provider as DynamicPipelinesProvider {
            module_type: "bitbucket:dynamicPipelinesProvider",
            item: Some(&DYNAMIC_PIPELINES_PROVIDER_ITEM),
            key_suffix: Some("pipelines"),
            options: &[
                OptionSpec::text("name", 255, "\"Common steps\"").at(&["name"]),
                OptionSpec::text("description", 255, "\"Adds our steps to every pipeline\"").docs_or_none().at(&["description"]),
                OptionSpec::text("icon", 255, "\"https://example.com/icon.svg\"").optional().at(&["icon"]).or_by_hand(),
            ],
            payload: "[`PipelinesRequest`]",
            response: "[`PipelinesResponse`]",
            when: "when a pipeline is prepared",
        }
        /// Makes the function one of the functions of a design information provider.
        DESIGN_INFO_PROVIDER = design_info_provider as DesignInfoProvider {
            module_type: "devops:designInfoProvider",
            item: Some(&DESIGN_INFO_PROVIDER_ITEM),
            key_suffix: Some("designs"),
            shared_key: Some("design-info-provider"),
            shared_parts: &[
                "name", "homeUrl", "checkAuth", "getEntityByUrl", "onEntityAssociated", "onEntityDisassociated",
            ],
            endpoint_places: &[
                &["checkAuth", "endpoint"],
                &["getEntityByUrl", "endpoint"],
                &["onEntityAssociated", "endpoint"],
                &["onEntityDisassociated", "endpoint"],
            ],
            part_option: Some("function"),
            options: &[
                OptionSpec::choice(
                    "function",
                    &["checkAuth", "getEntityByUrl", "onEntityAssociated", "onEntityDisassociated"],
                    "\"getEntityByUrl\"",
                )
                .required(),
                OptionSpec::text("name", 255, "\"Sketches\"").optional().at(&["name", "value"]),
                OptionSpec::text("home_url", 255, "\"https://sketches.example.com\"")
                    .optional()
                    .rule(TextRule::Url)
                    .at(&["homeUrl"]),
                OptionSpec::text("logo_url", 255, "\"https://sketches.example.com/logo.png\"").optional().at(&["logoUrl"]),
                OptionSpec::text("handled_domain_name", 255, "\"sketches.example.com\"")
                    .optional()
                    .at(&["handledDomainName"]),
                OptionSpec::text("documentation_url", 255, "\"https://sketches.example.com/docs\"")
                    .optional()
                    .rule(TextRule::Url)
                    .at(&["documentationUrl"]),
            ],
            owns_item: true,
            caller: AllowedCaller::PlatformForUser,
            has_user: true,
            routes: RouteScope::AnyMethod,
            payload: "[`DesignRequest`]",
            response: "JSON",
            when: "when a design is linked",
        }
        /// Makes the function one of the functions of a security information provider.
        SECURITY_INFO_PROVIDER = security_info_provider as SecurityInfoProvider {
            module_type: "devops:securityInfoProvider",
            item: Some(&SECURITY_INFO_PROVIDER_ITEM),
            key_suffix: Some("security"),
            shared_key: Some("security-info-provider"),
            shared_parts: &["name", "homeUrl", "fetchWorkspaces", "fetchContainers", "searchContainers"],
            endpoint_places: &[
                &["fetchWorkspaces", "endpoint"],
                &["fetchContainers", "endpoint"],
                &["searchContainers", "endpoint"],
                &["onEntityAssociated", "endpoint"],
                &["onEntityDisassociated", "endpoint"],
            ],
            part_option: Some("function"),
            options: &[
                OptionSpec::choice(
                    "function",
                    &[
                        "fetchWorkspaces",
                        "fetchContainers",
                        "searchContainers",
                        "onEntityAssociated",
                        "onEntityDisassociated",
                    ],
                    "\"fetchWorkspaces\"",
                )
                .required(),
                OptionSpec::text("name", 255, "\"Scanner\"").optional().at(&["name", "value"]),
                OptionSpec::text("home_url", 255, "\"https://scanner.example.com\"")
                    .optional()
                    .rule(TextRule::Url)
                    .at(&["homeUrl"]),
                OptionSpec::text("logo_url", 255, "\"https://scanner.example.com/logo.png\"").optional().at(&["logoUrl"]),
                OptionSpec::text("documentation_url", 255, "\"https://scanner.example.com/docs\"")
                    .optional()
                    .rule(TextRule::Url)
                    .at(&["documentationUrl"]),
            ],
            owns_item: true,
            caller: AllowedCaller::PlatformForUser,
            has_user: true,
            routes: RouteScope::AnyMethod,
            payload: "[`SecurityRequest`]",
            response: "[`SecurityResponse`]",
            when: "when security information is shown",
        }
        /// Renders a Confluence macro where its page cannot run.
        STATIC_MACRO = static_macro as StaticMacro {
            module_type: "macro",
            endpoint_places: &[&["static", "endpoint"]],
            caller: AllowedCaller::PlatformForUser,
            has_user: true,
            payload: "[`MacrosRequest`]",
            response: "[`RenderedMacros`]",
            when: "when a page with the macro is rendered",
        }
        /// Returns the context of a dashboard's widget to an agent.
        WIDGET_CONTEXT = widget_context as WidgetContext {
            module_type: "dashboards:widget",
            endpoint_places: &[&["aiContext", "data", "endpoint"]],
            caller: AllowedCaller::PlatformForUser,
            has_user: true,
            body_optional: true,
            payload: "JSON",
            response: "JSON",
            when: "when the context of a dashboard's widget is requested",
        }
        /// Responds for a remote agent, by Agent2Agent over JSON-RPC.
        AGENT_CONNECTOR = agent_connector as AgentConnector {
            module_type: "rovo:agentConnector",
            item: Some(&AGENT_CONNECTOR_ITEM),
            key_suffix: Some("agent"),
            endpoint_places: &[&["protocols", "agent2Agent", "jsonRpcTransport", "endpoint"]],
            preserved_places: &[
                &["protocols", "agent2Agent", "pushNotifications"],
                &["protocols", "agent2Agent", "extensions"],
            ],
            options: &[
                OptionSpec::text("name", 30, "\"Triage\"").at(&["name"]),
                OptionSpec::choices("products", values::AGENT_PRODUCTS, "[\"jira\"]").required().at(&["productContexts"]),
                OptionSpec::text("description", 255, "\"Sorts new work items\"").docs_or_none().at(&["description"]),
                OptionSpec::text("icon", 255, "\"resource:main;icon.svg\"").optional().at(&["icon"]),
                OptionSpec::texts("conversation_starters", &lists::STARTERS, "[\"Sort my inbox\"]")
                    .at(&["conversationStarters"]),
                OptionSpec::choice("version", values::AGENT_VERSIONS, "\"1.0\"").at(&["protocols", "agent2Agent", "version"]),
                OptionSpec::flag("streaming").at(&["protocols", "agent2Agent", "jsonRpcTransport", "streaming"]),
            ],
            caller: AllowedCaller::PlatformForUser,
            has_user: true,
            // Unknown: Atlassian does not document which headers of a caller arrive.
            forwards_caller_headers: true,
            payload: "[`AgentRequest`]",
            response: "[`AgentResponse`], [`AgentStream`]",
            when: "when a user writes to an agent",
        }
        /// Makes the function one of the hooks of a move to another region.
        DATA_RESIDENCY = data_residency as DataResidency {
            module_type: "migration:dataResidency",
            item: Some(&DATA_RESIDENCY_ITEM),
            key_suffix: Some("residency"),
            shared_key: Some("data-residency"),
            shared_parts: &["schedule", "start", "status", "commit", "rollback"],
            singleton: true,
            endpoint_places: &[],
            path_option: Some("hook"),
            options: &[
                OptionSpec::choice("hook", &["schedule", "start", "status", "commit", "rollback"], "\"schedule\"")
                    .required(),
                OptionSpec::shaped("max_hours", ValueShape::HalfHours { max: 48 }, "2")
                    .at(&["maxMigrationDurationHours"])
                    .or_by_hand(),
            ],
            payload: "[`ResidencyRequest`]",
            response: "[`ResidencyStatus`]",
            when: "when data moves to another region",
        }
        /// Serves a page's `invokeRemote` and `requestRemote`.
        ENDPOINT = endpoint as Endpoint {
            module_type: "endpoint",
            endpoint_places: &[RESOLVER],
            options: &[OptionSpec::texts("pages", &lists::PAGES, "[\"admin-page\"]")],
            caller: AllowedCaller::Page,
            has_user: true,
            any_method: true,
            when: "when a page calls",
        }
        /// Serves the calls of the app's Forge functions: `invokeRemote` of `@forge/api`.
        FUNCTION_CALL = function_call as FunctionCall {
            module_type: "function",
            endpoint_places: &[],
            caller: AllowedCaller::Function,
            has_user: true,
            any_method: true,
            durable: Durability::NotAllowed("the function uses its response"),
            payload: "the function's request",
            response: "the function's response",
            when: "when a function calls",
        }
    } };
}

macro_rules! table {
    ($(
        $(#[doc = $docs:literal])+
        $constant:ident = $attribute:ident as $runtime:ident { $($spec:tt)* }
    )*) => {
        $(
            $(#[doc = $docs])+
            pub const $constant: KindSpec = KindSpec {
                attribute: stringify!($attribute),
                docs: concat!($($docs),+),
                runtime: stringify!($runtime),
                $($spec)*
                ..KindSpec::DEFAULT
            };
        )*

        /// Every kind, in the order of the table.
        pub static KINDS: &[KindSpec] = &[$($constant),*];
    };
}

for_each_kind!(table);

/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/scheduled-trigger/>
const INTERVALS: Variants = Variants {
    runtime: "Interval",
    values: &values::INTERVALS,
    synonyms: &[
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
    ],
    remark: "; for a cron expression write `cron = \"30 2 * * 1-5\"`",
};

/// The conditions of a trigger, and of each of its `filtered_events`.
const CONDITIONS: OptionSet = OptionSet::of(
    "Conditions",
    &[
        OptionSpec::text(
            "filter",
            10_000,
            "\"event.issue.fields.project.key == 'ABC'\"",
        )
        .optional()
        .at(&["filter", "expression"]),
        OptionSpec::choice("on_error", values::ON_ERROR, "\"RECEIVE_AND_LOG\"")
            .at(&["filter", "onError"]),
        OptionSpec::flag("ignore_self").at(&["filter", "ignoreSelf"]),
        OptionSpec::flag("licensed_only").at(&["filter", "appIsLicensed"]),
        OptionSpec::texts(
            "property_paths",
            &lists::PROPERTY_PATHS,
            "[\"issue.properties['my-key'].field\"]",
        )
        .at(&["payload", "include", "propertyPaths"]),
        OptionSpec::texts("fields", &lists::PATHS, "[\"issue.fields.summary\"]")
            .at(&["payload", "include", "fields"]),
    ],
);

/// One event of a trigger's `filtered_events`.
const FILTERED_EVENT: OptionSet = OptionSet {
    runtime: "FilteredEvent",
    options: &[
        OptionSpec::text("event", 255, "\"avi:jira:updated:issue\"")
            .optional()
            .rule(TextRule::Event)
            .at(&["eventType"]),
        OptionSpec::text("unknown_event", 255, "\"avi:jira:invented:thing\"")
            .optional()
            .rule(TextRule::UnknownEvent)
            .at(&["eventType"]),
    ],
    nested: Some(("conditions", &CONDITIONS)),
    combination: Combination::FilteredEvent,
};

/// One response of a web trigger's `outputs`.
const OUTPUT: OptionSet = OptionSet::of(
    "StaticOutput::Full",
    &[
        OptionSpec::text("key", 255, "\"wrong\"").at(&["key"]),
        OptionSpec::shaped("status", ValueShape::Status, "400")
            .required()
            .at(&["statusCode"]),
        OptionSpec::text("content_type", 255, "\"text/plain\"")
            .optional()
            .rule(TextRule::ContentType)
            .at(&["contentType"]),
        OptionSpec::text("body", 1024, "\"What?\"")
            .optional()
            .at(&["body"]),
    ],
);

/// One of an action's `inputs`.
const INPUT: OptionSet = OptionSet::of(
    "ActionInput::Full",
    &[
        OptionSpec::text("name", 255, "\"issueKey\"").at(&["name"]),
        OptionSpec::text("title", 255, "\"Work item\"")
            .optional()
            .at(&["title"]),
        OptionSpec::choice("type", values::ACTION_VALUE_TYPES, "\"string\"")
            .required()
            .at(&["type"]),
        OptionSpec::text("description", 10_000, "\"The work item's key\"").at(&["description"]),
        OptionSpec::flag("optional")
            .at(&["required"])
            .form(Form::Negated),
    ],
);

/// Source: <https://developer.atlassian.com/platform/forge/events-reference/jira/#run-post-function-event>
const POST_FUNCTION_GRANULAR: ScopeSet = &[
    "read:avatar:jira",
    "read:comment.property:jira",
    "read:comment:jira",
    "read:field-configuration:jira",
    "read:group:jira",
    "read:issue-meta:jira",
    "read:issue-security-level:jira",
    "read:issue.changelog:jira",
    "read:issue.transition:jira",
    "read:issue.vote:jira",
    "read:issue:jira",
    "read:project-category:jira",
    "read:project-role:jira",
    "read:project:jira",
    "read:screen:jira",
    "read:status:jira",
    "read:user:jira",
    "read:webhook:jira",
    "read:workflow:jira",
];

const SCHEDULED_TRIGGER_ITEM: MappingShape = called(closed(&[
    required("key", KEY),
    optional("function", REFERENCE),
    optional("endpoint", REFERENCE),
    required("interval", Shape::Choice(&values::INTERVAL_NAMES)),
    optional(
        "filter",
        Shape::Mapping(&closed(&[required("appIsLicensed", Shape::Flag)])),
    ),
]));

const FILTER: Shape = Shape::Mapping(&MappingShape {
    properties: &[
        optional("ignoreSelf", Shape::Flag),
        optional("expression", TEXT),
        optional("onError", Shape::Choice(values::ON_ERROR)),
        optional("appIsLicensed", Shape::Flag),
    ],
    at_least_one: &["ignoreSelf", "expression", "appIsLicensed"],
    ..MappingShape::EMPTY
});

const SOME_TEXTS: Shape = list(&text(1, UNLIMITED, TextForm::Any), 1, UNLIMITED);

const PAYLOAD: Shape = Shape::Mapping(&closed(&[required(
    "include",
    Shape::Mapping(&MappingShape {
        properties: &[
            optional("propertyPaths", SOME_TEXTS),
            optional("fields", SOME_TEXTS),
        ],
        at_least_one: &["propertyPaths", "fields"],
        ..MappingShape::EMPTY
    }),
)]));

const TRIGGER_ITEM: MappingShape = called(closed(&[
    required("key", KEY),
    optional("function", REFERENCE),
    optional("endpoint", REFERENCE),
    required(
        "events",
        Shape::List(ListShape {
            item: &Shape::Either(&[
                TEXT,
                Shape::Mapping(&open(&[
                    required("eventType", TEXT),
                    required("filter", FILTER),
                    optional("payload", PAYLOAD),
                ])),
            ]),
            // An empty list is reported by another rule.
            min: 0,
            max: UNLIMITED,
            unique: false,
            uniform: true,
        }),
    ),
    optional("filter", FILTER),
    optional("payload", PAYLOAD),
]));

const CONSUMER_ITEM: MappingShape = MappingShape {
    properties: &[
        required("key", KEY),
        required("queue", text(1, 36, TextForm::Key)),
        optional("crossVersion", Shape::Flag),
        optional("function", REFERENCE),
        optional("endpoint", REFERENCE),
        optional(
            "resolver",
            Shape::Mapping(&MappingShape {
                properties: &[
                    optional("function", REFERENCE),
                    optional("method", text(1, 255, TextForm::Key)),
                    optional("workflow", SUBJECT),
                ],
                exactly_one: &[&["function", "workflow"], &["method", "workflow"]],
                ..MappingShape::EMPTY
            }),
        ),
    ],
    exactly_one: &[&["function", "endpoint", "resolver"]],
    ..MappingShape::EMPTY
};

const WEB_TRIGGER_ITEM: MappingShape = called(open(&[
    required("key", KEY),
    optional("function", REFERENCE),
    optional("endpoint", REFERENCE),
    optional(
        "request",
        Shape::Mapping(&closed(&[optional(
            "authentication",
            Shape::Choice(&["hmacSharedSecret", "none"]),
        )])),
    ),
    optional(
        "response",
        Shape::Mapping(&closed(&[
            required("type", Shape::Choice(&["static", "dynamic"])),
            optional(
                "outputs",
                list(
                    &Shape::Mapping(&closed(&[
                        required("key", text(0, 255, TextForm::Any)),
                        required(
                            "statusCode",
                            Shape::Number(NumberRange {
                                step: 1.0,
                                ..ANY_NUMBER
                            }),
                        ),
                        optional("body", text(0, 1024, TextForm::Any)),
                        optional("contentType", text(0, 255, TextForm::Any)),
                    ])),
                    0,
                    20,
                ),
            ),
        ])),
    ),
    optional("urlFormat", Shape::Choice(values::URL_FORMATS)),
]));

const PRE_UNINSTALL_ITEM: MappingShape = called(closed(&[
    required("key", KEY),
    optional("function", REFERENCE),
    optional("endpoint", REFERENCE),
]));

const VALUE_TYPE: Shape = Shape::Choice(values::ACTION_VALUE_TYPES);

const ACTION_ITEM: MappingShape = MappingShape {
    exactly_one: &[&["actionVerb", "actionType"]],
    // Atlassian's validation accepts both; another rule reports that.
    at_least_one: CALLED,
    ..open(&[
        required("key", KEY),
        optional("name", text(0, 255, TextForm::Any)),
        required("description", SUBJECT),
        optional("function", REFERENCE),
        optional("endpoint", REFERENCE),
        optional("actionVerb", Shape::Choice(values::ACTION_VERBS)),
        optional("actionType", text(1, 255, TextForm::ActionType)),
        optional("icon", TEXT),
        optional(
            "inputs",
            names(
                &Shape::Mapping(&open(&[
                    required("title", TEXT),
                    required("description", TEXT),
                    required("type", VALUE_TYPE),
                ])),
                10,
            ),
        ),
        optional(
            "outputs",
            names(
                &Shape::Mapping(&open(&[
                    required("description", TEXT),
                    required("nullable", Shape::Flag),
                    required("type", VALUE_TYPE),
                ])),
                10,
            ),
        ),
        optional(
            "outputContext",
            Shape::Mapping(&closed(&[
                required("entityName", text(1, 12, TextForm::Any)),
                required("outputType", Shape::Choice(&["OBJECT", "LIST"])),
                required("outputDomain", text(1, 12, TextForm::Domain)),
            ])),
        ),
        optional(
            "config",
            Shape::Mapping(&closed(&[
                optional("resource", RESOURCE),
                optional("render", RENDER),
            ])),
        ),
        optional("resolver", PAGE_RESOLVER),
    ])
};

const DATA_RESIDENCY_ITEM: MappingShape = closed(&[
    required("key", KEY),
    required("remote", text(1, 255, TextForm::Key)),
    optional("path", text(1, 500, TextForm::Any)),
    optional(
        "maxMigrationDurationHours",
        Shape::Number(NumberRange {
            min: 0.5,
            max: 24.0,
            step: 0.5,
        }),
    ),
]);

const JQL_FUNCTION_ITEM: MappingShape = called(open(&[
    required("key", KEY),
    optional("function", PRODUCT_REFERENCE),
    optional("endpoint", PRODUCT_REFERENCE),
    required("name", SUBJECT),
    required(
        "arguments",
        list(
            &Shape::Mapping(&open(&[
                required("name", SUBJECT),
                required("required", Shape::Flag),
            ])),
            0,
            UNLIMITED,
        ),
    ),
    required(
        "types",
        list(&Shape::Choice(values::JQL_TYPES), 0, UNLIMITED),
    ),
    required(
        "operators",
        list(&Shape::Choice(values::JQL_OPERATORS), 0, UNLIMITED),
    ),
]));

const VIEW: Shape = Shape::Mapping(&open(&[
    required("resource", RESOURCE),
    optional("render", RENDER),
]));

const WORKFLOW_POST_FUNCTION_ITEM: MappingShape = called(open(&[
    required("key", KEY),
    required("name", TITLE),
    required("description", DESCRIPTION),
    optional("function", PRODUCT_REFERENCE),
    optional("endpoint", PRODUCT_REFERENCE),
    optional("resolver", PAGE_RESOLVER),
    optional("view", VIEW),
    optional("edit", VIEW),
    optional("create", VIEW),
    optional(
        "projectTypes",
        list(&Shape::Choice(values::PROJECT_TYPES), 0, UNLIMITED),
    ),
]));

/// A name of Bitbucket's modules. Its length and translation depend on the form of the module.
const BITBUCKET_NAME: Shape = Shape::Either(&[TEXT, TRANSLATED]);

const MERGE_CHECK_ITEM: MappingShape = called(open(&[
    required("key", KEY),
    required("name", BITBUCKET_NAME),
    optional("description", BITBUCKET_NAME),
    required(
        "triggers",
        list(&Shape::Choice(values::MERGE_TRIGGERS), 1, UNLIMITED),
    ),
    optional("function", PRODUCT_REFERENCE),
    optional("endpoint", PRODUCT_REFERENCE),
]));

const DYNAMIC_PIPELINES_PROVIDER_ITEM: MappingShape = called(open(&[
    required("key", KEY),
    required("name", BITBUCKET_NAME),
    optional("description", BITBUCKET_NAME),
    optional("icon", TEXT),
    optional("function", PRODUCT_REFERENCE),
    optional("endpoint", PRODUCT_REFERENCE),
]));

const PROVIDER_NAME: Shape = Shape::Mapping(&open(&[required("value", SUBJECT)]));

const PAGE_URL: Shape = text(1, 255, TextForm::Url);

const PART: Shape = Shape::Mapping(&closed(&[required("endpoint", PRODUCT_REFERENCE)]));

const DESIGN_INFO_PROVIDER_ITEM: MappingShape = open(&[
    required("key", KEY),
    required("name", PROVIDER_NAME),
    required("homeUrl", PAGE_URL),
    optional("logoUrl", SUBJECT),
    optional("handledDomainName", SUBJECT),
    optional("documentationUrl", PAGE_URL),
    required("checkAuth", PART),
    required("getEntityByUrl", PART),
    required("onEntityAssociated", PART),
    required("onEntityDisassociated", PART),
]);

const SECURITY_INFO_PROVIDER_ITEM: MappingShape = open(&[
    required("key", KEY),
    required("name", PROVIDER_NAME),
    required("homeUrl", PAGE_URL),
    optional("logoUrl", SUBJECT),
    optional("documentationUrl", PAGE_URL),
    required("fetchWorkspaces", PART),
    required("fetchContainers", PART),
    required("searchContainers", PART),
    optional("onEntityAssociated", PART),
    optional("onEntityDisassociated", PART),
]);

const AGENT_CONNECTOR_ITEM: MappingShape = closed(&[
    required("key", KEY),
    required("name", text(1, 30, TextForm::Any)),
    optional("description", SUBJECT),
    optional("icon", SUBJECT),
    required(
        "productContexts",
        set(&Shape::Choice(values::AGENT_PRODUCTS), 1, UNLIMITED),
    ),
    optional("conversationStarters", list(&Shape::Any, 0, 3)),
    required(
        "protocols",
        Shape::Mapping(&closed(&[required("agent2Agent", AGENT_TO_AGENT)])),
    ),
]);

const AGENT_TO_AGENT: Shape = Shape::Mapping(&closed(&[
    required("version", Shape::Choice(values::AGENT_VERSIONS)),
    optional("pushNotifications", Shape::Flag),
    optional(
        "extensions",
        list(
            &Shape::Mapping(&closed(&[
                optional("uri", TEXT),
                optional("description", TEXT),
                optional("required", Shape::Flag),
                optional("params", Shape::Any),
            ])),
            0,
            UNLIMITED,
        ),
    ),
    required(
        "jsonRpcTransport",
        Shape::Mapping(&closed(&[
            required("endpoint", REFERENCE),
            optional("streaming", Shape::Flag),
        ])),
    ),
]));

/// Returns the kind of this attribute.
///
/// ```
/// use forge_remote_schema::kinds;
///
/// let kind = kinds::find("merge_check").ok_or("unknown")?;
/// assert_eq!(kind.module_type, "bitbucket:mergeCheck");
/// # Ok::<(), &str>(())
/// ```
pub fn find(attribute: &str) -> Option<&'static KindSpec> {
    KINDS.iter().find(|kind| kind.attribute == attribute)
}

/// Returns the kinds whose module the code declares.
pub fn declared() -> impl Iterator<Item = &'static KindSpec> {
    KINDS.iter().filter(|kind| kind.has_module())
}

/// Returns whether modules of this type name an endpoint that the platform calls without a user, so that
/// Forge sends no user token and the endpoint needs a route.
pub fn is_called_without_user(module_type: &str) -> bool {
    let places: &[Place] = &[&["endpoint"]];
    declared().any(|kind| {
        kind.module_type == module_type && !kind.has_user && kind.endpoint_places == places
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{pages, scopes};

    #[test]
    fn attributes_and_module_types_are_unique() {
        let attributes: BTreeSet<_> = KINDS.iter().map(|kind| kind.attribute).collect();
        let types: BTreeSet<_> = KINDS.iter().map(|kind| kind.module_type).collect();
        assert_eq!((attributes.len(), types.len()), (KINDS.len(), KINDS.len()));
    }

    #[test]
    fn every_row_is_complete_and_consistent() {
        for kind in KINDS {
            let name = kind.attribute;
            assert!(
                kind.docs.starts_with(' ') && kind.docs.ends_with('.'),
                "{name}"
            );
            assert!(
                !kind.module_type.is_empty() && !kind.when.is_empty(),
                "{name}"
            );
            for scope in kind.scopes.iter().copied().flatten() {
                assert!(scopes::is_known(scope), "{name} needs {scope}");
            }
            // The options that a row names exist.
            let mut options: Vec<_> = kind.option_names().collect();
            for option in [kind.part_option, kind.path_option].into_iter().flatten() {
                assert!(options.contains(&option), "{name} has no `{option}`");
            }
            assert_eq!(
                kind.endpoint_places.is_empty(),
                !kind.has_endpoint(),
                "{name}"
            );
            options.sort_unstable();
            assert!(
                options.is_sorted_by(|a, b| a < b),
                "{name} has an option twice"
            );
        }
    }

    #[test]
    fn hand_written_modules_are_modules_of_pages() {
        let hand_written = KINDS.iter().filter(|kind| !kind.has_module());
        let of_pages =
            hand_written.filter(|kind| !["endpoint", "function_call"].contains(&kind.attribute));
        for kind in of_pages {
            assert!(
                pages::is_module_type(kind.module_type),
                "{}",
                kind.attribute
            );
        }
    }

    #[test]
    fn modules_that_are_called_without_a_user_follow_from_the_rows() {
        let found: BTreeSet<_> = KINDS
            .iter()
            .map(|kind| kind.module_type)
            .filter(|name| is_called_without_user(name))
            .collect();
        let expected = [
            "bitbucket:dynamicPipelinesProvider",
            "bitbucket:mergeCheck",
            "consumer",
            "jira:jqlFunction",
            "jira:workflowPostFunction",
            "preUninstall",
            "scheduledTrigger",
            "trigger",
            "webtrigger",
        ];
        assert_eq!(found, expected.into());
    }
}
