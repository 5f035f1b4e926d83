//! Chains of method calls, in the layout of rustfmt.

use std::fmt::Write as _;

use super::literal::WIDTH;

/// rustfmt's `chain_width` and `array_width`.
const MAX_WIDTH: usize = 60;

/// A method call in a chain.
pub(super) struct Link {
    method: &'static str,
    arguments: Arguments,
}

enum Arguments {
    Plain(String),
    List(Vec<String>),
    Chain(Chain),
}

/// A value with method calls.
pub(super) struct Chain {
    pub(super) value: String,
    pub(super) links: Vec<Link>,
}

impl Link {
    /// Creates a call with these arguments.
    pub(super) fn new(method: &'static str, arguments: impl Into<String>) -> Self {
        let arguments = Arguments::Plain(arguments.into());
        Self { method, arguments }
    }

    /// Creates a call with an array.
    pub(super) fn list(method: &'static str, items: Vec<String>) -> Self {
        let arguments = Arguments::List(items);
        Self { method, arguments }
    }

    /// Creates a call with a chain.
    pub(super) fn chain(method: &'static str, chain: Chain) -> Self {
        let arguments = Arguments::Chain(chain);
        Self { method, arguments }
    }

    /// Returns the call on one line; `None` if rustfmt breaks it.
    fn one_line(&self, indent: usize) -> Option<String> {
        let Self { method, arguments } = self;
        let line = match arguments {
            Arguments::Plain(arguments) => format!(".{method}({arguments})"),
            Arguments::List(items) => {
                let items = format!("[{}]", items.join(", "));
                if items.len() > MAX_WIDTH + 2 {
                    return None;
                }
                format!(".{method}({items})")
            }
            Arguments::Chain(chain) => format!(".{method}({})", chain.one_line()?),
        };
        (indent + line.len() <= WIDTH).then_some(line)
    }

    fn rust(&self, indent: usize) -> String {
        if let Some(line) = self.one_line(indent) {
            return line;
        }
        let Self { method, arguments } = self;
        let inner = indent + 4;
        match arguments {
            Arguments::Plain(arguments) => format!(".{method}({arguments})"),
            Arguments::List(items) => {
                let mut text = format!(".{method}([\n");
                for item in items {
                    let _ = writeln!(text, "{:inner$}{item},", "");
                }
                let _ = write!(text, "{:indent$}])", "");
                text
            }
            Arguments::Chain(chain) => {
                let chain = chain.rust(inner);
                format!(".{method}(\n{:inner$}{chain},\n{:indent$})", "", "")
            }
        }
    }
}

impl Chain {
    /// Returns the chain on one line; `None` if rustfmt breaks it, wherever it begins.
    fn one_line(&self) -> Option<String> {
        let links: Option<Vec<String>> = self.links.iter().map(|link| link.one_line(0)).collect();
        let line = format!("{}{}", self.value, links?.concat());
        (self.links.len() < 2 || line.len() <= MAX_WIDTH).then_some(line)
    }

    /// Returns the chain with `.await`, as Rust.
    pub(super) fn rust_awaited(&self, indent: usize) -> String {
        let await_link = ".await";
        let line = self.one_line().map(|line| line + await_link);
        if let Some(line) = line.filter(|line| line.len() <= MAX_WIDTH) {
            return line;
        }
        format!(
            "{}\n{:width$}{await_link}",
            self.broken(indent),
            "",
            width = indent + 4
        )
    }

    /// Returns the chain as Rust. Lines after the first are indented by `indent` or more.
    pub(super) fn rust(&self, indent: usize) -> String {
        if let Some(line) = self.one_line().filter(|line| indent + line.len() < WIDTH) {
            return line;
        }
        self.broken(indent)
    }

    /// Returns the chain with each call on a separate line.
    fn broken(&self, indent: usize) -> String {
        let inner = indent + 4;
        let mut text = self.value.clone();
        for link in &self.links {
            let _ = write!(text, "\n{:inner$}{}", "", link.rust(inner));
        }
        text
    }
}
