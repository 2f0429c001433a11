use std::collections::BTreeSet;

use cluster_bucket::Bucket;
use cluster_core::backup::{Kind, Slot};
use cluster_lambda::{
    Aws, Failure, Function, Mode, Reconciled, Round, SWEEP, client,
    env::Lookup,
    queue::Trigger,
    telemetry::{Metric, MetricSet},
};
use cluster_state::{Backups, StateTable};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{Config, Outcome, batch::Batch, logs::Logs, neo4j::Neo4j};

/// A slot of a schedule has come: its time is the event's, and what it asks for the field `type` of its detail.
const SLOT: (&str, &str) = ("neo4j.cluster", "Backup");
/// A Batch job has ended.
const JOB: (&str, &str) = ("aws.batch", "Batch Job State Change");

const AGE: &str = "BackupAgeSeconds";
const FAILED: &str = "BackupsFailed";
const GOOD: &str = "BackupsGood";
const REFUSED: &str = "BackupsRefused";
const STUCK: &str = "BackupsStuck";
const SUBMITTED: &str = "BackupsSubmitted";
const UNVERIFIED: &str = "BackupsUnverified";

/// How long a slot stays known: it is delivered again for a day at most.
const KNOWN: SignedDuration = SignedDuration::from_hours(48);

/// The function: its configuration and its clients.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) state: StateTable,
    pub(crate) bucket: Bucket,
    pub(crate) batch: Batch,
    pub(crate) logs: Logs,
    pub(crate) neo4j: Neo4j,
}

/// A round on its way.
#[derive(Debug)]
pub(crate) struct Run {
    /// What the table remembers, as it changes.
    pub(crate) backups: Backups,
    /// The ids of jobs that have ended.
    pub(crate) ended: BTreeSet<String>,
    pub(crate) outcome: Outcome,
    pub(crate) failures: Vec<Failure>,
    pub(crate) mode: Mode,
    pub(crate) now: Timestamp,
}

impl Run {
    pub(crate) fn acts(&self) -> bool {
        self.mode == Mode::Act
    }
}

impl Function for Scheduler {
    const NAME: &'static str = "backup-scheduler";
    const WAKES: &'static [(&'static str, &'static str)] = &[SWEEP, SLOT, JOB];
    const METRICS: &'static [&'static str] = &[AGE, FAILED, GOOD, REFUSED, STUCK, SUBMITTED, UNVERIFIED];
    const ABSENT_AT_ZERO: &'static [&'static str] = &[FAILED, GOOD, REFUSED, STUCK, UNVERIFIED];

    type Outcome = Outcome;

    fn new(lookup: &impl Lookup, aws: &Aws) -> Result<Self, Failure> {
        let config = Config::read(lookup)?;
        Ok(Self {
            state: StateTable::new(client!(aws_sdk_dynamodb, aws), config.cluster.state_table.clone()),
            bucket: Bucket::new(client!(aws_sdk_s3, aws), config.place.clone()),
            batch: Batch::new(lookup, aws)?,
            logs: Logs::new(config.jobs.log_group.clone(), lookup, aws)?,
            neo4j: Neo4j::new(&config, lookup, aws)?,
            config,
        })
    }

    fn cluster(&self) -> &str {
        &self.config.cluster.name
    }

    async fn warm_up(&self) -> Vec<Result<(), Failure>> {
        vec![self.state.read_backups().await.map(drop)]
    }

    fn log(&self, trigger: &Trigger) {
        match trigger.kind() {
            SLOT => tracing::info!(due = ?trigger.time, asks_for = trigger.text("type"), "a slot has come"),
            JOB => tracing::info!(job = trigger.text("jobName"), status = trigger.text("status"), "a job has ended"),
            _ => {}
        }
    }

    async fn reconcile(&self, round: &Round) -> Reconciled<Outcome> {
        let now = round.began;
        let backups = match self.state.read_backups().await {
            Ok(backups) => backups,
            Err(failure) => return Err(failure).into(),
        };
        let unreadable = backups.unreadable.iter().map(|key| {
            Failure::permanent(format!(
                "the item {key} of table {} is unreadable: delete it, unless the job that it names still runs",
                self.config.cluster.state_table
            ))
        });
        let failures = unreadable.collect();
        let before = backups.ages.clone();
        let outcome = Outcome { at: now, ..Outcome::default() };
        let mut run = Run { backups, ended: BTreeSet::new(), outcome, failures, mode: round.mode, now };
        self.open_slots(&round.triggers, &mut run).await;
        let again = self.follow_jobs(&mut run).await;
        self.serve_slots(&mut run, again).await;
        self.forget_slots(&mut run).await;
        run.backups.ages.began.get_or_insert(now);
        if run.acts()
            && let Err(failure) = self.state.save_ages(&before, &run.backups.ages).await
        {
            run.failures.push(failure);
        }
        run.outcome.ages = run.backups.ages;
        Reconciled { outcome: Some(run.outcome), failures: run.failures }
    }

    fn answer(&self, outcome: &Outcome) -> Value {
        outcome.answer()
    }

    /// The age is written in each round that could read the state table, and how many jobs were submitted also when none was: what
    /// is missing of these two is an alarm.
    fn metrics(&self, _: &Round, reconciled: &Reconciled<Outcome>, now: Timestamp) -> Vec<MetricSet> {
        let Some(outcome) = &reconciled.outcome else { return Vec::new() };
        let tally = &outcome.tally;
        let mut metrics = vec![
            Metric::count(FAILED, tally.failed),
            Metric::count(GOOD, tally.good),
            Metric::count(REFUSED, tally.refused),
            Metric::count(STUCK, tally.stuck),
            Metric::count(SUBMITTED, tally.submitted),
            Metric::count(UNVERIFIED, tally.unverified),
        ];
        metrics.extend(outcome.ages.worst(now).map(|(_, age)| Metric::seconds(AGE, age)));
        vec![MetricSet { metrics, ..MetricSet::default() }]
    }
}

impl Scheduler {
    /// Puts down the slots that have come, before anything is done about them.
    async fn open_slots(&self, triggers: &[Trigger], run: &mut Run) {
        for trigger in triggers.iter().filter(|trigger| trigger.kind() == SLOT) {
            let slot = match read_slot(trigger, run.now) {
                Ok(slot) => slot,
                Err(failure) => {
                    run.failures.push(failure);
                    continue;
                }
            };
            let known = |known: &Slot| (known.kind, known.due) == (slot.kind, slot.due);
            if !run.acts() || run.backups.slots.iter().any(known) {
                continue;
            }
            match self.state.open_slot(&slot).await {
                Ok(true) => run.backups.slots.push(slot),
                // Whoever wrote it serves it, and so does the next sweep.
                Ok(false) => {}
                Err(failure) => run.failures.push(failure),
            }
        }
        run.backups.slots.sort_by_key(|slot| (slot.due, slot.kind));
    }

    async fn forget_slots(&self, run: &mut Run) {
        if !run.acts() {
            return;
        }
        for slot in &run.backups.slots {
            if !slot.done || run.now.duration_since(slot.seen) <= KNOWN {
                continue;
            }
            if let Err(failure) = self.state.forget_slot(slot).await {
                run.failures.push(failure);
            }
        }
    }
}

/// Reads a slot. One that cannot be read fails the round, so that its message ends in the dead-letter queue.
fn read_slot(trigger: &Trigger, now: Timestamp) -> Result<Slot, Failure> {
    let kind = match trigger.text("type") {
        Some("full") => Kind::Full,
        Some("differential") => Kind::Differential,
        other => {
            let why = format!("a backup is asked for of the type {other:?}, but it should be full or differential");
            return Err(Failure::permanent(why));
        }
    };
    let due = trigger.time.ok_or_else(|| Failure::permanent("a backup is asked for without the time of its slot"))?;
    // In whole seconds, as in the names of chains.
    let due = Timestamp::from_second(due.as_second())
        .map_err(|error| Failure::permanent("a backup is asked for at a time that is none").caused_by(error))?;
    if due.duration_since(now) > SignedDuration::from_mins(5) {
        let why = format!("a backup is asked for at {due}, which is in the future: chains are named by their slot");
        return Err(Failure::permanent(why));
    }
    Ok(Slot::new(kind, due, now))
}
