use forge_remote::handler;

async fn plain() {}

mod inner {
    #[forge_remote::endpoint]
    async fn private() {}
}

fn main() {
    let _ = handler!(plain);
    let _ = handler!(inner::private);
    drop(plain());
}
