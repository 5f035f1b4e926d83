use forge_remote::scheduled_trigger;

#[scheduled_trigger(interval = 5)]
async fn number() {}

#[scheduled_trigger(interval = hour)]
async fn word() {}

#[scheduled_trigger(interval = ["hour", "day"])]
async fn list() {}

#[scheduled_trigger(interval = 5 * 60)]
async fn sum() {}

fn main() {
    drop((number(), word(), list(), sum()));
}
