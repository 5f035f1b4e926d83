use forge_remote::{endpoint, handler};

#[endpoint]
async fn tick() {}

fn main() {
    let _ = handler!();
    let _ = handler!(tick());
    let _ = handler!("tick");
    let _ = handler!(tick, tick);
    drop(tick());
}
