use forge_remote::client::AtlassianClient;
use forge_remote::prelude::*;

async fn takes_a_call(call: Invocation) -> Result<()> {
    drop(call);
    Ok(())
}

async fn returns_nothing(atlassian: AtlassianClient) {
    drop(atlassian);
}

fn is_not_async(tokens: Tokens) -> Result<()> {
    drop(tokens);
    Ok(())
}

fn main() {
    let _ = App::new().background(takes_a_call);
    let _ = App::new().background(returns_nothing);
    let _ = App::new().background(is_not_async);
}
