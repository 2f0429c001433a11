//! What is open: slots that have come, jobs that have been submitted, and since when each database has no newer backup.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Choice, Folder, JobName, Kind, NoSource, Refusal, Running, Source, Task, choose};

/// How long a slot waits for what may come by itself: a member that answers, or the verdict on the job before it.
const PATIENCE: SignedDuration = SignedDuration::from_mins(20);

/// A slot of a schedule that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What the schedule asks for.
    pub kind: Kind,
    /// When it was due.
    pub due: Timestamp,
    /// When it was delivered.
    pub seen: Timestamp,
    /// The databases of which nothing more is to be decided.
    pub settled: BTreeSet<String>,
    /// Whether that is all of them. It stays known, since it may be delivered again.
    pub done: bool,
}

impl Slot {
    /// Returns a slot that has just been delivered.
    #[must_use]
    pub fn new(kind: Kind, due: Timestamp, seen: Timestamp) -> Self {
        Self { kind, due, seen, settled: BTreeSet::new(), done: false }
    }

    /// Returns whether it no longer waits for what has not come.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen) >= PATIENCE
    }
}

/// A job that was submitted, or is about to be, and has not been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenJob {
    /// Its name.
    pub name: JobName,
    /// What it is to do. The id of the job is empty while nobody knows whether it was submitted.
    pub task: Task,
    /// What the lines of its log that count begin with.
    pub nonce: String,
    /// Whether it was submitted to the queue with Spot capacity.
    pub on_spot: bool,
    /// When it was last claimed: whoever claims it may submit it.
    pub claimed: Timestamp,
    /// When it was first terminated because it did not get on. It may take minutes to end.
    pub terminated: Option<Timestamp>,
}

/// What a slot does for one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A job is submitted.
    Submit(Choice, Source),
    /// There is nothing to do, and why.
    Settled(String),
    /// It is decided in a later sweep, and why.
    Wait(String),
    /// The backup is not taken: people are told.
    Refuse(String),
}

/// Decides what a slot does for one database: `database` says why it is not backed up at all, if so; `newest` is its newest chain,
/// `open` its jobs that have not been judged, of which those named in `ended` have ended.
#[must_use]
pub fn decide(
    slot: &Slot,
    database: Option<&NoSource>,
    source: Result<Source, NoSource>,
    newest: Option<&Folder>,
    open: &[&OpenJob],
    ended: &BTreeSet<&str>,
    now: Timestamp,
) -> Step {
    if let Some(refused) = database {
        return Step::Refuse(refused.to_string());
    }
    // A full one of the same time holds everything, whichever schedule it came by.
    let own = |job: &&&OpenJob| {
        let holds = job.name.slot == slot.kind || job.task.kind == Kind::Full;
        holds && job.name.attempt.opened() == slot.due
    };
    if let Some(job) = open.iter().find(own) {
        return Step::Settled(format!("the job {} is on its way", job.name));
    }
    let running = open.iter().map(|job| Running {
        job: job.name.to_string(),
        kind: job.task.kind,
        chain: job.task.chain,
        ended: ended.contains(job.task.job.as_str()),
    });
    let later = |why: String| if slot.is_over(now) { Step::Refuse(why) } else { Step::Wait(why) };
    match choose(slot.kind, slot.due, 1, newest, &running.collect::<Vec<_>>()) {
        Err(refusal) if refusal.is_expected() => Step::Settled(refusal.to_string()),
        Err(refusal @ Refusal::NotJudged(_)) => later(refusal.to_string()),
        Err(refusal) => Step::Refuse(refusal.to_string()),
        Ok(choice) => match source {
            Ok(source) => Step::Submit(choice, source),
            Err(none) => later(none.to_string()),
        },
    }
}

/// Since when each database has had no newer good backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// When backups of the cluster began to be counted.
    pub began: Option<Timestamp>,
    /// Each database that was there when a slot last looked.
    pub databases: BTreeMap<String, Age>,
}

/// The age of a database's backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// When the database was first seen.
    pub since: Timestamp,
    /// When its newest good backup was taken.
    pub good: Option<Timestamp>,
}

impl Ages {
    /// Takes over which databases there are.
    pub fn see(&mut self, databases: impl IntoIterator<Item = String>, now: Timestamp) {
        let known = std::mem::take(&mut self.databases);
        let age = |name: &str| known.get(name).copied().unwrap_or(Age { since: now, good: None });
        self.databases = databases.into_iter().map(|name| (name.clone(), age(&name))).collect();
    }

    /// Returns the database whose newest good backup is the oldest, and how old that is, in seconds. One without a good backup counts
    /// from when it was first seen; before any database was seen, the cluster counts, and has no name.
    #[must_use]
    pub fn worst(&self, now: Timestamp) -> Option<(&str, i64)> {
        let ages = self.databases.iter().map(|(name, age)| (name.as_str(), age.good.unwrap_or(age.since)));
        let oldest = ages.min_by_key(|(_, at)| *at).or_else(|| Some(("", self.began?)));
        oldest.map(|(name, at)| (name, now.duration_since(at).as_secs().max(0)))
    }
}
