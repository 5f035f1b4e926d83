use forge_remote::scheduled_trigger;

#[scheduled_trigger(interval = "hour", auth = user)]
async fn alone() {}

#[scheduled_trigger(interval = "hour", auth = [system, user])]
async fn in_a_list() {}

fn main() {
    drop((alone(), in_a_list()));
}
