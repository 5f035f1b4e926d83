//! `action`: operations of the app that Rovo agents and automation rules can call.

use std::time::Duration;

use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, Mistake, kinds, lists};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_yaml::{Mapping, Value};

use super::items::{item, item_mistakes, module, set};
use super::rest::Rest;
use crate::json::{Members, payload};
use crate::registry::{Kind, Module, SampleCall};

/// The options of `#[action]`.
///
/// `description` defaults to the doc comment's first paragraph.
///
/// An input is `"NAME: TYPE - DESCRIPTION"`, with `NAME?` if it is optional. Types are `string`,
/// `integer`, `number` and `boolean`. The title is derived from the name. To set another title, write
/// the input in parentheses, with a name for each part. A language model generates the inputs:
/// validate them, and never base permissions on them ([`Invocation`](crate::Invocation) identifies the
/// caller).
///
/// ```
/// use forge_remote::kinds::ActionRequest;
/// use forge_remote::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct LogTime { issue_key: String, hours: f64 }
///
/// /// Logs time spent on a work item.
/// #[action(verb = "CREATE", inputs = [
///     (name = "issueKey", title = "Work item", type = "string", description = "The work item's key"),
///     "hours: number - The hours spent",
/// ])]
/// async fn log_time(Event(call): Event<ActionRequest<LogTime>>) -> Result<Json<String>> {
///     Ok(Json(format!("{} hours on {}", call.inputs.hours, call.inputs.issue_key)))
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/manifest-reference/modules/rovo-action/>;
/// it is inferred that a remote receives the same body as a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// The operation type: `CREATE`, `UPDATE`, `DELETE`, `TRIGGER` or `GET`.
    pub verb: &'static str,
    /// The name shown to users.
    pub name: Option<&'static str>,
    /// The description for the model.
    pub description: &'static str,
    /// The inputs, at most 10.
    pub inputs: &'static [ActionInput],
}

impl Action {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        verb: "",
        name: None,
        description: "",
        inputs: &[],
    };
}

/// An input of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionInput {
    /// `"NAME: TYPE - DESCRIPTION"`, with `NAME?` for an optional input.
    Short(&'static str),
    /// `(name = "…", type = "…", description = "…")`, with `title` and `optional`.
    Full {
        /// The name in the body.
        name: &'static str,
        /// The name shown to users (default: derived from `name`).
        title: Option<&'static str>,
        /// The type: `string`, `integer`, `number` or `boolean`.
        r#type: &'static str,
        /// The description for the model.
        description: &'static str,
        /// Whether it is optional.
        optional: bool,
    },
}

impl ActionInput {
    /// Splits the input into its parts. A malformed text, which is rejected at launch, is split as far
    /// as possible.
    fn parts(&self) -> Parts {
        match *self {
            Self::Short(text) => {
                let (name, rest) = text.split_once(':').unwrap_or((text, "string"));
                let (ty, description) = rest.split_once(" - ").unwrap_or((rest, ""));
                let name = name.trim();
                Parts {
                    name: name.trim_end_matches('?'),
                    title: None,
                    ty: ty.trim(),
                    description: description.trim(),
                    required: !name.ends_with('?'),
                }
            }
            Self::Full {
                name,
                title,
                r#type,
                description,
                optional,
            } => Parts {
                name,
                title,
                ty: r#type,
                description,
                required: !optional,
            },
        }
    }
}

struct Parts {
    name: &'static str,
    title: Option<&'static str>,
    ty: &'static str,
    description: &'static str,
    required: bool,
}

impl Kind for Action {
    fn spec(&self) -> &'static KindSpec {
        &kinds::ACTION
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = item(names);
        set(&mut item, "name", self.name);
        item.insert("description".into(), self.description.into());
        item.insert("actionVerb".into(), self.verb.into());
        let inputs = self.inputs.iter().map(|input| {
            let parts = input.parts();
            (parts.name.into(), Value::Mapping(parts.item()))
        });
        let inputs: Mapping = inputs.collect();
        if !inputs.is_empty() {
            item.insert("inputs".into(), Value::Mapping(inputs));
        }
        module(self.spec(), item)
    }

    fn validate(&self) -> Vec<Mistake> {
        let items = self.inputs.iter().map(|input| match input {
            ActionInput::Short(text) => lists::ListItem::Text(text),
            ActionInput::Full { name, .. } => lists::ListItem::Group(name),
        });
        item_mistakes("inputs", &lists::INPUTS, items)
    }

    fn sample_call(&self) -> SampleCall {
        let mut body = serde_json::json!({ "context": { "cloudId": SampleCall::CLOUD, "moduleKey": "local" } });
        for input in self.inputs {
            let Parts { name, ty, .. } = input.parts();
            body[name] = match ty {
                "integer" => 1.into(),
                "number" => 1.5.into(),
                "boolean" => true.into(),
                _ => "text".into(),
            };
        }
        SampleCall {
            timeout: Duration::from_secs(55),
            ..SampleCall::from_platform(body)
        }
    }
}

impl Parts {
    fn item(&self) -> Mapping {
        let title = self.title.map_or_else(|| title(self.name), str::to_owned);
        let mut item = Mapping::new();
        item.insert("title".into(), title.into());
        item.insert("type".into(), self.ty.into());
        item.insert("required".into(), self.required.into());
        item.insert("description".into(), self.description.into());
        item
    }
}

/// Returns the title of a name: `Issue key` for `issueKey`, `issue_key` and `issue-key`.
fn title(name: &str) -> String {
    let mut title = String::new();
    for c in name.chars() {
        if c == '_' || c == '-' {
            title.push(' ');
        } else if title.is_empty() {
            title.extend(c.to_uppercase());
        } else if c.is_ascii_uppercase() {
            title.push(' ');
            title.extend(c.to_lowercase());
        } else {
            title.push(c);
        }
    }
    title
}

/// The payload of an action: its inputs and its context.
///
/// Inputs that do not fit `T` are rejected with 422. Other members never cause a rejection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActionRequest<T = Rest> {
    /// The inputs, of your type.
    pub inputs: T,
    /// The context of the call.
    pub context: ActionContext,
    /// All other members. If `T` is a map, `inputs` contains them too.
    pub rest: Rest,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ActionRequest<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Lets serde determine the members that the fields of `T` do not name.
        #[derive(Deserialize)]
        struct Inputs<T> {
            #[serde(flatten)]
            inputs: T,
            #[serde(flatten)]
            rest: Rest,
        }
        let mut members = Members::deserialize(deserializer)?;
        let context = members.take(&["context"]);
        let Inputs { inputs, rest } =
            Inputs::deserialize(members.into_value()).map_err(D::Error::custom)?;
        Ok(Self {
            inputs,
            context,
            rest,
        })
    }
}

/// The context of an action's call.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ActionContext {
    /// The site's cloud id.
    pub cloud_id: Option<String>,
    /// The action's key.
    pub module_key: Option<String>,
    /// The context in Jira: `issueKey`, `projectKey`, …
    pub jira: Option<Rest>,
    /// The context in Confluence: `contentId`, `spaceKey`, …
    pub confluence: Option<Rest>,
    /// All other members.
    pub rest: Rest,
}

payload!(ActionContext {
    cloud_id: "cloudId",
    module_key: "moduleKey",
    jira: "jira",
    confluence: "confluence",
});
