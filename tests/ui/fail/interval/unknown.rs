use forge_remote::scheduled_trigger;

#[scheduled_trigger(interval = "hourly")]
async fn synonym() {}

#[scheduled_trigger(interval = "5m")]
async fn short() {}

#[scheduled_trigger(interval = "five_minutes")]
async fn spelling() {}

#[scheduled_trigger(interval = "Hour")]
async fn case() {}

#[scheduled_trigger(interval = "*/5 * * * *")]
async fn cron() {}

#[scheduled_trigger(interval = "month")]
async fn none_like_it() {}

#[scheduled_trigger(interval = "")]
async fn empty() {}

fn main() {
    drop((
        synonym(),
        short(),
        spelling(),
        case(),
        cron(),
        none_like_it(),
        empty(),
    ));
}
