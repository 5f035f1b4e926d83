//! An app that keeps tokens, as a process of its own. A line on its standard input is an
//! installation: a task outside of any request answers with what it has for it.

#![allow(clippy::print_stdout)]

use std::io::BufRead as _;

use forge_remote::prelude::*;
use forge_remote::token::{PostgresTokens, RedisTokens, SqliteTokens};
use forge_remote_tests::jws::b64;

#[scheduled_trigger(interval = "hour", auth = system, key = "tick-trigger", endpoint = "tick", path = "/tick")]
async fn tick() {}

async fn answer(tokens: Tokens) {
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    // Blocking, on a thread of its own: it ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    while let Some(line) = lines.recv().await {
        match tokens.system(&line).await {
            Ok(token) => {
                let hash = aws_lc_rs::digest::digest(
                    &aws_lc_rs::digest::SHA256,
                    token.expose_secret().as_bytes(),
                );
                println!("token {}", b64(hash));
            }
            Err(error) => println!("none: {error}"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let variable = |name| std::env::var(name).ok();
    let tokens = match (variable("SQLITE"), variable("POSTGRES"), variable("REDIS")) {
        (Some(path), ..) => Tokens::new(SqliteTokens::at(path)),
        (_, Some(url), _) => Tokens::new(PostgresTokens::at(url)),
        (.., Some(url)) => {
            Tokens::new(RedisTokens::at(url).prefix(&variable("REDIS_PREFIX").unwrap_or_default()))
        }
        _ => Tokens::new(forge_remote::token::MemoryTokens::new()),
    };
    tokio::spawn(answer(tokens.clone()));
    App::empty()
        .handler(forge_remote::handler!(tick))
        .remote(Remote::new("backend").base_url("https://backend.example.com"))
        .tokens(tokens)
        .run()
        .await
}
