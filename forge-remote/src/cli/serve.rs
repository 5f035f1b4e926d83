//! The `serve` command, which runs without arguments too.

use clap::Command;
use tokio::net::TcpListener;

use super::output::{NO, OK, complain, print};
use super::routes;
use crate::app::{App, LaunchError, StopSignals, drift};

pub(super) fn command() -> Command {
    Command::new("serve").about("Print what is registered, and serve")
}

/// Serves until a signal, and returns the exit status.
pub(super) async fn run(app: App) -> i32 {
    let settings = app.settings();
    let drift = drift(&app);
    let table = routes::table(app.registry(), false);
    // Declarations first: they are known before anything is connected.
    let mut problems = app.declaration_problems();
    problems.extend(drift);
    if !problems.is_empty() {
        problems.extend(app.missing_needs());
        complain(&LaunchError::new(problems));
        return NO;
    }
    let built = match app.connect().await.map(App::build) {
        Ok(Ok(built)) => built,
        Ok(Err(error)) => {
            complain(&error);
            return NO;
        }
        Err(error) => {
            complain(&format!("error: {error:?}"));
            return NO;
        }
    };
    let listener = match TcpListener::bind(&settings.bind).await {
        Ok(listener) => listener,
        Err(error) => {
            complain(&format!(
                "error: can't listen on `{}`: {error}\n  help: set FORGE_REMOTE_BIND to a free address such as \
                 127.0.0.1:8081",
                settings.bind
            ));
            return NO;
        }
    };
    let signals = StopSignals::listen();
    print(&table);
    if let Ok(address) = listener.local_addr() {
        print(&format!("listening on http://{address}\n"));
    }
    let served = tokio::select! {
        served = built.serve(listener, signals.first()) => served,
        () = signals.second() => {
            complain(&"stopped at once by a second signal: calls in flight were cut off");
            return NO;
        }
    };
    match served {
        Ok(()) => OK,
        Err(error) => {
            complain(&format!("error: {error:?}"));
            NO
        }
    }
}
