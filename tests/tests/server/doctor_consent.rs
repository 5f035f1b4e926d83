//! `doctor --url` attacks only a deployment of the manifest, and only after a yes.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use forge_remote_tests::report::skipped;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::doctor_target::{Deployment, stderr, stdout};

/// The question is asked on a terminal, before the first request.
#[tokio::test]
async fn nothing_is_sent_before_the_answer_is_yes() {
    let deployment = Deployment::start(|_, _| None).await;
    let doctor = deployment.doctor(&[]);
    let command = format!(
        "{} doctor --url {}",
        env!("CARGO_BIN_EXE_plain_app"),
        deployment.url()
    );
    for (answer, status) in [("n", 2), ("", 2), ("yes please", 2), ("y", 0)] {
        // `script` gives the command a terminal.
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .current_dir(deployment.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, value) in doctor.as_std().get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let Ok(mut script) = script.spawn() else {
            skipped("`script` is not installed, so no terminal is there to ask at");
            return;
        };
        let mut input = script.stdin.take().unwrap();
        input
            .write_all(format!("{answer}\n").as_bytes())
            .await
            .unwrap();
        let output = script.wait_with_output().await.unwrap();
        drop(input);
        let text = stdout(&output);
        assert!(text.contains("Send them? [y/N]"), "{text}");
        assert_eq!(output.status.code(), Some(status), "{answer:?}: {text}");
        let sent = deployment.proxy.requests.load(Ordering::Relaxed);
        assert_eq!(sent > 0, status == 0, "{answer:?}: {sent} requests");
    }
}

#[tokio::test]
async fn only_a_deployment_of_the_manifest_is_attacked_and_not_without_a_yes() {
    let deployment = Deployment::start(|_, _| None).await;
    for (url, problem) in [
        (
            "https://other.example.com",
            "is not a base URL of an endpoint in manifest.yml",
        ),
        (
            "https://weather.example.com",
            "no endpoint has the remote `weather`: name it as the `remote` of one",
        ),
        ("http://eu.example.com", "is not https"),
        ("eu.example.com", "is not a URL"),
        (
            &format!("{}/other", deployment.url()),
            "is not a base URL of an endpoint in manifest.yml",
        ),
        (
            &format!("http://localhost:{}", deployment.proxy.address.port()),
            "is not a base URL",
        ),
    ] {
        let output = deployment.run(&["--url", url, "--yes"]).await;
        assert_eq!(output.status.code(), Some(2), "{url}");
        assert!(stderr(&output).contains(problem), "{}", stderr(&output));
    }
    let output = deployment
        .run(&["--url", "https://other.example.com", "--yes"])
        .await;
    let known = format!(
        "its base URLs are {}, https://eu.example.com",
        deployment.url()
    );
    assert!(stderr(&output).contains(&known), "{}", stderr(&output));

    let output = deployment.run(&["--url", &deployment.url()]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("add `--yes`"),
        "{}",
        stderr(&output)
    );

    fs::remove_file(deployment.folder.file("manifest.yml")).unwrap();
    let output = deployment.run(&["--url", &deployment.url(), "--yes"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("manifest.yml does not exist"),
        "{}",
        stderr(&output)
    );
    assert_eq!(deployment.proxy.requests.load(Ordering::Relaxed), 0);
}
