//! What is so, whatever the functions think.

use std::collections::{BTreeMap, BTreeSet};

use cluster_core::backup::{Artifact, Backup, ChainId, Key, Kind, Layout, Manifest, Verdict};
use cluster_world::{World, batch::Outcome, s3::Bucket};
use jiff::{SignedDuration, Timestamp};

use super::super::Wrong;
use crate::cluster::Cluster;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// No chain has two jobs that may write.
pub(super) fn one_writer(world: &World) -> Result<(), Wrong> {
    let mut writers = BTreeMap::new();
    for job in world.batch.jobs.values().filter(|job| !job.has_ended()) {
        let to = job.environment.get("BACKUP_TO").cloned().unwrap_or_default();
        if let Some(other) = writers.insert(to.clone(), &job.name) {
            return Err(format!("{} and {other} write into {to}", job.name));
        }
    }
    Ok(())
}

/// Whether a slot or a job is open.
pub(super) fn is_open(world: &World) -> bool {
    let items = world.dynamodb.tables.values().flat_map(|table| table.values());
    items.filter(|item| item["pk"]["S"] == "backup").any(|item| {
        let sort = item["sk"]["S"].as_str().unwrap_or_default();
        sort.starts_with("job/") || (sort.starts_with("slot/") && item["done"]["BOOL"] != true)
    })
}

/// The jobs that never end by themselves.
pub(super) fn hanging(world: &World) -> Vec<String> {
    let hangs = |job: &&cluster_world::batch::Job| job.outcome == Outcome::Hangs && job.status == "RUNNING";
    world.batch.jobs.iter().filter(|(_, job)| hangs(job)).map(|(id, _)| id.clone()).collect()
}

fn manifests(bucket: &Bucket, layout: &Layout) -> Vec<Manifest> {
    let keys = bucket.objects.iter().filter(|(key, _)| matches!(layout.read(key), Key::Manifest { .. }));
    keys.filter_map(|(_, object)| serde_json::from_str(&object.body).ok()).collect()
}

fn of(cluster: &Cluster) -> Vec<Manifest> {
    let layout = Layout::new(cluster.variable("BACKUP_PREFIX"));
    let world = cluster.wire.world();
    world.s3.buckets.get(cluster.variable("BACKUP_BUCKET")).map(|bucket| manifests(bucket, &layout)).unwrap_or_default()
}

/// When the newest good backup of each database was taken.
pub(super) fn newest_good(cluster: &Cluster) -> BTreeMap<String, Timestamp> {
    let mut newest = BTreeMap::new();
    for manifest in of(cluster) {
        for backup in manifest.backups.iter().filter(|backup| backup.verdict == Verdict::Good) {
            let Some(artifact) = &backup.artifact else { continue };
            let known = newest.entry(manifest.database.clone()).or_insert(artifact.taken);
            *known = artifact.taken.max(*known);
        }
    }
    newest
}

/// The slots that are in manifests, by database. A full backup holds what a differential of the same time would.
pub(super) fn slots(cluster: &Cluster) -> BTreeSet<(String, Timestamp)> {
    let manifests = of(cluster);
    let backups = manifests.iter().flat_map(|manifest| manifest.backups.iter().map(move |backup| (manifest, backup)));
    backups.map(|(manifest, backup)| (manifest.database.clone(), backup.slot)).collect()
}

/// The newest chain with a good full backup, of each database id.
pub(super) fn newest_chains(bucket: &Bucket, layout: &Layout) -> BTreeSet<(String, ChainId)> {
    let mut newest: BTreeMap<(String, String), ChainId> = BTreeMap::new();
    for manifest in manifests(bucket, layout) {
        let full = manifest.backups.first().filter(|first| first.verdict == Verdict::Good);
        let Some(full) = full.and_then(|first| first.artifact.as_ref()) else { continue };
        let key = format!("{}{}", layout.folder(&manifest.database, manifest.chain), full.file);
        if bucket.objects.contains_key(&key) {
            let known = newest.entry((manifest.database.clone(), full.database_id.clone())).or_insert(manifest.chain);
            *known = manifest.chain.max(*known);
        }
    }
    newest.into_iter().map(|((database, _), chain)| (database, chain)).collect()
}

/// Puts a chain a day of six weeks into the bucket, of a database that nobody backs up any more.
pub(super) fn fill(world: &mut World, bucket: &str, prefix: &str) {
    let (layout, now) = (Layout::new(prefix), world.now);
    let bucket = world.bucket(bucket);
    for day in 1..=42 {
        let opened = Timestamp::from_second((now - HOUR * 24 * day).as_second()).unwrap_or(now);
        let chain = ChainId::new(opened, 1);
        let mut manifest = Manifest::new("old", chain);
        for number in 0..2 {
            let taken = opened + HOUR * number;
            let file = format!("old-{}.backup", taken.strftime("%Y-%m-%dT%H-%M-%S"));
            bucket.put(&format!("{}{file}", layout.folder("old", chain)), "", 1_000, taken);
            let highest = 1_000 + u64::try_from(number).unwrap_or_default();
            let artifact = Artifact {
                file,
                database: "old".to_owned(),
                database_id: "id-of-old".to_owned(),
                taken,
                full: number == 0,
                lowest: if number == 0 { 1 } else { highest },
                highest,
                recovered: None,
            };
            manifest.record(Backup {
                job: format!("filled-{taken}"),
                slot: taken,
                kind: if number == 0 { Kind::Full } else { Kind::Differential },
                source: "core 1".to_owned(),
                ended: taken,
                verdict: Verdict::Good,
                reasons: vec![],
                artifact: Some(artifact),
                bytes: 1_000,
            });
        }
        let body = serde_json::to_string(&manifest).unwrap_or_default();
        bucket.put(&layout.manifest("old", chain), &body, 1_000, opened);
    }
}
