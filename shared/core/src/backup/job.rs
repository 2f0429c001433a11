//! The Batch jobs of slots: how they are named, and what becomes of one that does not get on.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};

use super::{ChainId, Kind, layout::is_database};

/// The name of a job: which try of which slot it is of which database. It is the same however often the slot is delivered, so
/// that a retry finds its own job.
///
/// Batch takes letters, digits, `-` and `_`, 128 at most; a database's name has dots and no `_`.
/// Source: <https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html>, `jobName`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobName {
    /// The database.
    pub database: String,
    /// What the schedule asks for. The job may take a full backup where a differential has nothing to join.
    pub slot: Kind,
    /// When the slot was due, and which try it is: the name of the chain that it would open.
    pub attempt: ChainId,
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.slot == Kind::Full { "full" } else { "diff" };
        write!(f, "backup-{kind}-{}-{}", self.attempt, self.database.replace('.', "_"))
    }
}

impl FromStr for JobName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("backup-").ok_or(())?;
        let (slot, rest) = match (rest.strip_prefix("full-"), rest.strip_prefix("diff-")) {
            (Some(rest), _) => (Kind::Full, rest),
            (_, Some(rest)) => (Kind::Differential, rest),
            _ => return Err(()),
        };
        let mut parts = rest.splitn(3, '-');
        let (time, attempt) = (parts.next().ok_or(())?, parts.next().ok_or(())?);
        let database = parts.next().ok_or(())?.replace('_', ".");
        let attempt = format!("{time}-{attempt}").parse()?;
        let name = Self { database, slot, attempt };
        (is_database(&name.database) && name.to_string() == text).then_some(name).ok_or(())
    }
}

/// How far a job is, of the seven states that Batch knows.
/// Source: <https://docs.aws.amazon.com/batch/latest/userguide/job_states.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// `SUBMITTED`, `PENDING`, `RUNNABLE`, `STARTING`: its container does not run.
    Waits,
    /// `RUNNING`.
    Runs,
    /// `SUCCEEDED`, or `FAILED`.
    Ended,
}

impl Progress {
    /// Reads a state; nothing when it is none of the seven.
    #[must_use]
    pub fn read(status: &str) -> Option<Self> {
        match status {
            "SUBMITTED" | "PENDING" | "RUNNABLE" | "STARTING" => Some(Self::Waits),
            "RUNNING" => Some(Self::Runs),
            "SUCCEEDED" | "FAILED" => Some(Self::Ended),
            _ => None,
        }
    }
}

/// A job as Batch describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// How far it is.
    pub progress: Progress,
    /// When it was submitted (`createdAt`).
    pub created: Timestamp,
    /// When its container began to run (`startedAt`); nothing when it never did.
    pub started: Option<Timestamp>,
    /// Whether it was submitted to the queue with Spot capacity.
    pub on_spot: bool,
}

/// How long a job may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From its submission until its container runs.
    pub start: SignedDuration,
    /// From then until it has ended. Batch ends it by its own timeout before that.
    pub run: SignedDuration,
}

/// What happens to a job next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it gets on.
    Wait,
    /// It is terminated: it waits for capacity that does not come, or runs for longer than it may.
    Terminate(Overdue),
    /// It never ran, so it has written nothing: the same backup is submitted again, where capacity costs more.
    SubmitOnDemand,
    /// Nobody had capacity for it. The slot has failed.
    GiveUp,
    /// It has run, and is judged by its exit code.
    Judge,
}

/// Why a job is terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overdue {
    /// Its container does not start.
    #[error("no capacity: its container has not started within {0} minutes")]
    Start(i64),
    /// It does not end.
    #[error("it has run for more than {0} minutes")]
    Run(i64),
}

/// Decides about a job.
#[must_use]
pub fn next(job: &Job, limits: &Limits, now: Timestamp) -> Next {
    match (job.progress, job.started) {
        (Progress::Waits, _) if now.duration_since(job.created) > limits.start => {
            Next::Terminate(Overdue::Start(limits.start.as_mins()))
        }
        (Progress::Runs, started) if now.duration_since(started.unwrap_or(job.created)) > limits.run => {
            Next::Terminate(Overdue::Run(limits.run.as_mins()))
        }
        (Progress::Waits | Progress::Runs, _) => Next::Wait,
        (Progress::Ended, Some(_)) => Next::Judge,
        (Progress::Ended, None) if job.on_spot => Next::SubmitOnDemand,
        (Progress::Ended, None) => Next::GiveUp,
    }
}
