use forge_remote::scheduled_trigger;

#[scheduled_trigger(interval = "hourly")]
struct Refresh;

fn main() {
    let _ = Refresh;
}
