//! Clients that use the app's newest token for each call, for work that outlives a token.

use super::error::ClientError;
use super::product::ProductApi;
use super::product_client::ProductClient;
use crate::token::Tokens;

impl ProductApi {
    /// Creates a client that acts as the app and uses the newest stored token for each call.
    ///
    /// A listing can then take longer than a token lives.
    ///
    /// # Errors
    ///
    /// The installation has no stored token. If it has none later on, each call fails with
    /// [`ClientError::Token`].
    ///
    /// ```
    /// use forge_remote::client::AtlassianClient;
    /// use forge_remote::prelude::*;
    /// use forge_remote::token::Installation;
    /// # use serde_json::Value;
    ///
    /// async fn sync(installation: &Installation, tokens: &Tokens, atlassian: &AtlassianClient) -> Result<()> {
    ///     let jira = atlassian.jira(installation).as_app_renewing(tokens).await?;
    ///     let mut issues = jira.get("/rest/api/3/search/jql").query("jql", "updated > -30d").pages::<Value>();
    ///     while let Some(issue) = issues.next().await {
    ///         println!("{}", issue?["key"]);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn as_app_renewing(&self, tokens: &Tokens) -> Result<ProductClient, ClientError> {
        let token = tokens.system(&self.0.installation_id).await;
        let token = token.map_err(ClientError::Token)?;
        let mut client = self.as_app(&token);
        client.tokens = Some(tokens.clone());
        Ok(client)
    }
}

impl ProductClient {
    /// Replaces the token with the newest stored one, if the client renews its token.
    pub(super) async fn renew(&mut self) -> Result<(), ClientError> {
        if let Some(tokens) = &self.tokens {
            let token = tokens.system(&self.target.installation_id).await;
            self.authorization = token.map_err(ClientError::Token)?.authorization();
        }
        Ok(())
    }
}
