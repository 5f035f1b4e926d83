use std::rc::Rc;

use forge_remote::{Result, endpoint, scheduled_trigger};

#[scheduled_trigger(interval = "hour")]
async fn refresh() -> Result<()> {
    let shared = Rc::new(1);
    std::future::ready(()).await;
    drop(shared);
    Ok(())
}

#[endpoint]
async fn locked() {
    let mutex = std::sync::Mutex::new(1);
    let guard = mutex.lock();
    std::future::ready(()).await;
    drop(guard);
}

fn main() {
    drop((refresh(), locked()));
}
