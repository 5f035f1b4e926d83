use forge_remote::{Invocation, State, endpoint};

struct Db;

#[endpoint]
async fn last(State(db): State<Db>) {
    drop(db);
}

#[endpoint]
async fn first(State(db): State<Db>, call: Invocation) {
    drop((db, call));
}

fn main() {
    let _ = (last, first);
}
