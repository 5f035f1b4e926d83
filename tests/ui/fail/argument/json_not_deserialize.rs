use forge_remote::{Json, endpoint};

struct Question;

#[endpoint]
async fn ask(Json(question): Json<Question>) {
    drop(question);
}

fn main() {
    let _ = ask;
}
