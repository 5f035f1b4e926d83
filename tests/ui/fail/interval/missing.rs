use forge_remote::scheduled_trigger;

#[scheduled_trigger(auth = system)]
async fn refresh() {}

#[scheduled_trigger]
async fn sweep() {}

async fn by_hand() {
    refresh().await;
    sweep().await;
}

fn main() {
    drop(by_hand());
}
