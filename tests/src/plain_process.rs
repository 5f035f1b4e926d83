//! The `plain_app` program as a process.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::jwks_server::JwksServer;
use crate::jws::APP_ID;

/// Time limit for a line that a process prints.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `plain_app` process.
#[derive(Debug)]
pub struct PlainProcess {
    /// The process.
    pub child: Child,
    /// The address the app listens on.
    pub address: SocketAddr,
    /// The lines that it logs.
    pub log: Lines<BufReader<ChildStderr>>,
    _output: Lines<BufReader<ChildStdout>>,
}

impl PlainProcess {
    /// Starts a command that runs the program, with this key set.
    pub async fn start(mut command: Command, keys: &JwksServer) -> Self {
        command
            .env("FORGE_REMOTE_APP_ID", APP_ID)
            .env_remove("FORGE_REMOTE_MANIFEST");
        Self::start_as_configured(command, keys).await
    }

    /// Starts a command that runs the program, with this key set. The command sets the app's id and
    /// manifest.
    pub async fn start_as_configured(mut command: Command, keys: &JwksServer) -> Self {
        let mut child = command
            .env("FORGE_REMOTE_BIND", "127.0.0.1:0")
            .env("FORGE_REMOTE_JWKS_URL", keys.url())
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = async {
            loop {
                let line = output.next_line().await.unwrap().unwrap();
                if let Some(address) = line.strip_prefix("listening on http://") {
                    return address.parse().unwrap();
                }
            }
        };
        let address = tokio::time::timeout(PATIENCE, listening).await;
        let address = address.expect("the program does not listen");
        Self {
            child,
            address,
            log,
            _output: output,
        }
    }

    /// Sends the process a signal by its name.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Waits until a line with this text is logged.
    pub async fn logs(&mut self, text: &str) {
        let logged = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                if line.contains(text) {
                    return true;
                }
            }
            false
        };
        let is_logged = tokio::time::timeout(PATIENCE, logged).await;
        assert_eq!(is_logged, Ok(true), "`{text}` is not logged");
    }

    /// Kills the process and returns the lines that were not read yet.
    pub async fn end(mut self) -> Vec<String> {
        self.child.kill().await.unwrap();
        let mut lines = Vec::new();
        while let Some(line) = self.log.next_line().await.unwrap() {
            lines.push(line);
        }
        lines
    }
}
