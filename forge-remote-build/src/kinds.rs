//! The attributes and what each makes of a handler: one line a kind, as the macros and the runtime
//! have it. A test of the workspace (`tests/tests/manifest/stale_build.rs`) holds the three together.

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kind {
    /// Its name.
    pub attribute: &'static str,
    /// The type of its module, and what ends the module's default key; `None` for a kind that has
    /// an endpoint alone.
    pub module: Option<(&'static str, &'static str)>,
    /// The key of a module that several functions make together.
    pub shared: Option<&'static str>,
    /// The option whose value ends the path; such a kind has no endpoint.
    pub below: Option<&'static str>,
    /// Whether the module's item has `endpoint` itself.
    pub names_endpoint: bool,
    /// The option whose value names the property that has it instead.
    pub part: Option<&'static str>,
    /// Options with a string, each with the module's property that says the same.
    pub properties: &'static [(&'static str, &'static str)],
}

const fn kind(attribute: &'static str) -> Kind {
    Kind {
        attribute,
        module: None,
        shared: None,
        below: None,
        names_endpoint: false,
        part: None,
        properties: &[],
    }
}

const fn module(attribute: &'static str, module: &'static str, suffix: &'static str) -> Kind {
    Kind {
        module: Some((module, suffix)),
        names_endpoint: true,
        ..kind(attribute)
    }
}

const fn with(kind: Kind, properties: &'static [(&'static str, &'static str)]) -> Kind {
    Kind { properties, ..kind }
}

const fn shared(kind: Kind, key: &'static str) -> Kind {
    Kind {
        shared: Some(key),
        names_endpoint: false,
        ..kind
    }
}

const fn in_parts(kind: Kind, option: &'static str) -> Kind {
    Kind {
        part: Some(option),
        ..kind
    }
}

const NAME: &[(&str, &str)] = &[("name", "name")];

/// All of them.
pub const KINDS: &[Kind] = &[
    kind("endpoint"),
    kind("static_macro"),
    kind("widget_context"),
    with(
        module("scheduled_trigger", "scheduledTrigger", "trigger"),
        &[("interval", "interval")],
    ),
    module("trigger", "trigger", "trigger"),
    module("pre_uninstall", "preUninstall", "pre-uninstall"),
    with(
        module("consumer", "consumer", "consumer"),
        &[("queue", "queue")],
    ),
    with(
        module("web_trigger", "webtrigger", "webtrigger"),
        &[("url_format", "urlFormat")],
    ),
    with(
        module("action", "action", "action"),
        &[("verb", "actionVerb"), ("name", "name")],
    ),
    with(module("jql_function", "jira:jqlFunction", "jql"), NAME),
    with(
        module(
            "workflow_post_function",
            "jira:workflowPostFunction",
            "post-function",
        ),
        NAME,
    ),
    with(
        module("merge_check", "bitbucket:mergeCheck", "merge-check"),
        NAME,
    ),
    with(
        module(
            "dynamic_pipelines_provider",
            "bitbucket:dynamicPipelinesProvider",
            "pipelines",
        ),
        NAME,
    ),
    in_parts(
        shared(
            module(
                "design_info_provider",
                "devops:designInfoProvider",
                "designs",
            ),
            "design-info-provider",
        ),
        "function",
    ),
    in_parts(
        shared(
            module(
                "security_info_provider",
                "devops:securityInfoProvider",
                "security",
            ),
            "security-info-provider",
        ),
        "function",
    ),
    with(
        Kind {
            names_endpoint: false,
            ..module("agent_connector", "rovo:agentConnector", "agent")
        },
        NAME,
    ),
    Kind {
        below: Some("hook"),
        ..shared(
            module("data_residency", "migration:dataResidency", "residency"),
            "data-residency",
        )
    },
];
