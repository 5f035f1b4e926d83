//! The commands of an app's own binary.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use similar::TextDiff;
use tokio::net::TcpListener;

use super::drift::drift;
use super::explain::explain;
use super::serve::StopSignals;
use super::{App, LaunchError, logging, routes};
use crate::dev;
use crate::diagnostic::{Diagnostic, Severity};
use crate::manifest::{
    DesiredManifest, ManifestError, ManifestFile, bindings, check, render, to_yaml,
};

/// All is well.
const OK: i32 = 0;
/// The answer is no: a difference, a failed call.
const NO: i32 = 1;
/// The question could not be answered.
const BROKEN: i32 = 2;

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("app")
        .about("A Forge remote. Without a command it serves.")
        .subcommand(Command::new("serve").about("Print what is registered, and serve"))
        .subcommand(
            Command::new("manifest")
                .about("Show how manifest.yml differs from the code")
                .arg(flag("write", "Bring manifest.yml up to date"))
                .arg(flag("check", "Change nothing; exit 1 on a difference, 2 if the manifest can't be compared").conflicts_with("write"))
                .arg(flag("stdout", "Print the generated sections alone").conflicts_with_all(["write", "check"]))
                .arg(Arg::new("explain").long("explain").value_name("CODE").help("Explain a code, as `explain` does").exclusive(true))
                .arg(flag("json", "Print the findings and problems as JSON, for machines").conflicts_with_all(["write", "stdout"])),
        )
        .subcommand(
            Command::new("explain")
                .about("Explain the code of a problem or a finding; without a code, list the codes")
                .arg(Arg::new("code").value_name("CODE")),
        )
        .subcommand(
            Command::new("routes")
                .about("List the handlers: kind, key, method, path, tokens, scopes, source")
                .arg(flag("json", "As JSON, for machines")),
        )
        .subcommand(
            Command::new("invoke")
                .about("Have the local platform of a running `dev` sign one call and send it")
                .arg(Arg::new("key").required(true).help("The key of a module or an endpoint"))
                .arg(Arg::new("body").long("body").help("The body, as JSON"))
                .arg(Arg::new("query").long("query").help("A query, without the `?`"))
                .arg(
                    Arg::new("method")
                        .long("method")
                        .help("The method: which handler, where several share a key; of any, for one that answers all")
                        .ignore_case(true)
                        .value_parser(["GET", "POST", "PUT", "PATCH", "DELETE"]),
                )
                .arg(
                    Arg::new("below")
                        .long("below")
                        .help("A path below the handler's own, for a web trigger: /orders/7"),
                )
                .arg(
                    Arg::new("event")
                        .long("event")
                        .help("Which event, for a trigger; the first that it declares unless named"),
                )
                .arg(
                    Arg::new("retry")
                        .long("retry")
                        .help("Send it as Forge sends an event again, for the Nth time")
                        .value_name("N")
                        .value_parser(clap::value_parser!(u32).range(1..)),
                )
                .arg(
                    Arg::new("platform")
                        .long("platform")
                        .help("Where the local platform is")
                        .default_value(dev::DEFAULT_PLATFORM),
                ),
        )
        .subcommand(
            Command::new("dev")
                .about("Serve on loopback together with a local Forge platform that signs and schedules")
                .arg(flag("once", "Call every handler once, print a line a call, exit 1 if one failed"))
                .arg(
                    Arg::new("speed")
                        .long("speed")
                        .value_parser(clap::value_parser!(u32).range(1..))
                        .default_value("1")
                        .help("Make time pass this many times faster for schedules"),
                )
                .arg(
                    Arg::new("platform-port")
                        .long("platform-port")
                        .value_parser(clap::value_parser!(u16))
                        .default_value("8079")
                        .help("The local platform's port"),
                ),
        )
}

/// Runs the command that the arguments name; the exit status comes back.
pub(super) async fn run(app: App, arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return error.exit_code();
        }
    };
    match matches.subcommand() {
        Some(("manifest", options)) => manifest(&app, options),
        Some(("routes", options)) => list(&app, options),
        Some(("explain", options)) => explained(options.get_one("code")),
        Some(("invoke", options)) => dev::invoke(options).await,
        Some(("dev", options)) => {
            logging::init();
            let once = options.get_flag("once");
            let speed = options.get_one("speed").copied().unwrap_or(1);
            let port = options.get_one("platform-port").copied().unwrap_or(0);
            dev::run(app, dev::Options { once, speed, port }).await
        }
        _ => {
            logging::init();
            serve(app).await
        }
    }
}

/// Prints to standard output; a closed pipe is not our fault.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints to standard error.
pub(crate) fn complain(error: &impl std::fmt::Display) {
    // After what was logged before it.
    logging::flush();
    let _ = writeln!(io::stderr(), "{error}");
}

fn list(app: &App, options: &ArgMatches) -> i32 {
    if options.get_flag("json") {
        print(&format!("{}\n", routes::json(app.registry())));
    } else {
        print(&routes::table(app.registry(), true));
    }
    match app.registry().problems() {
        problems if problems.is_empty() => OK,
        problems => {
            complain(&LaunchError::new(problems));
            NO
        }
    }
}

async fn serve(app: App) -> i32 {
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

/// Prints a code's explanation, or every code.
fn explained(code: Option<&String>) -> i32 {
    match explain(code.map(String::as_str)) {
        Ok(text) => {
            print(&text);
            OK
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            BROKEN
        }
    }
}

fn manifest(app: &App, options: &ArgMatches) -> i32 {
    if let Some(code) = options.get_one::<String>("explain") {
        return explained(Some(code));
    }
    let problems = app.declaration_problems();
    if !problems.is_empty() {
        if options.get_flag("json") {
            print_report(app, false, &problems, None);
        }
        complain(&LaunchError::new(problems));
        return BROKEN;
    }
    let wanted = app.desired_manifest();
    if options.get_flag("stdout") {
        print(&to_yaml(&wanted.to_value()));
        return OK;
    }
    let result = if options.get_flag("write") {
        write(app, &wanted)
    } else {
        show(app, &wanted, options.get_flag("json")).map(|same| {
            if same || !options.get_flag("check") {
                OK
            } else {
                NO
            }
        })
    };
    result.unwrap_or_else(|error| {
        complain(&format!("error: {error}"));
        BROKEN
    })
}

fn write(app: &App, wanted: &DesiredManifest) -> Result<i32, ManifestError> {
    let settings = app.settings();
    let file = ManifestFile::read(settings.manifest)?;
    let merged = file.merge(wanted, settings.configured_app_id.as_deref())?;
    let name = file.path().display();
    let Some(merged) = merged else {
        print(&format!(
            "{name} agrees with the code; nothing was written\n"
        ));
        return Ok(OK);
    };
    file.write(merged.text())?;
    print(&render(
        &merged,
        &check(&merged, wanted, &app.allowed),
        io::stdout().is_terminal(),
    ));
    print(&format!(
        "{name} is {}\n",
        if file.exists() {
            "up to date"
        } else {
            "written"
        }
    ));
    Ok(OK)
}

/// How a manifest and the code compare.
struct Report {
    agrees: bool,
    findings: Vec<Diagnostic>,
    text: String,
}

fn report(app: &App, wanted: &DesiredManifest, color: bool) -> Result<Report, ManifestError> {
    let settings = app.settings();
    let file = ManifestFile::read(settings.manifest)?;
    let name = file.path().display();
    let findings = check(&file, wanted, &app.allowed);
    if !file.exists() {
        let sections = to_yaml(&wanted.to_value());
        let text = format!("{name} does not exist; `manifest --write` writes it:\n\n{sections}");
        return Ok(Report {
            agrees: false,
            findings,
            text,
        });
    }
    let wrong = findings
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .count();
    let mut text = render(&file, &findings, color);
    text.push_str(&bindings(&file, wanted));
    if wrong == 0 {
        text.push_str(&format!("{name} agrees with the code\n"));
        return Ok(Report {
            agrees: true,
            findings,
            text,
        });
    }
    let problems = if wrong == 1 {
        "1 problem".to_owned()
    } else {
        format!("{wrong} problems")
    };
    if !findings.iter().any(Diagnostic::is_difference) {
        text.push_str(&format!(
            "{name} says what the code says, but has {problems} that only you can correct, in the file or in the code\n"
        ));
        return Ok(Report {
            agrees: false,
            findings,
            text,
        });
    }
    match file.merged_with(wanted, settings.configured_app_id.as_deref()) {
        Ok(updated) => {
            let diff = TextDiff::from_lines(file.text(), &updated);
            let mut diff = diff.unified_diff();
            text.push_str(
                &diff
                    .context_radius(3)
                    .header("manifest.yml", "the code")
                    .to_string(),
            );
        }
        Err(error) => text.push_str(&format!("{error}\n")),
    }
    text.push_str(&format!(
        "\n{name} does not agree with the code: {problems}. Bring it up to date with `manifest --write` (with cargo: \
         `cargo run -- manifest --write`)\n"
    ));
    Ok(Report {
        agrees: false,
        findings,
        text,
    })
}

/// Prints how they compare; true when nothing is wrong.
fn show(app: &App, wanted: &DesiredManifest, json: bool) -> Result<bool, ManifestError> {
    let Report {
        agrees,
        findings,
        text,
    } = match report(app, wanted, io::stdout().is_terminal()) {
        // A script that asked for JSON gets JSON, whatever is wrong.
        Err(error) if json => {
            print_report(app, false, &[], Some(&error.to_string()));
            return Err(error);
        }
        report => report?,
    };
    if json {
        print_report(app, agrees, &findings, None);
    } else {
        print(&text);
    }
    Ok(agrees)
}

/// Prints the report of `manifest --json`: findings, or the problems of the code.
fn print_report(app: &App, agrees: bool, findings: &[Diagnostic], error: Option<&str>) {
    let manifest = app.settings().manifest.display().to_string();
    let mut report =
        serde_json::json!({ "manifest": manifest, "agrees": agrees, "findings": findings });
    if let (Some(error), Some(report)) = (error, report.as_object_mut()) {
        report.insert("error".to_owned(), error.into());
    }
    print(&format!("{report:#}\n"));
}

/// The report of `manifest --check`, as an error when something is wrong.
pub(super) fn check_manifest(app: &App) -> Result<(), String> {
    let problems = app.declaration_problems();
    if !problems.is_empty() {
        return Err(LaunchError::new(problems).to_string());
    }
    let wanted = app.desired_manifest();
    match report(app, &wanted, false) {
        Ok(Report { agrees: true, .. }) => Ok(()),
        Ok(Report { text, .. }) => Err(text),
        Err(error) => Err(error.to_string()),
    }
}

/// How long a command waits for an answer of its own making.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
