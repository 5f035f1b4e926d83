use forge_remote::{SystemToken, scheduled_trigger};

type Token = SystemToken;

#[scheduled_trigger(interval = "hour")]
async fn refresh(token: Token) {
    drop(token);
}

fn main() {
    let _ = refresh;
}
