use forge_remote::endpoint;

#[endpoint(key = tick, path = 1, remote = true, scopes = "read:jira-work", crate = "forge_remote")]
async fn each() {}

#[endpoint(scopes = [read, "read:jira-work"])]
async fn inside_a_list() {}

fn main() {
    drop((each(), inside_a_list()));
}
