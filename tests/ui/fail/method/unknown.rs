use forge_remote::endpoint;

#[endpoint(method = "PSOT")]
async fn misspelt() {}

#[endpoint(method = HEAD)]
async fn not_called() {}

#[endpoint(method = 5)]
async fn number() {}

#[endpoint(method = ["GET", "POST"])]
async fn two() {}

fn main() {
    drop((misspelt(), not_called(), number(), two()));
}
