//! Rendering of diagnostics as text, in rustc's style.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{CodeLocation, Diagnostic, Severity};

/// The columns of an excerpt.
const WIDTH: usize = 100;

/// The manifest that diagnostics have positions in.
#[derive(Clone, Copy, Debug)]
pub struct SourceText<'a> {
    /// The path to print.
    pub path: &'a str,
    /// The text to print excerpts of.
    pub text: &'a str,
}

/// Renders diagnostics in rustc's style, each followed by an empty line.
///
/// Without the manifest's text, no excerpt and no position in it is shown.
pub fn render(manifest: Option<SourceText<'_>>, diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.term_width(WIDTH);
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&renderer.render(&[group(diagnostic, manifest)]));
        text.push_str("\n\n");
    }
    text
}

/// Writes the rendered diagnostic, without an excerpt of the manifest.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = render(None, std::slice::from_ref(self), false);
        f.write_str(text.trim_end())
    }
}

fn group<'a>(diagnostic: &'a Diagnostic, manifest: Option<SourceText<'a>>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let level = match diagnostic.title {
        Some(title) => level.with_name(title),
        None => level,
    };
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code);
    let mut group = match (manifest, diagnostic.manifest) {
        (Some(SourceText { path, text }), Some(at)) => match excerpt(text, &diagnostic.span) {
            Some((lines, span)) => title.element(
                Snippet::source(lines)
                    .line_start(at.line)
                    .path(path)
                    .annotation(AnnotationKind::Primary.span(span)),
            ),
            None => title.element(Origin::path(path).line(at.line).char_column(at.column)),
        },
        _ => Group::with_title(title),
    };
    for place in &diagnostic.locations {
        group = group.element(origin(place));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    group
}

/// Returns the lines that have these bytes, and the place of the bytes in them; `None` if there are no bytes. The
/// renderer reads its whole source for each diagnostic, which would be a large file once for each finding.
fn excerpt<'a>(text: &'a str, span: &Range<usize>) -> Option<(&'a str, Range<usize>)> {
    if span.is_empty() {
        return None;
    }
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let rest = text.get(span.end..)?.find('\n');
    let end = rest.map_or(text.len(), |at| span.end + at);
    Some((&text[start..end], span.start - start..span.end - start))
}

fn origin(place: &CodeLocation) -> Origin<'_> {
    if place.function.is_some() {
        return Origin::path(place.to_string());
    }
    let location = place.location;
    Origin::path(location.file)
        .line(location.line as usize)
        .char_column(location.column as usize)
}
