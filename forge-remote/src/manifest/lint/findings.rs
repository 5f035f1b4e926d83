//! The context of a topic's check, and its findings.

use serde_yaml::Value;

use crate::diagnostic::{Diagnostic, Rule, Severity};
use crate::manifest::desired::DesiredManifest;
use crate::manifest::file::ManifestFile;
use crate::manifest::path::ManifestPath;
use crate::manifest::tree::Node;

/// Some rules, and the function that checks them.
pub(super) struct Topic {
    pub(super) rules: &'static [&'static Rule],
    pub(super) check: fn(&mut Findings<'_>),
}

/// The file and the code that the checks compare, and the findings so far.
pub(super) struct Findings<'a> {
    /// The file, with the declared defaults of its variables.
    pub(super) file: &'a ManifestFile,
    /// The file as it is written.
    pub(super) written: &'a ManifestFile,
    pub(super) wanted: &'a DesiredManifest,
    pub(super) found: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    /// Returns the manifest's value.
    pub(super) fn manifest(&self) -> &'a Value {
        self.file.value()
    }

    /// Returns every module's type and node, `endpoint` among them.
    pub(super) fn modules(&self) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        let modules = self.file.root().and_then(|root| root.get("modules"));
        let lists = modules.map(Node::entries).unwrap_or_default();
        lists.iter().flat_map(|list| {
            let module_type = list.key.scalar().unwrap_or_default();
            list.value
                .items()
                .iter()
                .map(move |item| (module_type, item))
        })
    }

    /// Returns the node at a path of names.
    pub(super) fn node(&self, path: &[&str]) -> Option<&'a Node> {
        path.iter()
            .try_fold(self.file.root()?, |node, name| node.get(name))
    }

    /// Returns the node at a path of names, as it is written.
    pub(super) fn written_node(&self, path: &[&str]) -> Option<&'a Node> {
        path.iter()
            .try_fold(self.written.root()?, |node, name| node.get(name))
    }

    /// Returns the items of the list at a path of names.
    pub(super) fn items(&self, path: &[&str]) -> &'a [Node] {
        self.node(path).map(Node::items).unwrap_or_default()
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        rule: &Rule,
        path: &ManifestPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let finding = Diagnostic::new(rule, severity, message)
            .in_manifest(self.file.locate(path))
            .help(help);
        self.found.push(finding);
    }

    /// Adds an error at a node of the document.
    pub(super) fn error_at(
        &mut self,
        rule: &Rule,
        node: &Node,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add_at(Severity::Error, rule, node, message, help);
    }

    /// Adds a finding at a node of the document.
    pub(super) fn add_at(
        &mut self,
        severity: Severity,
        rule: &Rule,
        node: &Node,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let finding = Diagnostic::new(rule, severity, message)
            .in_manifest(self.file.locate_node(node))
            .help(help);
        self.found.push(finding);
    }

    pub(super) fn error(
        &mut self,
        rule: &Rule,
        path: &ManifestPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, rule, path, message, help);
    }

    pub(super) fn warning(
        &mut self,
        rule: &Rule,
        path: &ManifestPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, rule, path, message, help);
    }

    pub(super) fn note(
        &mut self,
        rule: &Rule,
        path: &ManifestPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Note, rule, path, message, help);
    }
}

/// Returns the text of a node's property.
pub(super) fn text_of<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.get(name)?.scalar()
}
