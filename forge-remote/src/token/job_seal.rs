//! The seal of stored calls, under the keys of the stored tokens.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::handle::Tokens;
use super::opening::configured_keys;
use super::seal::{InvalidKeys, KeyId, Keys, Shut};

/// Seals and opens the calls of durable handlers. The first key seals, all open.
#[derive(Clone)]
pub(crate) struct JobSeal(Arc<Keys>);

/// The call that a seal is bound to: it does not open at another handler or installation.
#[derive(Clone, Copy)]
pub(crate) struct SealedCall<'a> {
    pub(crate) handler: &'a str,
    pub(crate) installation_id: &'a str,
}

/// Why a record does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SealError {
    /// The text was sealed under the key with this id, which is not configured.
    OtherKey(String),
    /// The text was changed or moved, or a newer version wrote it.
    Damaged,
}

/// Why there is no seal for an engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobKeyError {
    #[error(
        "stored calls are encrypted before they are kept in {engine}, but there is no key: every instance of the app \
         needs the same FORGE_REMOTE_TOKEN_KEY"
    )]
    Missing { engine: String },
    #[error("{setting}, whose key encrypts stored calls, cannot be used: {error}")]
    Invalid {
        setting: &'static str,
        error: InvalidKeys,
    },
}

impl JobSeal {
    /// Returns the seal of an engine: `tokens` has the keys if the environment has none. An engine that
    /// ends with the process needs no configured key.
    pub(crate) fn new(
        engine: &str,
        outlives_process: bool,
        tokens: Option<&Tokens>,
    ) -> Result<Self, JobKeyError> {
        let setting = match tokens {
            Some(_) => "FORGE_REMOTE_TOKEN_KEY (or `Tokens::keys`)",
            None => "FORGE_REMOTE_TOKEN_KEY",
        };
        let invalid = |error| JobKeyError::Invalid { setting, error };
        let keys = if outlives_process {
            let settings = tokens.map(Tokens::settings);
            let keys = configured_keys(settings.as_ref().and_then(|one| one.keys.as_ref()));
            keys.map_err(invalid)?.ok_or_else(|| JobKeyError::Missing {
                engine: engine.to_owned(),
            })?
        } else {
            Keys::random().map_err(invalid)?
        };
        Ok(Self(Arc::new(keys)))
    }

    /// Seals a call's contents; `None` if the system returns no random bytes.
    pub(crate) fn seal(&self, call: SealedCall<'_>, plain: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        self.0.seal_as(&call.bound(b"forge-remote/job/1\0"), plain)
    }

    pub(crate) fn open(
        &self,
        call: SealedCall<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let opened = self.0.open_as(&call.bound(b"forge-remote/job/1\0"), sealed);
        opened.map_err(SealError::from)
    }

    /// Seals the text of an error, which may contain user data.
    pub(crate) fn seal_report(&self, call: SealedCall<'_>, text: &str) -> Vec<u8> {
        let plain = Zeroizing::new(text.as_bytes().to_vec());
        let sealed = self
            .0
            .seal_as(&call.bound(b"forge-remote/job-report/1\0"), plain);
        sealed.unwrap_or_default()
    }

    /// Returns the text of a report, if it opens.
    pub(crate) fn open_report(&self, call: SealedCall<'_>, sealed: &[u8]) -> Option<String> {
        let opened = self
            .0
            .open_as(&call.bound(b"forge-remote/job-report/1\0"), sealed);
        String::from_utf8(opened.ok()?.to_vec()).ok()
    }
}

/// Returns the id of the key that a call is sealed under; `None` if its form is unknown.
pub(crate) fn sealing_key(sealed: &[u8]) -> Option<String> {
    KeyId::of(sealed).map(|id| id.to_string())
}

/// Returns the ids of the configured keys, in their order; none if there are no valid keys.
#[cfg(feature = "cli")]
pub(crate) fn configured_key_ids(tokens: Option<&Tokens>) -> Vec<String> {
    let settings = tokens.map(Tokens::settings);
    let keys = configured_keys(settings.as_ref().and_then(|one| one.keys.as_ref()));
    let keys = keys.ok().flatten();
    let ids = keys.iter().flat_map(Keys::ids);
    ids.map(|id| id.to_string()).collect()
}

impl SealedCall<'_> {
    fn bound(&self, purpose: &[u8]) -> Vec<u8> {
        let mut bound = purpose.to_vec();
        bound.extend((self.handler.len() as u64).to_be_bytes());
        bound.extend(self.handler.as_bytes());
        bound.extend(self.installation_id.as_bytes());
        bound
    }
}

impl From<Shut> for SealError {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::OtherKey(id) => Self::OtherKey(id.to_string()),
            Shut::Damaged => Self::Damaged,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "_wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn seal(keys: &str) -> JobSeal {
        JobSeal(Arc::new(Keys::parse(keys).unwrap()))
    }

    #[test]
    fn a_call_opens_at_its_handler_and_installation_with_its_key_only() {
        let call = SealedCall {
            handler: "index",
            installation_id: "ari:1",
        };
        let sealed = seal(ONE)
            .seal(call, Zeroizing::new(b"secret".to_vec()))
            .unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        let rotated = seal(&format!("{OTHER},{ONE}"));
        assert_eq!(rotated.open(call, &sealed).unwrap().as_slice(), b"secret");
        assert!(matches!(
            seal(OTHER).open(call, &sealed),
            Err(SealError::OtherKey(_))
        ));
        for (handler, installation_id) in
            [("other", "ari:1"), ("index", "ari:2"), ("inde", "xari:1")]
        {
            let moved = SealedCall {
                handler,
                installation_id,
            };
            assert_eq!(
                seal(ONE).open(moved, &sealed).err(),
                Some(SealError::Damaged)
            );
        }
        // A report is not a call.
        let report = seal(ONE).seal_report(call, "secret");
        assert_eq!(
            seal(ONE).open(call, &report).err(),
            Some(SealError::Damaged)
        );
        assert_eq!(
            seal(ONE).open_report(call, &report).as_deref(),
            Some("secret")
        );
    }
}
