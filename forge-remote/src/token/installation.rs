//! The data of an installation that is kept with its token.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::fit::{Claims, Cloud, InstallationContext, cloud_ids};

/// An installation with a stored token: its identity and the URLs of its products.
///
/// The methods have the names of [`Claims`], so that code moves easily between a handler and the
/// background.
#[derive(Clone)]
pub struct Installation {
    pub(super) about: Arc<About>,
    pub(super) expires_at: SystemTime,
    pub(super) remaining: Duration,
}

/// Writes the type's name only: the fields are user data.
impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation").finish_non_exhaustive()
    }
}

impl Installation {
    /// Returns the installation's ARI: the key of its data.
    pub fn installation_id(&self) -> &str {
        &self.about.installation_id
    }

    /// Returns the app's ARI.
    pub fn app_id(&self) -> &str {
        &self.about.app_id
    }

    /// Returns the environment's type: `DEVELOPMENT`, `STAGING` or `PRODUCTION`.
    pub fn environment_type(&self) -> Option<&str> {
        self.about.environment_type.as_deref()
    }

    /// Returns the environment's ARI.
    pub fn environment_id(&self) -> Option<&str> {
        self.about.environment_id.as_deref()
    }

    /// Returns the base URL of the product's API:
    /// `https://api.atlassian.com/ex/{jira|confluence}/<cloudId>` or `https://api.bitbucket.org`.
    pub fn api_base_url(&self) -> Option<&str> {
        self.about.api_base_url.as_deref()
    }

    /// Returns the products of this installation; empty if the platform sends no list.
    pub fn installation_contexts(&self) -> Vec<InstallationContext> {
        self.about.contexts()
    }

    /// Returns the product with this name: `jira`, `confluence`, `bitbucket`, …
    pub fn product(&self, name: &str) -> Option<InstallationContext> {
        let mut contexts = self.about.contexts().into_iter();
        contexts.find(|context| context.name == name)
    }

    /// Returns the label of its isolated cloud: see [`App::isolated_cloud`](crate::App::isolated_cloud).
    pub fn isolated_cloud_label(&self) -> Option<&str> {
        self.about.isolated_cloud_label.as_deref()
    }

    /// Returns when it was read, or the end of its token if that was before.
    pub(crate) fn read_at(&self) -> SystemTime {
        let read_at = self.expires_at.checked_sub(self.remaining);
        read_at.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Returns the JSON of its products.
    pub(crate) fn installation_contexts_json(&self) -> Option<&str> {
        self.about.contexts.as_deref()
    }

    /// Returns the token's expiry.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Returns the token's remaining life when this was read; zero for an expired token.
    pub fn remaining(&self) -> Duration {
        self.remaining
    }
}

/// The claims that belong to a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct About {
    pub(super) installation_id: String,
    pub(super) app_id: String,
    pub(super) environment_type: Option<String>,
    pub(super) environment_id: Option<String>,
    pub(super) api_base_url: Option<String>,
    /// The claim's JSON, unchanged.
    pub(super) contexts: Option<String>,
    pub(super) isolated_cloud_label: Option<String>,
    pub(super) sites: Sites,
}

/// The ids of an installation's sites, which are read once from its claims.
#[derive(Clone, Default)]
pub(super) struct Sites(OnceLock<Vec<String>>);

/// The claims determine them.
impl PartialEq for Sites {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Sites {}

/// Atlassian's acceptance of a stored token, as far as an instance knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Atlassian rejected it (401): the next token replaces it, regardless of its expiry.
    pub(super) rejected: bool,
    /// The [`fingerprint`] of the rejected token that it replaced.
    pub(super) supersedes: Option<String>,
}

impl Standing {
    /// Returns whether the token with this standing replaced the other.
    pub(super) fn supersedes(&self, token: &str) -> bool {
        let superseded = self.supersedes.as_deref();
        superseded.is_some_and(|superseded| superseded == fingerprint(token))
    }
}

/// Returns the number of products; `None` if the platform sent no list.
pub(super) fn count_of(contexts: &[InstallationContext]) -> Option<u32> {
    let count = u32::try_from(contexts.len()).ok();
    count.filter(|count| *count > 0)
}

/// Returns a hash that identifies a token without containing it.
pub(super) fn fingerprint(token: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash)
}

/// The plain text of a sealed token. Missing members are omitted, so that later versions can add some.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain<'a> {
    token: std::borrow::Cow<'a, str>,
    app_id: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment_type: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_base_url: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    contexts: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    isolated_cloud_label: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    rejected: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supersedes: Option<std::borrow::Cow<'a, str>>,
}

impl About {
    pub(super) fn of(claims: &Claims) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Self {
            installation_id: claims.installation_id().to_owned(),
            app_id: claims.app_id().to_owned(),
            environment_type: own(claims.environment_type()),
            environment_id: own(claims.environment_id()),
            api_base_url: own(claims.api_base_url()),
            contexts: own(claims.installation_contexts_json()),
            isolated_cloud_label: own(claims.isolated_cloud_label()),
            sites: Sites::default(),
        }
    }

    /// Returns whether these claims are equal, without a copy: this is on every request's path.
    pub(super) fn agrees_with(&self, claims: &Claims) -> bool {
        self.api_base_url.as_deref() == claims.api_base_url()
            && self.contexts.as_deref() == claims.installation_contexts_json()
            && self.environment_id.as_deref() == claims.environment_id()
            && self.environment_type.as_deref() == claims.environment_type()
            && self.isolated_cloud_label.as_deref() == claims.isolated_cloud_label()
            && self.app_id == claims.app_id()
    }

    pub(super) fn contexts(&self) -> Vec<InstallationContext> {
        self.contexts
            .as_deref()
            .map(InstallationContext::read_all)
            .unwrap_or_default()
    }

    /// Returns the number of its products, if it is known.
    pub(super) fn products(&self) -> Option<u32> {
        count_of(&self.contexts())
    }

    /// Returns the ids of its sites.
    pub(super) fn cloud_ids(&self) -> &[String] {
        let read = || cloud_ids(&self.contexts(), self.api_base_url.as_deref());
        self.sites.0.get_or_init(read)
    }

    /// Returns the cloud that the installation is in.
    pub(super) fn cloud(&self) -> Cloud<'_> {
        Cloud::of(
            self.isolated_cloud_label.as_deref(),
            self.api_base_url.as_deref(),
        )
    }

    /// Returns the plain text to seal.
    pub(super) fn plain(&self, token: &str, standing: &Standing) -> Option<Zeroizing<Vec<u8>>> {
        let contexts: Option<&RawValue> = match &self.contexts {
            Some(text) => serde_json::from_str(text).ok(),
            None => None,
        };
        fn cow(text: &Option<String>) -> Option<std::borrow::Cow<'_, str>> {
            text.as_deref().map(Into::into)
        }
        let plain = Plain {
            token: token.into(),
            app_id: self.app_id.as_str().into(),
            environment_type: cow(&self.environment_type),
            environment_id: cow(&self.environment_id),
            api_base_url: cow(&self.api_base_url),
            contexts,
            isolated_cloud_label: cow(&self.isolated_cloud_label),
            rejected: standing.rejected,
            supersedes: cow(&standing.supersedes),
        };
        // Large enough that it never reallocates, which would leave a copy behind.
        let size = token.len() * 2 + self.contexts.as_ref().map_or(0, String::len) + 2048;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *bytes, &plain).ok()?;
        Some(bytes)
    }

    /// Reads the token and its installation from the plain text of a record.
    pub(super) fn read(
        installation_id: &str,
        plain: &[u8],
    ) -> Option<(Zeroizing<String>, Self, Standing)> {
        let plain: Plain<'_> = serde_json::from_slice(plain).ok()?;
        let about = Self {
            installation_id: installation_id.to_owned(),
            app_id: plain.app_id.into_owned(),
            environment_type: plain.environment_type.map(Into::into),
            environment_id: plain.environment_id.map(Into::into),
            api_base_url: plain.api_base_url.map(Into::into),
            contexts: plain.contexts.map(|raw| raw.get().to_owned()),
            isolated_cloud_label: plain.isolated_cloud_label.map(Into::into),
            sites: Sites::default(),
        };
        let standing = Standing {
            rejected: plain.rejected,
            supersedes: plain.supersedes.map(Into::into),
        };
        Some((Zeroizing::new(plain.token.into_owned()), about, standing))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sealed_data_is_read_back_unchanged() {
        let about = About {
            installation_id: "ari:x".into(),
            app_id: "app".into(),
            environment_type: Some("PRODUCTION".into()),
            environment_id: None,
            api_base_url: Some("https://api.atlassian.com/ex/jira/c-1".into()),
            contexts: Some(
                r#"[{"name":"confluence","cloudId":"c-2","new":"\n"},{"name":"bitbucket"}]"#.into(),
            ),
            isolated_cloud_label: Some("orange".into()),
            sites: Sites::default(),
        };
        let standing = Standing {
            rejected: true,
            supersedes: Some(fingerprint("another")),
        };
        let plain = about.plain("a \"token\"", &standing).unwrap();
        let (token, read, stood) = About::read("ari:x", &plain).unwrap();
        assert!(read == about && *token == "a \"token\"" && stood == standing);
        assert_eq!(about.cloud_ids(), ["c-1", "c-2"]);
        // The format of versions before the label.
        let old = br#"{"token":"t","appId":"app"}"#;
        let (_, read, standing) = About::read("ari:x", old).unwrap();
        assert_eq!(read.isolated_cloud_label, None);
        assert_eq!(standing, Standing::default());
    }
}
