use forge_remote::{UserToken, scheduled_trigger};

#[scheduled_trigger(interval = "hour", auth = system)]
async fn plain(token: UserToken) {
    drop(token);
}

#[scheduled_trigger(interval = "hour")]
async fn optional(token: Option<UserToken>) {
    drop(token);
}

fn main() {
    let _ = (plain, optional);
}
