use forge_remote::{SystemToken, UserToken, endpoint, scheduled_trigger};

#[scheduled_trigger(interval = "hour")]
async fn system(token: SystemToken) {
    drop(token);
}

#[endpoint(auth = system)]
async fn user(system: SystemToken, user: UserToken) {
    drop((system, user));
}

#[endpoint(auth = user)]
async fn optional(token: Option<SystemToken>) {
    drop(token);
}

fn main() {
    let _ = (system, user, optional);
}
