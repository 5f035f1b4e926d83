//! The rules about the properties and values that Atlassian's validation accepts.

use crate::diagnostic::Rule;

pub(super) const UNKNOWN_PROPERTY: Rule = Rule::lint(
    "unknown-property",
    "Forge has no property of this name here: `forge deploy` rejects it, or accepts it without effect. In an endpoint's \
    item, Atlassian's validation accepts any property: with a misspelled `appSystemToken`, Forge sends no token. If \
    Atlassian added the property after this version, allow it.",
);

pub(super) const MISSING_PROPERTY: Rule = Rule::lint(
    "missing-property",
    "Atlassian's validation requires this property, so `forge deploy` rejects the manifest without it. Add it.",
);

pub(super) const CONFLICTING_PROPERTIES: Rule = Rule::lint(
    "conflicting-properties",
    "Atlassian's validation accepts exactly one of these properties, for example `function` or `endpoint`. \
    Remove the others.",
);

pub(super) const WRONG_TYPE: Rule = Rule::lint(
    "wrong-type",
    "The property's value has a type that Forge does not read, for example `appSystemToken: true` instead of \
    `appSystemToken: { enabled: true }`. YAML reads an unquoted `123` or `true` as a number or a boolean: quote a \
    text.",
);

pub(super) const UNKNOWN_VALUE: Rule = Rule::lint(
    "unknown-value",
    "Forge accepts only some values for this property, and `forge deploy` rejects another one. If Atlassian added the \
    value after this version, allow it.",
);

pub(super) const MALFORMED_VALUE: Rule = Rule::lint(
    "malformed-value",
    "The value has a length, characters or a range that Atlassian's validation rejects. Correct it as the \
    finding says.",
);

pub(super) const MISPLACED_SECTION: Rule = Rule::lint(
    "misplaced-section",
    "Module types, `endpoint` and `function` among them, belong under `modules`; `remotes`, `resources` and `permissions` \
    belong at the root. Forge does not read them elsewhere, although a page of Atlassian's documentation shows \
    `endpoint` at the root.",
);

pub(super) const MISPLACED_ENDPOINT: Rule = Rule::lint(
    "misplaced-endpoint",
    "Forge ignores an endpoint at this place. A page's module names its endpoint in `resolver.endpoint`, a custom \
    field's views in their own `resolver`; for other module types see the table in `forge_remote::kinds`.",
);

pub(super) const UNKNOWN_MODULE: Rule = Rule::lint(
    "unknown-module",
    "Forge has no module type of this name, and `forge deploy` rejects it. If Atlassian added the type after this \
    version, allow it.",
);
