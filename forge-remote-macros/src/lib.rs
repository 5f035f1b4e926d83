//! The attribute macros of forge-remote. Use them through that crate, which documents them.
//!
//! One file for each step: `parse` (what is written) → `model` (what it means, checked) →
//! `expand` (what is emitted); `kinds` is the table of attributes, `checks` (the runtime's too) knows what
//! their lists may hold, `diag` collects the errors.

mod checks;
mod diag;
mod expand;
mod kinds;
mod model;
mod parse;

use diag::nearest;
use proc_macro::TokenStream;

macro_rules! attributes {
    ($($(#[$docs:meta])* $name:ident = $kind:ident;)*) => {
        $(
            $(#[$docs])*
            #[proc_macro_attribute]
            pub fn $name(attribute: TokenStream, item: TokenStream) -> TokenStream {
                expand::attribute(&kinds::$kind, attribute.into(), item.into()).into()
            }
        )*

        /// The names of all of them.
        const ATTRIBUTES: &[&str] = &[$(stringify!($name)),*];
    };
}

attributes! {
    /// Calls the function at an interval, once for each installation; see `forge_remote::kinds`.
    scheduled_trigger = SCHEDULED_TRIGGER;
    /// Calls the function when a product or life-cycle event happens; see `forge_remote::kinds`.
    trigger = TRIGGER;
    /// Calls the function before the app is uninstalled; see `forge_remote::kinds`.
    pre_uninstall = PRE_UNINSTALL;
    /// Calls the function for each event of an async event queue; see `forge_remote::kinds`.
    consumer = CONSUMER;
    /// Calls the function when the URL of a web trigger is called; see `forge_remote::kinds`.
    web_trigger = WEB_TRIGGER;
    /// Makes the function an action of Rovo agents and automation; see `forge_remote::kinds`.
    action = ACTION;
    /// Makes the function a JQL function; see `forge_remote::kinds`.
    jql_function = JQL_FUNCTION;
    /// Calls the function after a workflow transition; see `forge_remote::kinds`.
    workflow_post_function = WORKFLOW_POST_FUNCTION;
    /// Asks the function whether a pull request may be merged; see `forge_remote::kinds`.
    merge_check = MERGE_CHECK;
    /// Lets the function change a Bitbucket pipeline before it runs; see `forge_remote::kinds`.
    dynamic_pipelines_provider = DYNAMIC_PIPELINES_PROVIDER;
    /// One of the functions of a design information provider; see `forge_remote::kinds`.
    design_info_provider = DESIGN_INFO_PROVIDER;
    /// One of the functions of a security information provider; see `forge_remote::kinds`.
    security_info_provider = SECURITY_INFO_PROVIDER;
    /// Renders a Confluence macro without its page; see `forge_remote::kinds`.
    static_macro = STATIC_MACRO;
    /// Gives a dashboard widget's context to an agent; see `forge_remote::kinds`.
    widget_context = WIDGET_CONTEXT;
    /// Answers for a remote agent (Agent2Agent over JSON-RPC); see `forge_remote::kinds`.
    agent_connector = AGENT_CONNECTOR;
    /// One of the hooks of a move to another region; see `forge_remote::kinds`.
    data_residency = DATA_RESIDENCY;
    /// Serves a page's `invokeRemote` and `requestRemote`; see `forge_remote::kinds`.
    endpoint = ENDPOINT;
}

/// The registration of an annotated function, by its path; see `forge_remote::App::handler`.
#[proc_macro]
pub fn handler(path: TokenStream) -> TokenStream {
    expand::handler(path.into()).into()
}
