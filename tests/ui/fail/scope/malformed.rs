use forge_remote::endpoint;

#[endpoint(scopes = ["read:jira-work,write:jira-work"])]
async fn comma() {}

#[endpoint(scopes = ["read:jira-work write:jira-work"])]
async fn blank() {}

#[endpoint(scopes = ["read:jira-work", "write:jira-work", "read:jira-work"])]
async fn twice() {}

#[endpoint(scopes = [""])]
async fn empty() {}

fn main() {
    drop((comma(), blank(), twice(), empty()));
}
