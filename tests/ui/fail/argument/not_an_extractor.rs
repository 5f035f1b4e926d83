use forge_remote::{Invocation, endpoint, scheduled_trigger};

struct Db;

#[scheduled_trigger(interval = "hour")]
async fn last(db: Db) {
    drop(db);
}

#[endpoint]
async fn first(db: Db, call: Invocation) {
    drop((db, call));
}

#[endpoint]
async fn plain(name: u32, call: Invocation) {
    drop((name, call));
}

fn main() {
    let _ = (last, first, plain);
}
