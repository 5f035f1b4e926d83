use forge_remote::endpoint;

trait Refresh {
    #[endpoint]
    async fn refresh(&self);
}

struct App;

impl Refresh for App {
    #[endpoint]
    async fn refresh(&self) {}
}

fn main() {
    drop(App.refresh());
}
