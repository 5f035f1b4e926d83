use forge_remote::{Result, scheduled_trigger};

#[scheduled_trigger(interval = "hour")]
fn refresh() -> Result<()> {
    Ok(())
}

fn main() {
    let _ = refresh();
}
