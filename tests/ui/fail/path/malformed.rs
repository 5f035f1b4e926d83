use forge_remote::endpoint;

#[endpoint(path = "tick")]
async fn relative() {}

#[endpoint(path = "https://app.example.com/tick")]
async fn address() {}

#[endpoint(path = "")]
async fn empty() {}

#[endpoint(path = "/tick?now=1")]
async fn query() {}

#[endpoint(path = "/tick#now")]
async fn fragment() {}

#[endpoint(path = "/issues/{id}")]
async fn parameter() {}

#[endpoint(path = "/issues/:id")]
async fn old_parameter() {}

#[endpoint(path = "/issues/*")]
async fn wildcard() {}

#[endpoint(path = "/a%20b")]
async fn encoded() {}

#[endpoint(path = "/a b")]
async fn blank() {}

#[endpoint(path = "/für/alle")]
async fn letters() {}

#[endpoint(path = "/a//b")]
async fn empty_segment() {}

#[endpoint(path = "/tick/")]
async fn slash_at_the_end() {}

#[endpoint(path = "/a/../b")]
async fn dots() {}

#[endpoint(path = "/healthz")]
async fn taken() {}

fn main() {
    drop((
        relative(),
        address(),
        empty(),
        query(),
        fragment(),
        parameter(),
        old_parameter(),
    ));
    drop((
        wildcard(),
        encoded(),
        blank(),
        letters(),
        empty_segment(),
        slash_at_the_end(),
    ));
    drop((dots(), taken()));
}
