//! The kinds of invocation: options, manifest modules, payloads and responses. The options that all
//! attributes share (`key`, `path`, `auth`, `scopes`, …) are in [`options`](crate::options).
//!
//! | module | attribute | payload | response |
//! | --- | --- | --- | --- |
//! | `scheduledTrigger` | [`scheduled_trigger`](macro@crate::scheduled_trigger) | none, or [`ScheduledEvent`] | none |
//! | `trigger` | [`trigger`](macro@crate::trigger) | [`Event<T>`], of [`LifecycleEvent`], [`IssueEvent`], [`PageEvent`] or your own type | none |
//! | `preUninstall` | [`pre_uninstall`](macro@crate::pre_uninstall) | [`UninstallEvent`] | none |
//! | `consumer` | [`consumer`](macro@crate::consumer) | [`QueueEvent<T>`] | none |
//! | `webtrigger` | [`web_trigger`](macro@crate::web_trigger) | [`WebTriggerRequest`] | [`WebTriggerResponse`], [`WebTriggerOutput`] |
//! | `action` | [`action`](macro@crate::action) | [`ActionRequest<T>`] | JSON |
//! | `jira:jqlFunction` | [`jql_function`](macro@crate::jql_function) | [`JqlFunctionRequest`] | [`JqlFunctionResponse`] |
//! | `jira:workflowPostFunction` | [`workflow_post_function`](macro@crate::workflow_post_function) | [`PostFunctionRequest`] | none |
//! | `bitbucket:mergeCheck` | [`merge_check`](macro@crate::merge_check) | [`MergeCheckRequest`] | [`MergeCheckResponse`] |
//! | `bitbucket:dynamicPipelinesProvider` | [`dynamic_pipelines_provider`](macro@crate::dynamic_pipelines_provider) | [`PipelinesRequest`] | [`PipelinesResponse`] |
//! | `devops:designInfoProvider` | [`design_info_provider`](macro@crate::design_info_provider), one per function | [`DesignRequest`] | JSON |
//! | `devops:securityInfoProvider` | [`security_info_provider`](macro@crate::security_info_provider), one per function | [`SecurityRequest`] | [`SecurityResponse`] |
//! | `macro` (`static.endpoint`) | [`static_macro`](macro@crate::static_macro) | [`MacrosRequest`] | [`RenderedMacros`] |
//! | `dashboards:widget` (`aiContext.data.endpoint`) | [`widget_context`](macro@crate::widget_context) | JSON | JSON |
//! | `rovo:agentConnector` | [`agent_connector`](macro@crate::agent_connector) | [`AgentRequest`] | [`AgentResponse`], [`AgentStream`] |
//! | `migration:dataResidency` | [`data_residency`](macro@crate::data_residency), one per hook | [`ResidencyRequest`] | [`ResidencyStatus`] |
//! | `function` | [`function_call`](macro@crate::function_call) | the function's request | the function's response |
//! | a page's module (`resolver.endpoint`), [listed below](#the-modules-of-pages) | [`endpoint`](macro@crate::endpoint) | the page's request | the page's response |
//!
//! A page's module (its `resource`, its title) is hand-written, and so are `macro`, `dashboards:widget` and `function`:
//! with a `function_call`, a function's code names the path, and no part of the manifest does. `manifest --write`
//! generates all other modules in the table.
//!
//! # Payload formats
//!
//! For most kinds, Atlassian documents only the body that a *function* receives. For a remote, it documents the bodies
//! of product events, lifecycle events, post functions, agents, data residency's hooks and security information
//! providers, and for JQL functions that a remote gets the function's body. So every field of the
//! payloads here may be missing, unknown members are preserved (`rest`), and [`Event<T>`] accepts the
//! body as it is or under a `payload`. The documentation of each payload names its source.
//!
//! A handler that takes one of these payload types accepts any JSON body, except for the parts of your
//! own type `T`. If a field does not have the documented shape, it is empty and its value is in `rest`.
//! An invalid list entry is left out; the other entries are preserved. A body that is not an object has
//! no fields. An unpaired surrogate (text that was cut inside an emoji) becomes U+FFFD, and the content
//! type is ignored.
//!
//! Your own type (`Event<MyType>`, the `T` of [`QueueEvent`] and [`ActionRequest`]) must fit the body:
//! otherwise the response is 422. Forge treats it as a failure, like any response other than 2xx, and
//! retries an event up to four times, a minute apart. So give fields that may be missing a default.
//!
//! # Timeouts
//!
//! Atlassian documents these timeouts: 5 seconds for events and schedules, 25 seconds for pages, 55
//! seconds for an agent's response and 15 minutes for its stream, and 55 seconds for the function of a
//! `preUninstall`. For other kinds it documents none for a remote. `dev` waits 55 seconds for an action
//! and a web trigger, 25 seconds for a JQL function, a static macro and a function's call, and 5 seconds for the rest. These
//! are inferred from the timeouts of functions. Respond quickly, and see [`long_work`](crate::long_work)
//! for work that takes longer.
//!
//! # Retries
//!
//! Forge retries an event if the response is not 2xx or takes longer than 5 seconds: up to four times,
//! a minute apart. Atlassian's documentation is inconsistent on whether schedules are retried, so make
//! a schedule's handler safe to run twice. Returning an error makes Forge retry; [`Error::permanent`]
//! does not: it is logged as an error, and the response is 204. Take
//! [`RetryContext`](crate::RetryContext) to detect retries.
//!
//! [`Error::permanent`]: crate::Error::permanent
//!
#![doc = include_str!("pages.md")]

mod agent_bodies;
mod agent_reply;
mod agent_stream;
mod devops;
mod events;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod items;
mod payloads;
mod rest;
mod samples;

// generated: a module for each row of the table of kinds
mod action;
mod agent_connector;
mod consumer;
mod data_residency;
mod design_info_provider;
mod dynamic_pipelines_provider;
mod endpoint;
mod function_call;
mod jql_function;
mod merge_check;
mod pre_uninstall;
mod scheduled_trigger;
mod security_info_provider;
mod static_macro;
mod trigger;
mod web_trigger;
mod widget_context;
mod workflow_post_function;
// end of the generated part

pub use agent_bodies::{AgentError, AgentRequest, AgentResponse};
pub use agent_reply::{AgentRejection, AgentReply};
pub use agent_stream::{AgentStream, AgentStreamSender, AgentUpdate, StreamClosed};
pub use devops::EntityAssociation;
#[doc(hidden)]
pub use endpoint::endpoint_places;
pub use events::{
    EventContent, EventIssue, EventSpace, IssueEvent, LifecycleApp, LifecycleEnvironment,
    LifecycleEvent, LifecyclePermissions, PageEvent, WithProperties,
};
#[cfg(feature = "dev")]
pub(crate) use samples::event_sample;

// generated: their public types
pub use action::{Action, ActionContext, ActionInput, ActionRequest};
pub use agent_connector::AgentConnector;
pub use consumer::{Consumer, QueueEvent};
pub use data_residency::{
    DataResidency, HalfHours, ResidencyFailure, ResidencyRequest, ResidencyStatus,
};
pub use design_info_provider::{DesignInfoProvider, DesignRequest};
pub use dynamic_pipelines_provider::{
    Commit, DynamicPipelinesProvider, PipelineTarget, PipelineVariable, PipelinesRequest,
    PipelinesResponse, TriggerContext,
};
pub use endpoint::Endpoint;
pub use function_call::FunctionCall;
pub use jql_function::{JqlClause, JqlFunction, JqlFunctionRequest, JqlFunctionResponse};
pub use merge_check::{
    MergeCheck, MergeCheckRequest, MergeCheckResponse, MergeProperties, MergeTrigger, PullRequest,
    UuidRef,
};
pub use pre_uninstall::{PreUninstall, UninstallEvent};
pub use scheduled_trigger::{Interval, ScheduledEvent, ScheduledTrigger};
pub use security_info_provider::{
    Container, SecurityInfoProvider, SecurityRequest, SecurityResponse, Workspace,
};
pub use static_macro::{
    CacheTtl, MacroFormat, MacroRequest, MacrosRequest, RenderedMacro, RenderedMacros, StaticMacro,
};
pub use trigger::{Conditions, FilteredEvent, Trigger};
pub use web_trigger::{
    StaticOutput, WebTrigger, WebTriggerOutput, WebTriggerRequest, WebTriggerResponse,
};
pub use widget_context::WidgetContext;
pub use workflow_post_function::{IdRef, PostFunctionRequest, WorkflowPostFunction};
// end of the generated part

pub use crate::extract::Event;
pub use crate::registry::Kind;

#[doc(hidden)]
pub use payloads::rejecting_payloads;
pub use rest::Rest;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn docs_list_the_modules_of_pages() {
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
