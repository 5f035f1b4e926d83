//! The run of stored or spawned work, and its output line.

use super::outcome::{CallVerdict, Columns, NOTE_INDENT, mark};
use crate::jobs::JobRecord;
use crate::log::Foreign;

/// The outcome of work that a call left behind.
#[derive(serde::Serialize)]
pub(crate) struct Run {
    /// The handler's key.
    pub(crate) key: String,
    /// The work that ran: `job 7`, `spawned work`.
    pub(crate) run: String,
    #[serde(rename = "outcome")]
    pub(crate) verdict: CallVerdict,
    pub(crate) status: &'static str,
    /// The notes below its line.
    pub(crate) notes: Vec<String>,
}

impl Run {
    /// Returns the first run of a job.
    pub(crate) fn job(
        job: &JobRecord,
        verdict: CallVerdict,
        status: &'static str,
        notes: Vec<String>,
    ) -> Self {
        Self {
            key: job.handler.clone(),
            run: format!("job {}", job.id),
            verdict,
            status,
            notes,
        }
    }

    /// Returns the run of pieces of work that a call of a handler spawned.
    pub(crate) fn spawned(
        key: &str,
        count: u64,
        verdict: CallVerdict,
        status: &'static str,
    ) -> Self {
        let run = match count {
            1 => "spawned work".to_owned(),
            count => format!("spawned work, {count} times"),
        };
        Self {
            key: key.to_owned(),
            run,
            verdict,
            status,
            notes: Vec::new(),
        }
    }

    /// Returns the output line, in the columns of calls, and the notes below it.
    pub(crate) fn line(&self, columns: Columns, color: bool) -> String {
        let Self {
            key, run, status, ..
        } = self;
        let Columns {
            key: key_width,
            call: call_width,
            ..
        } = columns;
        let mark = mark(self.verdict, color);
        let mut line = format!("{mark}  {key:key_width$}  {run:call_width$}  {status}");
        for note in &self.notes {
            // The app writes parts of them.
            line.push_str(&format!("\n{NOTE_INDENT}{}", Foreign(note)));
        }
        line
    }
}
