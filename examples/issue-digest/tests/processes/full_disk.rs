//! A full disk.

use std::time::Duration;

use tokio::process::Command;

use super::Fixture;

/// A limit on the size of the app's files acts like a full disk, until it is lifted.
#[tokio::test]
async fn a_full_disk_costs_503_and_no_event() {
    let fixture = Fixture::sqlite().await;
    let mut program = Command::new("sh");
    // In units of 512 or 1024 bytes, depending on the shell.
    let limited = "trap '' XFSZ; ulimit -S -f 1500; exec \"$0\"";
    program.args(["-c", limited, env!("CARGO_BIN_EXE_issue-digest")]);
    let app = fixture.start_as(program).await;
    let mut accepted = Vec::new();
    let padding = "x".repeat(20_000);
    for number in 0.. {
        let id = format!("{number}-{padding}");
        match app.deliver(&id).await {
            Some(202) => accepted.push(id),
            status => {
                assert_eq!(status, Some(503));
                break;
            }
        }
        assert!(number < 500, "the disk is never full");
    }
    // Every connection of the pool fails at least once.
    for number in 0..20 {
        let status = app.deliver(&format!("full-{number}-{padding}")).await;
        assert_eq!(status, Some(503));
    }
    let pid = app.child.id().unwrap().to_string();
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &pid])
        .status();
    assert!(lifted.await.unwrap().success());
    let last = "after-the-disk-was-full".to_owned();
    let mut status = app.deliver(&last).await;
    for _ in 0..50 {
        if status == Some(202) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        status = app.deliver(&last).await;
    }
    assert_eq!(status, Some(202));
    accepted.push(last);
    fixture.wait_until_done(&accepted).await;
}
