//! An app that keeps tokens, as a process of its own. A line on its standard input is an
//! installation: a task outside of any request asks its Confluence with what it has for it. Or it is
//! `failures`, and the task says how often the store failed.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::BufRead as _;

use forge_remote::client::AtlassianClient;
use forge_remote::prelude::*;
use forge_remote_tests::stores;

#[scheduled_trigger(interval = "hour", auth = system, key = "tick-trigger", endpoint = "tick", path = "/tick")]
async fn tick() {}

#[derive(serde::Deserialize)]
struct Found {
    title: String,
}

async fn ask(tokens: &Tokens, atlassian: &AtlassianClient, installation: &str) -> Result<String> {
    let token = tokens.system(installation).await?;
    let installation = tokens.installation(installation).await?;
    let confluence = atlassian.confluence(&installation).as_app(&token);
    let mut pages = confluence.get("/wiki/api/v2/pages").pages::<Found>();
    let page = pages.next().await.ok_or("Confluence has no page")??;
    Ok(page.title)
}

async fn answer(tokens: Tokens, atlassian: AtlassianClient) -> Result<()> {
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    // Blocking, on a thread of its own: it ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    while let Some(line) = lines.recv().await {
        if line == "failures" {
            println!("{}", tokens.stats().store_failures);
            continue;
        }
        match ask(&tokens, &atlassian, &line).await {
            Ok(title) => println!("{title}"),
            Err(error) => println!("none: {error}"),
        }
    }
    Ok(())
}

/// Prints what crates log by `log` (reqwest and rustls do), which no subscriber here sees.
struct ToStderr;

impl log::Log for ToStderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::var_os("LOG_EVERYTHING").is_some() {
        let _ = log::set_boxed_logger(Box::new(ToStderr));
        log::set_max_level(log::LevelFilter::Trace);
    }
    let atlassian = match std::env::var("CONFLUENCE") {
        Ok(origin) => AtlassianClient::on_loopback(&origin)?,
        Err(_) => AtlassianClient::new(),
    };
    App::empty()
        .handler(forge_remote::handler!(tick))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .token_store(Tokens::new(stores::of_environment()))
        .client(atlassian)
        .background(answer)
        .run()
        .await
}
