//! The `routes` command: prints the table of handlers.

use std::time::SystemTime;

use clap::{ArgMatches, Command};

use super::output::{NEGATIVE, OK, flag, print, print_error};
use super::table::TableRow;
use crate::app::{App, BasePaths, LaunchError};
use crate::diagnostic::Location;
use crate::registry::{Handler, JobRegistration, Registration, RouteScope};
use crate::schedules::Timetable;

pub(super) fn command() -> Command {
    Command::new("routes")
        .about("List the handlers and jobs: kind, key, method, path, tokens, scopes, source, events or schedule")
        .arg(flag("json", "Print JSON, for machines"))
}

/// Runs the command, and returns its exit status.
pub(super) async fn run(app: App, options: &ArgMatches) -> i32 {
    if options.get_flag("json") {
        print(&format!("{}\n", json(&app)));
    } else {
        print(&table(&app, true));
    }
    match app.declaration_problems() {
        problems if problems.is_empty() => OK,
        problems => {
            print_error(&LaunchError::new(problems));
            NEGATIVE
        }
    }
}

/// A row of `routes --json`.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteRow<'a> {
    kind: &'static str,
    key: &'a str,
    /// Forge does not call a handler with `cron`, so it has no endpoint, method or path.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// Further paths: beneath the base URLs, and of older major versions.
    also_at: Vec<String>,
    system_token: bool,
    user_token: bool,
    scopes: &'static [&'static str],
    events: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<Cron>,
    /// The largest request body, in bytes.
    body_limit: usize,
    dynamic: bool,
    function: String,
    source: String,
    docs: &'static str,
}

impl<'a> RouteRow<'a> {
    fn new(
        handler: &'a Handler,
        base_paths: &BasePaths,
        body_limit: usize,
        now: SystemTime,
    ) -> Self {
        let record = handler.registration();
        let is_called = !handler.is_cron();
        Self {
            kind: record.kind.module_type(),
            key: handler.key(),
            endpoint: is_called.then(|| handler.endpoint()),
            method: is_called.then(|| handler.methods()),
            path: is_called.then(|| handler.path()),
            also_at: also_at(handler, base_paths),
            system_token: record.auth.system,
            user_token: record.auth.user,
            scopes: record.scopes,
            events: events(record),
            interval: interval(handler),
            cron: Cron::of(handler, now),
            body_limit: record.body_limit.unwrap_or(body_limit),
            dynamic: record.dynamic,
            function: record.mount.path().to_owned(),
            source: record.location.to_string(),
            docs: record.docs,
        }
    }
}

/// Returns the events that a handler is called for.
fn events(record: &Registration) -> Vec<&'static str> {
    [record.kind.events(), record.kind.unknown_events()].concat()
}

/// Returns the interval of a handler, as the manifest has it: `hour`.
fn interval(handler: &Handler) -> Option<String> {
    let modules = handler.registration().kind.modules(handler.names());
    let interval = modules.first()?.item.get("interval")?;
    interval.as_str().map(str::to_owned)
}

/// The schedule of a handler with `cron`.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Cron {
    expression: &'static str,
    tz: &'static str,
    /// The next occurrence, in the time zone: `2026-11-30 02:30`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Cron {
    fn of(handler: &Handler, now: SystemTime) -> Option<Self> {
        let options = handler.registration().kind.cron()?;
        let timetable = Timetable::new(options).ok();
        let next = timetable.and_then(|one| Some(one.local(one.next_after(now)?)));
        Some(Self {
            expression: options.expression,
            tz: options.tz,
            next,
        })
    }
}

/// Returns the paths of a handler besides its own.
fn also_at(handler: &Handler, base_paths: &BasePaths) -> Vec<String> {
    if handler.is_cron() {
        return Vec::new();
    }
    let served = base_paths.of(handler).into_iter().skip(1);
    served.map(|served| served.path).collect()
}

/// Returns the first line of a doc comment.
fn summary(docs: &str) -> Option<String> {
    let line = docs.lines().next().map(str::trim);
    line.filter(|line| !line.is_empty()).map(str::to_owned)
}

/// Returns the events or the schedule as a line for people.
fn occasion(handler: &Handler, now: SystemTime) -> Option<String> {
    let events = events(handler.registration());
    if !events.is_empty() {
        return Some(format!("events: {}", events.join(", ")));
    }
    if let Some(Cron {
        expression,
        tz,
        next,
    }) = Cron::of(handler, now)
    {
        let next = next.map(|next| format!(", next at {next}"));
        return Some(format!(
            "cron: {expression} in {tz}{}",
            next.unwrap_or_default()
        ));
    }
    interval(handler).map(|interval| format!("interval: {interval}"))
}

/// A row of `routes --json` for one of the app's own routes, which is not verified.
#[derive(serde::Serialize)]
struct OwnRow {
    kind: &'static str,
    path: String,
}

/// Returns the handlers, the jobs, and the app's own routes, as JSON.
fn json(app: &App) -> String {
    let base_paths = app.base_paths();
    let handlers = app.registry().handlers().iter();
    let (limit, now) = (app.limits.body, app.clock.now());
    let handlers = handlers.map(|handler| RouteRow::new(handler, &base_paths, limit, now));
    let own = app
        .own_paths()
        .into_iter()
        .map(|path| OwnRow { kind: OWN, path });
    let rows = handlers.map(serde_json::to_value);
    let jobs = app.registry().jobs().iter().map(JobRow::new);
    let rows = rows.chain(jobs.map(serde_json::to_value));
    let rows: Result<Vec<_>, _> = rows.chain(own.map(serde_json::to_value)).collect();
    serde_json::to_string_pretty(&rows.unwrap_or_default()).unwrap_or_default()
}

/// A row of `routes --json` for a job, which has no route.
#[derive(serde::Serialize)]
struct JobRow {
    kind: &'static str,
    key: &'static str,
    function: String,
    source: String,
    docs: &'static str,
}

impl JobRow {
    fn new(job: &JobRegistration) -> Self {
        Self {
            kind: JOB,
            key: job.key,
            function: job.mount.path().to_owned(),
            source: job.location.to_string(),
            docs: job.docs,
        }
    }
}

/// The kind of a job, in lists.
const JOB: &str = "job";

/// The kind of the app's own routes, in lists.
const OWN: &str = "(own, not verified)";

/// Returns the handlers, the jobs and the app's own routes as a table. With `details`, the doc comment's first line,
/// the events or the schedule, further paths, the scopes and the place in the code are below each.
pub(super) fn table(app: &App, details: bool) -> String {
    let (base_paths, now) = (app.base_paths(), app.clock.now());
    let registry = app.registry();
    let details = |lines: Vec<Option<String>>| {
        let lines = lines.into_iter().flatten().filter(|_| details);
        lines.collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for handler in registry.handlers() {
        let record = handler.registration();
        let (method, path) = match handler.route_scope() {
            _ if handler.is_cron() => ("-", "-".to_owned()),
            RouteScope::Subpath => {
                let path = handler.path().trim_end_matches('/');
                (handler.methods(), format!("{path}/*"))
            }
            _ => (handler.methods(), handler.path().to_owned()),
        };
        let tokens = record.auth.to_string();
        let cells = [
            record.kind.module_type(),
            handler.key(),
            method,
            &path,
            &tokens,
        ];
        rows.push(TableRow {
            cells: cells.map(str::to_owned),
            details: details(vec![
                summary(record.docs),
                occasion(handler, now),
                labelled("also at", &also_at(handler, &base_paths)),
                labelled("scopes", record.scopes),
                source(record.location),
            ]),
        });
    }
    for job in registry.jobs() {
        rows.push(TableRow {
            cells: [JOB, job.key, "-", "-", "-"].map(str::to_owned),
            details: details(vec![summary(job.docs), source(job.location)]),
        });
    }
    for path in app.own_paths() {
        rows.push(TableRow {
            cells: [OWN, "-", "-", &path, "-"].map(str::to_owned),
            details: Vec::new(),
        });
    }
    super::table::table(["KIND", "KEY", "METHOD", "PATH", "TOKENS"], &rows)
}

/// Returns a list as a line for people, if it has any items.
fn labelled(label: &str, items: &[impl AsRef<str>]) -> Option<String> {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    (!items.is_empty()).then(|| format!("{label}: {}", items.join(", ")))
}

fn source(location: Location) -> Option<String> {
    Some(format!("source: {}:{}", location.file, location.line))
}
