//! The `serve` command, the default without arguments.

use clap::{ArgMatches, Command};

use super::logging;
use super::output::{NEGATIVE, OK, print, print_error};
use super::routes;
use crate::app::App;

pub(super) fn command() -> Command {
    Command::new("serve").about("Print the registered handlers, and serve")
}

/// Serves until a signal, and returns the exit status.
pub(super) async fn run(app: App, _: &ArgMatches) -> i32 {
    logging::init();
    let table = routes::table(&app, false);
    let listening = match app.listen().await {
        Ok(Some(listening)) => listening,
        Ok(None) => return OK,
        Err(error) => {
            print_error(&error);
            return NEGATIVE;
        }
    };
    print(&table);
    if let Ok(address) = listening.address() {
        print(&format!("listening on http://{address}\n"));
    }
    match listening.run().await {
        Ok(()) => OK,
        Err(error) => {
            print_error(&error);
            NEGATIVE
        }
    }
}
