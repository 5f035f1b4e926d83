//! An anonymous visitor's token has no principal: what tells it from the platform's is its module's
//! type, and Atlassian's pages don't say that each begins with `xen:`.

#![allow(clippy::unwrap_used)]

use forge_remote::fit::{EndpointBinding, Verification};
use forge_remote_tests::jws::published;
use forge_remote_tests::report::Report;
use forge_remote_tests::rig::Rig;
use forge_remote_tests::source::Answer;

async fn with(policy: Verification) -> Rig {
    let keys = Answer::Keys(published());
    Rig::with(keys, |app| app.verification(policy)).await
}

#[tokio::test]
async fn a_pages_type_is_refused_where_only_the_platform_calls() {
    let rig = Rig::start().await;
    let mut report = Report::new("types of pages");
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
        let fit = rig.fit().claim("/app/module/type", module_type);
        report.case(module_type, rig.refused(&fit.token()).await);
    }
    report.finish();
}

/// What isn't known to be a page's is let in as before: no token of an event has been seen.
#[tokio::test]
async fn another_type_is_let_in_unless_the_binding_is_strict() {
    let rig = Rig::start().await;
    let strict = Verification::default().binding(EndpointBinding::Strict);
    let strict = with(strict).await;
    for module_type in [
        "core:trigger",
        "trigger",
        "jiraServiceManagement:invented",
        "Macro",
        "xen",
    ] {
        let fit = rig.fit().claim("/app/module/type", module_type);
        assert_eq!(rig.status(&fit.token()).await, 200, "{module_type}");
        let fit = strict.fit().claim("/app/module/type", module_type);
        assert_eq!(strict.status(&fit.token()).await, 401, "{module_type}");
    }
}

/// The escape hatch for a change of the platform's.
#[tokio::test]
async fn a_pages_type_is_taken_where_the_principal_alone_counts() {
    let loose = Verification::default().binding(EndpointBinding::PrincipalOnly);
    let rig = with(loose).await;
    let fit = rig.fit().claim("/app/module/type", "confluence:globalPage");
    assert_eq!(rig.status(&fit.token()).await, 200);
    let fit = fit.claim("/principal", "712020:someone");
    assert_eq!(rig.status(&fit.token()).await, 401);
}
