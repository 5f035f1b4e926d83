use forge_remote::endpoint;

#[endpoint]
async fn plain(name: impl Into<String>) {
    drop(name.into());
}

#[endpoint]
async fn inside(name: Option<impl Into<String>>) {
    drop(name.map(Into::into));
}

fn main() {
    drop((plain(""), inside(Some(""))));
}
