use forge_remote::endpoint;

#[endpoint(body_limit = "20 parsecs")]
async fn unit() {}

#[endpoint(body_limit = "0B")]
async fn nothing() {}

#[endpoint(body_limit = "2000MiB")]
async fn too_much() {}

#[endpoint(body_limit = 20)]
async fn number() {}

fn main() {
    drop((unit(), nothing(), too_much(), number()));
}
