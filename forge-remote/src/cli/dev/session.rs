//! The app and the local platform of `dev`, while they are served.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::app::{App, AppIdError, StopSignals, UPDATE_HELP, drift};
use crate::cli::call_printer::{CallPrinter, Time};
use crate::cli::manifest;
use crate::cli::output::print_error;
use crate::console::{self, Console, Guard, Hosts, Schedules};
use crate::diagnostic::Diagnostic;
use crate::environment;
use crate::error::{Error, Result};
use crate::fit::{Clock, HttpKeySource};
use crate::http_client::Network;
use crate::jobs::MemoryJobs;
use crate::platform::{Change, Journal, PlatformClient};

const DRIFT_HELP: &str = "`dev --write` updates the file at every start (once: `cargo run -- manifest --write`); Forge \
                          follows it after the next `forge deploy`";

/// The hint at a FIT that the local platform did not sign.
const FOREIGN_KEY_HINT: &str =
    "`dev` accepts only FITs of its local platform; for Forge's calls, run the app without `dev`";

/// The id of an app that isn't registered yet.
const UNREGISTERED: &str = "ari:cloud:ecosystem::app/00000000-0000-4000-a000-000000000000";

/// The command's options.
pub(super) struct Options {
    pub(super) once: bool,
    pub(super) write: bool,
    pub(super) console: bool,
    pub(super) json: bool,
    pub(super) fixtures: Option<PathBuf>,
    pub(super) hosts: Vec<String>,
    pub(super) speed: u32,
    pub(super) port: u16,
}

/// The app being served and the platform that calls it.
pub(super) struct Session {
    pub(super) caller: Arc<PlatformClient>,
    /// The engine of the app's jobs, and its clock.
    pub(super) jobs: Option<MemoryJobs>,
    pub(super) clock: Arc<dyn Clock>,
    app_task: tokio::task::JoinHandle<Result<()>>,
    stop: oneshot::Sender<()>,
    schedules: Schedules,
    speed: u32,
    pub(super) printer: CallPrinter,
    _platform_task: JoinSet<()>,
}

/// Updates the manifest, if the command should, and prints warnings.
fn update_and_warn(app: &App, options: &Options) {
    let settings = app.settings();
    let drift = if options.write {
        // With `--json`, standard output has only calls.
        let error = manifest::update(app, options.json).err();
        let error = error.map(|error| error.to_string());
        let drift = drift(app).map(Diagnostic::into_warning);
        // A manifest that cannot be read is reported once. `dev` serves while it is edited.
        if let Some(error) = error
            && drift.as_ref().is_none_or(|one| one.message != error)
        {
            print_error(&format!("warning: {error}"));
        }
        drift
    } else {
        if !settings.manifest.exists() {
            print_error(&format!(
                "note: {} does not exist; `dev --write` writes it",
                settings.manifest.display()
            ));
        }
        let is_blank = settings.read_manifest().is_ok_and(|file| file.is_blank());
        drift(app).map(|problem| match problem.help.as_deref() {
            Some(UPDATE_HELP) if !is_blank => problem.into_warning().help(DRIFT_HELP),
            _ => problem.into_warning(),
        })
    };
    if let Some(warning) = drift {
        print_error(&warning);
    }
    for problem in app.unused_samples() {
        print_error(&problem);
    }
    if settings.app_ids() == Err(AppIdError::Missing) {
        print_error(&format!(
            "note: the app has no id yet; until `forge register` gives it one, `dev` uses {UNREGISTERED}"
        ));
    }
}

/// Returns the listeners of the local platform and of the app, whose address this is.
async fn listeners(options: &Options, bind: &str) -> Result<(TcpListener, TcpListener)> {
    // --once is for scripts, so it uses free ports.
    let port = |wanted: u16| if options.once { 0 } else { wanted };
    let platform = listen(port(options.port), "--platform-port").await?;
    let app_port = bind.rsplit_once(':');
    let app_port = app_port.and_then(|(_, port)| port.parse().ok());
    let app = listen(port(app_port.unwrap_or(8080)), "FORGE_REMOTE_BIND").await?;
    Ok((platform, app))
}

impl Session {
    pub(super) async fn start(
        app: App,
        options: &Options,
        journal: Journal,
        has_log: bool,
    ) -> Result<Self> {
        update_and_warn(&app, options);
        let bind = app.settings().bind;
        let own_paths = app.own_paths();
        let samples = app.samples();
        let comparison = app.comparison();
        let app = app.tokens_in_memory().connect().await?;
        if let Some(tokens) = &app.token_store {
            tokens.record_sources();
        }
        let (platform, mut app) = app.with_platform(UNREGISTERED)?;
        app.unknown_key_hint = FOREIGN_KEY_HINT;
        platform.apis().record_no_calls();
        if let Some(path) = &options.fixtures {
            platform.apis().read_fixtures(path)?;
        }

        let (platform_listener, app_listener) = listeners(options, &bind).await?;
        let platform_address = platform_listener.local_addr()?;
        let app_address = app_listener.local_addr()?;

        let origin = format!("http://{platform_address}");
        platform.serves_apis_at(&origin);
        app.atlassian_of().forbid_others();
        app.atlassian_of().use_loopback(&origin)?;
        let hosts = Hosts::loopback(app_address.port()).and(options.hosts.iter().cloned());
        app.layers.add(|router| hosts.protect_app(router));
        let key_set = format!("{origin}/.well-known/jwks.json");
        let (jobs, clock) = (app.jobs_in_memory(), Arc::clone(&app.clock));
        let inspector = app.jobs.as_ref().and_then(|jobs| jobs.engine.inspector());
        let built = app
            .key_source(HttpKeySource::new(&key_set)?)
            .build_compared()?;
        let caller = Arc::new(PlatformClient {
            platform,
            app: built.clone(),
            origin: format!("http://{app_address}"),
            samples,
            client: Network::Loopback.client().build()?,
            journal,
        });
        let printer = CallPrinter::new(&caller, options.json);
        let schedules = Schedules::default();
        let guard = Guard::new(platform_address.port())?;
        let console = options.console.then(|| Console {
            caller: Arc::clone(&caller),
            schedules: schedules.clone(),
            comparison,
            inspector,
            platform_url: origin.clone(),
            speed: options.speed,
            fixtures: options.fixtures.as_deref().map(path_in_tests),
            started: SystemTime::now(),
            has_log,
        });
        let mut platform_task = JoinSet::new();
        let router = console::router(&guard, &caller, console);
        platform_task.spawn(async move {
            if let Err(error) = axum::serve(platform_listener, router).await {
                print_error(&format!("the local platform stopped: {error}"));
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let app_task = tokio::spawn(built.serve(app_listener, async {
            let _ = stopped.await;
        }));
        let mut notice = format!(
            "local Forge platform: {origin} (signs with its own key, not Atlassian's)\n\
             app: http://{app_address}\n",
        );
        if options.console {
            notice.push_str(&format!("console: {origin}/console#{}\n", guard.secret()));
        }
        if !own_paths.is_empty() {
            let paths = own_paths.join(" ");
            notice.push_str(&format!("\nyour own routes, not verified: {paths}\n"));
        }
        printer.notice(&notice);
        Ok(Self {
            caller,
            jobs,
            clock,
            app_task,
            stop,
            schedules,
            speed: options.speed,
            printer,
            _platform_task: platform_task,
        })
    }

    pub(super) async fn end(self) {
        let _ = self.stop.send(());
        let _ = self.app_task.await;
    }

    /// Runs the schedules, immediately and then at their intervals, until a signal.
    pub(super) async fn until_stopped(self, signals: &StopSignals) -> i32 {
        // Before the notice: its reader may pause them at once.
        self.schedules.plan(&self.caller, self.speed);
        let callable = self.caller.app.registry().labels();
        self.printer.notice(&format!(
            "call a handler with `cargo run -- invoke KEY [--body JSON]`, from another terminal; the keys: {}\n\
             stop with Ctrl-C\n",
            callable.join(", ")
        ));
        // Before the first call, so that its end is printed.
        let changes = self.caller.journal.subscribe();
        let mut tasks = self.schedules.start(&self.caller);
        let caller = Arc::clone(&self.caller);
        tasks.spawn(print_calls(caller, changes, self.printer));
        signals.first().await;
        tokio::select! {
            () = async {
                tasks.shutdown().await;
                self.end().await;
            } => 0,
            () = signals.second() => 1,
        }
    }
}

/// Returns the path of a file for the app's tests, which run in the package's folder: relative to it, or absolute.
fn path_in_tests(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let package = environment::variable("CARGO_MANIFEST_DIR");
    let below = package.and_then(|package| path.strip_prefix(package).ok());
    below.map_or_else(|| path.clone(), Path::to_owned)
}

/// Prints each call that ends.
async fn print_calls(
    caller: Arc<PlatformClient>,
    mut changes: Receiver<Change>,
    printer: CallPrinter,
) {
    loop {
        match changes.recv().await {
            Ok(Change::Ended(id)) => {
                if let Some(record) = caller.journal.find(id) {
                    printer.print(&record, Time::Shown);
                }
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                print_error(&format!(
                    "note: {missed} call updates were not printed, because the output is too slow"
                ));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Listens on loopback only: apps that accept the local platform's tokens must not be reachable from
/// other machines.
async fn listen(port: u16, setting: &str) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        let message = format!(
            "cannot listen on {address} ({setting}): stop the other program that \
                               uses the port, probably another `dev`"
        );
        Error::http(StatusCode::INTERNAL_SERVER_ERROR, message).with_source(error)
    })
}
