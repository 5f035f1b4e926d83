//! Accepted attributes compile, and their handlers are served. Rejected ones are in `messages` and
//! `tests/ui`.
#![allow(clippy::too_many_lines, reason = "tables of cases")]
#![allow(clippy::unwrap_used)]

// `places` names the runtime by another name.
extern crate forge_remote as fr;

mod arguments;
pub mod hygiene;
mod instrument;
mod messages;
mod places;
mod record;
mod returns;
pub mod strict;

use fr::prelude::*;
use fr::registry::{Handler, Registry};

/// The linked handlers that a file of this binary declares.
fn declared_in(file: &str) -> Vec<Handler> {
    let linked = Registry::linked();
    let is_there = |handler: &&Handler| handler.registration().location.file.ends_with(file);
    linked.handlers().iter().filter(is_there).cloned().collect()
}

/// An app with the handlers of one file of this binary.
fn app_of(file: &str) -> App {
    let handlers = declared_in(file).into_iter();
    handlers
        .fold(App::empty(), |app, handler| {
            app.handler(handler.registration().clone())
        })
        .remote(Remote::new("backend").base_url("https://x.example.com"))
}
