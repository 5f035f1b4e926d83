use forge_remote::{Json, endpoint};

#[derive(Debug)]
struct Failure;

#[endpoint]
async fn plain() -> Result<(), Failure> {
    Err(Failure)
}

#[endpoint]
async fn not_send() -> Result<Json<u8>, Box<dyn std::error::Error>> {
    Ok(Json(1))
}

fn main() {
    drop((plain(), not_send()));
}
