use forge_remote::{Result, endpoint};

struct Answer;

#[endpoint]
async fn plain() -> Answer {
    Answer
}

#[endpoint]
async fn in_a_result() -> Result<Answer> {
    Ok(Answer)
}

#[endpoint]
async fn optional() -> Option<Answer> {
    None
}

#[endpoint]
async fn number() -> u32 {
    5
}

fn main() {
    drop((plain(), in_a_result(), optional(), number()));
}
