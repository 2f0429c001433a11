//! What a slot of the schedule does for one database.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{Chain, ChainId, Folder, Kind, State, Verdict};

/// How late a slot may be delivered: EventBridge Scheduler retries for a day at most.
/// Source: <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html>, `MaximumEventAgeInSeconds`.
const LATE: SignedDuration = SignedDuration::from_hours(24);

/// A backup that a slot takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is asked for.
    pub kind: Kind,
    /// The chain that it opens or joins.
    pub chain: ChainId,
    /// Why it is a full one.
    pub because: Because,
}

/// Why a backup is of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// The schedule says so.
    Schedule,
    /// There is no chain that a differential could join.
    NoChain,
    /// Nobody can say what the newest chain is.
    Unknown(String),
    /// Its last backup is not good.
    Last(Verdict, Vec<String>),
    /// Files of it are missing.
    FilesMissing,
    /// It is dated into the future.
    Future,
}

impl Refusal {
    /// Returns whether the slot did what it should: nothing is missing, and nobody needs to know.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::Covered | Self::Done(_))
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedule => f.write_str("the schedule says so"),
            Self::NoChain => f.write_str("there is no chain to join"),
            Self::Unknown(why) => write!(f, "the newest chain is not known: {why}"),
            Self::Last(verdict, reasons) if reasons.is_empty() => {
                write!(f, "the last backup of the newest chain is {verdict}")
            }
            Self::Last(verdict, reasons) => {
                write!(f, "the last backup of the newest chain is {verdict}: {}", reasons.join("; "))
            }
            Self::FilesMissing => f.write_str("files of the newest chain are missing from the bucket"),
            Self::Future => f.write_str("the newest chain is dated into the future"),
        }
    }
}

/// A job of this database that has not been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub job: String,
    /// What it takes.
    pub kind: Kind,
    /// The chain that it writes into.
    pub chain: ChainId,
    /// Whether it has ended, and only its verdict is missing.
    pub ended: bool,
}

/// Why a slot takes no backup of a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two jobs in one folder would break the chain, and two full ones at once are one too many.
    #[error("the job {0} still runs: give the schedules more room, or the job more resources")]
    Overlap(String),
    /// Whether a differential may join is known only when the job before it is judged.
    #[error("the job {0} has ended and is not judged yet: it is within a quarter of an hour")]
    NotJudged(String),
    /// The full backup of the same time holds everything.
    #[error("a full backup of the same time holds everything")]
    Covered,
    /// This try of the slot has been made: it was delivered twice.
    #[error("the slot has its backup already, in the chain {0}")]
    Done(ChainId),
    /// A later slot has opened a chain already: this one was delivered late.
    #[error("the slot is older than the chain {0}")]
    Late(ChainId),
}

/// Decides what a slot does for one database: `newest` is its newest chain as it lies in the bucket, `running` its jobs that
/// have not been judged. `attempt` counts the tries of the slot from 1.
///
/// A full one opens a chain of its own, so it may run beside a differential of an older one. A differential joins the newest
/// chain, if everything in that is good; else the slot takes a full one.
///
/// # Errors
///
/// Why nothing is taken. Two jobs never write into one chain.
pub fn choose(
    kind: Kind,
    slot: Timestamp,
    attempt: u8,
    newest: Option<&Folder>,
    running: &[Running],
) -> Result<Choice, Refusal> {
    let opens = ChainId::new(slot, attempt);
    let opened_now = |chain: ChainId| chain.opened() == opens.opened();
    let full = running.iter().any(|job| job.kind == Kind::Full && opened_now(job.chain));
    if kind == Kind::Differential && (full || newest.is_some_and(|folder| opened_now(folder.chain))) {
        return Err(Refusal::Covered);
    }
    let taken = newest.and_then(|folder| folder.manifest.as_ref()?.as_ref().ok()).into_iter().flat_map(|m| &m.backups);
    if kind == Kind::Differential
        && let Some(folder) = newest.filter(|_| taken.clone().any(|backup| backup.slot.as_second() == slot.as_second()))
    {
        return Err(Refusal::Done(folder.chain));
    }
    let same = |job: &&Running| kind == Kind::Differential || job.kind == Kind::Full || job.chain == opens;
    let mut in_the_way = running.iter().filter(same);
    if let Some(job) = in_the_way.clone().find(|job| !job.ended).or_else(|| in_the_way.next()) {
        let job_name = job.job.clone();
        return Err(if job.ended { Refusal::NotJudged(job_name) } else { Refusal::Overlap(job_name) });
    }
    if let Some(folder) = newest.filter(|folder| opened_now(folder.chain) && folder.chain >= opens) {
        return Err(Refusal::Done(folder.chain));
    }
    let late = newest.map(|folder| folder.chain).filter(|chain| chain.opened() > slot && chain.opened() <= slot + LATE);
    if let Some(chain) = late {
        return Err(Refusal::Late(chain));
    }
    let because = match (kind, newest) {
        (Kind::Full, _) => Because::Schedule,
        (Kind::Differential, None) => Because::NoChain,
        (Kind::Differential, Some(folder)) => match unfit(folder, slot) {
            None => return Ok(Choice { kind, chain: folder.chain, because: Because::Schedule }),
            Some(because) => because,
        },
    };
    Ok(Choice { kind: Kind::Full, chain: opens, because })
}

/// Returns why a differential cannot join a chain.
fn unfit(folder: &Folder, slot: Timestamp) -> Option<Because> {
    if folder.chain.opened() > slot {
        return Some(Because::Future);
    }
    let chain = Chain::of(folder);
    if let State::Unknown(why) = chain.state {
        return Some(Because::Unknown(why));
    }
    let manifest = folder.manifest.as_ref()?.as_ref().ok()?;
    let Some(last) = manifest.backups.last() else { return Some(Because::NoChain) };
    if last.verdict != Verdict::Good {
        return Some(Because::Last(last.verdict, last.reasons.clone()));
    }
    match chain.state {
        State::Good { points, .. } if points == manifest.backups.len() => None,
        _ => Some(Because::FilesMissing),
    }
}
