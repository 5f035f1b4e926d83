use forge_remote::{action, endpoint, pre_uninstall};

#[action(verb = "GET", description = "Reads", durable)]
async fn read() {}

#[endpoint(durable(retries = 3))]
async fn page() {}

#[pre_uninstall(durable)]
async fn farewell() {}

fn main() {
    drop((read(), page(), farewell()));
}
