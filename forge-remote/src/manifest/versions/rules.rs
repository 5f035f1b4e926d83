//! The table of Atlassian's rules about versions: the change, the version, the reason and the source.

use std::fmt;

use crate::diagnostic::Rule;

/// The version that `forge deploy` creates for a change.
/// Source: <https://developer.atlassian.com/platform/forge/versions/>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionLevel {
    /// Forge upgrades every installation automatically.
    Minor,
    /// The admin of each installation must consent to the upgrade. Until then the installation stays
    /// on its version.
    Major,
}

impl VersionLevel {
    /// Returns the consequence of a version of this level for installations, with or without
    /// [app-managed permissions](super::is_app_managed).
    pub(crate) fn consequence(self, is_app_managed: bool) -> &'static str {
        match self {
            Self::Minor => "Forge upgrades every installation automatically",
            Self::Major if is_app_managed => {
                "with `permissions.enforcement: app-managed`, Forge upgrades the code of every installation, and only \
                 the new permissions wait for the consent of its admin"
            }
            Self::Major => {
                "it needs the consent of each installation's admin, and until then the installation stays on its \
                 version"
            }
        }
    }
}

impl fmt::Display for VersionLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

/// A rule about versions.
pub(super) struct VersionRule {
    /// Its code, and the reason for the version.
    pub(super) rule: Rule,
    pub(super) level: VersionLevel,
    /// The page with the rule.
    pub(super) source: &'static str,
}

impl VersionRule {
    const fn major(code: &'static str, source: &'static str, reason: &'static str) -> Self {
        Self {
            rule: Rule::version(code, reason),
            level: VersionLevel::Major,
            source,
        }
    }

    const fn minor(code: &'static str, source: &'static str, reason: &'static str) -> Self {
        Self {
            level: VersionLevel::Minor,
            ..Self::major(code, source, reason)
        }
    }
}

const VERSIONS: &str =
    "https://developer.atlassian.com/platform/forge/versions/#major-version-upgrades";
const MINOR: &str =
    "https://developer.atlassian.com/platform/forge/versions/#minor-version-upgrades";
const REMOTES: &str = "https://developer.atlassian.com/platform/forge/manifest-reference/remotes/#major-version-upgrades";
const REMOTES_MINOR: &str =
    "https://developer.atlassian.com/platform/forge/manifest-reference/remotes/#minor-upgrades";
const ENDPOINT: &str =
    "https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/";
const USER_DATA: &str = "https://developer.atlassian.com/platform/forge/in-scope-end-user-data/#impact-on-app-versioning";
const MODULES: &str = "https://developer.atlassian.com/platform/adopting-forge-from-connect/versioning-in-connect-vs-forge/";

macro_rules! rules {
    ($($name:ident = $level:ident($code:literal, $source:ident, $reason:literal);)*) => {
        $(pub(super) const $name: VersionRule = VersionRule::$level($code, $source, $reason);)*

        /// Every rule.
        pub(super) const RULES: &[&VersionRule] = &[$(&$name),*];
    };
}

rules! {
    REMOTE_ADDED = major("remote-added", REMOTES,
        "the app uses a new back end, and admins must be notified of each before data goes there");
    BASE_URL_CHANGED = major("base-url-changed", REMOTES,
        "the app sends data to a new back end, so admins must consent again");
    REGION_ADDED = major("region-added", REMOTES,
        "the app sends data to a new back end in another region, so admins must consent again");
    REGION_REMOVED = major("region-removed", REMOTES,
        "data in the removed region may be lost to its users if it does not move to the default location");
    REMOTE_STORES_USER_DATA = major("remote-stores-user-data", REMOTES,
        "the remote now stores in-scope end-user data; a remote without `operations` counts as one that does");
    REMOTE_CUSTOMER_MANAGED = major("remote-customer-managed", REMOTES,
        "admins can now configure the remote, so data can go to custom locations");
    REMOTE_EXTENDED = major("remote-extended", REMOTES,
        "an update that expands an existing remote's scope needs the admins' consent");
    ENDPOINT_CHANGED = major("endpoint-changed", ENDPOINT,
        "modifying the endpoint entries results in a major version, and users must consent to the app's permissions again");
    ENDPOINT_ADDED = major("endpoint-added", ENDPOINT,
        "modifying the endpoint entries results in a major version, and Atlassian's documentation makes no exception \
         for an added entry; `forge lint` shows what Forge decides");
    ENDPOINT_REMOVED = major("endpoint-removed", ENDPOINT,
        "modifying the endpoint entries results in a major version, and Atlassian's documentation makes no exception \
         for a removed entry; `forge lint` shows what Forge decides");
    SCOPE_ADDED = major("scope-added", VERSIONS,
        "a new scope: each site's admin is asked to consent");
    SCOPE_REMOVED = major("scope-removed", VERSIONS,
        "every modification of the scopes is a major version, the removal of one included");
    SCOPE_IMPERSONATION = major("scope-impersonation", VERSIONS,
        "modifying a scope's permission, such as the permission to act for absent users, is a major version");
    CONTENT_ADDED = major("content-added", VERSIONS,
        "an added content security policy option needs the admins' consent");
    EGRESS_ADDED = major("egress-added", VERSIONS,
        "an added address or option of the external permissions needs the admins' consent");
    EGRESS_CATEGORY = major("egress-category", VERSIONS,
        "adding or modifying the category of an egress permission is a major version");
    EGRESS_USER_DATA = major("egress-user-data", USER_DATA,
        "in-scope end-user data leaves the app for the first time");
    CUSTOMER_MANAGED_EGRESS = major("customer-managed-egress", VERSIONS,
        "enabling customer-managed egress (`permissions.external.configurable`) is a major version");
    DYNAMIC_WEB_TRIGGER = major("dynamic-web-trigger", VERSIONS,
        "adding a dynamic web trigger, or making a static one dynamic, is a major version");
    LICENSING_ENABLED = major("licensing-enabled", VERSIONS,
        "enabling licensing creates a version that requires approval of the Marketplace listing");
    PROVIDER_CHANGED = major("provider-changed", VERSIONS,
        "adding or removing a provider, or changing its client id, is a major version");

    REMOTE_WITHOUT_URL = minor("remote-without-url", REMOTES_MINOR,
        "a customer-managed remote without a `baseUrl` sends no data until an administrator opts in");
    REMOTE_DECLARED = minor("remote-declared", REMOTES_MINOR,
        "the address moved from `fetch.backend` to `remotes`, which does not change where data goes");
    REMOTE_REMOVED = minor("remote-removed", REMOTES_MINOR,
        "removing a remote decreases the app's scope");
    REMOTE_REDUCED = minor("remote-reduced", REMOTES_MINOR,
        "an update that decreases an existing remote's scope is a minor version");
    BASE_URL_FORM = minor("base-url-form", REMOTES_MINOR,
        "another form of `baseUrl` without new addresses does not change where data goes");
    EGRESS_USER_DATA_AGAIN = minor("egress-user-data-again", USER_DATA,
        "another egress permission has `inScopeEUD: true` already");
    PERMISSION_REDUCED = minor("permission-reduced", VERSIONS,
        "only added or swapped entries of these permissions are major changes");
    MODULE_ADDED = minor("module-added", MODULES,
        "adding a Forge module requires no admin approval");
    MODULE_CHANGED = minor("module-changed", MODULES,
        "updating a Forge module requires no admin approval");
    MODULE_REMOVED = minor("module-removed", MODULES,
        "removing a Forge module requires no admin approval");
    OTHER_CHANGE = minor("other-change", MINOR,
        "no rule by Atlassian makes this a major version, and every other change is minor");
}
