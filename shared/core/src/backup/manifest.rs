use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Artifact, ChainId, Kind};

/// The form of manifests that this version writes and reads. Another one is kept, and never judged.
pub(super) const VERSION: u32 = 1;

/// What is known about a chain: one entry a job, in the order in which they ended. It lies outside of the chain's folder and
/// is written on condition that nobody else has written meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The form of this file.
    pub version: u32,
    /// The database.
    pub database: String,
    /// The chain.
    pub chain: ChainId,
    /// Its backups.
    pub backups: Vec<Backup>,
}

/// A backup that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// The id of its Batch job.
    pub job: String,
    /// When its slot was due.
    pub slot: Timestamp,
    /// What was asked for.
    pub kind: Kind,
    /// The server that it was taken from, as people name it.
    pub source: String,
    /// When its job had ended.
    pub ended: Timestamp,
    /// What it is worth.
    pub verdict: Verdict,
    /// Why it is not good, in words for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The file that it left, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// The size of that file.
    #[serde(default)]
    pub bytes: u64,
}

/// What a backup is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Its job ended with exit code 0, and the evidence agrees.
    Good,
    /// Its job ended with exit code 0, and the evidence is missing.
    Unverified,
    /// Its job failed, or the evidence speaks against it.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Unverified => "unverified",
            Self::Failed => "failed",
        })
    }
}

impl Manifest {
    /// Returns a manifest without backups.
    #[must_use]
    pub fn new(database: &str, chain: ChainId) -> Self {
        Self { version: VERSION, database: database.to_owned(), chain, backups: Vec::new() }
    }

    /// Puts down what became of a job: a second word about the same job replaces the first one, unless that was good.
    /// Returns whether anything has changed.
    pub fn record(&mut self, backup: Backup) -> bool {
        match self.backups.iter_mut().find(|known| known.job == backup.job) {
            Some(known) if known.verdict == Verdict::Good || *known == backup => false,
            Some(known) => {
                *known = backup;
                true
            }
            None => {
                self.backups.push(backup);
                true
            }
        }
    }

    /// Returns the files of the backups that are good from the beginning on, up to the first that is not.
    pub(super) fn good(&self) -> impl Iterator<Item = &Artifact> {
        self.backups.iter().map_while(|backup| backup.artifact.as_ref().filter(|_| backup.verdict == Verdict::Good))
    }
}
