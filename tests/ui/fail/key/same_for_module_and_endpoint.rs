use forge_remote::scheduled_trigger;

#[scheduled_trigger(interval = "hour", key = "refresh", endpoint = "refresh")]
async fn refresh() {}

fn main() {
    drop(refresh());
}
