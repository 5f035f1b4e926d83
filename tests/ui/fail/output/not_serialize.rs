use forge_remote::{Json, Result, endpoint};

struct Answer;

#[endpoint]
async fn plain() -> Json<Answer> {
    Json(Answer)
}

#[endpoint]
async fn in_a_result() -> Result<Json<Answer>> {
    Ok(Json(Answer))
}

fn main() {
    drop((plain(), in_a_result()));
}
