//! What a prune costs, by the number of chains.

use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use backup_pruner::Pruner;
use cluster_core::backup::{
    Artifact, Backup, Chain, ChainId, Folder, Kind, Layout, Manifest, Object, Policy, Verdict, plan,
};
use cluster_lambda::Frame;
use cluster_sim::{
    functions::{Metrics, aws},
    time::play,
    wire::Wire,
};
use cluster_world::{ACCOUNT, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::median;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How many objects a chain has: a full backup and its differentials of a day.
pub(super) const OBJECTS: usize = 24;

/// The figures of one case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prune {
    /// The decision alone.
    pub(super) plan: Duration,
    /// What the decision takes of memory on top, in KiB.
    pub(super) plan_kib: u64,
    /// A whole run in process that deletes nothing: requests written and signed, answers read, decided. No network.
    pub(super) whole: Duration,
    /// Calls to S3 in that run.
    pub(super) calls: usize,
}

/// Measures so many chains of one database.
///
/// # Panics
/// When the function fails.
#[must_use]
pub(super) fn measure(chains: usize) -> Prune {
    let now: Timestamp = "2026-11-30T00:30:00Z".parse().unwrap();
    let policy = Policy { hourly_days: 3, daily_days: 14, weeks: 8, months: 12, minimum_chains: 2, percent: 25 };
    let folders: Vec<Folder> = (0..chains).map(|nth| folder(now - HOUR * 24 * i32::try_from(nth).unwrap())).collect();
    let judged: Vec<Chain> = folders.iter().map(Chain::of).collect();
    let (planned, plan_kib) = peak(|| {
        let time = || {
            let chains = judged.clone();
            let began = Instant::now();
            _ = black_box(plan(chains, &policy, now));
            began.elapsed()
        };
        median((0..21).map(|_| time()).collect())
    });
    let mut world = World::new(now, 7);
    let layout = Layout::new("graph");
    let bucket = world.bucket("backups");
    for folder in &folders {
        for object in &folder.objects {
            let key = format!("{}{}", layout.folder("neo4j", folder.chain), object.file);
            bucket.put(&key, "", object.bytes, object.written);
        }
        let manifest = serde_json::to_string(folder.manifest.as_ref().unwrap().as_ref().unwrap()).unwrap();
        bucket.put(&layout.manifest("neo4j", folder.chain), &manifest, 1_000, now);
    }
    drop(folders);
    let wire = Wire::new(world);
    let (whole, calls) = play(run(&wire));
    Prune { plan: planned, plan_kib, whole, calls }
}

async fn run(wire: &Wire) -> (Duration, usize) {
    let environment = [
        ("CLUSTER_NAME", "graph"),
        ("BACKUP_BUCKET", "backups"),
        ("BACKUP_BUCKET_OWNER", ACCOUNT),
        ("BACKUP_PREFIX", "graph"),
        // Every chain is within it: nothing goes, and each has been judged.
        ("HOURLY_DAYS", "60000"),
        ("DAILY_DAYS", "0"),
        ("WEEKS", "0"),
        ("MONTHS", "0"),
        ("MINIMUM_CHAINS", "2"),
        ("PERCENT_PER_RUN", "25"),
        ("DRY_RUN", "false"),
        ("DEAD_LETTER_QUEUE_URL", "https://sqs/dead"),
    ];
    let lookup =
        |asked: &str| environment.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned());
    let frame: Frame<Pruner> = Frame::new(&lookup, &aws(wire, &Metrics::default())).unwrap();
    let from = wire.world().calls.len();
    let began = Instant::now();
    frame.handle(json!({"dryRun": true})).await.unwrap();
    (began.elapsed(), wire.world().calls.len() - from)
}

/// A chain of a day.
fn folder(opened: Timestamp) -> Folder {
    let chain = ChainId::new(opened, 1);
    let mut manifest = Manifest::new("neo4j", chain);
    let mut objects = Vec::new();
    for nth in 0..OBJECTS {
        let taken = opened + HOUR * i32::try_from(nth).unwrap();
        let file = format!("neo4j-{}.backup", taken.strftime("%Y-%m-%dT%H-%M-%S"));
        let highest = 1_000 + u64::try_from(nth).unwrap();
        let artifact = Artifact {
            file: file.clone(),
            database: "neo4j".to_owned(),
            database_id: "6E1F".to_owned(),
            taken,
            full: nth == 0,
            lowest: if nth == 0 { 1 } else { highest },
            highest,
            recovered: None,
        };
        objects.push(Object { file, bytes: 1_000_000, written: taken });
        manifest.record(Backup {
            job: format!("job-{taken}"),
            slot: taken,
            kind: if nth == 0 { Kind::Full } else { Kind::Differential },
            source: "core 1".to_owned(),
            ended: taken,
            verdict: Verdict::Good,
            reasons: vec![],
            artifact: Some(artifact),
            bytes: 1_000_000,
        });
    }
    Folder { database: "neo4j".to_owned(), chain, manifest: Some(Ok(manifest)), objects, strangers: 0 }
}

/// Does some work, and returns how much memory it took on top at its peak, in KiB.
pub(super) fn peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    // It sets the peak back to what is held now (proc_pid_clear_refs(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = kib("VmRSS:");
    let done = work();
    (done, kib("VmHWM:").saturating_sub(before))
}

fn kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap()
}
