use forge_remote::client::ProductClient;
use forge_remote::{path, prelude::*};

fn wrong_token(call: &Invocation, app: &SystemToken, user: &UserToken) {
    call.jira().as_user(app);
    call.jira().as_app(user);
    call.storage(user);
}

fn wrong_path(jira: &ProductClient, key: &str) {
    jira.get(format!("/rest/api/3/issue/{key}"));
    jira.get(path!("/rest/api/3/issue/{}"));
    jira.get(path!("/rest/api/3/issue/{}?fields=summary", key));
    jira.get(path!("/rest/api/3/issue/{key}", key));
}

fn main() {
    let _ = (wrong_token, wrong_path);
}
