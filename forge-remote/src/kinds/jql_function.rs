//! `jira:jqlFunction`: a function in JQL queries.

use std::time::Duration;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, Mistake, kinds, lists};
use serde::Serialize;
use serde_yaml::{Mapping, Value};

use super::items::{item, list_mistakes, module, texts};
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[jql_function]`.
///
/// ```
/// use forge_remote::kinds::{JqlFunctionResponse, JqlFunctionRequest};
/// use forge_remote::prelude::*;
///
/// #[jql_function(name = "urgent", arguments = ["team", "limit?"], types = ["issue"], operators = ["in"])]
/// async fn urgent(Event(call): Event<JqlFunctionRequest>) -> Result<Json<JqlFunctionResponse>> {
///     let Some(team) = call.clause.arguments.first() else {
///         return Ok(Json(JqlFunctionResponse::error("which team?")));
///     };
///     Ok(Json(JqlFunctionResponse::jql(format!("team = {team:?} and priority = Highest"))))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/jql-function/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JqlFunction {
    /// The name in queries. It must be unique in the app, ignoring case.
    pub name: &'static str,
    /// The arguments' names, with a `?` after the optional ones.
    pub arguments: &'static [&'static str],
    /// The types of the fields that the function can be compared with.
    pub types: &'static [&'static str],
    /// The operators that the function can follow.
    pub operators: &'static [&'static str],
}

impl JqlFunction {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        name: "",
        arguments: &[],
        types: &[],
        operators: &[],
    };
}

impl Kind for JqlFunction {
    fn spec(&self) -> &'static KindSpec {
        &kinds::JQL_FUNCTION
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        item.insert("name".into(), self.name.into());
        let arguments = self.arguments.iter().map(|name| {
            let mut argument = Mapping::new();
            argument.insert("name".into(), name.trim_end_matches('?').into());
            argument.insert("required".into(), (!name.ends_with('?')).into());
            Value::Mapping(argument)
        });
        item.insert("arguments".into(), Value::Sequence(arguments.collect()));
        item.insert("types".into(), texts(self.types));
        item.insert("operators".into(), texts(self.operators));
        module(self.spec(), item)
    }

    fn unique_name(&self) -> Option<&'static str> {
        Some(self.name)
    }

    fn validate(&self) -> Vec<Mistake> {
        list_mistakes(&[("arguments", &lists::ARGUMENTS, self.arguments)])
    }

    fn sample_call(&self) -> SampleCall {
        let arguments: Vec<&str> = self.arguments.iter().map(|_| "text").collect();
        let body = serde_json::json!({
            "precomputationId": "00000000-0000-4000-a000-000000000007",
            "clause": {
                "field": "key", "type": self.types, "operator": self.operators.first(),
                "functionName": self.name, "arguments": arguments,
            },
        });
        SampleCall {
            timeout: Duration::from_secs(25),
            ..SampleCall::from_platform(body)
        }
    }
}

/// The payload of a JQL function: its use in a query.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct JqlFunctionRequest {
    /// The precomputation's id, to update the result later with Jira's API.
    pub precomputation_id: Option<String>,
    /// The clause.
    pub clause: JqlClause,
    /// All other members.
    pub rest: Rest,
}

payload!(JqlFunctionRequest {
    precomputation_id: "precomputationId",
    clause: "clause",
});

/// A clause with the function, such as `key in urgent("team")`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct JqlClause {
    /// The field before the operator.
    pub field: Option<String>,
    /// The field's types.
    pub types: Vec<String>,
    /// The operator.
    pub operator: Option<String>,
    /// The function's name.
    pub function_name: Option<String>,
    /// The arguments.
    pub arguments: Vec<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(JqlClause {
    field: "field",
    types: "type",
    operator: "operator",
    function_name: "functionName",
    arguments: "arguments",
});

/// The response of a JQL function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum JqlFunctionResponse {
    /// JQL that replaces the clause.
    Jql {
        /// The JQL, with at most 1,000 values on a right-hand side.
        jql: String,
    },
    /// A message for the user.
    #[serde(rename_all = "camelCase")]
    Error {
        /// The message.
        error: String,
        /// Whether Jira stores the error as the result, instead of calling the function again.
        store_error_as_precomputation: bool,
    },
}

impl JqlFunctionResponse {
    /// Creates a response with JQL.
    pub fn jql(jql: impl Into<String>) -> Self {
        Self::Jql { jql: jql.into() }
    }

    /// Creates a response with a message for the user. Jira calls the function again later.
    pub fn error(message: impl Into<String>) -> Self {
        Self::Error {
            error: message.into(),
            store_error_as_precomputation: false,
        }
    }
}
