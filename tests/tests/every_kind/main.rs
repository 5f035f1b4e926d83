//! Every kind's handler receives what Forge sends, returns what Forge reads, and is in the manifest.
//!
//! A separate binary: the app has every handler that is linked.

#![allow(clippy::unwrap_used)]

mod harness;
mod manifest;
mod requests;
mod table;

// generated: a file for each row of the table of kinds
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
