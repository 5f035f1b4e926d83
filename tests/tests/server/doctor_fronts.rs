//! `doctor --url` on deployments behind nginx: the configuration of the page is sound, and each fault is found.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use forge_remote_tests::jwks_server::JwksResponse;
use forge_remote_tests::jws::published;
use forge_remote_tests::stores::{Folder, server_variable};
use forge_remote_tests::test_app::eventually;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::doctor_target::{Deployment, manifest, plain_app, stdout};

/// An nginx server.
struct Nginx {
    url: String,
    _folder: Folder,
    _process: Child,
}

impl Nginx {
    /// Starts nginx with these lines in its server.
    async fn start(program: &str, lines: &str) -> Self {
        let folder = Folder::default();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = free.local_addr().unwrap();
        let configuration = format!(
            "daemon off;
            master_process off;
            pid nginx.pid;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path body;
                proxy_temp_path proxy;
                fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi;
                scgi_temp_path scgi;
                server {{
                    listen {address};
                    {lines}
                }}
            }}"
        );
        fs::write(folder.file("nginx.conf"), configuration).unwrap();
        drop(free);
        let process = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let listens = eventually(|| std::net::TcpStream::connect(address).is_ok()).await;
        let log = fs::read_to_string(folder.file("error.log"));
        assert!(listens, "{log:?}");
        Self {
            url: format!("http://{address}"),
            _folder: folder,
            _process: process,
        }
    }
}

/// Returns the configuration of the page, for an app at this address.
fn of_the_page(app: SocketAddr) -> String {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(repository.join("docs/doctor.md")).unwrap();
    let block = page.split("```nginx\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    assert!(block.contains("http://127.0.0.1:8080;"), "{block}");
    block.replace("127.0.0.1:8080", &app.to_string())
}

#[tokio::test]
async fn faults_of_nginx_are_found() {
    let Some(program) = server_variable("FORGE_REMOTE_TEST_NGINX") else {
        return;
    };
    let cases: [(&str, &str, &[&str]); 9] = [
        ("", "", &[]),
        (
            "1.1;",
            "1.1; proxy_set_header Authorization \"\";",
            &["no-token-arrives"],
        ),
        ("4 32k", "4 8k", &["header-limit"]),
        ("size 1m", "size 100k", &["body-limit"]),
        // A path: it is decoded, and its slashes are merged.
        (
            ";\n    proxy_http",
            "/;\n    proxy_http",
            &["rewritten-path"],
        ),
        (
            "location / {",
            "location / { return 301 https://www.example.com$request_uri;",
            &["redirect"],
        ),
        (
            "location / {",
            "location / { auth_basic app; auth_basic_user_file none;",
            &["foreign-response", "foreign-response"],
        ),
        (
            "location / {",
            "error_page 401 = @login; location @login { return 200 login; }
             location / { proxy_intercept_errors on;",
            &["unverified-call"],
        ),
        (
            "location / {",
            "location /api/ {",
            &["foreign-response", "lost-path"],
        ),
    ];
    let mut app = plain_app();
    app.env("LARGE", "1");
    let keys = JwksResponse::Keys(published());
    let deployment = Deployment::of(app, keys, |_, _| None).await;
    let sound = of_the_page(deployment.app.address);
    for (from, to, codes) in cases {
        let lines = match from {
            "" => sound.clone(),
            from => sound.replacen(from, to, 1),
        };
        assert_eq!(lines == sound, from.is_empty(), "{from}");
        let nginx = Nginx::start(&program, &lines).await;
        if from.is_empty() {
            rejects_bodies(&nginx.url).await;
        }
        fs::write(deployment.folder.file("manifest.yml"), manifest(&nginx.url)).unwrap();
        let mut doctor = deployment.doctor(&["--url", &nginx.url, "--yes", "--json"]);
        let output = doctor.env("LARGE", "1").output().await.unwrap();
        assert_eq!(
            deployment.codes_of(&output),
            codes,
            "{to}: {}",
            stdout(&output)
        );
    }
}

/// The app rejects a call before its body has arrived, and closes the connection: nginx must not make a 502 of it.
async fn rejects_bodies(url: &str) {
    let client = reqwest::Client::new();
    for _ in 0..20 {
        let call = client.post(format!("{url}/large"));
        let response = call.body(vec![b' '; 900_000]).send().await.unwrap();
        assert_eq!(response.status(), 401);
    }
}
