use forge_remote::{endpoint, trigger};

#[endpoint(path = "/now", also_at = "/now")]
async fn current() {}

#[endpoint(also_at = ["/a", "/a"])]
async fn twice() {}

#[endpoint(also_at = "a")]
async fn no_slash() {}

#[endpoint(also_key = "old key")]
async fn odd_key() {}

#[trigger(dynamic, key = "mine")]
async fn own_key() {}

#[endpoint(dynamic)]
async fn page() {}

fn main() {
    drop((current(), twice(), no_slash(), odd_key(), own_key(), page()));
}
