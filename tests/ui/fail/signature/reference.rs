use forge_remote::{Invocation, SystemToken, endpoint};

#[endpoint(auth = system)]
async fn refresh(call: &Invocation, token: &'static SystemToken) {
    let _ = (call, token);
}

fn main() {
    let _ = refresh;
}
