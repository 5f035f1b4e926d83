use forge_remote::{Invocation, endpoint};

#[endpoint]
async fn ask(#[cfg(all())] call: Invocation) {
    drop(call);
}

fn main() {
    let _ = ask;
}
