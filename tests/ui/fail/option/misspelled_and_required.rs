use forge_remote::scheduled_trigger;

#[scheduled_trigger(intervall = "hour")]
async fn refresh() {}

fn main() {
    drop(refresh());
}
