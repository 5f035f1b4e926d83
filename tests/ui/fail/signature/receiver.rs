use forge_remote::{Invocation, scheduled_trigger};

struct App;

impl App {
    #[scheduled_trigger(interval = "hour")]
    async fn by_reference(&self, call: Invocation) {
        drop(call);
    }

    #[scheduled_trigger(interval = "hour")]
    async fn by_value(self) {}
}

fn main() {
    let _ = (App::by_reference, App.by_value());
}
