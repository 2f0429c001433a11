//! What a job that has ended was worth.
//!
//! The exit code is the verdict: what the log says can only make it worse.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{Artifact, Backup, ChainId, Evidence, Kind, Manifest, Verdict};

/// How long after its end a job's log is read again: lines reach CloudWatch Logs later than the event comes.
const READ_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// What a job was to do, as it was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The id of its Batch job.
    pub job: String,
    /// The database.
    pub database: String,
    /// The chain that it opens or joins.
    pub chain: ChainId,
    /// What was asked for.
    pub kind: Kind,
    /// When its slot was due.
    pub slot: Timestamp,
    /// The server that it was taken from, as people name it.
    pub source: String,
}

/// How a job ended, as Batch says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When it stopped.
    pub at: Timestamp,
    /// The exit code of its container. There is none when the container never ran, and not always one when its instance
    /// was taken away.
    /// Source: <https://docs.aws.amazon.com/batch/latest/APIReference/API_ContainerDetail.html>, `exitCode`.
    pub exit_code: Option<i32>,
    /// Batch's words about it, such as `Host EC2 (instance i-…) terminated.`
    pub reason: String,
    /// The size of each object in the folder of its chain, by file name; nothing where the folder could not be listed.
    pub sizes: Option<Vec<(String, u64)>>,
}

/// Why a backup is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doubt {
    NoExitCode(String),
    ExitCode(i32),
    NotEnded,
    Unreadable(String),
    NotListed,
    NotChecked,
    NoArtifact,
    SeveralArtifacts(usize),
    OtherDatabase(String),
    NotWhatWasAsked { asked: Kind, got: Kind },
    NoFull,
    OtherId { chain: String, id: String },
    Gap { highest: u64, lowest: u64 },
    FullFrom(u64),
    NoObject(String),
}

impl Doubt {
    /// Returns whether it speaks against the backup, rather than only failing to speak for it.
    fn condemns(&self) -> bool {
        !matches!(self, Self::NotEnded | Self::Unreadable(_) | Self::NotListed | Self::NotChecked | Self::NoArtifact)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoExitCode(why) if why.is_empty() => f.write_str("the job ended without an exit code"),
            Self::NoExitCode(why) => write!(f, "the job ended without an exit code: {why}"),
            Self::ExitCode(code) => write!(f, "the job ended with exit code {code}: read its log"),
            Self::NotEnded => f.write_str("the log of the job has no end"),
            Self::Unreadable(why) => write!(f, "the log cannot be read: {why}"),
            Self::NotListed => f.write_str("the folder of the chain could not be listed"),
            Self::NotChecked => f.write_str("no consistency check is in the log"),
            Self::NoArtifact => f.write_str("no new file is in the log"),
            Self::SeveralArtifacts(count) => write!(f, "{count} new files are in the folder: who else writes into it?"),
            Self::OtherDatabase(name) => write!(f, "the file is of the database {name}"),
            Self::NotWhatWasAsked { asked, got } => {
                write!(f, "a {asked} backup was asked for, and the file is a {got} one")
            }
            Self::NoFull => f.write_str("the chain has no good full backup to join"),
            Self::OtherId { chain, id } => {
                write!(
                    f,
                    "the chain is of the database id {chain}, and the file of {id}: the database was dropped and created again"
                )
            }
            Self::Gap { highest, lowest } => {
                write!(f, "the chain ends with transaction {highest}, and the file begins with {lowest}")
            }
            Self::FullFrom(lowest) => write!(f, "a full backup begins with transaction 1, and the file with {lowest}"),
            Self::NoObject(file) => write!(f, "{file} is not in the bucket, or empty"),
        }
    }
}

/// Judges a job that has ended by its exit code, its log, and the chain as its manifest has it.
///
/// Returns nothing while the log may still grow: it is read again until fifteen minutes after the job's end.
#[must_use]
pub fn judge(task: &Task, ended: &Ended, evidence: &Evidence, chain: &Manifest, now: Timestamp) -> Option<Backup> {
    let known = |file: &str| {
        let artifacts =
            chain.backups.iter().filter(|backup| backup.job != task.job).filter_map(|backup| backup.artifact.as_ref());
        artifacts.into_iter().any(|artifact| artifact.file == file)
    };
    let listed = evidence.artifacts.as_deref().unwrap_or_default();
    let new: Vec<&Artifact> = listed.iter().filter(|artifact| !known(&artifact.file)).collect();
    let mut doubts = match ended.exit_code {
        None => vec![Doubt::NoExitCode(ended.reason.clone())],
        Some(0) => doubts_of_log(task, evidence, &new),
        Some(code) => vec![Doubt::ExitCode(code)],
    };
    let artifact = match new.as_slice() {
        [artifact] => Some(*artifact),
        _ => None,
    };
    let mut bytes = 0;
    if let Some(artifact) = artifact {
        doubts.extend(doubts_of_artifact(task, artifact, chain));
        match &ended.sizes {
            None => doubts.push(Doubt::NotListed),
            Some(sizes) => {
                bytes = sizes.iter().find(|(file, _)| *file == artifact.file).map_or(0, |(_, bytes)| *bytes);
                doubts.extend((bytes == 0).then(|| Doubt::NoObject(artifact.file.clone())));
            }
        }
    }
    let verdict = match doubts.as_slice() {
        [] => Verdict::Good,
        doubts if doubts.iter().any(Doubt::condemns) => Verdict::Failed,
        _ if now.duration_since(ended.at) < READ_AGAIN => return None,
        _ => Verdict::Unverified,
    };
    Some(Backup {
        job: task.job.clone(),
        slot: task.slot,
        kind: task.kind,
        source: task.source.clone(),
        ended: ended.at,
        verdict,
        reasons: doubts.iter().map(Doubt::to_string).collect(),
        artifact: artifact.cloned(),
        bytes,
    })
}

fn doubts_of_log(task: &Task, evidence: &Evidence, new: &[&Artifact]) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    if !evidence.ended {
        doubts.push(Doubt::NotEnded);
    }
    match &evidence.artifacts {
        Err(why) => doubts.push(Doubt::Unreadable(why.to_string())),
        Ok(_) if new.is_empty() => doubts.push(Doubt::NoArtifact),
        Ok(_) if new.len() > 1 => doubts.push(Doubt::SeveralArtifacts(new.len())),
        Ok(_) => {}
    }
    if task.kind == Kind::Full && !evidence.checked {
        doubts.push(Doubt::NotChecked);
    }
    doubts
}

fn doubts_of_artifact(task: &Task, artifact: &Artifact, chain: &Manifest) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    if artifact.database != task.database {
        doubts.push(Doubt::OtherDatabase(artifact.database.clone()));
    }
    let got = if artifact.full { Kind::Full } else { Kind::Differential };
    if got != task.kind {
        doubts.push(Doubt::NotWhatWasAsked { asked: task.kind, got });
    } else if artifact.full {
        doubts.extend((artifact.lowest != 1).then_some(Doubt::FullFrom(artifact.lowest)));
    } else {
        let before: Vec<_> = chain.backups.iter().take_while(|backup| backup.job != task.job).cloned().collect();
        doubts.extend(unlinked(artifact, &Manifest { backups: before, ..Manifest::new(&chain.database, chain.chain) }));
    }
    doubts
}

/// Returns why a differential does not continue a chain.
///
/// It begins with the transaction after the last one before it; an empty one has none. From 2026.02 on the first one after
/// its full backup may overlap with that.
/// Source: <https://neo4j.com/docs/operations-manual/current/backup-restore/online-backup/>, the section on scheduling.
fn unlinked(artifact: &Artifact, chain: &Manifest) -> Option<Doubt> {
    let good: Vec<&Artifact> = chain.good().collect();
    let Some(full) = good.first().filter(|first| first.full && good.len() == chain.backups.len()) else {
        return Some(Doubt::NoFull);
    };
    if artifact.database_id != full.database_id {
        return Some(Doubt::OtherId { chain: full.database_id.clone(), id: artifact.database_id.clone() });
    }
    if artifact.is_empty() {
        return None;
    }
    let last = good.iter().rev().find(|before| !before.is_empty())?;
    let (highest, lowest) = (last.highest, artifact.lowest);
    let joins = lowest == highest.saturating_add(1) || (last.full && (1..=highest).contains(&lowest));
    let forward = artifact.highest >= lowest && artifact.highest >= highest;
    (!joins || !forward).then_some(Doubt::Gap { highest, lowest })
}
