//! What a kind of invocation has to tell about itself.

use std::fmt;
use std::time::Duration;

use serde_yaml::Mapping;

use super::{Handler, Method};
use crate::fit::Caller;

/// A kind of invocation with a handler's options for it: the one place that knows its shape.
pub trait Kind: fmt::Debug + Send + Sync + 'static {
    /// The module type in `manifest.yml`, e.g. `scheduledTrigger`.
    fn name(&self) -> &'static str;

    /// Who makes the call.
    fn caller(&self) -> Caller {
        Caller::Platform
    }

    /// Whether Forge may pass the headers of its own caller on. A token in one of them isn't proven
    /// to be Forge's then, and is never kept ([`App::tokens`](crate::App::tokens)).
    fn passes_headers_on(&self) -> bool {
        false
    }

    /// Whether the call ends an installation, so that its handler deletes what belongs to it. Such
    /// a handler accepts no token that the platform might not have sent, whatever is set.
    fn ends_installation(&self) -> bool {
        false
    }

    /// The keys of the pages that may call the handler; empty for any page.
    fn pages(&self) -> &'static [&'static str] {
        &[]
    }

    /// The suffix of a generated module key; `None` for a kind without a module of its own.
    fn module_suffix(&self) -> Option<&'static str>;

    /// The key of a module that several functions make together.
    fn shared_key(&self) -> Option<&'static str> {
        None
    }

    /// Whether an app can have one such module only.
    fn alone(&self) -> bool {
        false
    }

    /// What that module must have, and can only have from all of them together: properties, or
    /// what is [`below`](Self::below) its path.
    fn shared_parts(&self) -> &'static [&'static str] {
        &[]
    }

    /// The modules in `manifest.yml` that point at the handler's endpoint.
    fn modules(&self, handler: &Handler) -> Vec<Module>;

    /// Whether Forge finds the handler by an item of `modules.endpoint`.
    fn has_endpoint(&self) -> bool {
        self.below().is_none()
    }

    /// What the handler's path ends with, below the path that stands in the manifest.
    fn below(&self) -> Option<&'static str> {
        None
    }

    /// Which requests are the handler's.
    fn reach(&self) -> Reach {
        Reach::Exact
    }

    /// The method, where it is neither POST nor the page's choice.
    fn method(&self) -> Option<Method> {
        None
    }

    /// The events it is called for; Forge delivers them with their scopes only.
    fn events(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// The events it is called for whose scopes don't follow.
    fn unknown_events(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// The scopes without which Forge takes no such module, or calls for none: sets of them, of
    /// which one is enough. Atlassian's current set comes first, the granular one last.
    fn scopes(&self) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// A name that no other of the kind may have, in whatever case.
    fn unique_name(&self) -> Option<&'static str> {
        None
    }

    /// How often the platform calls by itself.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// What is wrong with the options, and what to do: for what the macros can't see, the values
    /// of constants.
    fn wrong_options(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Whether [`wrong_answer`](Self::wrong_answer) is to be asked.
    fn looks_at_answers(&self) -> bool {
        false
    }

    /// What is wrong with the body of an answer, and what to do, where the options say what it must
    /// be: Forge would make an error of it.
    fn wrong_answer(&self, _answer: &[u8]) -> Option<(String, String)> {
        None
    }

    /// Whether nothing is known of the body that a remote gets, so that none at all is taken as
    /// `{}`. Where it is known, an empty one is a fault.
    fn may_lack_body(&self) -> bool {
        false
    }

    /// How long Forge waits for a remote's response, where Atlassian documents it.
    fn documented_timeout(&self) -> Option<Duration> {
        None
    }

    /// The call as a local platform makes it.
    fn simulation(&self) -> Simulation;

    /// Every call that differs from it: one for each event.
    fn simulations(&self) -> Vec<Simulation> {
        vec![self.simulation()]
    }
}

/// Which requests are a handler's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those with its method on its path.
    Exact,
    /// Those with any method on its path.
    AnyMethod,
    /// Those with any method on its path and on every path below it.
    Below,
}

/// One item of a module list in the manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// The list it belongs to, e.g. `scheduledTrigger`.
    pub module_type: &'static str,
    /// The item; its `key` comes first.
    pub item: Mapping,
    /// The properties that the code decides; what else stands in the item is the user's (its
    /// page, its icon).
    pub owned: Owned,
}

/// Which of an item's properties the code decides; the others are the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned {
    /// All of them.
    All,
    /// These, each as a whole.
    Named(&'static [&'static str]),
    /// These, and of each what is said here.
    Parts(&'static [(&'static str, Owned)]),
    /// Those that the item has.
    Present,
}

impl Owned {
    /// Whether a property is the code's even when the code wants none.
    pub(crate) fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(&name),
            Self::Parts(parts) => parts.iter().any(|(part, _)| *part == name),
            Self::Present => false,
        }
    }

    /// What of a property's own properties is the code's.
    pub(crate) fn inside(self, name: &str) -> Self {
        match self {
            Self::Parts(parts) => {
                let found = parts.iter().find(|(part, _)| *part == name);
                found.map_or(Self::All, |(_, inside)| *inside)
            }
            _ => Self::All,
        }
    }
}

/// What a simulated call of a kind carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// The FIT's `app.module.type`.
    pub module_type: &'static str,
    /// The body, unless the caller gives one.
    pub body: Option<serde_json::Value>,
    /// How long the local platform waits for the answer: as long as Forge, where that is known; see
    /// [`kinds`](crate::kinds).
    pub timeout: Duration,
    /// The event it is about.
    pub event: Option<&'static str>,
    /// Whether no page of Atlassian's describes the body.
    pub is_guess: bool,
}

impl Simulation {
    /// A call of the platform's with this body, and 5 seconds for the answer.
    pub fn of_platform(body: serde_json::Value) -> Self {
        Self {
            module_type: "core:endpoint",
            body: Some(body),
            timeout: Duration::from_secs(5),
            event: None,
            is_guess: false,
        }
    }
}
