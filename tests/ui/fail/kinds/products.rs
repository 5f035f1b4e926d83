use forge_remote::prelude::*;

/// Logs time.
#[action(verb = "LOG")]
async fn verb() {}

#[action(verb = "CREATE")]
async fn no_description() {}

/// Logs time.
#[action(verb = "CREATE", inputs = ["issueKey"])]
async fn input_shape() {}

/// Logs time.
#[action(verb = "CREATE", inputs = ["issueKey: text - The key"])]
async fn input_type() {}

/// Logs time.
#[action(verb = "CREATE", inputs = ["issue key: string - The key"])]
async fn input_name() {}

#[jql_function(types = ["issue"], operators = ["in"])]
async fn no_name() {}

#[jql_function(name = "f", types = ["issues"], operators = ["=="])]
async fn types() {}

#[jql_function(name = "f", types = [], operators = ["in", "in"])]
async fn lists() {}

#[workflow_post_function(description = "x", project_types = ["teammanaged"])]
async fn post_function() {}

/// Checks.
#[merge_check(name = "x", triggers = ["on-merged"])]
async fn merge_check_trigger() {}

/// Checks.
#[merge_check(name = "x", triggers = ["on-merge"], auth = user)]
async fn merge_check_user() {}

#[dynamic_pipelines_provider]
async fn provider() {}

#[design_info_provider(function = "getEntityByURL")]
async fn design() {}

#[security_info_provider(function = "fetchWorkspaces", home_url = "scanner.example.com")]
async fn security() {}

/// Talks.
#[agent_connector(name = "A name that is much too long for it", products = ["bitbucket"], version = "2.0")]
async fn agent() {}

#[static_macro(endpoint = "x")]
async fn static_macro_endpoint() {}

#[widget_context(method = "GET")]
async fn widget_method() {}

/// Logs time.
#[action(verb = "CREATE", inputs = ["a: string - A", "a?: number - A again"])]
async fn input_twice() {}

/// Logs time.
#[action(
    verb = "CREATE",
    inputs = [
        "a: string - A", "b: string - B", "c: string - C", "d: string - D", "e: string - E", "f: string - F",
        "g: string - G", "h: string - H", "i: string - I", "j: string - J", "k: string - K",
    ]
)]
async fn too_many_inputs() {}

#[jql_function(name = "f", arguments = ["team", "team?"], types = ["issue"], operators = ["in"])]
async fn argument_twice() {}

/// Talks.
#[agent_connector(name = "a", products = ["jira"], conversation_starters = ["a", "b", "c", "d"])]
async fn too_many_starters() {}

/// Talks.
#[agent_connector(name = "a", products = ["jira"], streaming = "yes")]
async fn streaming() {}

/// Talks.
#[agent_connector(name = "a", products = [])]
async fn no_products() {}

#[jql_function(name = "f", arguments = ["?", " team"], types = ["issue"], operators = ["in"])]
async fn argument_shape() {}

/// Logs time.
#[action(name = "Log time")]
async fn no_verb() {}

/// Logs time.
#[action(verb = "CREATE", inputs = [(name = "issue key", type = "text"), (name = "context", type = "string", description = "c")])]
async fn input_parts() {}

/// Logs time.
#[action(verb = "CREATE", inputs = ["hours?: number - Spent", (name = "hours", type = "number", description = "Spent")])]
async fn input_in_both_forms() {}

/// Checks.
#[merge_check(name = "x")]
async fn no_merge_check_trigger() {}

#[design_info_provider(function = "checkAuth", documentation_url = "sketches.example.com/docs")]
async fn documentation() {}

fn main() {}
