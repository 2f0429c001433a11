//! A bucket to judge: folders of chains, made of what a schedule would have left.

use jiff::{SignedDuration, Timestamp};

use super::super::{Artifact, Backup, Chain, ChainId, Folder, Kind, Manifest, Object, Verdict};

pub(super) const ID: &str = "7dcb1d0c-4374-4476-b8ae-d3c3f124683f";

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn file(database: &str, taken: Timestamp) -> String {
    format!("{database}-{}.backup", taken.strftime("%Y-%m-%dT%H-%M-%S"))
}

/// A chain of a full backup and `differentials` more, one each `step`, as it lies in the bucket when all went well.
pub(super) fn folder(
    database: &str,
    id: &str,
    opened: Timestamp,
    differentials: usize,
    step: SignedDuration,
) -> Folder {
    let chain = ChainId::new(opened, 1);
    let mut folder = Folder {
        database: database.to_owned(),
        chain,
        manifest: Some(Ok(Manifest::new(database, chain))),
        objects: Vec::new(),
        strangers: 0,
    };
    for number in 0..=differentials {
        let slot = opened + step * i32::try_from(number).unwrap();
        add(&mut folder, id, slot, Verdict::Good);
    }
    folder
}

/// Adds a backup to a chain: the first one is full. One that failed leaves no file.
pub(super) fn add(folder: &mut Folder, id: &str, slot: Timestamp, verdict: Verdict) {
    let Some(Ok(manifest)) = &mut folder.manifest else { panic!("no manifest") };
    let number = manifest.backups.len() as u64;
    let full = number == 0;
    let taken = slot + SignedDuration::from_mins(2);
    let file = file(&folder.database, taken);
    let (lowest, highest) = if full { (1, 1000) } else { (number * 10 + 991, number * 10 + 1000) };
    let bytes = if full { 2_000_000_000 } else { 20_000_000 };
    let artifact = Artifact {
        file: file.clone(),
        database: folder.database.clone(),
        database_id: id.to_owned(),
        taken,
        full,
        lowest,
        highest,
        recovered: None,
    };
    manifest.backups.push(Backup {
        job: format!("job-{slot}"),
        slot,
        kind: if full { Kind::Full } else { Kind::Differential },
        source: "replica 0a1b2c3d".to_owned(),
        ended: taken,
        verdict,
        reasons: if verdict == Verdict::Good { vec![] } else { vec!["told so".to_owned()] },
        artifact: (verdict != Verdict::Failed).then_some(artifact),
        bytes,
    });
    if verdict != Verdict::Failed {
        folder.objects.push(Object { file, bytes, written: taken });
    }
}

/// The chains of these folders, each object of which was looked at and is free to go.
pub(super) fn looked_at(folders: &[Folder]) -> Vec<Chain> {
    folders.iter().map(|folder| Chain { holds: Some(vec![]), ..Chain::of(folder) }).collect()
}
