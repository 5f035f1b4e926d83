use forge_remote::{Invocation, endpoint};

#[endpoint]
async fn ask(call: Invocation, db: Database) {
    drop((call, db));
}

fn main() {}
