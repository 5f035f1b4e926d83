//! An app that stores tokens, run as a process. For each line on its standard input, which is an
//! installation, a background task calls Confluence with the installation's token. For the line
//! `failures`, it prints the number of store failures.

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

async fn read_title(
    tokens: &Tokens,
    atlassian: &AtlassianClient,
    installation: &str,
) -> Result<String> {
    let token = tokens.system(installation).await?;
    let installation = tokens.installation(installation).await?;
    let confluence = atlassian.confluence(&installation).as_app(&token);
    let mut pages = confluence.get("/wiki/api/v2/pages").pages::<Found>();
    let page = pages.next().await.ok_or("Confluence has no page")??;
    Ok(page.title)
}

async fn serve_input(tokens: Tokens, atlassian: AtlassianClient) -> Result<()> {
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    // Reading blocks, so it has a thread, which ends with the process.
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
        match read_title(&tokens, &atlassian, &line).await {
            Ok(title) => println!("{title}"),
            Err(error) => println!("none: {error}"),
        }
    }
    Ok(())
}

/// A logger for crates that use `log` (reqwest and rustls), which no subscriber here receives.
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
    forge_remote::testing::__sign_with_published_key();
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
        .token_store(Tokens::new(stores::from_environment()))
        .client(atlassian)
        .background(serve_input)
        .run()
        .await
}
