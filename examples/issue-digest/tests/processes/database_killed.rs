//! A database server that is killed while the app serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use forge_remote_tests::jws::INSTALLATION_ID;
use forge_remote_tests::store_servers::StoreServer;

use super::{App, Fixture, deliver};

const KILLS: usize = 3;

/// Delivers an event until it is accepted.
async fn until_accepted(app: &App, id: &str) {
    for _ in 0..600 {
        if app.deliver(id).await == Some(202) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no event is accepted after the database is back");
}

/// The state that the lanes of deliveries share.
#[derive(Default)]
struct Deliveries {
    accepted: AtomicUsize,
    rejected: AtomicUsize,
    is_over: AtomicBool,
}

async fn until_more(count: &AtomicUsize, by: usize) {
    let enough = count.load(Ordering::Relaxed) + by;
    let grows = async {
        while count.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let grows = tokio::time::timeout(Duration::from_secs(60), grows).await;
    grows.unwrap();
}

/// PostgreSQL is killed while nothing happens, and then while events arrive and run. The app is not started again.
#[tokio::test]
async fn a_killed_postgresql_costs_503_and_no_event() {
    let Some(mut server) = StoreServer::postgres().await else {
        return;
    };
    let fixture = Fixture::postgres_at(server.postgres_url())
        .await
        .with_work(20);
    let mut app = fixture.start().await;
    let mut accepted: Vec<String> = Vec::new();
    until_accepted(&app, "before").await;
    fixture.wait_until_done(&["before".to_owned()]).await;

    server.kill().await;
    assert_eq!(app.deliver("while-it-is-down").await, Some(503));
    server.restart().await;
    until_accepted(&app, "after").await;
    fixture.wait_until_done(&["after".to_owned()]).await;

    let deliveries = Arc::new(Deliveries::default());
    let address = app.address;
    let lanes = (0..6).map(|lane| {
        let deliveries = Arc::clone(&deliveries);
        tokio::spawn(async move {
            let installation = format!("{}{lane}", &INSTALLATION_ID[..INSTALLATION_ID.len() - 1]);
            let mut accepted = Vec::new();
            for number in 0.. {
                if deliveries.is_over.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("{lane}-{number}");
                match deliver(address, &id, &installation, 0).await {
                    Some(202) => {
                        deliveries.accepted.fetch_add(1, Ordering::Relaxed);
                        accepted.push(id);
                    }
                    status => {
                        assert_eq!(status, Some(503));
                        deliveries.rejected.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
            accepted
        })
    });
    let lanes: Vec<_> = lanes.collect();
    for _ in 0..KILLS {
        until_more(&deliveries.accepted, 40).await;
        server.kill().await;
        until_more(&deliveries.rejected, 6).await;
        server.restart().await;
    }
    until_more(&deliveries.accepted, 40).await;
    deliveries.is_over.store(true, Ordering::Relaxed);
    for lane in lanes {
        accepted.extend(lane.await.unwrap());
    }
    fixture.wait_until_done(&accepted).await;
    assert!(app.child.try_wait().unwrap().is_none(), "the app has ended");
    let runs = fixture.runs();
    let done = |id: &String| {
        runs.iter()
            .filter(|run| run.0 == *id && run.2 == "done")
            .count()
    };
    let repeats: usize = accepted.iter().map(|id| done(id) - 1).sum();
    eprintln!("{} accepted, {repeats} runs repeated", accepted.len());
    // Six installations run two events each at once.
    assert!(repeats <= KILLS * 12, "{repeats} repeats, {KILLS} kills");
    app.stop().await;
}
