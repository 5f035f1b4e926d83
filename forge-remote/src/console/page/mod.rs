//! The files of the page.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;

/// A file: its name, its type and its text.
type File = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = &[
    ("/console", HTML, include_str!("index.html")),
    ("/console/api.js", JAVASCRIPT, include_str!("api.js")),
    ("/console/app.js", JAVASCRIPT, include_str!("app.js")),
    ("/console/call.js", JAVASCRIPT, include_str!("call.js")),
    ("/console/calls.js", JAVASCRIPT, include_str!("calls.js")),
    (
        "/console/composer.js",
        JAVASCRIPT,
        include_str!("composer.js"),
    ),
    ("/console/dom.js", JAVASCRIPT, include_str!("dom.js")),
    (
        "/console/handlers.js",
        JAVASCRIPT,
        include_str!("handlers.js"),
    ),
    ("/console/jobs.js", JAVASCRIPT, include_str!("jobs.js")),
    ("/console/json.js", JAVASCRIPT, include_str!("json.js")),
    ("/console/labels.js", JAVASCRIPT, include_str!("labels.js")),
    (
        "/console/manifest.js",
        JAVASCRIPT,
        include_str!("manifest.js"),
    ),
    ("/console/model.js", JAVASCRIPT, include_str!("model.js")),
    ("/console/parts.js", JAVASCRIPT, include_str!("parts.js")),
    // Preact 11.2.0 as npm has it, under the licence in `preact.LICENSE`.
    ("/console/preact.js", JAVASCRIPT, include_str!("preact.js")),
    (
        "/console/schedules.js",
        JAVASCRIPT,
        include_str!("schedules.js"),
    ),
    ("/console/style.css", CSS, include_str!("style.css")),
    ("/console/timing.js", JAVASCRIPT, include_str!("timing.js")),
    ("/console/tokens.js", JAVASCRIPT, include_str!("tokens.js")),
];

pub(super) fn router() -> Router {
    let home = Router::new().route("/", get(|| async { Redirect::temporary("/console") }));
    FILES.iter().fold(home, |router, (name, media_type, text)| {
        router.route(name, get(move || async move { file(media_type, text) }))
    })
}

fn file(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        // The next start may have another version.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text)
}
