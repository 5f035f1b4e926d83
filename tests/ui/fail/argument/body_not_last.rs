use forge_remote::{Invocation, Json, endpoint};

#[endpoint]
async fn json(Json(name): Json<String>, call: Invocation) {
    drop((name, call));
}

#[endpoint]
async fn text(body: String, call: Invocation) {
    drop((body, call));
}

#[endpoint]
async fn two(first: Json<String>, second: Json<u8>) {
    drop((first, second));
}

fn main() {
    let _ = (json, text, two);
}
