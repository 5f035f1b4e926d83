//! PostgreSQL and Redis servers for one test, which can kill and stop them and search their files.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::stores::{Folder, server_variable};

/// Time limit for a server to start, even after a crash.
const START: Duration = Duration::from_secs(30);

/// A server process, and the command that starts it again on the same data and port.
#[derive(Debug)]
pub struct StoreServer {
    program: Vec<String>,
    folder: Folder,
    port: u16,
    child: Child,
}

impl StoreServer {
    /// Starts a PostgreSQL server with default settings, so that commits are on the disk. Returns
    /// `None` without its programs.
    pub async fn postgres() -> Option<Self> {
        let programs = PathBuf::from(server_variable("FORGE_REMOTE_TEST_POSTGRES_BIN")?);
        let folder = Folder::default();
        let data = folder.file("data");
        std::fs::create_dir(&data).unwrap();
        // PostgreSQL rejects to run as root.
        let user = std::env::var("FORGE_REMOTE_TEST_POSTGRES_AS").unwrap_or_default();
        let mut words: Vec<String> = user.split_whitespace().map(str::to_owned).collect();
        if !words.is_empty() {
            run("chown", ["postgres", text(&data)]).await;
        }
        let path = |name| text(&programs.join(name)).to_owned();
        let port = free_port();
        let make = [&path("initdb"), "-D", text(&data), "-U", "test"]
            .map(str::to_owned)
            .into_iter()
            .chain(["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"].map(str::to_owned));
        let mut make: Vec<String> = words.iter().cloned().chain(make).collect();
        let program = make.remove(0);
        run(&program, make).await;
        words.extend([&path("postgres"), "-D", text(&data), "-h", "127.0.0.1"].map(str::to_owned));
        words.extend(["-p", &port.to_string(), "-k", text(&data)].map(str::to_owned));
        // Without it, recovery after a crash syncs each of a thousand files.
        words.extend(["-c", "recovery_init_sync_method=syncfs"].map(str::to_owned));
        Some(Self::start(words, folder, port).await)
    }

    /// Starts a Redis server with these additional options; returns `None` without its program.
    pub async fn redis(options: &[&str]) -> Option<Self> {
        let program = server_variable("FORGE_REMOTE_TEST_REDIS_BIN")?;
        let folder = Folder::default();
        let port = free_port();
        let mut words = vec![program];
        words.extend(["--bind", "127.0.0.1", "--port", &port.to_string()].map(str::to_owned));
        words.extend(["--dir", text(folder.path()), "--save", ""].map(str::to_owned));
        words.extend(options.iter().map(|&word| word.to_owned()));
        Some(Self::start(words, folder, port).await)
    }

    pub(crate) async fn start(program: Vec<String>, folder: Folder, port: u16) -> Self {
        let child = spawn(&program);
        let mut server = Self {
            program,
            folder,
            port,
            child,
        };
        server.until_it_listens().await;
        server
    }

    /// Starts the server again after it was killed or stopped.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.program);
        self.until_it_listens().await;
    }

    async fn until_it_listens(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed() < START, "the server doesn't start");
            // Other processes of a killed PostgreSQL may still run for a moment.
            if self.child.try_wait().unwrap().is_some() {
                self.child = spawn(&self.program);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the server with SIGKILL.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Stops the server with another signal.
    pub async fn stop(&mut self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        run("kill", [signal, &id]).await;
        self.child.wait().await.unwrap();
    }

    /// Returns the URL of PostgreSQL's first database.
    pub fn postgres_url(&self) -> String {
        format!("postgres://test@127.0.0.1:{}/postgres", self.port)
    }

    /// Returns the URL of Redis.
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns which of these texts the server's files contain.
    pub async fn held(&self, texts: &[String]) -> Vec<String> {
        let grep = Command::new("grep")
            .args(["--recursive", "--text", "--fixed-strings"])
            .args(["--only-matching", "--no-filename"])
            .args(texts.iter().flat_map(|text| ["-e", text]))
            .arg(self.folder.path())
            .output();
        let found = grep.await.unwrap().stdout;
        let found = String::from_utf8_lossy(&found);
        let mut found: Vec<String> = found.lines().map(str::to_owned).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// Sends a command to a Redis server and returns the raw reply.
pub fn redis_command(url: &str, words: &[&str]) -> String {
    let address = url.trim_start_matches("redis://");
    let mut stream = TcpStream::connect(address).unwrap();
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    // Makes the server close the connection.
    command += "*1\r\n$4\r\nQUIT\r\n";
    stream.write_all(command.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(!reply.starts_with('-'), "{words:?}: {reply}");
    reply
}

fn spawn(program: &[String]) -> Child {
    Command::new(&program[0])
        .args(&program[1..])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn run(program: &str, arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir("/")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns a port that nothing listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
