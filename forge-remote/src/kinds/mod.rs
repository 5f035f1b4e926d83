//! One file for each kind of invocation: its options, its module in the manifest, its payload and
//! its answer.
//!
//! | in the manifest | attribute | takes | answers |
//! | --- | --- | --- | --- |
//! | `scheduledTrigger` | [`scheduled_trigger`](macro@crate::scheduled_trigger) | nothing, or [`ScheduledEvent`] | nothing |
//! | `trigger` | [`trigger`](macro@crate::trigger) | [`Event<T>`], of [`LifecycleEvent`], [`IssueEvent`], [`PageEvent`] or a type of yours | nothing |
//! | `preUninstall` | [`pre_uninstall`](macro@crate::pre_uninstall) | [`UninstallEvent`] | nothing |
//! | `consumer` | [`consumer`](macro@crate::consumer) | [`QueueEvent<T>`] | nothing |
//! | `webtrigger` | [`web_trigger`](macro@crate::web_trigger) | [`WebTriggerRequest`] | [`WebTriggerResponse`], [`WebTriggerOutput`] |
//! | `action` | [`action`](macro@crate::action) | [`ActionRequest<T>`] | JSON |
//! | `jira:jqlFunction` | [`jql_function`](macro@crate::jql_function) | [`JqlFunctionRequest`] | [`JqlFunctionResponse`] |
//! | `jira:workflowPostFunction` | [`workflow_post_function`](macro@crate::workflow_post_function) | [`PostFunctionRequest`] | nothing |
//! | `bitbucket:mergeCheck` | [`merge_check`](macro@crate::merge_check) | [`MergeCheckRequest`] | [`MergeCheckResponse`] |
//! | `bitbucket:dynamicPipelinesProvider` | [`dynamic_pipelines_provider`](macro@crate::dynamic_pipelines_provider) | [`PipelinesRequest`] | [`PipelinesResponse`] |
//! | `devops:designInfoProvider` | [`design_info_provider`](macro@crate::design_info_provider), one a function | [`DesignRequest`] | JSON |
//! | `devops:securityInfoProvider` | [`security_info_provider`](macro@crate::security_info_provider), one a function | [`SecurityRequest`] | [`SecurityResponse`] |
//! | `macro` (`static.endpoint`) | [`static_macro`](macro@crate::static_macro) | [`MacrosRequest`] | [`RenderedMacros`] |
//! | `dashboards:widget` (`aiContext.data.endpoint`) | [`widget_context`](macro@crate::widget_context) | JSON | JSON |
//! | `rovo:agentConnector` | [`agent_connector`](macro@crate::agent_connector) | [`AgentRequest`] | [`AgentResponse`], [`AgentStream`] |
//! | `migration:dataResidency` | [`data_residency`](macro@crate::data_residency), one a hook | [`ResidencyRequest`] | [`ResidencyStatus`] |
//! | any page (`resolver.endpoint`), [listed below](#the-modules-of-pages) | [`endpoint`](macro@crate::endpoint) | what the page sends | what the page wants |
//!
//! A page's module (its `resource`, its title) is hand-written; so are `macro` and
//! `dashboards:widget`. Everything else in the table `manifest --write` makes.
//!
//! # What is known of the bodies
//!
//! Atlassian documents the body that a *function* gets for each of these, and for a remote only
//! those of product events, life-cycle events and post functions. So every field of the payloads here
//! may be missing, members they don't know are kept (`rest`), and [`Event<T>`] takes the body as it is
//! or under a `payload`. The documentation of each says what it rests on.
//!
//! No body of JSON refuses a call that takes one of these payloads. A field of another shape than
//! documented is empty and its value is in `rest`; an odd entry of a list is left out, and the others
//! are kept; a body that is no object has no fields. Half a surrogate pair (text that was cut inside an
//! emoji) is read as U+FFFD, and the content type doesn't count. A type of your own
//! (`Event<MyType>`, the `T` of [`QueueEvent`] and [`ActionRequest`]) must fit: another body is refused
//! with 422. Forge counts it as failed like any response that isn't 2xx and sends an event up to
//! four times more, a minute apart, so give fields that may be missing a default.
//!
//! # How long Forge waits
//!
//! Atlassian documents 5 seconds for events and schedules, 25 for pages, 55 for an agent's answer and
//! 15 minutes for its stream, and 55 for the function of a `preUninstall`. For every other kind at a remote no page says it:
//! `dev` waits 55 seconds for an action and a web trigger and 25 for a JQL function and a static
//! macro, as long as functions are known or said to get, and 5 for the rest. These are inferences:
//! respond fast, and leave the rest to
//! [`Invocation::spawn`](crate::Invocation::spawn).
//!
//! # Again, or not
//!
//! Forge sends an event again when the answer isn't 2xx or doesn't come within 5 seconds: up to
//! four times, a minute apart. (A schedule too, by one of Atlassian's pages and not by another: let
//! it do no harm when it runs twice.) So an error says "again, please"; [`Error::permanent`] says "don't":
//! it is logged as the error it is and answered 204. Take [`RetryContext`](crate::RetryContext) to see whether a
//! call is such a repetition.
//!
//! [`Error::permanent`]: crate::Error::permanent
//!
#![doc = include_str!("pages.md")]

mod action;
mod agent_bodies;
mod agent_connector;
mod agent_reply;
mod agent_stream;
mod consumer;
mod data_residency;
mod devops;
mod dynamic_pipelines_provider;
mod endpoint;
mod events;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod items;
mod jql_function;
mod merge_check;
mod pages;
mod payloads;
mod pre_uninstall;
mod rest;
mod samples;
mod scheduled_trigger;
mod trigger;
mod web_trigger;
mod workflow_post_function;

pub use action::{Action, ActionContext, ActionInput, ActionRequest};
pub use agent_bodies::{AgentError, AgentRequest, AgentResponse};
pub use agent_connector::AgentConnector;
pub use agent_reply::{AgentRejection, AgentReply};
pub use agent_stream::{AgentStream, AgentStreamSender, AgentUpdate, StreamClosed};
pub use consumer::{Consumer, QueueEvent};
pub use data_residency::{
    DataResidency, HalfHours, ResidencyFailure, ResidencyRequest, ResidencyStatus,
};
pub use devops::{
    Container, DesignInfoProvider, DesignRequest, EntityAssociation, SecurityInfoProvider,
    SecurityRequest, SecurityResponse, Workspace,
};
pub use dynamic_pipelines_provider::{
    Commit, DynamicPipelinesProvider, PipelineTarget, PipelineVariable, PipelinesRequest,
    PipelinesResponse, TriggerContext,
};
pub use endpoint::Endpoint;
pub use events::{
    EventContent, EventIssue, EventSpace, IssueEvent, LifecycleApp, LifecycleEnvironment,
    LifecycleEvent, LifecyclePermissions, PageEvent, WithProperties,
};
pub use jql_function::{JqlClause, JqlFunction, JqlFunctionRequest, JqlFunctionResponse};
pub use merge_check::{
    MergeCheck, MergeCheckRequest, MergeCheckResponse, MergeProperties, MergeTrigger, PullRequest,
    UuidRef,
};
pub use pages::{
    CacheTtl, MacroFormat, MacroRequest, MacrosRequest, RenderedMacro, RenderedMacros, StaticMacro,
    WidgetContext,
};
pub use pre_uninstall::{PreUninstall, UninstallEvent};
#[cfg(feature = "dev")]
pub(crate) use samples::event_sample;
pub use scheduled_trigger::{Interval, ScheduledEvent, ScheduledTrigger};
pub use trigger::{Conditions, FilteredEvent, Trigger};
pub use web_trigger::{
    StaticOutput, WebTrigger, WebTriggerOutput, WebTriggerRequest, WebTriggerResponse,
};
pub use workflow_post_function::{IdRef, PostFunctionRequest, WorkflowPostFunction};

pub use crate::extract::Event;
pub use crate::registry::Kind;

#[doc(hidden)]
pub use payloads::refusing_payloads;
pub use rest::Rest;

use forge_remote_schema::kinds::{KINDS, RESOLVER};

/// Where each module type can name an endpoint, as far as this version knows.
#[doc(hidden)]
pub fn endpoint_places() -> Vec<(&'static str, String)> {
    let of_kinds = KINDS
        .iter()
        .filter(|kind| kind.endpoint_places != [RESOLVER]);
    let of_kinds = of_kinds.flat_map(|kind| {
        let places = kind.endpoint_places.iter();
        places.map(|place| (kind.module_type, place.join(".")))
    });
    let pages = forge_remote_schema::pages::module_types().map(|name| (name, RESOLVER.join(".")));
    of_kinds.chain(pages).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_documentation_lists_the_modules_of_pages() {
        let text = include_str!("pages.md");
        let listed: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("- "))
            .flat_map(|line| line.split(", "))
            .map(|name| name.trim_matches('`'))
            .collect();
        assert_eq!(listed, forge_remote_schema::pages::module_types().collect());
    }
}
