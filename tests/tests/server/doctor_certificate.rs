//! `doctor --url` and the certificate of a deployment.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use forge_remote_tests::report::skipped;
use forge_remote_tests::stores::Folder;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::doctor_target::{Deployment, manifest, stderr, stdout};

/// Makes a certificate authority and a certificate of `localhost` that is this many days old and valid for this many
/// more, with openssl. Returns false where openssl is not installed, except in CI.
async fn make_certificate(folder: &Folder, age: &str, left: &str) -> bool {
    let script = "set -e
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -keyout ca.key -subj /CN=Tests -days 90 -out ca.pem
        openssl req $key -keyout leaf.pem -subj /CN=localhost -out leaf.csr
        echo subjectAltName=DNS:localhost > names
        rm -f index* && touch index
        printf '%s\n' '[ca]' default_ca=own '[own]' new_certs_dir=. database=index rand_serial=yes \
            default_md=sha256 policy=any '[any]' commonName=supplied > ca.cnf
        from=$(date -u -d \"$1 days ago\" +%y%m%d%H%M%SZ) until=$(date -u -d \"$2 days\" +%y%m%d%H%M%SZ)
        openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in leaf.csr -extfile names \
            -startdate $from -enddate $until -out leaf.crt
        openssl x509 -in leaf.crt -outform DER -out leaf.der
        openssl pkcs8 -topk8 -nocrypt -in leaf.pem -outform DER -out leaf.key";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh", age, left]);
    let made = shell.current_dir(folder.path()).output().await.unwrap();
    if !made.status.success() {
        skipped(&format!("openssl cannot be run: {}", stderr(&made)));
    }
    made.status.success()
}

/// Serves TLS with the directory's certificate in front of this address.
async fn tls(folder: &Folder, upstream: SocketAddr) -> (u16, JoinSet<()>) {
    let certificate = CertificateDer::from(fs::read(folder.file("leaf.der")).unwrap());
    let key = PrivateKeyDer::try_from(fs::read(folder.file("leaf.key")).unwrap()).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut upstream = TcpStream::connect(upstream).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
            });
        }
    });
    (port, server)
}

#[tokio::test]
async fn the_certificate_is_checked() {
    let deployment = Deployment::start(|_, _| None).await;
    for (age, left, is_trusted, state) in [
        ("30", "60", true, "passed"),
        // Some authorities issue for 6 days only.
        ("4", "2", true, "passed"),
        ("83", "7", true, "warning"),
        ("30", "60", false, "failed"),
    ] {
        if !make_certificate(&deployment.folder, age, left).await {
            return;
        }
        let (port, _server) = tls(&deployment.folder, deployment.proxy.address).await;
        let url = format!("https://localhost:{port}");
        fs::write(deployment.folder.file("manifest.yml"), manifest(&url)).unwrap();
        let mut command = deployment.doctor(&["--url", &url, "--yes", "--json"]);
        command.env("NO_PROXY", "localhost,127.0.0.1");
        if is_trusted {
            command.env("SSL_CERT_FILE", deployment.folder.file("ca.pem"));
        }
        deployment.proxy.requests.store(0, Ordering::Relaxed);
        let output = command.output().await.unwrap();
        let text = stdout(&output);
        let codes = match state {
            "failed" => vec!["certificate"],
            _ => vec![],
        };
        assert_eq!(deployment.codes_of(&output), codes, "{age} {left} {text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        let first = &report["checks"][0];
        assert_eq!(first["state"], state, "{age} {left} {text}");
        let code = first["code"].as_str();
        assert_eq!(code == Some("certificate"), state != "passed", "{text}");
    }
}
