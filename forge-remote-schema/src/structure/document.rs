//! The document, and its parts other than modules.

use super::parts::closed;
use super::shape::{
    ANY_NUMBER, AUTH, KEY, ListShape, MappingShape, Shape, TEXT, TextForm, UNLIMITED, list, names,
    optional, required, text,
};

/// The whole document. The items of `modules` have separate [shapes](super::module).
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/>
pub const DOCUMENT: MappingShape = MappingShape {
    properties: &[
        required("app", APP),
        optional("modules", names(&MODULES, UNLIMITED)),
        optional("connectModules", Shape::Any),
        optional("permissions", PERMISSIONS),
        optional("resources", list(&RESOURCE, 0, UNLIMITED)),
        optional("remotes", list(&REMOTE, 0, UNLIMITED)),
        optional("providers", Shape::Any),
        optional("environment", ENVIRONMENT),
        optional("translations", Shape::Any),
        optional("services", Shape::Any),
        optional("overrides", Shape::Any),
    ],
    at_least_one: &["modules", "connectModules"],
    ..MappingShape::EMPTY
};

/// Returns the sections that belong at the root of the document, not under `modules`.
pub fn root_sections() -> impl Iterator<Item = &'static str> {
    DOCUMENT
        .names()
        .filter(|name| !["app", "modules"].contains(name))
}

const MODULES: Shape = Shape::List(ListShape {
    item: &Shape::Any,
    min: 1,
    max: UNLIMITED,
    unique: false,
    uniform: false,
});

const PRODUCT: Shape = Shape::Mapping(&closed(&[optional("required", Shape::Flag)]));

const APP: Shape = Shape::Mapping(&closed(&[
    required("id", TEXT),
    // Atlassian's validation only warns about it.
    optional("name", TEXT),
    optional("description", text(0, 1000, TextForm::Any)),
    required(
        "runtime",
        Shape::Mapping(&closed(&[
            required(
                "name",
                Shape::Choice(&["nodejs20.x", "nodejs22.x", "nodejs24.x"]),
            ),
            optional("architecture", Shape::Choice(&["x86_64", "arm64"])),
            optional("memoryMB", Shape::Number(ANY_NUMBER)),
        ])),
    ),
    optional(
        "compatibility",
        Shape::Mapping(&closed(&[
            optional("jira", PRODUCT),
            optional("confluence", PRODUCT),
            optional("compass", PRODUCT),
            optional(
                "bitbucket",
                Shape::Mapping(&closed(&[required("required", Shape::Flag)])),
            ),
        ])),
    ),
    optional(
        "access",
        Shape::Mapping(&closed(&[required("userAccess", Shape::Flag)])),
    ),
    optional(
        "licensing",
        Shape::Mapping(&closed(&[
            required("enabled", Shape::Flag),
            optional("editionsEnabled", Shape::Flag),
            optional(
                "modes",
                list(&Shape::Choice(&["user-access"]), 0, UNLIMITED),
            ),
        ])),
    ),
    optional(
        "features",
        Shape::Mapping(&closed(&[optional("autoUserConsent", Shape::Flag)])),
    ),
    optional(
        "connect",
        Shape::Mapping(&closed(&[
            required("key", text(1, 90, TextForm::DottedKey)),
            optional("remote", KEY),
            optional("authentication", Shape::Choice(&["jwt"])),
        ])),
    ),
    optional(
        "storage",
        Shape::Mapping(&closed(&[
            optional(
                "classifications",
                list(&Shape::Choice(&["ugc", "pii", "other"]), 1, UNLIMITED),
            ),
            optional("entities", list(&Shape::Any, 1, UNLIMITED)),
        ])),
    ),
    optional(
        "package",
        Shape::Mapping(&closed(&[
            optional("bundler", Shape::Choice(&["webpack", "manual@2026"])),
            optional("path", TEXT),
            optional("extraFiles", list(&TEXT, 0, UNLIMITED)),
        ])),
    ),
]));

/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/resources/>
const RESOURCE: Shape = Shape::Mapping(&closed(&[
    required("key", text(1, 23, TextForm::Key)),
    required("path", TEXT),
    optional("bundler", Shape::Choice(&["manual@2026"])),
    optional("entry", names(&TEXT, 50)),
    optional(
        "tunnel",
        Shape::Mapping(&closed(&[required("port", Shape::Number(ANY_NUMBER))])),
    ),
]));

const URL: Shape = text(1, UNLIMITED, TextForm::Any);

/// The URLs of a remote's regions.
const REGIONS: Shape = Shape::Mapping(&closed(&[
    required("default", URL),
    optional("EU", URL),
    optional("US", URL),
    optional("AU", URL),
    optional("DE", URL),
    optional("SG", URL),
    optional("CA", URL),
    optional("IN", URL),
    optional("KR", URL),
    optional("JP", URL),
    optional("GB", URL),
    optional("CH", URL),
]));

/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/remotes/>
const REMOTE: Shape = Shape::Mapping(&MappingShape {
    properties: &[
        required("key", KEY),
        optional("baseUrl", Shape::Either(&[TEXT, REGIONS])),
        optional(
            "operations",
            list(
                &Shape::Choice(&["storage", "other", "compute", "fetch"]),
                1,
                UNLIMITED,
            ),
        ),
        optional("auth", AUTH),
        optional(
            "storage",
            Shape::Mapping(&closed(&[required("inScopeEUD", Shape::Flag)])),
        ),
        optional(
            "configurable",
            Shape::Mapping(&closed(&[
                required("name", TEXT),
                required("description", TEXT),
                optional("supportedPatterns", list(&TEXT, 1, UNLIMITED)),
            ])),
        ),
    ],
    at_least_one: &["baseUrl", "configurable"],
    ..MappingShape::EMPTY
});

const VARIABLE: Shape = text(1, UNLIMITED, TextForm::Variable);

/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/environment/>
const ENVIRONMENT: Shape = Shape::Mapping(&closed(&[optional(
    "variables",
    list(
        &Shape::Either(&[
            VARIABLE,
            Shape::Mapping(&closed(&[
                required("key", VARIABLE),
                required("default", TEXT),
            ])),
        ]),
        0,
        UNLIMITED,
    ),
)]));

const ADDRESS: Shape = text(0, 1000, TextForm::Address);
const DESCRIBED_ADDRESS: Shape = Shape::Mapping(&closed(&[
    required("address", ADDRESS),
    optional("category", Shape::Choice(&["analytics"])),
    optional("inScopeEUD", Shape::Flag),
]));
const ADDRESSES: Shape = list(&Shape::Either(&[ADDRESS, DESCRIBED_ADDRESS]), 0, UNLIMITED);
const FETCHED_REMOTE: Shape =
    Shape::Mapping(&closed(&[required("remote", text(0, 1000, TextForm::Any))]));
const FETCHES: Shape = list(
    &Shape::Either(&[ADDRESS, DESCRIBED_ADDRESS, FETCHED_REMOTE]),
    0,
    UNLIMITED,
);

/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/permissions/>
const PERMISSIONS: Shape = Shape::Mapping(&closed(&[
    optional("enforcement", Shape::Choice(&["app-managed"])),
    optional(
        "scopes",
        Shape::Either(&[
            list(&TEXT, 0, UNLIMITED),
            names(
                &Shape::Mapping(&closed(&[optional("allowImpersonation", Shape::Flag)])),
                UNLIMITED,
            ),
        ]),
    ),
    optional(
        "content",
        Shape::Mapping(&closed(&[
            optional(
                "scripts",
                list(&text(0, 128, TextForm::ScriptSource), 0, UNLIMITED),
            ),
            optional(
                "styles",
                list(&Shape::Choice(&["unsafe-inline"]), 0, UNLIMITED),
            ),
        ])),
    ),
    optional(
        "external",
        Shape::Mapping(&closed(&[
            optional(
                "fetch",
                Shape::Mapping(&closed(&[
                    optional("backend", FETCHES),
                    optional("client", FETCHES),
                ])),
            ),
            optional("fonts", ADDRESSES),
            optional("frames", ADDRESSES),
            optional("navigation", ADDRESSES),
            optional("images", ADDRESSES),
            optional("media", ADDRESSES),
            optional("scripts", ADDRESSES),
            optional("styles", ADDRESSES),
            optional(
                "configurable",
                Shape::Mapping(&closed(&[required("enabled", Shape::Flag)])),
            ),
        ])),
    ),
    optional(
        "sandbox",
        list(
            &Shape::Choice(&["allow-storage-access-by-user-activation"]),
            0,
            UNLIMITED,
        ),
    ),
]));
