//! The items of modules. Those of the kinds are in the table of kinds; here are those of hand-written modules.

use super::parts::{
    FUNCTION_RESOLVER, PRODUCT_REFERENCE, REFERENCE, RENDER, RESOLVER, RESOURCE, SUBJECT, TITLE,
    called, closed, open,
};
use super::shape::{
    AUTH, KEY, MappingShape, NumberRange, Shape, TEXT, TextForm, UNLIMITED, list, optional,
    required, set, text,
};
use crate::atlassian::{MODULE_TYPES, PAGE_MODULES, PAGE_PROPERTIES};
use crate::kinds::KINDS;

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
    let of_kind = KINDS.iter().find(|kind| kind.module_type == module_type);
    let of_table = || TABLE.iter().find(|(name, _)| *name == module_type);
    let is_page = || PAGE_MODULES.binary_search(&module_type).is_ok();
    of_kind
        .and_then(|kind| kind.item)
        .or_else(|| of_table().map(|(_, shape)| shape))
        .or_else(|| is_page().then_some(&PAGE))
}

/// Returns the properties that every module of this page type must have, in addition to its key.
pub fn required_of_page(module_type: &str) -> &'static [&'static str] {
    let row = PAGE_PROPERTIES
        .iter()
        .find(|(name, _)| *name == module_type);
    row.map_or(&[], |(_, required)| required)
}

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

/// The hand-written modules that have more than a page's properties.
const TABLE: &[(&str, MappingShape)] = &[
    ("endpoint", ENDPOINT),
    ("function", FUNCTION),
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
        for kind in KINDS.iter().filter(|kind| kind.has_module()) {
            assert!(kind.item.is_some(), "{}", kind.attribute);
            let has_row = TABLE.iter().any(|(name, _)| *name == kind.module_type);
            assert!(!has_row, "{} has two shapes", kind.attribute);
        }
    }
}
