//! The app of Atlassian's guide "Configuring scheduled triggers to invoke a remote backend": Forge
//! calls `/frc-trigger` every hour and sends a system token.

use forge_remote::prelude::*;

/// Called every hour, once for each installation.
#[scheduled_trigger(
    interval = "hour",
    auth = system,
    key = "remote-scheduled-trigger-node",
    endpoint = "remote-trigger-node",
    path = "/frc-trigger",
    scopes = ["read:confluence-content.summary"],
)]
async fn frc_trigger(call: Invocation, token: SystemToken) -> Result<()> {
    // Valid for at least two hours: store it by installation, and call Confluence with it.
    let _authorization = token.authorization();
    let _installation = call.installation_id();
    Ok(())
}

fn app() -> App {
    App::new().remote(
        Remote::new("remote-app-node")
            .base_url("https://forge-remote-refapp-nodejs.services.atlassian.com"),
    )
}

#[tokio::main]
async fn main() -> Result<()> {
    app().run().await
}

// `cargo test` fails if manifest.yml differs from the code.
#[cfg(test)]
forge_remote::test_manifest!(app());

#[cfg(test)]
mod tests {
    use forge_remote::testing::Harness;

    #[tokio::test]
    async fn only_forges_calls_are_accepted() -> forge_remote::Result<()> {
        let harness = Harness::new(super::app())?;
        let call = || harness.call("remote-scheduled-trigger-node");

        assert_eq!(call().send().await.status(), 200);
        let foreign = "ari:cloud:ecosystem::app/11111111-1111-4111-a111-111111111111";
        assert_eq!(
            call()
                .fit(|fit| fit.set("/aud", foreign.into()))
                .send()
                .await
                .status(),
            401
        );
        Ok(())
    }
}
