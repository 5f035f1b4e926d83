//! Server processes: start, CPU time, memory and stop.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start: under callgrind, everything takes fifty times as long.
const LONGEST_START: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// From the start of the process to the first 2xx.
    pub(crate) cold_start: Duration,
}

impl Server {
    /// Starts a server and repeats the request `first` until its response is 2xx.
    pub(crate) fn start(program: &str, environment: &[(&str, &str)], first: &[u8]) -> Self {
        Self::start_command(Command::new(program), environment, first)
    }

    /// Starts a server by this command, as [`start`](Self::start) does.
    pub(crate) fn start_command(
        mut command: Command,
        environment: &[(&str, &str)],
        first: &[u8],
    ) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let started = Instant::now();
        let child = command
            .envs(environment.iter().copied())
            .env("FORGE_REMOTE_BIND", &address)
            .env("FORGE_REMOTE_APP_ID", crate::tokens::APP_ID)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self {
            child,
            address,
            cold_start: Duration::ZERO,
        };
        loop {
            if let Some(200..=299) = send(&server.address, first) {
                server.cold_start = started.elapsed();
                return server;
            }
            assert!(
                started.elapsed() < LONGEST_START,
                "{command:?} does not respond with 2xx"
            );
            std::thread::yield_now();
        }
    }

    /// Returns the user and system time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        // User and system time: fields 14 and 15.
        cpu_of(&self.child.id().to_string(), 14)
    }

    /// Waits until the server uses less than a tenth of a core, so that its work in the background has ended.
    pub(crate) fn settle(&self) {
        const PERIOD: Duration = Duration::from_millis(200);
        let started = Instant::now();
        let mut used = self.cpu();
        loop {
            std::thread::sleep(PERIOD);
            let now = self.cpu();
            if now - used < PERIOD / 10 {
                return;
            }
            used = now;
            assert!(
                started.elapsed() < LONGEST_START,
                "the server does not settle"
            );
        }
    }

    /// Ends the server by SIGTERM, and waits for its end.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {pid}");
        let _ = self.child.wait();
    }

    /// Returns the peak resident memory in MiB.
    pub(crate) fn peak_memory(&self) -> f64 {
        self.status("VmHWM:") / 1024.0
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn memory(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// Returns the resident memory that is not a file's, in KiB.
    pub(crate) fn anonymous_memory(&self) -> f64 {
        self.status("RssAnon:")
    }

    /// Returns a number of `/proc/<pid>/status`.
    fn status(&self, name: &str) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or("0");
        line.split_whitespace()
            .next()
            .and_then(|kib| kib.parse::<f64>().ok())
            .unwrap_or(0.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the user and system time of a command and of the processes that it started and waited for.
pub(crate) fn cpu_time(command: &mut Command) -> Duration {
    // Of the processes that this one waited for: fields 16 and 17.
    let before = cpu_of("self", 16);
    let status = command.status().expect("a command");
    assert!(status.success(), "{command:?}");
    cpu_of("self", 16) - before
}

/// Returns the sum of two neighbouring times of a process, by the number of the first field.
/// Source: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn cpu_of(process: &str, field: usize) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("/proc");
    // The second field is a name in brackets, which may have spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = fields.split_whitespace().skip(field - 3).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // 100 ticks a second on Linux.
    Duration::from_millis(ticks * 10)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}

/// Sends a request on a new connection and returns the status, or `None` while nothing listens.
pub(crate) fn send(address: &str, request: &[u8]) -> Option<u16> {
    respond(address, request)?.split(' ').nth(1)?.parse().ok()
}

/// Sends a request on a new connection and returns the beginning of the response.
pub(crate) fn respond(address: &str, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(request).ok()?;
    let mut response = [0; 1024];
    let read = stream.read(&mut response).ok()?;
    std::str::from_utf8(&response[..read])
        .ok()
        .map(str::to_owned)
}

/// Serves a key set until the process ends, and returns its URL.
pub(crate) fn serve_key_set(document: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/.well-known/jwks.json",
        listener.local_addr().expect("bound")
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 2048];
            let _ = stream.read(&mut request);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                document.len()
            );
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(document.as_bytes()));
        }
    });
    url
}

/// Builds binaries in release mode and returns their folder.
pub(crate) fn build(arguments: &[&str]) -> String {
    let status = Command::new("cargo")
        .args(["build", "--release", "-q"])
        .args(arguments)
        .status()
        .expect("cargo");
    assert!(status.success(), "cargo build --release {arguments:?}");
    let me = std::env::current_exe().expect("this program");
    me.parent().expect("its directory").display().to_string()
}
