//! The command `dev` as a process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::http::{self, Call, HttpResponse};

/// A running `dev`, which is killed on drop.
#[derive(Debug)]
pub struct DevProcess {
    child: Child,
    /// The local platform's URL.
    pub platform: String,
    /// The app's URL.
    pub app: String,
    /// The line that names the handlers' keys.
    pub keys: String,
    /// The secret in the console's link, if there is a link.
    pub secret: Option<String>,
}

impl DevProcess {
    /// Starts a command of an app: `dev` with a free port for the platform.
    ///
    /// # Panics
    ///
    /// If the process ends before it serves.
    #[must_use]
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::logging_to(command, Stdio::null())
    }

    /// Starts a command like [`start`](Self::start), with its log in a file.
    ///
    /// # Panics
    ///
    /// If the process ends before it serves.
    #[must_use]
    #[track_caller]
    pub fn logging_to(command: &mut Command, log: impl Into<Stdio>) -> Self {
        let mut child = command
            .args(["--platform-port", "0"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (mut platform, mut app, mut secret) = (String::new(), String::new(), None);
        let keys = loop {
            let line = lines.next().expect("more output").expect("a text");
            if let Some(rest) = line.strip_prefix("local Forge platform: ") {
                rest.split(' ')
                    .next()
                    .unwrap_or_default()
                    .clone_into(&mut platform);
            } else if let Some(url) = line.strip_prefix("app: ") {
                url.clone_into(&mut app);
            } else if let Some(link) = line.strip_prefix("console: ") {
                secret = link.split_once('#').map(|(_, secret)| secret.to_owned());
            } else if let Some(keys) = line.strip_prefix("call a handler with ") {
                break keys.to_owned();
            }
        };
        // Later output is read too, so that the process never blocks.
        std::thread::spawn(move || lines.count());
        Self {
            child,
            platform,
            app,
            keys,
            secret,
        }
    }

    /// Returns the platform's address.
    ///
    /// # Panics
    ///
    /// If it is not an address.
    #[must_use]
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        address_of(&self.platform)
    }

    /// Returns the app's address.
    ///
    /// # Panics
    ///
    /// If it is not an address.
    #[must_use]
    #[track_caller]
    pub fn app_address(&self) -> SocketAddr {
        address_of(&self.app)
    }

    /// Returns the memory that the process occupies, in bytes.
    ///
    /// # Panics
    ///
    /// If Linux does not report it.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect("the process's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1024 * kilobytes
            .and_then(|text| text.parse::<u64>().ok())
            .expect("a number")
    }

    /// Sends a request to the platform's server, with its own host.
    ///
    /// # Panics
    ///
    /// If there is no response.
    pub async fn send(&self, call: Call) -> HttpResponse {
        let address = self.address();
        let response = http::send(address, &call.host(&address.to_string())).await;
        response.expect("a response")
    }

    /// Sends a request to the console's API, and returns the response's status and JSON.
    ///
    /// # Panics
    ///
    /// If there is no response, or no console.
    pub async fn api(&self, call: Call) -> (u16, Value) {
        let secret = self.secret.as_deref().expect("a console");
        let response = self.send(call.header("x-console-secret", secret)).await;
        (response.status, response.json())
    }
}

#[track_caller]
fn address_of(url: &str) -> SocketAddr {
    let address = url.strip_prefix("http://");
    address
        .and_then(|text| text.parse().ok())
        .expect("an address")
}

impl Drop for DevProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
