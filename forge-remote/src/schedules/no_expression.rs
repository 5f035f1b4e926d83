//! A stub for cron expressions, without the feature `cron`.

use std::convert::Infallible;
use std::time::SystemTime;

use forge_remote_schema::Mistake;

#[derive(Debug)]
pub(super) struct Expression(Infallible);

impl Expression {
    /// Returns the mistake that the feature is missing. The macros report it too.
    pub(super) fn parse(_: &str, _: &str) -> Result<Self, Mistake> {
        Err(Mistake::new(
            "`cron` needs the feature `cron` of forge-remote",
            "run `cargo add forge-remote --features cron`",
        ))
    }

    pub(super) fn next_after(&self, _: SystemTime) -> Option<SystemTime> {
        match self.0 {}
    }

    #[cfg(feature = "cli")]
    pub(super) fn local(&self, _: SystemTime) -> Option<String> {
        match self.0 {}
    }
}
