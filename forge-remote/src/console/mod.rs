//! The console: a page that `dev` serves on the local platform's port. It shows the calls as they happen, and
//! makes others.
//!
//! `dev` prints its link, `http://127.0.0.1:8079/console#SECRET`. The page reads the secret of this start from
//! the link's fragment, which no request contains, and sends it with each request of the API. `guard.rs` has
//! the rules about who may send requests, `journal.rs` of the platform the recorded calls, `log_layer.rs` files
//! log lines under their calls.
//!
//! # API
//!
//! Below `/console/api`, for the page and for tools such as an editor's plug-in: JSON, with the header
//! `x-console-secret`. Times are milliseconds since 1970. An error is `{"error": "what to do"}`.
//!
//! | request | does |
//! | --- | --- |
//! | `GET app` | describes this start: app ids, URLs, what the page can show |
//! | `GET handlers` | lists the handlers with sample bodies, schedules and their next calls |
//! | `POST handlers/{handler}/call` | makes a call; the handler is the `id` that the list has, or a key: `method`, `event`, `body` (text, sent byte for byte), `subpath`, `query`, `retry`, `forgery`; responds with its `id` when it has ended |
//! | `GET calls` | lists the last 500 calls, oldest first |
//! | `GET calls/{id}` | returns one call: request, claims, response, outgoing calls, log lines, as a command and as a test, or why not |
//! | `POST calls/{id}/again` | makes the same call with a new FIT; `retry` makes it a retry |
//! | `GET events` | streams server-sent events: `call` (at its start and its end), `log` (that of a call grew, even after its end: read the call again, 0.3 s later), `handlers` (a schedule changed), `missed` (read the list again) |
//! | `GET tokens` | lists the installations whose tokens are kept, without the tokens |
//! | `GET jobs?state=dead` | lists the newest 200 stored jobs, and counts all; the state is `waiting`, `running`, `failed` (a job that waits for another attempt), `done`, `dead` or `discarded`; `POST jobs/{id}/retry` and `jobs/{id}/discard` |
//! | `GET manifest` | compares the manifest with the code; `POST manifest/write` updates it |
//! | `POST schedules/{key}/fire` | calls the handler as its schedule does: of a handler with `cron`, the clock runs the next occurrence ahead of its time; responds with the call's id |
//! | `POST schedules/{key}/pause` | pauses a schedule; `resume` resumes it |

mod api;
mod error;
mod guard;
mod invoke;
mod log_layer;
mod page;
mod rust_test;
mod schedules;
mod state;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::platform::{self, PlatformClient};

pub(crate) use guard::{Guard, Hosts};
pub(crate) use invoke::{DEFAULT_PLATFORM, InvokeResponse};
pub(crate) use log_layer::LogLayer;
pub(crate) use schedules::Schedules;
pub(crate) use state::Console;
pub(crate) use views::Summary;

/// Returns all routes of the local platform's server: its key set, its APIs, the calls of `invoke`, and the
/// console.
pub(crate) fn router(
    guard: &Guard,
    caller: &Arc<PlatformClient>,
    console: Option<Console>,
) -> Router {
    let key_set = caller.platform.key_set();
    let mut router = Router::new()
        .route(
            "/.well-known/jwks.json",
            get(move || async move { axum::Json(key_set) }),
        )
        .merge(invoke::router(caller));
    if let Some(console) = console {
        let api = guard.require_secret(api::router(Arc::new(console)));
        router = router.merge(page::router()).nest("/console/api", api);
    }
    guard.protect(router.fallback_service(platform::router(caller.platform.clone())))
}
