//! Clients that take the app's newest token for each call: for work that outlives one.

use super::error::ClientError;
use super::product::ProductApi;
use super::product_client::ProductClient;
use crate::token::Tokens;

impl ProductApi {
    /// Calls it as the app for as long as it takes: each call has the newest token that is kept for
    /// the installation. A listing of many hours goes on where a token of one hour would end.
    ///
    /// An error when there is no token now; later, when there is none any more, each call fails with
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
    /// Takes the newest token, where it has somewhere to take it from.
    pub(super) async fn renew(&mut self) -> Result<(), ClientError> {
        if let Some(tokens) = &self.tokens {
            let token = tokens.system(&self.place.installation_id).await;
            self.authorization = token.map_err(ClientError::Token)?.authorization();
        }
        Ok(())
    }
}
