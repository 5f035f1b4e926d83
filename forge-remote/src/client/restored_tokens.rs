//! Tokens that an app reads from its own database.

use super::installation_ref::InstallationRef;
use crate::credentials::{Owner, RestoredFor, SystemToken, UserToken, token_text};

/// A text that cannot be a token: it is empty, or has a character that no token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text is not a token: it is empty, too long, or has a blank, a comma or a character that is not visible ASCII; \
     restore the text of `expose_secret`, decrypted"
)]
#[non_exhaustive]
pub struct InvalidTokenText;

impl UserToken {
    /// Restores a user's token that the app has stored: the text of [`expose_secret`](Self::expose_secret), with the
    /// installation and the account ([`principal`](crate::fit::Claims::principal)) of its call.
    ///
    /// It is used for this installation only. Like the token of a page's call, it is proven to be of this account before
    /// the APIs that identify the installation by it are called ([above](Self)).
    ///
    /// # Errors
    ///
    /// The text cannot be a token.
    ///
    /// ```
    /// use forge_remote::client::AtlassianClient;
    /// use forge_remote::token::Installation;
    /// use forge_remote::{Result, UserToken, path};
    ///
    /// /// Reads an attachment, when the editor that a user has opened asks for it.
    /// async fn attachment(
    ///     atlassian: &AtlassianClient, installation: &Installation, account_id: &str, stored: &str, id: &str,
    /// ) -> Result<Vec<u8>> {
    ///     let token = UserToken::restore(stored, installation, account_id)?;
    ///     let jira = atlassian.jira(installation).as_user(&token);
    ///     let response = jira.get(path!("/rest/api/3/attachment/content/{}", id)).send().await?;
    ///     Ok(response.bytes().to_vec())
    /// }
    /// ```
    pub fn restore(
        text: &str,
        installation: &impl InstallationRef,
        account_id: impl Into<String>,
    ) -> Result<Self, InvalidTokenText> {
        let text = checked(text)?;
        let owner = restored_for(installation, Some(account_id.into()));
        Ok(Self::new(text, Owner::of_restored(owner)))
    }
}

impl SystemToken {
    /// Restores a system token that the app has stored: the text of [`expose_secret`](Self::expose_secret), with the
    /// installation of its call.
    ///
    /// A [token store](crate::App::token_store) keeps these tokens, encrypted and up to date: use this for those of an older
    /// service. The token is used for this installation only, and is proven as one of a page's call
    /// ([above](crate::SystemToken#on-a-pages-call)), for which the installation needs its app and environment: pass a call or a stored
    /// [`Installation`](crate::token::Installation).
    ///
    /// # Errors
    ///
    /// The text cannot be a token.
    ///
    /// ```
    /// use forge_remote::client::InstallationUrls;
    /// use forge_remote::{Result, SystemToken};
    ///
    /// fn of_old_service(installation_id: &str, jira: &str, stored: &str) -> Result<SystemToken> {
    ///     let site = InstallationUrls::new(installation_id).jira(jira);
    ///     Ok(SystemToken::restore(stored, &site)?)
    /// }
    /// ```
    pub fn restore(
        text: &str,
        installation: &impl InstallationRef,
    ) -> Result<Self, InvalidTokenText> {
        let text = checked(text)?;
        Ok(Self::new(
            text,
            Owner::of_restored(restored_for(installation, None)),
        ))
    }
}

fn checked(text: &str) -> Result<&str, InvalidTokenText> {
    token_text(text.as_bytes()).ok_or(InvalidTokenText)
}

fn restored_for(installation: &impl InstallationRef, account_id: Option<String>) -> RestoredFor {
    RestoredFor {
        installation_id: installation.installation_id().to_owned(),
        app_id: installation.app_id().map(str::to_owned),
        environment_id: installation.environment_id().map(str::to_owned),
        api_base_url: installation.api_base_url().map(str::to_owned),
        contexts: installation.contexts(),
        isolated_cloud_label: installation.isolated_cloud_label().map(str::to_owned),
        is_supplied: installation.is_supplied(),
        account_id,
    }
}
