//! The admission of calls: whether one may run now, and how long it waits otherwise.

use std::collections::HashMap;
use std::time::Duration;

use forge_remote::jobs::EngineError;

use crate::statements::{Statements, values};

/// How many waiting calls of an installation lower the priority of its next one, by one step each.
pub(crate) const BACKLOG_STEPS: [i64; 3] = [20, 100, 500];

/// Whether a call may run now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// The installation is at its limit of running calls. `ahead` is the number of its calls that
    /// wait before this one.
    Full {
        ahead: i64,
    },
    /// Another process holds the lock on the installation for too long.
    Busy,
    /// The installation is paused for this time, in milliseconds.
    Paused {
        wait: i64,
    },
}

/// A call that is due, and applies to run.
#[derive(Debug)]
pub(crate) struct Applicant {
    pub(crate) job: i64,
    pub(crate) attempt: i64,
    pub(crate) handler: String,
    pub(crate) installation: String,
    pub(crate) limit: Option<u32>,
    /// It does not begin yet: it counts towards the limit, but has spent no attempt.
    pub(crate) only_reserves: bool,
}

impl Applicant {
    /// Returns the name of the limited group; `None` without a limit.
    pub(crate) fn group(&self) -> Option<String> {
        let (handler, installation) = (&self.handler, &self.installation);
        self.limit.map(|_| format!("{handler} {installation}"))
    }
}

/// Decides whether a call may run, and records that it starts, or its reservation. `counted` has how many wait ahead of a
/// rejected one, by handler and installation.
pub(crate) async fn decide<'a>(
    connection: &mut impl Statements,
    applicant: &'a Applicant,
    now: i64,
    counted: &mut HashMap<(&'a str, &'a str), i64>,
) -> Result<Admission, EngineError> {
    let (handler, installation) = (&applicant.handler, &applicant.installation);
    let until = connection
        .integer(
            "SELECT until FROM forge_remote_pause
             WHERE handler = $1 AND installation = $2 AND until > $3",
            values![handler, installation, now],
        )
        .await?;
    if let Some(until) = until {
        return Ok(Admission::Paused { wait: until - now });
    }
    if let Some(limit) = applicant.limit {
        // A slot counts while its run lasts: River's row is then still running, at the same attempt. It is negative while
        // it is reserved.
        let running = connection
            .integer(
                "SELECT count(*) FROM forge_remote_call AS call
                 JOIN river_job AS job ON job.id = call.job_id
                 WHERE call.installation = $1 AND call.handler = $2 AND call.unfinished = 1
                     AND call.slot IS NOT NULL AND call.job_id <> $3
                     AND job.state = 'running' AND job.attempt = abs(call.slot)",
                values![installation, handler, applicant.job],
            )
            .await?;
        if running.unwrap_or_default() >= i64::from(limit) {
            let group = (handler.as_str(), installation.as_str());
            if let Some(ahead) = counted.get(&group) {
                return Ok(Admission::Full { ahead: *ahead });
            }
            let ahead = connection
                .integer(
                    "SELECT count(*) FROM (
                         SELECT 1 FROM forge_remote_call
                         WHERE installation = $1 AND handler = $2 AND unfinished = 1 AND job_id < $3
                             AND due <= $4 LIMIT 10000
                     ) AS ahead",
                    values![installation, handler, applicant.job, now],
                )
                .await?;
            let ahead = ahead.unwrap_or_default();
            counted.insert(group, ahead);
            return Ok(Admission::Full { ahead });
        }
    }
    let slot = match applicant.only_reserves {
        true => -applicant.attempt,
        false => applicant.attempt,
    };
    connection
        .execute(
            "UPDATE forge_remote_call SET slot = $1 WHERE job_id = $2",
            values![slot, applicant.job],
        )
        .await?;
    Ok(Admission::Admitted)
}

/// Returns River's priority of an installation's next call: 1 runs first.
pub(crate) fn priority(backlog: i64) -> i16 {
    let steps = BACKLOG_STEPS.iter().filter(|step| backlog >= **step);
    steps.fold(1, |priority, _| priority + 1)
}

/// Returns how long a call waits until it applies again, with this many ahead of it.
pub(crate) fn pause_behind(ahead: i64, limit: u32, run: Duration, job: i64) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(60);
    let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
    let wait = run.checked_mul(ahead).unwrap_or(LONGEST) / limit.max(1);
    let wait = wait.clamp(SHORTEST, LONGEST);
    // Spread, so that calls that were rejected together do not return together.
    wait + wait / 8 * u32::try_from(job.rem_euclid(8)).unwrap_or_default() / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_priority_falls_with_the_backlog() {
        assert_eq!(
            [0, 19, 20, 100, 499, 500, 9999].map(priority),
            [1, 1, 2, 3, 3, 4, 4]
        );
    }

    #[test]
    fn a_call_waits_for_those_ahead_of_it() {
        let run = Duration::from_secs(1);
        assert_eq!(pause_behind(0, 1, run, 8), Duration::from_millis(50));
        assert_eq!(pause_behind(10, 2, run, 8), Duration::from_secs(5));
        assert_eq!(pause_behind(i64::MAX, 1, run, 8), Duration::from_secs(60));
        assert!(pause_behind(10, 2, run, 7) > Duration::from_secs(5));
        assert!(pause_behind(10, 2, run, 7) < Duration::from_secs(6));
    }
}
