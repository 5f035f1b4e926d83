//! Reports of engines and runs: errors, and the reasons of unfinished jobs.

use std::error::Error as StdError;
use std::fmt;

use crate::error::BoxError;

/// Why an engine failed.
///
/// ```
/// use forge_remote::jobs::EngineError;
///
/// let error = EngineError::new("the disk is full");
/// assert_eq!(error.to_string(), "the disk is full");
/// ```
#[derive(Debug)]
pub struct EngineError {
    message: String,
    source: Option<BoxError>,
}

impl EngineError {
    /// Creates an error. The message must not contain secrets.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// Sets the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for EngineError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

/// The reason of a [`Verdict`](super::Verdict), for the operator: a code, and an encrypted text that may contain
/// user data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The code, which is not a secret.
    pub code: ReportCode,
    /// The encrypted text; empty without one.
    pub sealed: Vec<u8>,
}

impl Report {
    /// Creates a report.
    pub fn new(code: ReportCode, sealed: Vec<u8>) -> Self {
        Self { code, sealed }
    }
}

impl Report {
    /// Returns the report to store: this one, or `previous` if this one only reports a wait (for a
    /// handler, a key or a token) and `previous` a started run.
    ///
    /// ```
    /// use forge_remote::jobs::{Report, ReportCode};
    ///
    /// let limited = Report::new(ReportCode::RateLimited, vec![]);
    /// let waits = Report::new(ReportCode::NoToken, vec![]);
    /// assert_eq!(waits.clone().after(Some(&limited)), limited);
    /// assert_eq!(waits.clone().after(None), waits);
    /// ```
    #[must_use]
    pub fn after(self, previous: Option<&Self>) -> Self {
        use ReportCode::{NoToken, OtherKey, Rejected, UnknownHandler};
        match previous {
            Some(previous)
                if previous.code.is_of_given_back_run()
                    && matches!(self.code, NoToken | OtherKey | Rejected | UnknownHandler) =>
            {
                previous.clone()
            }
            _ => self,
        }
    }
}

impl ReportCode {
    /// Returns whether the handler had started, and its attempt was not counted.
    pub(crate) fn is_of_given_back_run(self) -> bool {
        matches!(self, Self::Interrupted | Self::RateLimited)
    }
}

macro_rules! codes {
    ($($(#[$docs:meta])* $code:ident = $text:literal;)*) => {
        /// Why an envelope is not done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ReportCode {
            $($(#[$docs])* $code,)*
        }

        impl ReportCode {
            /// Returns the code as text, for logs and stores.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }

            /// Returns the code with this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$code),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The handler returned an error.
    Failed = "failed";
    /// The handler exceeded its timeout.
    TimedOut = "timed-out";
    /// The handler panicked.
    Panicked = "panicked";
    /// The handler's process ended.
    Interrupted = "interrupted";
    /// Atlassian limits the installation's calls.
    RateLimited = "rate-limited";
    /// No system token is kept for the installation yet.
    NoToken = "no-token";
    /// The app was uninstalled.
    Uninstalled = "uninstalled";
    /// The handler is not part of this version of the app, or the envelope was written by a newer version of forge-remote.
    UnknownHandler = "unknown-handler";
    /// The envelope was sealed under a key that is not configured.
    OtherKey = "other-key";
    /// The envelope was changed.
    Damaged = "damaged";
    /// This version of the app would not accept the call, for example because of its environment.
    Rejected = "rejected";
}
