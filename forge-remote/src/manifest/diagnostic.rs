//! Findings as people and machines read them: in rustc's manner, or as JSON.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level as Title, Origin, Renderer, Snippet};

use super::compare::{Difference, Finding, Step};
use super::file::ManifestFile;
use super::tree::Position;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Note,
    /// Probably wrong.
    Warning,
    /// Wrong: a check fails.
    Error,
}

/// One finding about a manifest.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Its stable name; `manifest --explain CODE` says more.
    pub code: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// Where in the manifest.
    pub manifest: Option<Position>,
    /// Where in the code: `file:line:column`.
    pub code_positions: Vec<String>,
    /// Why, line by line.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// The bytes to point at.
    #[serde(skip)]
    pub(crate) span: Range<usize>,
}

impl Diagnostic {
    pub(super) fn new(code: &'static str, level: Level, message: impl Into<String>) -> Self {
        Self {
            code,
            level,
            message: message.into(),
            manifest: None,
            code_positions: Vec::new(),
            notes: Vec::new(),
            help: None,
            span: 0..0,
        }
    }

    /// Whether it is a disagreement between the manifest and the code, not a rule's finding.
    pub fn is_difference(&self) -> bool {
        matches!(
            self.code,
            "missing" | "different" | "stale" | "missing-scope" | "impersonation-not-allowed"
        )
    }

    pub(super) fn at(mut self, (position, span): (Position, Range<usize>)) -> Self {
        self.manifest = Some(position);
        self.span = span;
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A disagreement between the manifest and the code.
    pub(super) fn difference(file: &ManifestFile, difference: &Difference) -> Self {
        let whole_item = matches!(difference.place.0.last(), Some(Step::Item(_)));
        let (code, help) = match &difference.finding {
            Finding::Missing { .. }
                if matches!(difference.place.0.last(), Some(Step::Value(_))) =>
            {
                ("impersonation-not-allowed", None)
            }
            Finding::Missing { .. } if !difference.reasons.is_empty() => ("missing-scope", None),
            Finding::Missing { .. } => ("missing", None),
            Finding::Different { .. } => ("different", None),
            Finding::Stale { .. } if whole_item => (
                "stale",
                Some(
                    "if the handler is in another crate, is that linked (`forge_remote::link!`)? Else \
                     `manifest --write` removes this",
                ),
            ),
            Finding::Stale { .. } => ("different", None),
        };
        let mut diagnostic =
            Self::new(code, Level::Error, difference.headline()).at(file.locate(&difference.place));
        diagnostic.help = help.map(str::to_owned);
        diagnostic.code_positions.clone_from(&difference.origins);
        diagnostic.notes.extend(
            difference
                .reasons
                .iter()
                .map(|reason| format!("needed because {reason}")),
        );
        if let Finding::Missing { code } = &difference.finding
            && difference.reasons.is_empty()
        {
            diagnostic.notes.push(format!(
                "the code wants\n{}",
                super::to_yaml(code).trim_end()
            ));
        }
        diagnostic
    }
}

/// The findings in rustc's manner.
pub fn render(file: &ManifestFile, diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let path = file.path().display().to_string();
    let mut text = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.level {
            Level::Error => Title::ERROR,
            Level::Warning => Title::WARNING,
            Level::Note => Title::NOTE,
        };
        let title = level.primary_title(&diagnostic.message).id(diagnostic.code);
        let mut group = match diagnostic.manifest {
            Some(_) if !diagnostic.span.is_empty() => title.element(
                Snippet::source(file.text())
                    .path(&path)
                    .annotation(AnnotationKind::Primary.span(diagnostic.span.clone())),
            ),
            Some(at) => title.element(Origin::path(&path).line(at.line).char_column(at.column)),
            None => Group::with_title(title),
        };
        for origin in &diagnostic.code_positions {
            group = group.element(code_origin(origin));
        }
        for note in &diagnostic.notes {
            group = group.element(Title::NOTE.message(note));
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Title::HELP.message(help));
        }
        text.push_str(&renderer.render(&[group]));
        text.push_str("\n\n");
    }
    text
}

/// `src/main.rs:12:1` taken apart.
fn code_origin(text: &str) -> Origin<'_> {
    let mut parts = text.rsplitn(3, ':');
    let column = parts.next().and_then(|part| part.parse().ok());
    let line = parts.next().and_then(|part| part.parse().ok());
    match (parts.next(), line, column) {
        (Some(path), Some(line), Some(column)) => Origin::path(path).line(line).char_column(column),
        _ => Origin::path(text),
    }
}
