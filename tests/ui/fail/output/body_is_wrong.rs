use forge_remote::{Result, scheduled_trigger};

#[scheduled_trigger(interval = "hour")]
async fn refresh() -> Result<()> {
    let number: u32 = "five";
    let _ = number;
    Ok(())
}

fn main() {
    drop(refresh());
}
