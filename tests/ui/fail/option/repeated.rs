use forge_remote::scheduled_trigger;

#[scheduled_trigger(interval = "hour", auth = system, interval = "day")]
async fn refresh() {}

fn main() {
    drop(refresh());
}
