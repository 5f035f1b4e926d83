//! Several processes on one database.

use std::collections::BTreeMap;

use super::Fixture;

/// Two processes run the events of one installation, at most two at once together.
async fn limited(fixture: Fixture) {
    let (one, other) = (fixture.start().await, fixture.start().await);
    let mut ids = Vec::new();
    for number in 0..20 {
        let id = number.to_string();
        let app = if number % 2 == 0 { &one } else { &other };
        assert_eq!(app.deliver(&id).await, Some(202));
        ids.push(id);
    }
    fixture.wait_until_done(&ids).await;
    one.stop().await;
    other.stop().await;
    let (mut running, mut most) = (0, 0);
    for (_, _, what) in fixture.runs() {
        running += if what == "start" { 1 } else { -1 };
        most = most.max(running);
    }
    assert_eq!(most, 2, "{:?}", fixture.runs());
}

#[tokio::test]
async fn two_processes_keep_an_installations_limit_on_sqlite() {
    limited(Fixture::sqlite().await.with_work(50)).await;
}

#[tokio::test]
async fn two_processes_keep_an_installations_limit_on_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        limited(fixture.with_work(50)).await;
    }
}

/// Six processes start at once on an empty database.
async fn launched_at_once(fixture: Fixture) {
    let starting = std::iter::repeat_with(|| fixture.start()).take(6);
    let apps = futures(starting.collect()).await;
    for (number, app) in apps.iter().enumerate() {
        assert_eq!(app.deliver(&number.to_string()).await, Some(202));
    }
    let ids: Vec<String> = (0..6).map(|number| number.to_string()).collect();
    fixture.wait_until_done(&ids).await;
}

/// Runs futures at the same time, and returns their values in order.
pub(super) async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: BTreeMap<usize, T> = BTreeMap::new();
    std::future::poll_fn(|context| {
        for (at, future) in all.iter_mut().enumerate() {
            if !done.contains_key(&at)
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                done.insert(at, value);
            }
        }
        if done.len() == all.len() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_values().collect()
}

#[tokio::test]
async fn processes_launch_at_once_on_an_empty_sqlite_file() {
    launched_at_once(Fixture::sqlite().await).await;
}

#[tokio::test]
async fn processes_launch_at_once_on_an_empty_postgresql() {
    if let Some(fixture) = Fixture::postgres().await {
        launched_at_once(fixture).await;
    }
}
