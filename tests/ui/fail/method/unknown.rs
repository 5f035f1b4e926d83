use forge_remote::endpoint;

#[endpoint(method = "PSOT")]
async fn misspelled() {}

#[endpoint(method = HEAD)]
async fn not_called() {}

#[endpoint(method = 5)]
async fn number() {}

#[endpoint(method = ["GET", "POST"])]
async fn two() {}

fn main() {
    drop((misspelled(), not_called(), number(), two()));
}
