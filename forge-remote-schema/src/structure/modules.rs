//! The items of the modules that name an endpoint, a remote or an action, and of `function`, `sql` and `llm`.

use super::shape::{
    AUTH, KEY, ListShape, MappingShape, NamesShape, NumberRange, Property, Shape, TEXT, TextForm,
    UNLIMITED, list, optional, required, set, text,
};
use crate::atlassian::{MODULE_TYPES, PAGE_MODULES, PAGE_PROPERTIES};
use crate::values;

/// Returns every module type of Forge, sorted.
pub fn module_types() -> impl Iterator<Item = &'static str> + Clone {
    MODULE_TYPES.iter().copied()
}

/// Returns whether Forge has a module type of this name.
///
/// ```
/// assert!(forge_remote_schema::structure::is_module_type("jira:issuePanel"));
/// ```
pub fn is_module_type(name: &str) -> bool {
    MODULE_TYPES.binary_search(&name).is_ok()
}

/// Returns the shape of the items of a module type, if the tables describe it.
///
/// ```
/// use forge_remote_schema::structure;
///
/// assert!(structure::module("jira:issuePanel").is_some());
/// assert!(structure::module("compass:dataProvider").is_none());
/// ```
pub fn module(module_type: &str) -> Option<&'static MappingShape> {
    let row = TABLE.iter().find(|(name, _)| *name == module_type);
    match row {
        Some((_, shape)) => Some(shape),
        None => PAGE_MODULES
            .binary_search(&module_type)
            .is_ok()
            .then_some(&PAGE),
    }
}

/// Returns the properties that every module of this page type must have, in addition to its key.
pub fn required_of_page(module_type: &str) -> &'static [&'static str] {
    let row = PAGE_PROPERTIES
        .iter()
        .find(|(name, _)| *name == module_type);
    row.map_or(&[], |(_, required)| required)
}

const REFERENCE: Shape = text(1, 255, TextForm::DottedKey);
const PRODUCT_REFERENCE: Shape = text(1, 255, TextForm::Key);

const CALLED: &[&str] = &["function", "endpoint"];
const SUBJECT: Shape = text(1, 255, TextForm::Any);

const fn closed(properties: &'static [Property]) -> MappingShape {
    MappingShape {
        properties,
        ..MappingShape::EMPTY
    }
}

const fn open(properties: &'static [Property]) -> MappingShape {
    MappingShape {
        properties,
        open: true,
        ..MappingShape::EMPTY
    }
}

const fn called(shape: MappingShape) -> MappingShape {
    MappingShape {
        exactly_one: &[CALLED],
        ..shape
    }
}

/// The handler of a page's calls, in a page's module or in a view of it.
pub const RESOLVER: Shape = Shape::Mapping(&called(closed(&[
    optional("function", PRODUCT_REFERENCE),
    optional("endpoint", PRODUCT_REFERENCE),
])));
const FUNCTION_RESOLVER: Shape =
    Shape::Mapping(&closed(&[required("function", PRODUCT_REFERENCE)]));
const RESOURCE: Shape = text(1, 47, TextForm::ResourceReference);
const RENDER: Shape = Shape::Choice(&["default", "native"]);

/// A text, or the key of a translation.
const TITLE: Shape = Shape::Either(&[SUBJECT, TRANSLATED]);
const DESCRIPTION: Shape = Shape::Either(&[text(1, 1000, TextForm::Any), TRANSLATED]);
const TRANSLATED: Shape = Shape::Mapping(&closed(&[required(
    "i18n",
    text(1, 300, TextForm::Translation),
)]));

/// The properties that the modules of pages share. Their other properties are the frontend's.
const PAGE: MappingShape = open(&[
    required("key", KEY),
    optional("title", TITLE),
    optional("resource", RESOURCE),
    optional("render", RENDER),
    optional("resolver", RESOLVER),
]);

const ENDPOINT: MappingShape = MappingShape {
    properties: &[
        required("key", KEY),
        optional("remote", text(1, 255, TextForm::Key)),
        optional("service", text(1, 25, TextForm::Service)),
        optional("route", Shape::Mapping(&closed(&[required("path", TEXT)]))),
        optional("auth", AUTH),
    ],
    exactly_one: &[&["remote", "service"]],
    ..MappingShape::EMPTY
};

const SCHEDULED_TRIGGER: MappingShape = called(closed(&[
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

const TRIGGER: MappingShape = called(closed(&[
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

const CONSUMER: MappingShape = MappingShape {
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

const ANY_NUMBER: NumberRange = NumberRange {
    min: f64::MIN,
    max: f64::MAX,
    step: 0.0,
};
const WEB_TRIGGER: MappingShape = called(open(&[
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

const PRE_UNINSTALL: MappingShape = called(closed(&[
    required("key", KEY),
    optional("function", REFERENCE),
    optional("endpoint", REFERENCE),
]));

const VALUE_TYPE: Shape = Shape::Choice(values::ACTION_VALUE_TYPES);
const ACTION: MappingShape = MappingShape {
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
            Shape::Names(NamesShape {
                value: &Shape::Mapping(&open(&[
                    required("title", TEXT),
                    required("description", TEXT),
                    required("type", VALUE_TYPE),
                ])),
                max: 10,
            }),
        ),
        optional(
            "outputs",
            Shape::Names(NamesShape {
                value: &Shape::Mapping(&open(&[
                    required("description", TEXT),
                    required("nullable", Shape::Flag),
                    required("type", VALUE_TYPE),
                ])),
                max: 10,
            }),
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
        optional("resolver", RESOLVER),
    ])
};

const DATA_RESIDENCY: MappingShape = closed(&[
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

const JQL_FUNCTION: MappingShape = called(open(&[
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
const POST_FUNCTION: MappingShape = called(open(&[
    required("key", KEY),
    required("name", TITLE),
    required("description", DESCRIPTION),
    optional("function", PRODUCT_REFERENCE),
    optional("endpoint", PRODUCT_REFERENCE),
    optional("resolver", RESOLVER),
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
const MERGE_CHECK: MappingShape = called(open(&[
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
const PIPELINES_PROVIDER: MappingShape = called(open(&[
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
const DESIGN_PROVIDER: MappingShape = open(&[
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
const SECURITY_PROVIDER: MappingShape = open(&[
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

const AGENT_CONNECTOR: MappingShape = closed(&[
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

const STATIC_EXPORT: Shape = Shape::Mapping(&called(closed(&[
    optional("function", PRODUCT_REFERENCE),
    optional("endpoint", PRODUCT_REFERENCE),
    optional(
        "concurrency",
        Shape::Number(NumberRange {
            min: 1.0,
            max: f64::MAX,
            step: 1.0,
        }),
    ),
    optional(
        "cacheConfiguration",
        Shape::Mapping(&closed(&[required(
            "keyComposition",
            set(&Shape::Choice(CACHE_KEYS), 1, UNLIMITED),
        )])),
    ),
])));
const CACHE_KEYS: &[&str] = &[
    "macro.id",
    "macro.body",
    "macro.params",
    "content.id",
    "content.type",
    "content.version",
    "space.id",
];
const MACRO: MappingShape = open(&[
    required("key", KEY),
    required("title", TITLE),
    optional("resource", RESOURCE),
    optional("render", RENDER),
    optional("resolver", RESOLVER),
    optional("static", STATIC_EXPORT),
    optional("adfExport", FUNCTION_RESOLVER),
    // The frontend's, without a separate resolver.
    optional("config", Shape::Any),
]);

const WIDGET: MappingShape = closed(&[
    required("key", KEY),
    required("title", SUBJECT),
    required("description", text(1, 1000, TextForm::Any)),
    required("thumbnail", SUBJECT),
    required("resource", text(1, 23, TextForm::Key)),
    optional("render", RENDER),
    optional(
        "edit",
        Shape::Mapping(&open(&[
            required("resource", text(1, 23, TextForm::Key)),
            optional("render", RENDER),
        ])),
    ),
    optional("resolver", RESOLVER),
    optional(
        "aiContext",
        Shape::Mapping(&open(&[required("data", RESOLVER)])),
    ),
]);

/// Atlassian's documentation shows `resolver.endpoint`; its validation accepts only a function.
const CUSTOM_CONTENT: MappingShape = open(&[
    required("key", KEY),
    optional("resolver", FUNCTION_RESOLVER),
]);

const FUNCTION: MappingShape = closed(&[
    required("key", KEY),
    required("handler", text(1, 1024, TextForm::Any)),
    optional("cleanup", Shape::Flag),
    optional("outboundAuthContainerId", text(1, 1024, TextForm::Any)),
    optional("functions", Shape::Any),
    optional("providers", Shape::Any),
    optional(
        "timeoutSeconds",
        Shape::Number(NumberRange {
            min: 1.0,
            max: 900.0,
            step: 0.0,
        }),
    ),
    optional(
        "runtime",
        Shape::Mapping(&closed(&[optional(
            "memoryMB",
            Shape::Number(NumberRange {
                min: 128.0,
                max: 4096.0,
                step: 0.0,
            }),
        )])),
    ),
]);

const AGENT: MappingShape = closed(&[
    required("key", KEY),
    required("name", text(1, 30, TextForm::Any)),
    required("prompt", text(1, UNLIMITED, TextForm::Any)),
    optional("description", SUBJECT),
    optional("icon", SUBJECT),
    optional("followUpPrompt", text(1, UNLIMITED, TextForm::Any)),
    optional(
        "conversationStarters",
        set(&text(1, 85, TextForm::Any), 1, UNLIMITED),
    ),
    optional("actions", set(&REFERENCE, 1, UNLIMITED)),
    optional("skills", set(&KEY, 1, UNLIMITED)),
]);
const ACTION_PROVIDER: MappingShape = closed(&[
    required("key", KEY),
    required("actions", set(&REFERENCE, 1, 20)),
]);

const TOOLS: Shape = set(&text(1, 64, TextForm::DottedKey), 1, 50);
const MCP: MappingShape = closed(&[
    required("key", KEY),
    required("name", text(1, 30, TextForm::Any)),
    required("tools", TOOLS),
]);
const SKILL: MappingShape = closed(&[
    required("key", KEY),
    optional("name", TEXT),
    optional("description", TEXT),
    required(
        "source",
        Shape::Mapping(&closed(&[
            required("dir", text(1, UNLIMITED, TextForm::Any)),
            optional("dirId", TEXT),
        ])),
    ),
    optional(
        "dependencies",
        Shape::Mapping(&closed(&[required("tools", set(&REFERENCE, 1, UNLIMITED))])),
    ),
]);
const SQL: MappingShape = closed(&[
    required("key", KEY),
    required("engine", Shape::Choice(&["mysql"])),
    optional("dareCompliant", Shape::Flag),
]);
const LLM: MappingShape = closed(&[
    required("key", KEY),
    required("model", list(&Shape::Choice(&["claude"]), 0, UNLIMITED)),
    optional("modelDisplayNames", list(&Shape::Any, 0, UNLIMITED)),
]);

const TABLE: &[(&str, MappingShape)] = &[
    ("endpoint", ENDPOINT),
    ("function", FUNCTION),
    ("scheduledTrigger", SCHEDULED_TRIGGER),
    ("trigger", TRIGGER),
    ("consumer", CONSUMER),
    ("webtrigger", WEB_TRIGGER),
    ("preUninstall", PRE_UNINSTALL),
    ("action", ACTION),
    ("migration:dataResidency", DATA_RESIDENCY),
    ("jira:jqlFunction", JQL_FUNCTION),
    ("jira:workflowPostFunction", POST_FUNCTION),
    ("bitbucket:mergeCheck", MERGE_CHECK),
    ("bitbucket:dynamicPipelinesProvider", PIPELINES_PROVIDER),
    ("devops:designInfoProvider", DESIGN_PROVIDER),
    ("devops:securityInfoProvider", SECURITY_PROVIDER),
    ("rovo:agentConnector", AGENT_CONNECTOR),
    ("rovo:agent", AGENT),
    ("automation:actionProvider", ACTION_PROVIDER),
    ("rovo:mcp", MCP),
    ("rovo:skill", SKILL),
    ("sql", SQL),
    ("llm", LLM),
    ("macro", MACRO),
    ("dashboards:widget", WIDGET),
    ("confluence:customContent", CUSTOM_CONTENT),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    #[test]
    fn every_described_type_is_a_module_of_forge() {
        assert!(MODULE_TYPES.is_sorted_by(|a, b| a < b));
        for (name, _) in TABLE {
            assert!(is_module_type(name), "{name}");
        }
        for name in PAGE_MODULES {
            assert!(is_module_type(name), "{name}");
        }
    }

    #[test]
    fn every_kind_has_a_shape_for_its_module() {
        for kind in kinds::KINDS.iter().filter(|kind| kind.has_module()) {
            assert!(module(kind.module_type).is_some(), "{}", kind.module_type);
        }
    }
}
