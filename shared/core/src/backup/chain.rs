use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Artifact, ChainId, Manifest, Verdict, layout::taken, manifest::VERSION};

/// An object in the folder of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name in the folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written (`LastModified`).
    pub written: Timestamp,
}

/// A chain as it lies in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The database that the folder is of.
    pub database: String,
    /// The chain.
    pub chain: ChainId,
    /// Its manifest: nothing when there is none, and why it cannot be read.
    pub manifest: Option<Result<Manifest, String>>,
    /// Its artifacts, in any order.
    pub objects: Vec<Object>,
    /// How many other objects lie in the folder.
    pub strangers: usize,
}

/// What a chain is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its full backup is good.
    Good {
        /// The database that it is of.
        id: String,
        /// When its newest good backup was taken.
        ends: Timestamp,
        /// How many good backups it has, from the full one on.
        points: usize,
    },
    /// Nothing in it is good, and not everything has failed.
    Unverified,
    /// Nothing in it is good.
    Failed,
    /// Nobody can say what it is, and why.
    Unknown(String),
}

/// What forbids to delete an object, whatever it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// It has the tag `keep`.
    Pinned,
    /// It has a legal hold (`x-amz-object-lock-legal-hold`).
    Legal,
    /// Object Lock retains it until then (`x-amz-object-lock-retain-until-date`).
    Until(Timestamp),
}

/// A chain, judged by its manifest and by what is really there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The database that its folder is of.
    pub database: String,
    /// Its name.
    pub id: ChainId,
    /// What it is worth.
    pub state: State,
    /// When anything was written into it last.
    pub written: Option<Timestamp>,
    /// How many artifacts it has.
    pub objects: usize,
    /// The size of its artifacts together.
    pub bytes: u64,
    /// How many other objects lie in its folder.
    pub strangers: usize,
    /// What forbids to delete its objects; nothing while nobody has looked at each of them.
    pub holds: Option<Vec<Hold>>,
}

impl Chain {
    /// Judges a chain. What its manifest calls good, and is no longer there, is not.
    #[must_use]
    pub fn of(folder: &Folder) -> Self {
        Self {
            database: folder.database.clone(),
            id: folder.chain,
            state: state(folder),
            written: folder.objects.iter().map(|object| object.written).max(),
            objects: folder.objects.len(),
            bytes: folder.objects.iter().map(|object| object.bytes).sum(),
            strangers: folder.strangers,
            holds: None,
        }
    }

    /// Returns when its newest good backup was taken.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        match self.state {
            State::Good { ends, .. } => Some(ends),
            _ => None,
        }
    }
}

fn state(folder: &Folder) -> State {
    let manifest = match &folder.manifest {
        None => return State::Unknown("it has no manifest".to_owned()),
        Some(Err(why)) => return State::Unknown(format!("its manifest cannot be read: {why}")),
        Some(Ok(manifest)) => manifest,
    };
    if manifest.version != VERSION {
        let form = manifest.version;
        return State::Unknown(format!("its manifest has the form {form}, and this version knows {VERSION}"));
    }
    if manifest.database != folder.database || manifest.chain != folder.chain {
        return State::Unknown(format!("its manifest is of {}, chain {}", manifest.database, manifest.chain));
    }
    let there: BTreeMap<&str, &Object> = folder.objects.iter().map(|object| (object.file.as_str(), object)).collect();
    let stands = |artifact: &&Artifact| there.get(artifact.file.as_str()).is_some_and(|object| object.bytes > 0);
    let good: Vec<&Artifact> = manifest.good().take_while(stands).collect();
    match (good.first(), good.last()) {
        (Some(full), Some(last)) if full.full => {
            State::Good { id: full.database_id.clone(), ends: last.taken, points: good.len() }
        }
        _ if manifest.backups.iter().any(|backup| backup.verdict == Verdict::Unverified) => State::Unverified,
        _ => State::Failed,
    }
}

/// Returns the names of a folder's artifacts as they are deleted: differentials first, newest first, and what may be a full
/// backup last. What no manifest names goes before everything else: nothing was built on it.
#[must_use]
pub(super) fn in_order_of_removal(folder: &Folder) -> Vec<&str> {
    let manifest = folder.manifest.as_ref().and_then(|manifest| manifest.as_ref().ok());
    let backups = manifest.into_iter().flat_map(|manifest| &manifest.backups);
    let known: BTreeMap<&str, (usize, bool)> = (1..)
        .zip(backups)
        .filter_map(|(at, backup)| {
            let artifact = backup.artifact.as_ref()?;
            Some((artifact.file.as_str(), (at, artifact.full)))
        })
        .collect();
    let mut files: Vec<_> = folder
        .objects
        .iter()
        .map(|object| {
            let file = object.file.as_str();
            let place = known.get(file).map(|(at, full)| (*full, usize::MAX - at));
            (place, std::cmp::Reverse(taken(&folder.database, file)), file)
        })
        .collect();
    files.sort();
    files.into_iter().map(|(_, _, file)| file).collect()
}
