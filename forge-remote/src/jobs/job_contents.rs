//! The contents of a job's envelope: its arguments and its sender.

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::kept_claims::KeptClaims;
use super::versioned::{self, UnreadableContents, Versioned};
use crate::extract::{JobInstallation, Verified};
use crate::fit::{Claims, TokenRejection, Verifier};
use crate::telemetry::http::{SPAN_ID, TRACE_ID};

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
    /// The ids of Forge's trace and span.
    trace: [Option<String>; 2],
}

impl Versioned for JobContents {
    const VERSION: u8 = 1;

    fn version(&self) -> u8 {
        self.version
    }
}

impl JobContents {
    pub(crate) fn new(args: String, sender: JobSender) -> Self {
        Self {
            version: Self::VERSION,
            args,
            sender,
        }
    }

    pub(crate) fn write(&self) -> Zeroizing<Vec<u8>> {
        versioned::write(self)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, UnreadableContents> {
        versioned::read(bytes)
    }
}

impl From<&Verified> for SendingCall {
    fn from(call: &Verified) -> Self {
        Self {
            claims: KeptClaims::from(call.claims()),
            endpoint: call.endpoint().to_owned(),
            trace: [call.trace().trace_id(), call.trace().span_id()]
                .map(|id| id.map(str::to_owned)),
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
        let ids = [TRACE_ID, SPAN_ID].into_iter().zip(&self.trace);
        let headers = ids.filter_map(|(name, id)| {
            let value = id.as_deref()?.parse().ok()?;
            Some((name, value))
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
