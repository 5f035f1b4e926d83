//! The program that an existing manifest describes: attributes, functions and remotes, to paste into
//! `src/main.rs`.
//!
//! `options.rs` reads a module's options by the table of kinds, `calls.rs` the modules, `functions.rs`
//! makes one function for each path. A part that no attribute can have is a gap, which is printed as
//! a comment, and so are the calls that no part lists (`unlisted.rs`).

mod calls;
mod chain;
mod functions;
mod gap;
mod literal;
mod names;
mod options;
mod remotes;
mod scopes;
mod unlisted;

use std::fmt::Write as _;

use forge_remote_schema::kinds;
use serde_yaml::Value;

use super::desired::DesiredManifest;
use super::emit;
use super::file::ManifestFile;
use super::items::modules;
use super::lint::lint;
use super::path::ManifestPath;
use super::values::list;
use crate::diagnostic::{Diagnostic, Position, Severity};
use chain::{Chain, Link};
use functions::{Function, Functions};
use gap::Gap;
use literal::{Setting, string};

/// A program, and what its first comment lists.
pub(crate) struct Adopted {
    pub(crate) program: String,
    /// The number of its functions.
    pub(crate) functions: usize,
    /// The number of the manifest's parts that it does not have.
    pub(crate) gaps: usize,
    /// The number of the manifest's mistakes.
    pub(crate) mistakes: usize,
    /// The number of the remotes that Forge functions may call, at paths that the manifest does not have.
    pub(crate) called_by_functions: usize,
    /// The number of Connect's modules at the program's remotes.
    pub(crate) of_connect: usize,
}

/// Returns the program for a manifest's endpoints; `None` if it has none that a remote can serve.
pub(crate) fn adopt(written: &ManifestFile) -> Option<Adopted> {
    // An attribute has no variables.
    let file = &*written.with_defaults();
    let manifest = file.value();
    let (mut functions, mut gaps) = functions::functions(manifest, calls::read(manifest));
    // A part that Forge itself would reject may be read differently than its author meant.
    let mistakes: Vec<Diagnostic> = lint(written, &DesiredManifest::default())
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    // At the root, where a page of Atlassian's documentation shows them, Forge does not read them.
    let places = [&["modules", "endpoint"][..], &["endpoint"]];
    let has_endpoints = places.iter().any(|place| !list(manifest, place).is_empty());
    let is_explained = !gaps.is_empty() || (has_endpoints && !mistakes.is_empty());
    let called = unlisted::called_by_functions(manifest);
    if functions.all.is_empty() && !is_explained && called.is_empty() {
        return None;
    }
    for remote in &called {
        functions.serve_remote(remote);
    }
    let default_remote = functions.remotes.first().map_or("", String::as_str);
    let called = unlisted::of_functions(manifest, &called, default_remote);
    let connect = unlisted::of_connect(manifest, &functions.remotes);
    let mut imports = Vec::new();
    let mut links = Vec::new();
    for key in &functions.remotes {
        let remote = remotes::calls(manifest, written.value(), key, &mut gaps);
        let uses = [
            (remote.uses_operations, "RemoteOperation"),
            (remote.uses_regions, "RemoteRegion"),
        ];
        imports.extend(
            uses.into_iter()
                .filter(|(used, _)| *used)
                .map(|(_, name)| name),
        );
        let chain = Chain {
            value: format!("Remote::new({})", string(key)),
            links: remote.links,
        };
        links.push(Link::chain("remote", chain));
    }
    links.extend(scopes::calls(manifest, &functions, &mut gaps));
    imports.sort_unstable();
    imports.dedup();
    // Several functions of one module can have the same gap.
    let mut distinct: Vec<Gap> = Vec::new();
    for gap in gaps {
        if !distinct.contains(&gap) {
            distinct.push(gap);
        }
    }
    let comments = [
        (
            "These parts of the manifest have no equal in the code:",
            lines(file, &distinct),
        ),
        (
            "These mistakes are in the manifest. Correct them, and print the program again:",
            of_mistakes(&mistakes),
        ),
        (
            "These values are variables in the manifest; the program has their defaults:",
            lines(file, &variables(written, manifest)),
        ),
        (
            "Forge functions may call these remotes, at paths that only the functions have:",
            lines(file, &called),
        ),
        (
            "Connect calls these paths, with JWTs that forge-remote does not verify. Serve them by `App::routes`, or let\n// \
             `app.connect.remote` name a remote of the old service:",
            lines(file, &connect),
        ),
    ];
    let mut program = head(file, comments);
    let prelude = "use forge_remote::prelude::*;\n";
    // In the order of rustfmt.
    program.push_str(&match imports.as_slice() {
        [] => prelude.to_owned(),
        [one] => format!("use forge_remote::{one};\n{prelude}"),
        all => format!("{prelude}use forge_remote::{{{}}};\n", all.join(", ")),
    });
    for function in &functions.all {
        let _ = write!(program, "\n{}", rust(function, &functions));
    }
    if !functions.all.is_empty() {
        program.push_str(UNFINISHED);
    }
    let _ = write!(program, "\n{}", main(links));
    Some(Adopted {
        program,
        functions: functions.all.len(),
        gaps: distinct.len(),
        mistakes: mistakes.len(),
        called_by_functions: called.len(),
        of_connect: connect.len(),
    })
}

const UNFINISHED: &str = "
/// The response of a handler that has no code yet: an error, so that Forge retries an event instead of
/// counting it as handled.
fn unfinished() -> Error {
    Error::http(StatusCode::NOT_IMPLEMENTED, \"this handler has no code yet\")
}
";

/// Returns the values of the endpoints and their modules that are variables, each with its default.
fn variables(written: &ManifestFile, manifest: &Value) -> Vec<Gap> {
    let mut found = Vec::new();
    let calls = |module_type: &str| {
        module_type == "endpoint" || kinds::declared().any(|kind| kind.module_type == module_type)
    };
    let pairs = modules(written.value()).zip(modules(manifest));
    for ((module_type, _, written), (_, _, item)) in pairs.filter(|((name, ..), _)| calls(name)) {
        let path = ManifestPath::of_module(module_type, item);
        add_variables(path, written, item, &mut found);
    }
    found
}

fn add_variables(path: ManifestPath, written: &Value, value: &Value, found: &mut Vec<Gap>) {
    match (written, value) {
        (Value::Mapping(written), Value::Mapping(value)) => {
            for (name, written) in written {
                if let (Some(text), Some(value)) = (name.as_str(), value.get(name)) {
                    add_variables(path.clone().name(text), written, value, found);
                }
            }
        }
        (written, value) if written != value => {
            let shown = |value: &Value| match value {
                Value::String(text) => text.clone(),
                other => emit::inline(other),
            };
            let [written, value] = [written, value].map(shown);
            found.push(Gap::new(path, format!("`{written}` is `{value}` here")));
        }
        _ => {}
    }
}

/// The lines of a comment, each with the position in the manifest that it is about.
type Lines = Vec<(Position, String)>;

fn lines(file: &ManifestFile, gaps: &[Gap]) -> Lines {
    let line = |gap: &Gap| {
        let reason = format!("{}: {}", gap.path, gap.reason);
        (file.position(&gap.path), reason)
    };
    gaps.iter().map(line).collect()
}

fn of_mistakes(mistakes: &[Diagnostic]) -> Lines {
    let lines = mistakes.iter().map(|mistake| {
        let at = mistake.manifest.unwrap_or_default();
        (at, mistake.message.clone())
    });
    lines.collect()
}

/// Returns the comments at the start: the origin, then these lists by their positions.
fn head(file: &ManifestFile, lists: impl IntoIterator<Item = (&'static str, Lines)>) -> String {
    let path = one_line(&file.path().display().to_string());
    let mut text = format!(
        "// The handlers of {path}, printed by `manifest --adopt`.\n// The payload and the response of each attribute: \
         https://docs.rs/forge-remote/latest/forge_remote/kinds/\n"
    );
    for (title, mut lines) in lists {
        lines.sort_by_key(|(at, _)| *at);
        if !lines.is_empty() {
            let _ = write!(text, "//\n// {title}\n");
        }
        for (at, line) in lines {
            let line = one_line(&line);
            let _ = writeln!(text, "// - {path}:{}:{}: {line}", at.line, at.column);
        }
    }
    text.push('\n');
    text
}

/// Returns a text as a part of a comment: without line breaks, which would end it, and with escapes for invisible
/// characters: rustc rejects the ones that change the text's direction.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '"' | '\\' => line.push(c),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => line.push(' '),
            c => line.extend(c.escape_debug()),
        }
    }
    line
}

/// Returns a function with its documentation and attributes.
fn rust(function: &Function, functions: &Functions) -> String {
    let callers: Vec<String> = function.callers.iter().map(|one| one_line(one)).collect();
    let mut text = match callers.as_slice() {
        [] => "/// Serves pages' calls: no module names its endpoint.\n".to_owned(),
        [one] => format!("/// Serves `{one}`.\n"),
        all => format!(
            "/// Serves these modules:\n///\n/// - `{}`\n",
            all.join("`\n/// - `")
        ),
    };
    if function.has_texts_of_docs() {
        text = text.replace("///", "//");
    }
    let default_remote = functions.remotes.first();
    for attribute in &function.attributes {
        let mut settings = attribute.settings.clone();
        if default_remote != Some(&attribute.remote) {
            settings.push(Setting::text("remote", &attribute.remote));
        }
        text.push_str(&literal::attribute(attribute.kind.attribute, &settings));
    }
    let _ = write!(
        text,
        "async fn {}() -> Result<()> {{\n    Err(unfinished())\n}}\n",
        function.name
    );
    text
}

fn main(mut links: Vec<Link>) -> String {
    links.push(Link::new("run", ""));
    let app = Chain {
        value: "App::new()".to_owned(),
        links,
    };
    format!(
        "#[tokio::main]\nasync fn main() -> Result<()> {{\n    {}\n}}\n",
        app.rust_awaited(4)
    )
}
