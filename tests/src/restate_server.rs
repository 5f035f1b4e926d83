//! Restate servers for one test, and the load balancer by which a server reaches several engines.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forge_remote_restate::RestateJobs;
use num_bigint::BigUint;
use tokio::net::{TcpListener, TcpStream};

use crate::store_servers::{StoreServer, free_port};
use crate::stores::{Folder, server_variable};

/// Time limit for a server to serve, even after a crash.
const START: Duration = Duration::from_secs(60);

/// A server that signs its requests.
#[derive(Debug)]
pub struct RestateServer {
    /// The process.
    pub process: StoreServer,
    ingress: u16,
    admin: u16,
    key: String,
    balancer: Balancer,
}

impl RestateServer {
    /// Starts a server; returns `None` without its program.
    pub async fn start() -> Option<Self> {
        let program = server_variable("FORGE_REMOTE_TEST_RESTATE_BIN")?;
        let folder = Folder::default();
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
        std::fs::write(folder.file("identity.pem"), pem).unwrap();
        let [ingress, admin, node] = [(); 3].map(|()| free_port());
        let path = |name: &str| folder.file(name).display().to_string();
        let settings = format!(
            "listen-mode = \"tcp\"\n\
            default-num-partitions = 2\n\
            rocksdb-total-memory-size = \"256 MiB\"\n\
            disable-telemetry = true\n\
            base-dir = \"{}\"\n\
            bind-address = \"127.0.0.1:{node}\"\n\
            advertised-address = \"http://127.0.0.1:{node}\"\n\
            [ingress]\n\
            bind-address = \"127.0.0.1:{ingress}\"\n\
            [admin]\n\
            bind-address = \"127.0.0.1:{admin}\"\n\
            disable-web-ui = true\n\
            [worker.invoker]\n\
            request-identity-private-key-pem-file = \"{}\"\n",
            path("data"),
            path("identity.pem"),
        );
        std::fs::write(folder.file("restate.toml"), settings).unwrap();
        let words = [program, "--config-file".to_owned(), path("restate.toml")];
        let process = StoreServer::start(words.to_vec(), folder, admin).await;
        let server = Self {
            process,
            ingress,
            admin,
            key: format!("publickeyv1_{}", base58(pair.public_key().as_ref())),
            balancer: Balancer::start().await,
        };
        server.until_it_serves().await;
        Some(server)
    }

    /// Kills the server with SIGKILL, and starts it again.
    pub async fn crash(&mut self) {
        self.process.kill().await;
        self.process.restart().await;
        self.until_it_serves().await;
    }

    async fn until_it_serves(&self) {
        let started = Instant::now();
        let urls = [
            format!("http://127.0.0.1:{}/restate/health", self.ingress),
            format!("http://127.0.0.1:{}/health", self.admin),
        ];
        for url in urls {
            while !reqwest::get(&url)
                .await
                .is_ok_and(|it| it.status().is_success())
            {
                assert!(
                    started.elapsed() < START,
                    "the Restate server doesn't serve"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Returns an engine on the server, on a separate address behind the load balancer.
    pub fn engine(&self) -> RestateJobs {
        self.engine_with_key_of(self)
    }

    /// Returns an engine on the server that expects the signatures of this one.
    pub fn engine_with_key_of(&self, other: &Self) -> RestateJobs {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        self.balancer.add(address);
        let [ingress, admin] =
            [self.ingress, self.admin].map(|port| format!("http://127.0.0.1:{port}"));
        RestateJobs::new(ingress, admin)
            .listen(address, self.balancer.url())
            .identity_key(&other.key)
    }

    /// Returns an engine on the server that is not behind its load balancer, and its address.
    pub fn engine_elsewhere(&self) -> (SocketAddr, RestateJobs) {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        (
            address,
            self.engine().listen(address, format!("http://{address}")),
        )
    }

    /// Returns the URL of the admin API.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin)
    }

    /// Returns the variables by which [`from_environment`] returns such an engine in another process.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        self.balancer.add(address);
        [
            ("RESTATE_PORTS", format!("{} {}", self.ingress, self.admin)),
            ("RESTATE_KEY", self.key.clone()),
            ("RESTATE_LISTEN", address.to_string()),
            ("RESTATE_URL", self.balancer.url()),
        ]
    }
}

/// Returns the engine of [`RestateServer::variables`].
pub fn from_environment() -> RestateJobs {
    let variable = |name| std::env::var(name).unwrap();
    let ports = variable("RESTATE_PORTS");
    let (ingress, admin) = ports.split_once(' ').unwrap();
    let [ingress, admin] = [ingress, admin].map(|port| format!("http://127.0.0.1:{port}"));
    let listen: SocketAddr = variable("RESTATE_LISTEN").parse().unwrap();
    RestateJobs::new(ingress, admin)
        .listen(listen, variable("RESTATE_URL"))
        .identity_key(variable("RESTATE_KEY"))
}

/// Passes each connection on to one of the addresses: the newest that accepts it.
#[derive(Debug)]
struct Balancer {
    port: u16,
    addresses: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let targets = Arc::clone(&addresses);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let targets = targets.lock().unwrap().clone();
                tokio::spawn(async move {
                    for target in targets.into_iter().rev() {
                        if let Ok(mut target) = TcpStream::connect(target).await {
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut target).await;
                            return;
                        }
                    }
                });
            }
        });
        Self { port, addresses }
    }

    fn add(&self, address: SocketAddr) {
        self.addresses.lock().unwrap().push(address);
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Encodes bytes as Restate writes its public keys.
fn base58(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = match BigUint::from_bytes_be(bytes) {
        number if number == BigUint::ZERO => Vec::new(),
        number => number.to_radix_be(58),
    };
    let digits = std::iter::repeat_n(0, zeros).chain(digits);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
