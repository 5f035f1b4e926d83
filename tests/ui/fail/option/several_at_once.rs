use forge_remote::{Result, SystemToken, scheduled_trigger};

#[scheduled_trigger(interval = "hourly", auth = sytem, path = "refresh", scopes = ["a,b"], timeout = 5)]
fn refresh(token: SystemToken, name: &str) -> Result<()> {
    let _ = (token, name);
    Ok(())
}

fn main() {
    let _: fn(SystemToken, &str) -> Result<()> = refresh;
}
