use forge_remote::{UserToken, trigger};

#[trigger(events = ["avi:jira:created:issue"], auth = system, durable)]
async fn act(token: UserToken) {
    drop(token);
}

fn main() {
    drop(act);
}
