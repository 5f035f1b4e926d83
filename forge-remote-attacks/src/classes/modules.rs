//! The module type, by which the platform's FITs differ from those of pages.

use crate::{Cases, Scene};

/// Types that are in no list of pages: new modules, and possible types of events.
const OTHERS: [&str; 8] = [
    "core:trigger",
    "trigger",
    "confluence:customContent",
    "rovo:mcp",
    "jiraServiceManagement:invented",
    "Macro",
    "xen",
    "",
];

pub(super) fn page_module(scene: &Scene, cases: &mut Cases) {
    for module_type in [
        "xen:macro",
        "xen:jiraServiceManagement:portalFooter",
        "xen:invented",
        "jiraServiceManagement:portalFooter",
        "jiraServiceManagement:portalHeader",
        "confluence:globalPage",
        "jira:issuePanel",
        "dashboards:widget",
        "macro",
    ] {
        let fit = scene.fit().claim("/app/module/type", module_type);
        cases.rejected(module_type, || fit.token());
    }
}

/// The platform names `core:endpoint`, or the module whose endpoint is the handler.
pub(super) fn unknown_module(scene: &Scene, cases: &mut Cases) {
    let own = scene.fit().claim("/app/module/type", "scheduledTrigger");
    cases.accepted("its own", &own, || own.token());
    let other = own.claim("/app/module/key", "other");
    cases.rejected("its own type, another's key", || other.token());
    for module_type in OTHERS {
        let fit = scene.fit().claim("/app/module/type", module_type);
        cases.rejected(module_type, || fit.token());
    }
    cases.rejected("no module", || scene.fit().without("/app/module").token());
    cases.rejected("no type", || {
        scene.fit().without("/app/module/type").token()
    });
}
