//! The contents of a job's envelope: its arguments and its sender.

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::contents::UnreadableContents;
use super::kept_claims::KeptClaims;
use crate::extract::{JobInstallation, Verified};
use crate::fit::{Claims, TokenRejection, Verifier};

const VERSION: u8 = 1;

/// The arguments of a job, and who sent it. They are written only into sealed envelopes.
#[derive(Serialize, Deserialize)]
pub(crate) struct JobContents {
    version: u8,
    /// The arguments, in JSON.
    pub(crate) args: String,
    pub(crate) sender: JobSender,
}

/// Who sent a job.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum JobSender {
    /// The handler of a verified call.
    Call(SendingCall),
    /// The app, for an installation of which it keeps a token.
    App(JobInstallation),
}

/// A verified call without its tokens and its body.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SendingCall {
    #[serde(flatten)]
    claims: KeptClaims,
    pub(crate) endpoint: String,
    /// The values of [`TRACE_HEADERS`].
    trace: [Option<String>; 2],
}

const TRACE_HEADERS: [&str; 2] = ["x-b3-traceid", "x-b3-spanid"];

impl JobContents {
    pub(crate) fn new(args: String, sender: JobSender) -> Self {
        Self {
            version: VERSION,
            args,
            sender,
        }
    }

    pub(crate) fn write(&self) -> Zeroizing<Vec<u8>> {
        // A struct of texts and numbers is always JSON.
        Zeroizing::new(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, UnreadableContents> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(contents) if contents.version == VERSION => Ok(contents),
            _ => Err(UnreadableContents::of(bytes, VERSION)),
        }
    }
}

impl From<&Verified> for SendingCall {
    fn from(call: &Verified) -> Self {
        Self {
            claims: KeptClaims::from(call.claims()),
            endpoint: call.endpoint().to_owned(),
            trace: call.trace().map(|id| id.map(str::to_owned)),
        }
    }
}

impl SendingCall {
    /// Returns the claims, if the app would accept them still. They were bound to their endpoint when
    /// the call arrived; an app may lack that endpoint when the job runs.
    pub(crate) fn claims(&self, verifier: &Verifier) -> Result<Claims, TokenRejection> {
        self.claims.restore(verifier, None)
    }

    /// Returns the headers of Forge's trace.
    pub(crate) fn headers(&self) -> HeaderMap {
        let ids = TRACE_HEADERS.into_iter().zip(&self.trace);
        let headers = ids.filter_map(|(name, id)| {
            let value = id.as_deref()?.parse().ok()?;
            Some((axum::http::HeaderName::from_static(name), value))
        });
        headers.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_newer_version_are_not_damaged() {
        let read = |text: &str| JobContents::read(text.as_bytes()).err();
        let newer = r#"{"version":2,"args":{},"sender":{"Elsewhere":7}}"#;
        assert!(matches!(read(newer), Some(UnreadableContents::Newer)));
        for damaged in [
            "",
            "{}",
            r#"{"version":1}"#,
            r#"{"version":0,"args":"1"}"#,
            "7",
        ] {
            let error = read(damaged);
            assert!(
                matches!(error, Some(UnreadableContents::Damaged)),
                "{damaged}"
            );
        }
    }
}
