use forge_remote::endpoint;

struct App;

impl App {
    #[endpoint]
    async fn refresh() {}
}

trait Refresh {
    #[endpoint]
    async fn again();
}

fn main() {
    drop(App::refresh());
}
