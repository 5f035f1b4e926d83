use forge_remote::{endpoint, scheduled_trigger};

#[scheduled_trigger(interval = "hour")]
pub struct Refresh;

#[endpoint]
impl Refresh {
    fn call(&self) {}
}

#[endpoint]
mod handlers {}

#[endpoint]
const LIMIT: usize = 5;

#[endpoint]
static NAME: &str = "";

#[endpoint]
unsafe trait Call {}

fn main() {
    Refresh.call();
    let _ = (LIMIT, NAME);
}
