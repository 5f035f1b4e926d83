//! What is kept beside a token: enough to know where to call.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::fit::{Claims, Cloud, InstallationContext, cloud_ids};

/// An installation with a kept token: who it is and where its products are called.
///
/// The names are those of [`Claims`], so that code moves easily between a handler and the
/// background.
#[derive(Clone)]
pub struct Installation {
    pub(super) about: Arc<About>,
    pub(super) expires_at: SystemTime,
    pub(super) remaining: Duration,
}

/// Only its name: the rest is customers' data.
impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation").finish_non_exhaustive()
    }
}

impl Installation {
    /// The installation's ARI: the tenant.
    pub fn installation_id(&self) -> &str {
        &self.about.installation_id
    }

    /// The app's ARI.
    pub fn app_id(&self) -> &str {
        &self.about.app_id
    }

    /// `DEVELOPMENT`, `STAGING` or `PRODUCTION`.
    pub fn environment_type(&self) -> Option<&str> {
        self.about.environment_type.as_deref()
    }

    /// The environment's ARI.
    pub fn environment_id(&self) -> Option<&str> {
        self.about.environment_id.as_deref()
    }

    /// Where the product's API is called: `https://api.atlassian.com/ex/{jira|confluence}/<cloudId>`
    /// or `https://api.bitbucket.org`.
    pub fn api_base_url(&self) -> Option<&str> {
        self.about.api_base_url.as_deref()
    }

    /// The products of this installation; empty where the platform names none.
    pub fn installation_contexts(&self) -> Vec<InstallationContext> {
        self.about.contexts()
    }

    /// The product of this name: `jira`, `confluence`, `bitbucket`, …
    pub fn product(&self, name: &str) -> Option<InstallationContext> {
        let mut contexts = self.about.contexts().into_iter();
        contexts.find(|context| context.name == name)
    }

    /// The isolated cloud it is in: see [`App::isolated_cloud`](crate::App::isolated_cloud).
    pub fn isolated_cloud_label(&self) -> Option<&str> {
        self.about.isolated_cloud_label.as_deref()
    }

    /// When the token ends.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// How long the token still lived when this was read; zero for one that has ended.
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
    /// As the claim has it.
    pub(super) contexts: Option<String>,
    pub(super) isolated_cloud_label: Option<String>,
}

/// How Atlassian took a kept token, as far as an instance knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Atlassian refused it (401): the next one takes its place, whatever its end.
    pub(super) refused: bool,
    /// The [`fingerprint`] of the refused token whose place it took.
    pub(super) supersedes: Option<String>,
}

impl Standing {
    /// Whether the token with this standing took the place of another.
    pub(super) fn supersedes(&self, token: &str) -> bool {
        let superseded = self.supersedes.as_deref();
        superseded.is_some_and(|superseded| superseded == fingerprint(token))
    }
}

/// What a token is recognised by where the token itself need not be.
pub(super) fn fingerprint(token: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash)
}

/// What is sealed. Absent members stay absent, so that versions can add some.
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
    refused: bool,
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
        }
    }

    /// Whether these claims say the same, without a copy: this is on every request's path.
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

    /// The ids of the sites it is on.
    pub(super) fn cloud_ids(&self) -> Vec<String> {
        cloud_ids(&self.contexts(), self.api_base_url.as_deref())
    }

    /// The cloud that the installation is in.
    pub(super) fn cloud(&self) -> Cloud<'_> {
        Cloud::of(
            self.isolated_cloud_label.as_deref(),
            self.api_base_url.as_deref(),
        )
    }

    /// What is to be sealed.
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
            refused: standing.refused,
            supersedes: cow(&standing.supersedes),
        };
        // Large enough that it never moves and leaves a copy behind.
        let size = token.len() * 2 + self.contexts.as_ref().map_or(0, String::len) + 2048;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *bytes, &plain).ok()?;
        Some(bytes)
    }

    /// The token and what belongs to it, from what was sealed.
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
        };
        let standing = Standing {
            refused: plain.refused,
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
    fn what_is_sealed_is_read_again() {
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
        };
        let standing = Standing {
            refused: true,
            supersedes: Some(fingerprint("another")),
        };
        let plain = about.plain("a \"token\"", &standing).unwrap();
        let (token, read, stood) = About::read("ari:x", &plain).unwrap();
        assert!(read == about && *token == "a \"token\"" && stood == standing);
        assert_eq!(about.cloud_ids(), ["c-1", "c-2"]);
        // As versions before the label wrote it.
        let old = br#"{"token":"t","appId":"app"}"#;
        let (_, read, standing) = About::read("ari:x", old).unwrap();
        assert_eq!(read.isolated_cloud_label, None);
        assert_eq!(standing, Standing::default());
    }
}
